"""Hub: service fees, from the mint or settlement that earns them to Bonds, which shares them out."""

from __future__ import annotations

import boa
import pytest

from tests.support.native_contracts import (
    NOBODY,
    POLICY,
    World,
    account,
    event,
    events,
    fee_key,
    outpoint,
    refused,
    service_fee,
)

USER = account("user").address
FEE = POLICY[1]


def pending(world: World, signers: int, group: bytes = NOBODY) -> int:
    """What is pending for some signers."""
    return int(world.hub.pending_fees(world.asset, fee_key(group, signers)))


@pytest.mark.parametrize(
    ("bps", "floor", "amount"),
    [(0, 0, 100_000), (25, 0, 100_000), (25, 300, 100_000), (25, 247, 100_000), (1_000, 0, 20_000), (1, 0, 20_999)],
)
def test_mint_keeps_the_service_fee_of_what_the_deposit_fee_leaves(
    world: World, bps: int, floor: int, amount: int
) -> None:
    """The fee is the larger of share and floor, rounded down; it is noted for the attesters and not minted."""
    policy = world.set_policy(fee_bps=bps, fee_floor=floor)
    world.mint(world.deposit(amount=amount))
    fee = service_fee(policy, amount - FEE)
    told = event(world.hub, "DepositMinted")
    assert (told["amount"], told["minted"], told["fee"]) == (amount, amount - FEE - fee, fee)
    assert told["attesters"] == 0b111
    assert world.hub.supply(world.asset) == world.token.balanceOf(USER) == amount - FEE - fee
    assert pending(world, 0b111) == world.hub.pending_total(world.asset) == fee


def test_fee_of_the_largest_amount_does_not_overflow(world: World) -> None:
    """Amounts of other chains may have all 256 bits."""
    world.set_policy(fee_bps=1_000)
    amount = 2**256 - 1
    world.mint(world.deposit(amount=amount))
    assert world.hub.supply(world.asset) == amount - FEE - (amount - FEE) // 10


def test_fees_are_kept_for_those_who_signed(world: World) -> None:
    """Each set of attesters has a sum of its own; one more signature makes another set."""
    world.set_policy(fee_floor=100)
    for label, by in enumerate([world.vouchers[:3], world.vouchers, world.vouchers[1:], world.vouchers[:3]]):
        world.mint(world.deposit(label), by=by)
    assert [pending(world, bits) for bits in (0b0111, 0b1111, 0b1110, 0b0011)] == [200, 100, 100, 0]
    assert world.hub.pending_total(world.asset) == 400


def test_withdrawal_locks_amount_and_fee(funded: World) -> None:
    """The service fee is taken out first; what is left is the withdrawal's amount, and cancelling gives both back."""
    funded.set_policy(fee_bps=100)
    id_ = funded.withdraw(50_000, 2_000)
    told = event(funded.hub, "WithdrawalRequested")
    assert (told["amount"], told["fee"], told["number"]) == (49_500, 500, 1)
    found = funded.hub.withdrawal(id_)
    assert (found[2], found[7], found[8]) == (49_500, 1, 500)
    assert funded.token.balanceOf(str(funded.hub.address)) == 50_000
    funded.hub.cancel(id_, sender=USER)
    assert funded.token.balanceOf(USER) == 1_000_000
    assert funded.hub.pending_total(funded.asset) == 0


def test_limits_of_a_withdrawal_hold_for_what_the_fee_leaves(funded: World) -> None:
    """The miners' limit is compared with the amount less the service fee; a fee of all there is leaves nothing."""
    funded.set_policy(fee_floor=500, minimum_withdrawal=0)
    with refused("Hub: fee leaves only dust"):
        funded.withdraw(50_000, 50_000 - 500 - 546)
    with refused("Hub: withdrawal too small"):
        funded.withdraw(500, 0)
    id_ = funded.withdraw(50_000, 50_000 - 500 - 547)
    with refused("Hub: fee leaves only dust"):
        funded.hub.raise_max_fee(id_, 50_000 - 500 - 546, sender=USER)


def test_fee_of_a_withdrawal_is_fixed_at_its_request(funded: World) -> None:
    """A later policy changes nothing for what was requested before: neither what is given back nor what is noted."""
    funded.set_policy(fee_floor=400)
    first, second = funded.withdraw(), funded.withdraw()
    funded.set_policy(fee_floor=5_000)
    funded.hub.cancel(first, sender=USER)
    funded.settle(funded.reserve([second], [outpoint(1)]))
    assert funded.hub.pending_total(funded.asset) == 400


