"""Hub: reserving, replacing, voiding and settling payouts."""

from __future__ import annotations

import hashlib

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    CAIP2,
    NOBODY,
    POLICY,
    World,
    account,
    accounts,
    digest_of,
    event,
    events,
    execution_gas,
    outpoint,
    outpoint_id,
    refused,
    refused_silently,
    typed,
)

USER = account("user").address
A, B, C, D = (outpoint(label) for label in "abcd")
IN_USE = "Hub: input reserved"


def holder(world: World, *points: tuple[bytes, int]) -> list[bytes]:
    """Which payouts reserve these outpoints."""
    return [world.hub.reserved_by(outpoint_id(point)) for point in points]


def status(world: World, *ids: bytes) -> list[int]:
    """The statuses of withdrawals."""
    return [world.hub.withdrawal(id_)[5] for id_ in ids]


def test_reservation_binds_withdrawals_to_coins(funded: World) -> None:
    """A new payout is stored and told, its withdrawals are reserved, and its coins are its own."""
    ids = [funded.withdraw(), funded.withdraw()]
    made = funded.reserve(ids, [A, B])
    assert made == keccak(encode(["bytes32", "bytes32[]", "bytes32"], (funded.group, ids, outpoint_id(A))))
    told = {
        "id": made,
        "group": funded.group,
        "asset": funded.asset,
        "version": 1,
        "withdrawals": ids,
        "signers": 0b111,
    }
    found = event(funded.hub, "PayoutReserved")
    assert [tuple(point) for point in found.pop("inputs")] == [A, B]
    assert found == told
    payout = funded.hub.payout(made)
    anchor = outpoint_id(A)
    assert tuple(payout) == (funded.group, funded.asset, anchor, 1, 1, ids, [anchor, outpoint_id(B)], 0b111)
    assert status(funded, *ids) == [2, 2]
    assert funded.hub.withdrawal(ids[1])[6] == made
    assert holder(funded, A, B, C) == [made, made, NOBODY]


def test_anybody_may_bring_a_reservation(funded: World) -> None:
    """The signatures count, not the sender."""
    id_ = funded.withdraw()
    signatures = funded.countersign("PayoutReservation", funded.group, funded.asset, [id_], [outpoint_id(A)])
    funded.hub.reserve((funded.group, funded.asset, [id_], [A]), signatures, sender=account("stranger").address)


def test_reservation_digest_can_be_asked_for(funded: World) -> None:
    """`reservation_used` knows the digest that eth-account computes, after the reservation and not before."""
    id_ = funded.withdraw()
    message = typed(funded.hub, "PayoutReservation", funded.group, funded.asset, [id_], [outpoint_id(A)])
    assert not funded.hub.reservation_used(digest_of(message))
    funded.reserve([id_], [A])
    assert funded.hub.reservation_used(digest_of(message))


def test_empty_or_repeating_reservations_are_refused(funded: World) -> None:
    """A payout has withdrawals and coins, each of them once."""
    id_ = funded.withdraw()
    for ids, points, reason in (
        ([], [A], "Hub: no withdrawals"),
        ([id_], [], "Hub: no inputs"),
        ([id_, id_], [A], "Hub: withdrawal not requested"),
        ([id_], [A, A], IN_USE),
        ([b"\x01" * 32], [A], "Hub: withdrawal not requested"),
    ):
        with refused(reason):
            funded.reserve(ids, points)
    assert status(funded, id_) == [1]
    assert holder(funded, A) == [NOBODY]


def test_cancelled_withdrawal_is_not_paid(funded: World) -> None:
    """Nothing is reserved for a withdrawal whose tokens went back."""
    id_ = funded.withdraw()
    funded.hub.cancel(id_, sender=USER)
    with refused("Hub: withdrawal not requested"):
        funded.reserve([id_], [A])


def test_coin_pays_in_one_live_payout_only(funded: World) -> None:
    """An outpoint of a live payout cannot be bound to another, neither as first nor as later input."""
    first, second = funded.withdraw(), funded.withdraw()
    funded.reserve([first], [A, B])
    for points in ([A], [B], [C, A], [C, D, B]):
        with refused(IN_USE):
            funded.reserve([second], points)
    funded.reserve([second], [C])


def test_withdrawal_is_paid_in_one_live_payout_only(funded: World) -> None:
    """A reserved withdrawal does not get into another payout, first or later, with or without the anchor."""
    first, second = funded.withdraw(), funded.withdraw()
    funded.reserve([first], [A])
    for ids, points, reason in (
        ([first], [B], "Hub: anchor not spent"),
        ([first, second], [A, B], "Hub: other withdrawals"),
        ([second, first], [C], "Hub: withdrawal not requested"),
    ):
        with refused(reason):
            funded.reserve(ids, points)
    assert status(funded, first, second) == [2, 1]


