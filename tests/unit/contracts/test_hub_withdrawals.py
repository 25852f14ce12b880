"""Hub: requesting, cancelling and speeding up withdrawals."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    NOBODY,
    P2TR,
    POLICY,
    World,
    account,
    event,
    outpoint,
    refused,
    refused_silently,
)

USER = account("user").address
THIEF = account("thief").address
MINIMUM = POLICY[2]

P2PKH = b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac"
P2SH = b"\xa9\x14" + b"\x02" * 20 + b"\x87"
P2WPKH = b"\x00\x14" + b"\x03" * 20
P2WSH = b"\x00\x20" + b"\x04" * 32


def test_withdrawal_locks_the_tokens_and_is_told(funded: World) -> None:
    """The whole amount moves to the Hub; the id comes from chain, Hub and count."""
    id_ = funded.withdraw(50_000, 2_000)
    told = {"id": id_, "asset": funded.asset, "owner": USER, "amount": 50_000, "max_fee": 2_000, "destination": P2TR}
    told |= {"number": 1, "fee": 0}
    assert event(funded.hub, "WithdrawalRequested") == told
    assert id_ == keccak(encode(["uint256", "address", "uint256"], (1, str(funded.hub.address), 1)))
    assert tuple(funded.hub.withdrawal(id_)) == (funded.asset, USER, 50_000, 2_000, P2TR, 1, NOBODY, 1, 0)
    assert funded.hub.withdrawal_count() == 1
    assert funded.token.balanceOf(str(funded.hub.address)) == 50_000
    assert funded.token.balanceOf(USER) == 950_000
    assert funded.hub.supply(funded.asset) == 1_000_000


def test_equal_withdrawals_have_ids_of_their_own(funded: World) -> None:
    """Two requests with the same values are two withdrawals."""
    assert funded.withdraw() != funded.withdraw()


@pytest.mark.parametrize("script", [P2PKH, P2SH, P2WPKH, P2WSH, P2TR], ids=lambda script: script.hex()[:6])
def test_each_standard_script_is_a_destination(funded: World, script: bytes) -> None:
    """P2PKH, P2SH, P2WPKH, P2WSH and P2TR can be paid."""
    id_ = funded.withdraw(destination=script)
    assert funded.hub.withdrawal(id_)[4] == script


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x6a",  # OP_RETURN burns
        P2PKH[:-1],
        P2PKH[:-1] + b"\xad",
        P2PKH[:-2] + b"\x87\xac",
        b"\x76\xa9\x15" + P2PKH[3:],
        P2SH[:-1] + b"\x88",
        b"\xa9\x15" + P2SH[2:],
        b"\x51\x14" + P2WPKH[2:],
        b"\x00\x15" + P2WPKH[2:],
        P2WPKH + b"\x00",
        b"\x52\x20" + P2TR[2:],  # witness version 2: anyone can spend it today
        b"\x51\x21" + P2TR[2:],
        P2TR[:-1],
        P2TR + b"\x00",
        b"\x21\x02" + bytes(32) + b"\xac",  # P2PK
        b"\x51\x02\x4e\x73",  # pay to anchor
        b"\x52\x28" + bytes(40),
    ],
    ids=lambda script: script.hex()[:8] or "empty",
)
def test_malformed_destination_is_refused(funded: World, script: bytes) -> None:
    """Scripts of other types, with a wrong opcode or length, are refused: coins sent there could be lost."""
    with refused("Hub: bad destination"):
        funded.withdraw(destination=script)


def test_longer_destination_does_not_get_past_the_decoder(funded: World) -> None:
    """More than 42 bytes are refused."""
    with refused_silently():
        funded.withdraw(destination=bytes(43))


@pytest.mark.parametrize(
    ("amount", "max_fee", "reason"),
    [
        (MINIMUM - 1, 0, "Hub: withdrawal too small"),
        (0, 0, "Hub: withdrawal too small"),
        (50_000, 50_000 - 546, "Hub: fee leaves only dust"),
        (50_000, 50_000, "Hub: fee leaves only dust"),
        (50_000, 2**256 - 1, "Hub: fee leaves only dust"),
        (1_000_001, 0, "erc20: transfer amount exceeds balance"),
    ],
)
def test_amounts_out_of_bounds_are_refused(funded: World, amount: int, max_fee: int, reason: str) -> None:
    """A withdrawal is not below the minimum, leaves more than dust, and is covered."""
    with refused(reason):
        funded.withdraw(amount, max_fee)


def test_fee_may_leave_just_more_than_dust(funded: World) -> None:
    """547 units are the least that a destination receives."""
    funded.withdraw(50_000, 50_000 - 547)
    funded.withdraw(MINIMUM, 0)


def test_dust_is_refused_whatever_the_policy_allows(funded: World) -> None:
    """With a minimum of zero, an amount of dust or nothing still does not underflow the check."""
    funded.set_policy(minimum_withdrawal=0)
    with refused("Hub: withdrawal too small"):
        funded.withdraw(0, 0)
    for amount in (1, 546, 547):
        with refused("Hub: fee leaves only dust"):
            funded.withdraw(amount, 1)
    funded.withdraw(547, 0)


def test_withdrawal_needs_token_allowance_and_no_pause(world: World) -> None:
    """Without a token there is nothing to withdraw; without an allowance nothing moves; a pause stops new requests."""
    with refused("Hub: asset has no token"):
        world.withdraw()
    world.fund(100_000)
    world.token.approve(str(world.hub.address), 49_999, sender=USER)
    with refused("erc20: insufficient allowance"):
        world.withdraw(50_000)
    world.token.approve(str(world.hub.address), 50_000, sender=USER)
    world.set_policy(paused=True)
    with refused("Hub: asset paused"):
        world.withdraw()
    world.set_policy()
    world.withdraw()


def test_hub_takes_only_the_callers_tokens(funded: World) -> None:
    """An allowance that a user gave the Hub is of no use to somebody else."""
    with refused("erc20: insufficient allowance"):
        funded.hub.withdraw(funded.asset, 50_000, 0, P2TR, sender=THIEF)


def test_owner_cancels_what_is_not_reserved(funded: World) -> None:
    """A cancelled withdrawal gives all tokens back, once; its values stay to be read."""
    id_ = funded.withdraw(50_000)
    with refused("Hub: not the owner"):
        funded.hub.cancel(id_, sender=THIEF)
    funded.hub.cancel(id_, sender=USER)
    assert event(funded.hub, "WithdrawalCancelled") == {"id": id_}
    assert funded.hub.withdrawal(id_)[5] == 4
    assert funded.token.balanceOf(USER) == 1_000_000
    with refused("Hub: withdrawal not requested"):
        funded.hub.cancel(id_, sender=USER)


def test_cancelling_works_while_paused(funded: World) -> None:
    """A pause keeps nobody's tokens."""
    id_ = funded.withdraw()
    funded.set_policy(paused=True)
    funded.hub.cancel(id_, sender=USER)


