"""A database of an earlier release, brought to this one with what it holds."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.evm.journal import SignedTx, TxStatus
from bridge.codec import decode_deposit, decode_payout, encode
from bridge.deposits import Deposit, Stage
from bridge.payouts import Payout
from bridge.storage import Database, DatabaseJournal, JourneyEntry, TransferKind
from bridge.storage.database import SCHEMA
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, UnixMs, Wei

BITCOIN, OTHER = b"B" * 32, b"O" * 32
ACCOUNT = b"a" * 20
DEPOSIT = Deposit(b"d" * 32, b"a" * 32, b"g" * 32, b"t" * 32, 0, TokenUnits(5), b"r" * 20, b"s" * 34, 12, Stage.FINAL)
PAYOUT = Payout(b"p" * 32, b"g" * 32, b"a" * 32, (b"w" * 32,), (), 1)
TX = SignedTx("k", ACCOUNT, 0, b"h" * 32, b"t" * 20, b"", Wei(2**255), 21_000, Wei(9), Wei(1), b"raw", "mint")
TIMES = {"created_at_ms": 1, "updated_at_ms": 2}
OLD: dict[str, dict[str, Any]] = {
    "transfers": {
        "id": DEPOSIT.deposit_id,
        "kind": "deposit",
        "stage": "final",
        "state": encode(DEPOSIT),
        "height": 7,
        "next_height": 9,
        "version": 3,
        **TIMES,
    },
    "payouts": {"id": PAYOUT.payout_id, "stage": "reserved", "state": encode(PAYOUT), "version": 1, **TIMES},
    "journey": {
        "transfer_id": DEPOSIT.deposit_id,
        "seq": 0,
        "at_ms": 1,
        "stage": "final",
        "note": "seen",
        "txid": None,
        "chain": "bitcoin",
    },
    "payout_withdrawals": {"payout_id": PAYOUT.payout_id, "position": 0, "withdrawal_id": b"w" * 32},
    "evm_transactions": {
        **{
            name: getattr(TX, name) for name in ("key", "account", "nonce", "hash", "to", "data", "gas", "raw", "label")
        },
        **{name: f"{getattr(TX, name):078d}" for name in ("value", "max_fee", "tip")},
        "status": "pending",
        **TIMES,
    },
}


def make_old(connection: Connection) -> None:
    """A database as revision 0001 left it, with a row in each table that has changed since, or that refers to one."""
    command.upgrade(SCHEMA.configuration(connection), "0001")
    reflected = MetaData()
    reflected.reflect(connection)
    for name, row in OLD.items():
        connection.execute(reflected.tables[name].insert(), [row])


@pytest.fixture
async def old_url(database_url: str) -> str:
    """The URL of a database of revision 0001 that holds a bitcoin bridge's rows."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(make_old)
    await engine.dispose()
    return database_url


async def test_what_a_node_knew_is_there_after_the_upgrade(old_url: str) -> None:
    """Transfers, payouts and their journeys, whose states are msgpack still."""
    async with await Database.open(old_url) as database, database.view() as view:
        transfer = await view.transfers.get(DEPOSIT.deposit_id)
        assert transfer is not None
        assert (transfer.height, transfer.next_height, transfer.version, transfer.chain) == (7, 9, 3, b"")
        assert decode_deposit(transfer) == DEPOSIT
        (payout,) = await view.payouts.by_stage("reserved")
        assert payout.chain == b""
        assert decode_payout(payout) == PAYOUT
        assert await view.journey.of(DEPOSIT.deposit_id) == (
            JourneyEntry(DEPOSIT.deposit_id, UnixMs(1), "final", "seen", None, "bitcoin"),
        )
        assert await view.payouts.withdrawals_of(PAYOUT.payout_id) == (b"w" * 32,)


async def test_rows_from_before_are_adopted_by_the_chain_that_they_were_of(old_url: str) -> None:
    """They had no chain because there was one alone; those that have one keep it, also when it is said again."""
    height = BlockHeight(9)
    async with await Database.open(old_url) as database, database.unit() as unit:
        for chain in (BITCOIN, OTHER):
            await unit.transfers.adopt_chain(chain)
            await unit.payouts.adopt_chain(chain)
        for chain, count in ((BITCOIN, 1), (OTHER, 0), (b"", 0)):
            assert len(await unit.transfers.due(TransferKind.DEPOSIT, height, chain)) == count
            assert len(await unit.payouts.by_stage(chain=chain)) == count
        found = await unit.transfers.get(DEPOSIT.deposit_id)
        assert found is not None
        (saved,) = await unit.transfers.save(found)
        assert (saved.version, saved.chain) == (4, BITCOIN)


async def test_transactions_from_before_are_the_native_chains(old_url: str) -> None:
    """The account goes on at its next nonce there, and begins at 0 elsewhere."""
    async with await Database.open(old_url) as database:
        native, other = (DatabaseJournal(database, lambda: UnixMs(1), chain) for chain in ("", "eip155:1"))
        assert await native.pending(ACCOUNT) == (TX,)
        assert await native.next_nonce(ACCOUNT) == 1
        assert await other.next_nonce(ACCOUNT) == 0
        await native.finish(ACCOUNT, 0, TX.hash, TxStatus.MINED)
        assert await native.pending(ACCOUNT) == ()


async def test_rows_that_refer_to_a_changed_table_are_still_checked(old_url: str) -> None:
    """The tables were not swapped for ones that nothing refers to."""
    with pytest.raises(IntegrityError):
        async with await Database.open(old_url) as database, database.unit() as unit:
            await unit.payouts.link(b"?" * 32, [b"w" * 32])
            await unit.commit()


async def test_the_journals_key_begins_with_the_chain(old_url: str) -> None:
    """One nonce and hash may be on several chains; autogenerated differences do not look at primary keys."""

    def key(connection: Connection) -> list[str]:
        return inspect(connection).get_pk_constraint("evm_transactions")["constrained_columns"]

    async with await Database.open(old_url):
        engine = create_async_engine(old_url)
        async with engine.connect() as connection:
            assert await connection.run_sync(key) == ["chain", "account", "nonce", "hash"]
        await engine.dispose()


async def test_an_upgrade_is_not_taken_back(old_url: str) -> None:
    """The first revision could not tell two chains' transfers apart, so that it is refused and nothing changes."""

    def back(connection: Connection) -> None:
        with pytest.raises(BadInput) as refusal:
            command.downgrade(SCHEMA.configuration(connection), "0001")
        assert refusal.value.cure

    async with await Database.open(old_url) as database:
        engine = create_async_engine(old_url)
        async with engine.begin() as connection:
            await connection.run_sync(back)
        await engine.dispose()
        async with database.view() as view:
            assert await view.transfers.get(DEPOSIT.deposit_id) is not None
