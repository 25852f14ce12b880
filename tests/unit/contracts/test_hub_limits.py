"""Hub: how much of an asset may pass in a day, in each direction, and assets that are denied."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest

from tests.support.native_contracts import World, account, outpoint, refused

USER = account("user").address
DAY = 86_400
OVER = "Hub: over the limit"


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    """The tests begin in the middle of a window."""
    with boa.env.anchor():
        boa.env.timestamp = (boa.env.timestamp // DAY + 1) * DAY + DAY // 2
        yield


def next_day() -> None:
    """Go on to the first second of the next window."""
    boa.env.timestamp = (boa.env.timestamp // DAY + 1) * DAY


def test_deposits_of_a_day_are_limited(world: World) -> None:
    """What arrived is counted, fees included; exactly the limit fits, one unit more waits for the next day."""
    world.set_policy(deposit_limit=150_000)
    world.mint(world.deposit(1, 100_000))
    with refused(OVER):
        world.mint(world.deposit(2, 50_001))
    world.mint(world.deposit(3, 50_000))
    with refused(OVER):
        world.mint(world.deposit(4, 20_000), by=world.vouchers)
    next_day()
    world.mint(world.deposit(2, 50_001))
    world.mint(world.deposit(4, 20_000))


def test_window_ends_at_midnight(world: World) -> None:
    """The last second of a day belongs to it."""
    world.set_policy(deposit_limit=100_000)
    world.mint(world.deposit(1, 100_000))
    boa.env.timestamp = (boa.env.timestamp // DAY + 1) * DAY - 1
    with refused(OVER):
        world.mint(world.deposit(2, 20_000))
    boa.env.timestamp += 1
    world.mint(world.deposit(2, 20_000))


def test_deposit_above_the_limit_is_never_minted(world: World) -> None:
    """Not on any day, and not by an overflow of the sum; it is returned instead."""
    world.set_policy(deposit_limit=100_000)
    world.mint(world.deposit(1, 50_000))
    for amount in (100_001, 2**256 - 1, 2**256 - 50_000):
        with refused(OVER):
            world.mint(world.deposit(2, amount))


def test_refused_mint_uses_nothing_up(world: World) -> None:
    """Only what was minted counts."""
    world.set_policy(deposit_limit=100_000)
    for _ in range(3):
        with refused("Hub: not enough weight"):
            world.mint(world.deposit(1, 100_000), by=world.vouchers[:2])
    world.mint(world.deposit(1, 100_000))


def test_limit_counts_from_the_moment_it_is_set(world: World) -> None:
    """Without a limit nothing is counted; a limit lowered below what passed lets nothing more through today."""
    world.mint(world.deposit(1, 10**9))
    world.set_policy(deposit_limit=100_000)
    world.mint(world.deposit(2, 60_000))
    world.set_policy(deposit_limit=50_000)
    with refused(OVER):
        world.mint(world.deposit(3, 20_000))
    world.set_policy()
    world.mint(world.deposit(3, 10**9))


def test_withdrawals_of_a_day_are_limited(funded: World) -> None:
    """All that is locked counts, the service fee included; each direction has its own window."""
    funded.set_policy(withdrawal_limit=150_000, deposit_limit=20_000, fee_floor=1_000)
    funded.withdraw(100_000)
    with refused(OVER):
        funded.withdraw(50_001)
    funded.withdraw(50_000)
    funded.mint(funded.deposit("other direction", 20_000))
    next_day()
    funded.withdraw(150_000)


def test_cancelled_withdrawal_gives_its_part_of_the_day_back(funded: World) -> None:
    """Nobody can use up the others' limit by requesting and cancelling."""
    funded.set_policy(withdrawal_limit=100_000)
    for _ in range(3):
        funded.hub.cancel(funded.withdraw(100_000), sender=USER)
    kept = funded.withdraw(60_000)
    with refused(OVER):
        funded.withdraw(40_001)
    assert funded.hub.withdrawal(kept)[5] == 1


def test_withdrawal_of_yesterday_gives_nothing_back_today(funded: World) -> None:
    """Cancelling later makes no room in a window in which it was not counted."""
    funded.set_policy(withdrawal_limit=100_000)
    old = funded.withdraw(100_000)
    next_day()
    funded.withdraw(100_000)
    funded.hub.cancel(old, sender=USER)
    with refused(OVER):
        funded.withdraw(10_000)


def test_withdrawal_from_before_the_limit_gives_nothing_back(funded: World) -> None:
    """What was never counted is never subtracted."""
    old = funded.withdraw(100_000)
    funded.set_policy(withdrawal_limit=100_000)
    funded.withdraw(100_000)
    funded.hub.cancel(old, sender=USER)
    with refused(OVER):
        funded.withdraw(10_000)


def test_denied_asset_neither_enters_nor_is_asked_back(funded: World) -> None:
    """A delisted asset is refused in both directions; what was begun is finished or given back."""
    first, second = funded.withdraw(), funded.withdraw()
    funded.set_policy(denied=True)
    with refused("Hub: asset denied"):
        funded.mint(funded.deposit("denied"), by=funded.vouchers)
    with refused("Hub: asset denied"):
        funded.withdraw()
    funded.hub.cancel(first, sender=USER)
    funded.settle(funded.reserve([second], [outpoint(1)]))
    values = (funded.asset, *outpoint("denied"), 100_000, funded.group, 1)
    funded.hub.return_deposit(*values, funded.countersign("DepositReturn", *values))
