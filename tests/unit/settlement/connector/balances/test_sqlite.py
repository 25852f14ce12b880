"""Balances on SQLite: one process, durable, and patient with other writers of the file."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import BadInput
from settlement.connector.balances.model import Durability
from settlement.connector.ports import NotOwed, OtherSettlement
from settlement.ilp.errors import Code
from settlement.ilp.packets import encode
from settlement.quantities import MAX_UNITS, Units
from tests.support.connector import (
    ALICE,
    BOB,
    USD,
    Core,
    Replies,
    fulfilment,
    make_core,
    make_prepare,
)
from tests.support.patience import PATIENCE_S


def fulfilled(core: Core, amount: int, seed: int) -> Replies:
    """A packet from alice that bob fulfils at once."""
    replies = core.take("alice", make_prepare(amount, seed=seed))
    core.links["bob"].sent[-1][1](encode(fulfilment(seed)))
    return replies


async def replied(replies: Replies) -> None:
    """Wait for the reply."""
    async with asyncio.timeout(PATIENCE_S):
        while not replies.all:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("durability", list(Durability))
async def test_balances_are_there_after_a_kill(tmp_path: Path, durability: Durability) -> None:
    """What the sender was told is in the file when the process is killed right then."""
    core = await make_core(tmp_path, durability=durability)
    replies = fulfilled(core, 100, 1)
    await replied(replies)
    core.kill()
    core = await make_core(tmp_path)
    assert (core.balance("alice"), core.balance("bob")) == (-100, 100)
    await core.close()


async def test_second_process_on_one_file_is_refused(tmp_path: Path) -> None:
    """Two connectors would each believe to have all the room: the second does not start."""
    core = await make_core(tmp_path)
    with pytest.raises(BadInput) as refusal:
        await make_core(tmp_path)
    assert refusal.value.field == "database"
    await core.close()


async def test_account_cannot_change_its_asset(tmp_path: Path) -> None:
    """A balance in one asset never becomes one in another by a change of the configuration."""
    await (await make_core(tmp_path)).close()
    with pytest.raises(BadInput) as refusal:
        await make_core(tmp_path, [replace(ALICE, asset=USD), BOB])
    assert refusal.value.field == "accounts.alice.asset"


async def test_new_limits_hold_for_old_balances(tmp_path: Path) -> None:
    """Limits come from the configuration, balances from the file."""
    core = await make_core(tmp_path)
    await replied(fulfilled(core, 900, 1))
    await core.close()
    core = await make_core(tmp_path, [replace(ALICE, floor=-1_500), BOB])
    assert core.take("alice", make_prepare(601)).code == Code.INSUFFICIENT_LIQUIDITY
    assert core.take("alice", make_prepare(600)).all == []
    await core.close()


async def test_amounts_of_64_bits_are_kept_exactly(tmp_path: Path) -> None:
    """Sums beyond the integers of SQLite are kept to the unit."""
    core = await make_core(tmp_path, [replace(ALICE, floor=None), replace(BOB, ceiling=None)])
    for seed in range(3):
        await replied(fulfilled(core, MAX_UNITS, seed))
    await core.close()
    core = await make_core(tmp_path, [replace(ALICE, floor=None), replace(BOB, ceiling=None)])
    assert (core.balance("alice"), core.balance("bob")) == (-3 * MAX_UNITS, 3 * MAX_UNITS)
    await core.close()


async def test_other_writer_of_the_file_is_waited_for_without_stopping_the_loop(tmp_path: Path) -> None:
    """While another task holds the file's write lock the loop runs on, and the Fulfill follows when it lets go."""
    core = await make_core(tmp_path)
    other = sqlite3.connect(tmp_path / "connector.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    replies = fulfilled(core, 100, 1)
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert replies.all == []
    other.execute("COMMIT")
    await replied(replies)
    assert replies.only == fulfilment(1)
    other.close()
    await core.close()


async def test_packets_are_refused_while_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that stays closed to us stops new money, not the packets that were fulfilled already."""
    monkeypatch.setattr("settlement.connector.balances.sqlite._PATIENCE_SECONDS", 0.0)
    core = await make_core(tmp_path)
    other = sqlite3.connect(tmp_path / "connector.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    replies = fulfilled(core, 100, 1)
    async with asyncio.timeout(PATIENCE_S):
        while core.book.is_available:
            await asyncio.sleep(0.001)
    assert core.take("alice", make_prepare(1)).code == Code.CONNECTOR_BUSY
    other.execute("COMMIT")
    await replied(replies)
    assert core.take("alice", make_prepare(1)).all == []
    other.close()
    await core.close()


async def test_settlements_happen_once(tmp_path: Path) -> None:
    """A key settles once, also after a restart; another settlement under it, and what is not owed, are refused."""
    core = await make_core(tmp_path)
    assert await core.balances.settle_in("bob", Units(300), "in")
    assert await core.balances.settle_out("bob", Units(200), "out")
    core.kill()
    core = await make_core(tmp_path)
    assert not await core.balances.settle_in("bob", Units(300), "in")
    assert not await core.balances.settle_out("bob", Units(200), "out")
    with pytest.raises(OtherSettlement):
        await core.balances.settle_in("alice", Units(300), "in")
    with pytest.raises(NotOwed):
        await core.balances.settle_out("bob", Units(101), "more")
    assert await core.balances.settle_back("bob", Units(200), "out")
    assert not await core.balances.settle_back("bob", Units(200), "out")
    with pytest.raises(OtherSettlement):
        await core.balances.settle_back("bob", Units(300), "in")
    assert await core.balances.balance("bob") == core.balance("bob") == 300
    assert await core.balances.balance("ledger:EUR.2") == -300
    await core.close()


async def test_settlement_raises_what_the_holder_may_send(tmp_path: Path) -> None:
    """What a holder has paid can be spent by packets at once."""
    core = await make_core(tmp_path, [replace(ALICE, floor=0), BOB])
    assert core.take("alice", make_prepare(100)).code == Code.INSUFFICIENT_LIQUIDITY
    await core.balances.settle_in("alice", Units(100), "in")
    assert core.take("alice", make_prepare(100)).all == []
    await core.close()


async def test_settlement_is_triggered_when_enough_is_owed(tmp_path: Path) -> None:
    """The trigger is called after the write that reaches the threshold, and not before."""
    core = await make_core(tmp_path)
    seen: list[tuple[str, int]] = []
    core.book.watch("bob", 200, lambda account, balance: seen.append((account, balance)))
    await replied(fulfilled(core, 150, 1))
    assert seen == []
    await replied(fulfilled(core, 50, 2))
    assert seen == [("bob", 200)]
    await core.close()


async def test_log_is_copied_into_the_database_and_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the connector runs, the write-ahead log stays about as long as it was."""
    monkeypatch.setattr("settlement.connector.balances.sqlite._LOG_BYTES", 0)
    monkeypatch.setattr("settlement.connector.balances.sqlite._FLUSH_WRITES", 50)
    core = await make_core(tmp_path, [replace(ALICE, floor=None), BOB])
    log = tmp_path / "connector.db-wal"
    sizes = []
    for seed in range(600):
        await replied(fulfilled(core, 1, seed))
        if seed % 200 == 199:
            sizes.append(log.stat().st_size)
    assert sizes[-1] < 2 * sizes[0]
    await core.close()
    assert not log.exists() or log.stat().st_size == 0