@pytest.mark.parametrize(("floor", "storemens", "vouchers"), [(500, 500, 500), (333, 333, 333), (0, 0, 0)])
def test_settlement_burns_fees_and_shares_them(funded: World, floor: int, storemens: int, vouchers: int) -> None:
    """Half of the fees, rounded down, is noted for the storemen who reserved, the rest for the attesters."""
    funded.set_policy(fee_floor=floor)
    ids = [funded.withdraw(50_000), funded.withdraw(60_000)]
    payout = funded.reserve(ids, [outpoint(1)], by=funded.storemen[1:4])
    assert funded.hub.payout(payout)[7] == 0b01110
    funded.settle(payout, "paid", 700)
    told = event(funded.hub, "PayoutSettled")
    assert (told["burnt"], told["service_fee"], told["attesters"]) == (110_000, 2 * floor, 0b111)
    assert funded.hub.supply(funded.asset) == 1_000_000 - 110_000
    assert funded.token.balanceOf(str(funded.hub.address)) == 0
    assert (pending(funded, 0b01110, funded.group), pending(funded, 0b111)) == (storemens, vouchers)


def test_odd_unit_of_a_fee_goes_to_the_vouchers(funded: World) -> None:
    """Of 333 units the storemen get 166 and the vouchers 167: nothing is lost."""
    funded.set_policy(fee_floor=333)
    funded.settle(funded.reserve([funded.withdraw()], [outpoint(1)]))
    assert (pending(funded, 0b111, funded.group), pending(funded, 0b111)) == (166, 167)


def test_signers_of_the_version_that_stands_are_paid(funded: World) -> None:
    """A replaced payout's fee goes to the storemen of its last version."""
    funded.set_policy(fee_floor=200)
    id_ = funded.withdraw()
    funded.reserve([id_], [outpoint(1)])
    payout = funded.reserve([id_], [outpoint(1), outpoint(2)], by=funded.storemen[2:])
    assert event(funded.hub, "PayoutReserved")["signers"] == 0b11100
    funded.settle(payout)
    assert (pending(funded, 0b11100, funded.group), pending(funded, 0b00111, funded.group)) == (100, 0)


def test_voided_payout_earns_nothing(funded: World) -> None:
    """Fees are earned by what was paid: a void notes none, and the withdrawal keeps its own."""
    funded.set_policy(fee_floor=200)
    id_ = funded.withdraw()
    funded.void(funded.reserve([id_], [outpoint(1)]))
    assert funded.hub.pending_total(funded.asset) == 0
    funded.hub.cancel(id_, sender=USER)
    assert funded.token.balanceOf(USER) == 1_000_000


def test_distribution_mints_to_bonds_what_was_pending_once(world: World) -> None:
    """Anyone hands the vouchers' fees to Bonds: minted there, credited in equal parts, and not a second time."""
    world.set_policy(fee_floor=100)
    world.mint(world.deposit())
    supply, bonds = world.hub.supply(world.asset), str(world.bonds.address)
    world.hub.distribute(world.asset, NOBODY, 0b111, sender=account("stranger").address)
    told = events(world.hub)
    credited = {fields["operator"]: fields["amount"] for name, fields in told if name == "FeesCredited"}
    distributed = {"asset": world.asset, "group": NOBODY, "signers": 0b111, "amount": 100}
    assert [fields for name, fields in told if name == "FeesDistributed"] == [distributed]
    assert world.hub.supply(world.asset) == supply + 100
    assert world.token.balanceOf(bonds) == 100
    assert (pending(world, 0b111), world.hub.pending_total(world.asset)) == (0, 0)
    assert credited == {one.address: part for one, part in zip(world.vouchers, (34, 33, 33), strict=False)}
    with refused("Hub: nothing pending"):
        world.hub.distribute(world.asset, NOBODY, 0b111)


def test_distribution_to_storemen_names_them_by_their_place_in_the_group(funded: World) -> None:
    """The storemen whose shares signed are credited, whether or not they have bonded; an unknown set gets nothing."""
    funded.set_policy(fee_floor=401)
    funded.settle(funded.reserve([funded.withdraw()], [outpoint(1)], by=funded.storemen[2:]))
    with refused("Hub: nothing pending"):
        funded.hub.distribute(funded.asset, funded.group, 0b00111)
    funded.hub.distribute(funded.asset, funded.group, 0b11100)
    token = str(funded.token.address)
    owed = [funded.bonds.commission_owed(one.address, token) for one in funded.storemen]
    assert owed == [0, 0, 67, 67, 66]


@pytest.mark.parametrize("act", ["paused", "halted", "denied"])
def test_earned_fees_are_distributed_whatever_happens_to_the_asset(world: World, act: str) -> None:
    """A pause, a halt or a delisting takes nobody's earnings."""
    world.set_policy(fee_floor=100)
    world.mint(world.deposit())
    if act == "halted":
        world.halt(boa.env.timestamp + 60)
    else:
        world.set_policy(**{act: True})
    world.hub.distribute(world.asset, NOBODY, 0b111)


def test_bit_of_a_voucher_that_left_still_names_it(world: World) -> None:
    """A voucher that left keeps its index: what it earned before is credited to it, and to nobody else."""
    world.set_policy(fee_floor=300)
    world.mint(world.deposit(), by=world.vouchers[1:])
    world.bonds.leave(sender=world.vouchers[1].address)
    world.hub.distribute(world.asset, NOBODY, 0b1110)
    token = str(world.token.address)
    assert world.bonds.commission_owed(world.vouchers[1].address, token) > 0