def test_withdrawals_of_another_asset_are_refused(funded: World) -> None:
    """A payout pays one asset."""
    text = CAIP2 + "/x:1"
    other = funded.registry.register_asset(text, funded.chain, "X", "X", 8, POLICY, sender=funded.owner)
    id_ = funded.withdraw()
    signatures = funded.countersign("PayoutReservation", funded.group, other, [id_], [outpoint_id(A)])
    with refused("Hub: withdrawal of other asset"):
        funded.hub.reserve((funded.group, other, [id_], [A]), signatures)
    funded.reserve([id_], [A])
    signatures = funded.countersign("PayoutReservation", funded.group, other, [id_], [outpoint_id(A)])
    with refused("Hub: withdrawal of other asset"):
        funded.hub.reserve((funded.group, other, [id_], [A]), signatures)


def test_replacement_frees_old_inputs_and_keeps_the_anchor(funded: World) -> None:
    """The next version spends the anchor in any place, takes new coins and gives the old ones back."""
    first, second = funded.withdraw(), funded.withdraw()
    made = funded.reserve([first, second], [A, B])
    assert funded.reserve([first, second], [C, A]) == made
    assert event(funded.hub, "PayoutReserved")["version"] == 2
    assert holder(funded, A, B, C) == [made, NOBODY, made]
    payout = funded.hub.payout(made)
    assert payout[2:5] == (outpoint_id(A), 2, 1)
    assert payout[6] == [outpoint_id(C), outpoint_id(A)]


def test_replacement_has_the_same_withdrawals_in_the_same_order(funded: World) -> None:
    """A later version adds, drops and moves no withdrawal."""
    first, second, third = (funded.withdraw() for _ in range(3))
    funded.reserve([first, second], [A])
    for ids in ([second, first], [first], [first, second, third], [first, third]):
        with refused("Hub: other withdrawals"):
            funded.reserve(ids, [A, B])


def test_replacement_cannot_take_coins_of_another_payout(funded: World) -> None:
    """A later version is held to free coins as the first was."""
    first, second = funded.withdraw(), funded.withdraw()
    other = funded.reserve([second], [B])
    made = funded.reserve([first], [A])
    with refused(IN_USE):
        funded.reserve([first], [A, B])
    assert holder(funded, A, B) == [made, other]


def test_reservation_is_accepted_once(funded: World) -> None:
    """Kept signatures do not bring an older version back, with whatever signers; another order of inputs does."""
    id_ = funded.withdraw()
    made = funded.reserve([id_], [A, B])
    funded.reserve([id_], [A, C])
    for by in (funded.storemen[:3], funded.storemen[2:], funded.storemen):
        for points in ([A, B], [A, C]):
            with refused("Hub: reservation used"):
                funded.reserve([id_], points, by=by)
    funded.reserve([id_], [B, A])
    assert funded.hub.payout(made)[3] == 3
    assert holder(funded, A, B, C) == [made, made, NOBODY]


def test_retired_group_reserves_nothing_more(funded: World) -> None:
    """After a rotation only the new group binds coins, and it cannot touch a live payout of the old one."""
    first, second = funded.withdraw(), funded.withdraw()
    made = funded.reserve([first], [A])
    fresh = accounts("fresh", 1)
    group = funded.propose(fresh, 1)
    funded.activate(group, fresh, hashlib.sha256(b"fresh").digest())
    for ids in ([second], [first]):
        with refused("Hub: group not active"):
            funded.reserve(ids, [A, B])
    with refused("Hub: other group"):
        funded.reserve([first], [A, B], by=fresh, group=group)
    with refused("Hub: no quorum of storemen"):
        funded.reserve([second], [B], group=group)
    funded.reserve([second], [B], by=fresh, group=group)
    funded.settle(made)  # what the old group began is finished


def test_proposed_group_reserves_nothing(funded: World) -> None:
    """Members of a group without a key have no say, and neither has an unknown group."""
    id_ = funded.withdraw()
    fresh = accounts("fresh", 1)
    for group in (funded.propose(fresh, 1), b"\x01" * 32, NOBODY):
        with refused("Hub: group not active"):
            funded.reserve([id_], [A], by=fresh, group=group)


def test_settlement_burns_and_ends(funded: World) -> None:
    """All amounts of the payout are burnt, its withdrawals are settled, and it is told; nothing settles twice."""
    ids = [funded.withdraw(50_000), funded.withdraw(70_000)]
    made = funded.reserve(ids, [A, B])
    txid = outpoint("paid")[0]
    funded.settle(made, "paid", 900)
    assert event(funded.hub, "PayoutSettled") == {
        "id": made,
        "txid": txid,
        "fee": 900,
        "burnt": 120_000,
        "service_fee": 0,
        "attesters": 0b111,
    }
    assert status(funded, *ids) == [3, 3]
    assert funded.hub.payout(made)[4] == 2
    assert funded.hub.supply(funded.asset) == 880_000
    assert funded.token.balanceOf(str(funded.hub.address)) == 0
    for act in (funded.settle, funded.void):
        with refused("Hub: payout not live"):
            act(made)
    with refused("Hub: withdrawal not requested"):
        funded.reserve(ids, [C])


def test_settlement_leaves_other_withdrawals_covered(funded: World) -> None:
    """Burning one payout leaves the tokens of the others in the Hub."""
    paid, other = funded.withdraw(50_000), funded.withdraw(70_000)
    funded.settle(funded.reserve([paid], [A]))
    assert funded.token.balanceOf(str(funded.hub.address)) == 70_000
    funded.hub.cancel(other, sender=USER)