def test_what_is_reserved_or_settled_cannot_be_cancelled(funded: World) -> None:
    """Once coins are bound to a withdrawal its tokens stay, and after settlement they are gone."""
    id_ = funded.withdraw()
    payout = funded.reserve([id_], [outpoint(1)])
    with refused("Hub: withdrawal not requested"):
        funded.hub.cancel(id_, sender=USER)
    funded.settle(payout)
    with refused("Hub: withdrawal not requested"):
        funded.hub.cancel(id_, sender=USER)


def test_unknown_withdrawal_belongs_to_nobody(funded: World) -> None:
    """An id that was never given out can be neither cancelled nor sped up."""
    with refused("Hub: not the owner"):
        funded.hub.cancel(b"\x01" * 32, sender=USER)
    with refused("Hub: not the owner"):
        funded.hub.raise_max_fee(b"\x01" * 32, 1, sender=USER)


def test_fee_limit_only_rises(funded: World) -> None:
    """The owner raises the limit while requested or reserved, not to where only dust is left, and nobody else does."""
    id_ = funded.withdraw(50_000, 2_000)
    with refused("Hub: not the owner"):
        funded.hub.raise_max_fee(id_, 3_000, sender=THIEF)
    for lower in (2_000, 1_999, 0):
        with refused("Hub: fee not raised"):
            funded.hub.raise_max_fee(id_, lower, sender=USER)
    with refused("Hub: fee leaves only dust"):
        funded.hub.raise_max_fee(id_, 50_000 - 546, sender=USER)
    funded.hub.raise_max_fee(id_, 2_001, sender=USER)
    assert event(funded.hub, "MaxFeeRaised") == {"id": id_, "max_fee": 2_001}
    payout = funded.reserve([id_], [outpoint(1)])
    funded.hub.raise_max_fee(id_, 50_000 - 547, sender=USER)
    assert funded.hub.withdrawal(id_)[3] == 50_000 - 547
    funded.settle(payout, fee=50_000 - 547)
    with refused("Hub: withdrawal is over"):
        funded.hub.raise_max_fee(id_, 50_000, sender=USER)


def test_fee_limit_of_a_cancelled_withdrawal_stays(funded: World) -> None:
    """What is cancelled is over."""
    id_ = funded.withdraw()
    funded.hub.cancel(id_, sender=USER)
    with refused("Hub: withdrawal is over"):
        funded.hub.raise_max_fee(id_, 10_000, sender=USER)
