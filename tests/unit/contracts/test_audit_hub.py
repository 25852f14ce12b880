"""Hub and Bonds: money that could be blocked for ever, limits that could be used up, capital that lifts a voucher."""

from __future__ import annotations

import boa
import pytest

from tests.support.bonds_contract import BONDS, compiled
from tests.support.native_contracts import (
    NOBODY,
    STAKE,
    UNBONDING_SECONDS,
    World,
    account,
    fee_key,
    join,
    outpoint,
    refused,
)
from tests.support.native_vaults import EvmSide

DAY = 86_400
USER = account("user").address


def _word(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (int(value, 16) if isinstance(value, str) else int(str(value))).to_bytes(32, "big")


# --- Fees always arrive -----------------------------------------------------------------------------------------------


def test_fees_of_vouchers_that_are_gone_are_distributed(world: World) -> None:
    """All attesters have left or were slashed, nobody weighs anything: what they earned is still credited in full."""
    world.set_policy(fee_bps=1_000)
    world.mint(world.deposit(amount=100_000))
    signers = world.bitmap(world.vouchers[:3])
    fee = world.hub.pending_fees(world.asset, fee_key(NOBODY, signers))
    lies = [world.deposit(9, amount, group=world.group) for amount in (50_000, 60_000)]
    first, second = (world.attest("DepositAttestation", *lie, by=world.vouchers[:1])[0] for lie in lies)
    statements = [
        (1, [_word(value) for value in lie], signed) for lie, signed in zip(lies, (first, second), strict=True)
    ]
    world.bonds.report(*statements)
    for one in world.vouchers[1:]:
        world.bonds.leave(sender=one.address)
    assert world.bonds.total_weight() == 0
    world.hub.distribute(world.asset, NOBODY, signers)
    token = world.hub.token_of(world.asset)
    bonds = sum(int(world.bonds.commission_owed(one.address, token)) for one in world.vouchers)
    positions = range(1, world.bonds.position_count() + 1)
    claimable = sum(int(world.bonds.claimable(place, token)) for place in positions)
    assert fee - len(positions) - 4 <= bonds + claimable <= fee
    assert (world.hub.pending_total(world.asset), world.token.balanceOf(world.bonds.address)) == (0, fee)


def test_fees_of_storemen_that_never_bonded_are_theirs(funded: World) -> None:
    """Storemen who are no operators are credited whole, and claim as the accounts that signed."""
    funded.set_policy(fee_bps=1_000)
    funded.settle(funded.reserve([funded.withdraw(100_000)], [outpoint("coin")]))
    funded.hub.distribute(funded.asset, funded.group, 0b111)
    shares = [funded.bonds.commission_owed(one.address, funded.token.address) for one in funded.storemen[:3]]
    assert sum(shares) == 5_000
    funded.bonds.claim_commission(funded.token.address, sender=funded.storemen[0].address)
    assert funded.token.balanceOf(funded.storemen[0].address) == shares[0]


def test_fees_are_distributed_of_an_asset_that_is_denied_and_halted(world: World) -> None:
    """Neither the owner nor a third of the weight can keep what was earned before."""
    world.set_policy(fee_bps=1_000)
    world.mint(world.deposit(amount=100_000))
    world.set_policy(fee_bps=1_000, denied=True, paused=True)
    world.halt(boa.env.timestamp + DAY)
    world.hub.distribute(world.asset, NOBODY, world.bitmap(world.vouchers[:3]))
    assert world.hub.pending_total(world.asset) == 0


def test_voucher_with_the_last_index_earns(world: World) -> None:
    """Index 255, the highest bit of a tally, votes and is paid like any other."""
    last = account("the last voucher")

    slot = compiled(BONDS)[2]["index_count"]["slot"]
    boa.env.set_storage(world.bonds.address, slot, 255)
    join(world, last, 100 * STAKE)
    world.set_policy(fee_bps=1_000)
    deposit = world.deposit(amount=100_000)
    world.mint(deposit, by=[last])
    world.hub.distribute(world.asset, NOBODY, 1 << 255)
    assert world.token.balanceOf(world.bonds.address) == 9_900
    assert world.bonds.claimable(world.bonds.operator(last.address)[4], world.token.address) > 0


# --- Numbers and gates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0, 2**255, 2**256 - 1])
def test_withdrawal_of_an_absurd_amount_changes_nothing(rich: EvmSide, amount: int) -> None:
    """Nothing, or more than anybody has, is refused and takes no number and no part of the day's limit."""
    rich.set_policy(minimum_withdrawal=0, withdrawal_limit=2**256 - 1, fee_bps=1_000)
    with pytest.raises(boa.BoaError):
        rich.withdraw(amount, 0)
    assert rich.world.hub.withdrawal_count() == 0
    rich.withdraw(10**18, 0)


def test_one_lock_is_minted_under_each_asset_only_by_another_lie(evm: EvmSide) -> None:
    """A lock's id under a second asset is another deposit to the Hub; whoever attests both is slashed for it."""
    world = evm.world
    truth = evm.deposit(1)
    token = bytes(
        world.registry.register_asset(
            "eip155:31337/erc20:0x" + "7e" * 20, evm.chain, "Gold", "GLD", 6, (1, 0, 0, False, False, 0, 0, 0, 0),
            sender=world.owner,
        )
    )  # fmt: skip
    lie = evm.deposit(1, asset=token)
    one = world.vouchers[0]
    statements = [
        (1, [_word(value) for value in said], world.attest("DepositAttestation", *said, by=[one])[0])
        for said in (truth, lie)
    ]
    world.bonds.report(*statements)
    assert world.bonds.weight_of(one.address) == 0


def test_restoring_is_bounded_by_what_was_settled(rich: EvmSide) -> None:
    """Nothing is restored before it was burnt, above its amount, or twice: the supply never passes what it was."""
    hub, supply = rich.world.hub, rich.world.hub.supply(rich.coin)
    withdrawal = rich.withdraw(10**9, 1_000)
    payout = rich.reserve([withdrawal])
    with refused("Hub: not settled"):
        rich.world.restore(withdrawal, 1)
    rich.world.settle(payout, fee=1_000)
    for amount in (0, 10**9 + 1, 2**256 - 1):
        with refused("Hub: more than withdrawn"):
            rich.world.restore(withdrawal, amount)
    rich.world.restore(withdrawal, 10**9 - 1_000)
    with refused("Hub: not settled"):
        rich.world.restore(withdrawal, 1)
    assert hub.supply(rich.coin) == supply - 1_000


# --- What is accepted, and said in docs/contracts.md ------------------------------------------------------------------


def test_delegated_capital_counts_in_the_next_tally(world: World) -> None:
    """Accepted: whoever delegates more than twice the others' bonds to one voucher lets it decide alone, at once; the
    capital is bound for the whole unbonding time, so that no loan within a transaction can do it.
    """
    one, whale = world.vouchers[0], account("whale").address
    boa.env.set_balance(whale, 100 * STAKE)
    position = world.bonds.delegate(one.address, value=100 * STAKE, sender=whale)
    world.mint(world.deposit(), by=[one])
    exit_ = world.bonds.unbond(position, 100 * STAKE, sender=whale)
    with refused("Hub: not enough weight"):
        world.mint(world.deposit(1), by=[one])
    with refused("Bonds: not ready"):
        world.bonds.withdraw(exit_)
    boa.env.time_travel(seconds=UNBONDING_SECONDS)
    world.bonds.withdraw(exit_)


def test_request_that_nobody_reserves_uses_the_day_up(funded: World) -> None:
    """Accepted: who holds as much as the limit can hold the day's window with a request; on another day it is free."""
    funded.set_policy(withdrawal_limit=50_000)
    boa.env.timestamp = (boa.env.timestamp // DAY + 1) * DAY
    held = funded.withdraw(50_000)
    with refused("Hub: over the limit"):
        funded.withdraw(10_000)
    boa.env.timestamp += DAY
    funded.hub.cancel(held, sender=USER)
    funded.withdraw(50_000)


@pytest.mark.parametrize(("commission_bps", "taken"), [(0, 900), (10_000, 0)])
def test_one_wei_takes_what_the_commission_leaves(world: World, commission_bps: int, taken: int) -> None:
    """Accepted: an operator without bonds of its own leaves all but its commission to the first delegator."""
    storeman, sniper = world.storemen[0].address, account("sniper").address
    world.bonds.join_as_storeman(world.group, commission_bps, sender=storeman)
    boa.env.set_balance(sniper, 1)
    position = world.bonds.delegate(storeman, value=1, sender=sniper)
    world.fund(100_000)
    world.set_policy(fee_bps=600)
    payout = world.reserve([world.withdraw(90_000)], [outpoint("coin")])
    world.settle(payout)
    world.hub.distribute(world.asset, world.group, 0b111)
    assert world.bonds.claimable(position, world.token.address) == taken