def test_fee_above_the_owners_limits_is_refused(funded: World) -> None:
    """Vouchers cannot attest a fee that the withdrawals did not allow; exactly the sum is accepted."""
    made = funded.reserve([funded.withdraw(50_000, 2_000), funded.withdraw(50_000, 3_000)], [A])
    with refused("Hub: fee above the limits"):
        funded.settle(made, fee=5_001)
    funded.settle(made, fee=5_000)


def test_inputs_of_the_only_version_stay_barred(funded: World) -> None:
    """They are spent: no later payout can name them."""
    first, second = funded.withdraw(), funded.withdraw()
    made = funded.reserve([first], [A, B])
    funded.settle(made)
    assert holder(funded, A, B) == [made, made]
    for point in (A, B):
        with refused(IN_USE):
            funded.reserve([second], [C, point])


def test_settling_a_replaced_payout_frees_all_but_the_anchor(funded: World) -> None:
    """An older version may have confirmed, so the newest one's coins have to be usable again."""
    first, second = funded.withdraw(), funded.withdraw()
    made = funded.reserve([first], [A, B])
    funded.reserve([first], [A, C])
    funded.settle(made)
    assert holder(funded, A, B, C) == [made, NOBODY, NOBODY]
    with refused(IN_USE):
        funded.reserve([second], [A])
    funded.reserve([second], [C])


def test_voided_payout_gives_withdrawals_back(funded: World) -> None:
    """After its anchor was spent elsewhere, withdrawals are requested again and all coins but the anchor are free."""
    ids = [funded.withdraw(), funded.withdraw()]
    made = funded.reserve(ids, [A, B])
    spender = outpoint("spender")[0]
    funded.void(made)
    assert events(funded.hub) == [("PayoutVoided", {"id": made, "spender": spender})]
    assert status(funded, *ids) == [1, 1]
    assert funded.hub.payout(made)[4] == 3
    assert holder(funded, A, B) == [made, NOBODY]
    for act in (funded.settle, funded.void):
        with refused("Hub: payout not live"):
            act(made)
    funded.hub.cancel(ids[0], sender=USER)
    again = funded.reserve(ids[1:], [B])
    assert again != made
    funded.settle(again)


def test_anchor_of_a_voided_payout_is_barred_for_ever(funded: World) -> None:
    """Not even the same withdrawals can be bound to it again, in whatever place: an old version could still confirm."""
    ids = [funded.withdraw()]
    funded.void(funded.reserve(ids, [A]))
    for points in ([A, B], [B, A]):
        with refused(IN_USE):
            funded.reserve(ids, points)
    with refused("Hub: reservation used"):
        funded.reserve(ids, [A])


def test_withheld_version_cannot_revive_a_voided_payout(funded: World) -> None:
    """Signatures for a later version that nobody brought in time name the barred anchor, and so are worth nothing."""
    ids = [funded.withdraw()]
    made = funded.reserve(ids, [A])
    points = [C, A]
    values = (funded.group, funded.asset, ids, [outpoint_id(point) for point in points])
    withheld = funded.countersign("PayoutReservation", *values)
    funded.void(made)
    with refused(IN_USE):
        funded.hub.reserve((funded.group, funded.asset, ids, points), withheld)


def test_unknown_payout_is_neither_voided_nor_settled(funded: World) -> None:
    """There is nothing under an id that no reservation made."""
    for act in (funded.settle, funded.void):
        with refused("Hub: payout not live"):
            act(b"\x01" * 32)


def test_payouts_go_on_while_paused(funded: World) -> None:
    """A pause stops new requests, not the payment of those that were made."""
    id_ = funded.withdraw()
    funded.set_policy(paused=True)
    made = funded.reserve([id_], [A])
    funded.void(made)
    funded.settle(funded.reserve([id_], [B]))


def test_largest_payout_fits(funded: World) -> None:
    """32 withdrawals and 64 inputs are the most; the whole life of such a payout stays below 5 million gas a step."""
    ids = [funded.withdraw(10_000, 100) for _ in range(33)]
    points = [outpoint(n) for n in range(65)]
    with refused_silently():
        funded.reserve(ids, points[:1])
    with refused_silently():
        funded.reserve(ids[:1], points)
    made = funded.reserve(ids[:32], points[:64])
    used = [execution_gas(funded.hub)]
    funded.reserve(ids[:32], [points[0], points[64], *(outpoint(n) for n in range(100, 162))])
    used.append(execution_gas(funded.hub))
    funded.settle(made, fee=3_200)
    used.append(execution_gas(funded.hub))
    assert max(used) < 5_000_000
    assert funded.hub.supply(funded.asset) == 1_000_000 - 320_000


@pytest.mark.parametrize("vout", [0, 1, 2**32 - 1])
def test_outputs_of_one_transaction_are_different_coins(funded: World, vout: int) -> None:
    """An outpoint is a transaction and a number."""
    funded.reserve([funded.withdraw()], [(A[0], vout)])
    funded.reserve([funded.withdraw()], [(A[0], vout + 1)])
