"""A database is lost in the middle of a swap: the words and the nodes bring it to the end that it would have had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.engine import performer
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.evm.watch import DEPTH
from settlement.swap.machine.effects import ClaimBitcoinByKey, ClaimBitcoinByScript, Effect
from settlement.swap.machine.states import Outcome
from settlement.swap.recovery.recover import SKIPPED_INDICES, recover
from settlement.swap.store.store import SwapRow
from settlement.swap.terms import Mode
from tests.support.patience import eventually
from tests.support.swap_people import Person, agreed, ended, redeem, town

pytestmark = pytest.mark.integration


def lose(person: Person) -> None:
    """All that the machine remembers; swap.toml can be written again."""
    for file in person.folder.glob("swap.db*"):
        file.unlink()
    shutil.rmtree(person.folder / "nothing", ignore_errors=True)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("loser", ["initiator", "follower", "both"])
async def test_a_swap_goes_on_from_the_words_alone(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, mode: Mode, loser: str
) -> None:
    """Lost when the bitcoin output is funded and the secret is not out yet: both still get what they wanted, once an
    initiator that forgot is told that it may show the secret."""
    async with town(tmp_path, bitcoind, anvil) as place:
        follower, initiator = place.alice, place.bob
        async with follower.at_work() as alice, initiator.at_work() as bob:
            offer = await follower.offer(alice, gives_bitcoin=True, mode=mode)
            await bob.trading.take(offer)
            swap_id = await agreed(bob, offer)

            async def funded() -> bool:
                row = await alice.office.swap(swap_id)
                return row is not None and bool(row.state.outputs)

            await eventually(funded, "the output is in the mempool")
        for person, name in ((follower, "follower"), (initiator, "initiator")):
            if loser in (name, "both"):
                lose(person)
        async with follower.at_work(runs=False) as alice, initiator.at_work(runs=False) as bob:
            ids = []
            for engine, name in ((alice, "follower"), (bob, "initiator")):
                if loser in (name, "both"):
                    found = await recover(engine)
                    assert len(found.swaps) == 1
                    assert found.next_index == SKIPPED_INDICES + 1
                    assert not (await recover(engine)).swaps, "what is there is not found again"
                    ids.append(found.swaps[0].swap_id)
                else:
                    ids.append(swap_id)
            if loser != "follower":
                await redeem(bob, ids[1])
            async with follower.running(alice), initiator.running(bob):
                rows = [await ended(alice, ids[0], place.mine), await ended(bob, ids[1], place.mine)]
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]


@pytest.mark.parametrize("deep", [False, True])
async def test_a_lock_that_was_claimed_is_found_again(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    """The follower has claimed the lock, a moment or many blocks ago; then both lose all. The initiator's secret is
    public: it claims the bitcoin without a word of its owner's. The follower's swap is over, and it refunds nothing."""
    async with town(tmp_path, bitcoind, anvil) as place:
        follower, initiator = place.alice, place.bob
        with monkeypatch.context() as away:
            hands = {**performer.HANDS, ClaimBitcoinByKey: never, ClaimBitcoinByScript: never}
            away.setattr(performer, "HANDS", hands)
            async with follower.at_work() as alice, initiator.at_work() as bob:
                offer = await follower.offer(alice, gives_bitcoin=True, mode=Mode.HASH)
                await bob.trading.take(offer)
                await ended(alice, await agreed(bob, offer), place.mine)
        if deep:
            await anvil.mine(DEPTH + 1)
        lose(follower)
        lose(initiator)
        async with follower.at_work(runs=False) as alice, initiator.at_work(runs=False) as bob:
            ids = [(await recover(engine)).swaps[0].swap_id for engine in (alice, bob)]
            async with follower.running(alice), initiator.running(bob):
                rows = [await ended(bob, ids[1], place.mine), await ended(alice, ids[0], place.mine)]
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]


async def never(desk: Desk, row: SwapRow, order: Effect) -> Changes:
    """A machine that dies before it comes to that."""
    raise NotNow("it dies", 3_600)


async def test_a_wallet_that_never_swapped_finds_nothing(tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil) -> None:
    """And begins at its first keys."""
    async with town(tmp_path, bitcoind, anvil) as place, place.alice.at_work(runs=False) as alice:
        found = await recover(alice)
        assert (found.swaps, found.next_index) == ((), 0)
