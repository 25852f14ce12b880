"""Opening a database, and what units of work and views promise."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from bridge.storage import Database, DatabaseNewer, DatabaseUnavailable, Moment, rows, tables, tables_evm
from foundation.errors import BadInput
from tests.support.patience import PATIENCE_S


class Crash(Exception):
    """The node dies here."""


class CrashAt:
    """A commit hook that dies at the `nth` commit (from 0), before it or just after it took effect."""

    def __init__(self, nth: int, moment: Moment) -> None:
        self.nth = nth
        self.moment = moment
        self.commits = 0

    async def __call__(self, moment: Moment) -> None:
        if self.commits == self.nth and moment is self.moment:
            raise Crash
        if moment is Moment.AFTER:
            self.commits += 1


async def execute(url: str, statement: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_the_revisions_make_exactly_the_tables_that_the_code_uses(database_url: str) -> None:
    """A database upgraded from nothing differs in nothing from the tables that the repositories are written against."""

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, tables.metadata))

    async with await Database.open(database_url):
        engine = create_async_engine(database_url)
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()
    assert found == []


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (tables.coins, rows.CoinRow),
        (tables.transfers, rows.TransferRow),
        (tables.payouts, rows.PayoutRow),
        (tables.deposit_terms, rows.DepositTermsRow),
        (tables.bitcoin_transactions, rows.BitcoinTransactionRow),
        (tables.attestations, rows.SignatureRow),
        (tables.cosignatures, rows.SignatureRow),
        (tables.promises, rows.PromiseRow),
        (tables.outbox, rows.OutboxRow),
        (tables.incidents, rows.IncidentRow),
        (tables_evm.releases, rows.ReleaseRow),
        (tables_evm.vault_signatures, rows.VaultSignatureRow),
        (tables_evm.vault_assets, rows.VaultAssetRow),
    ],
)
def test_rows_have_their_tables_columns_in_order(table: Table[Any], row: type) -> None:
    """Rows are built by position, so their fields must be the table's columns in the table's order."""
    assert [field.name for field in dataclasses.fields(row)] == [column.name for column in table.columns]


async def test_what_is_not_committed_is_undone(database: Database) -> None:
    """A unit of work that ends without a commit, by itself or by an error, leaves nothing behind."""
    async with database.unit() as unit:
        await unit.node_meta.put("left", b"1")
    with pytest.raises(Crash):
        async with database.unit() as unit:
            await unit.node_meta.put("raised", b"1")
            raise Crash
    async with database.view() as view:
        assert await view.node_meta.get("left") is None
        assert await view.node_meta.get("raised") is None


async def test_what_is_committed_is_there_when_the_database_is_opened_again(database_url: str) -> None:
    """A commit outlives the process."""
    async with await Database.open(database_url) as database, database.unit() as unit:
        await unit.node_meta.put("fact", b"1")
        await unit.commit()
    async with await Database.open(database_url) as database, database.view() as view:
        assert await view.node_meta.get("fact") == b"1"


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_commit_hook_can_crash_a_node_on_either_side_of_a_commit(database_url: str, moment: Moment) -> None:
    """Raising before a commit undoes the unit; raising after it leaves the unit done."""
    hook = CrashAt(1, moment)
    async with await Database.open(database_url, commit_hook=hook) as database:
        async with database.unit() as unit:
            await unit.node_meta.put("first", b"1")
            await unit.commit()
        with pytest.raises(Crash):
            async with database.unit() as unit:
                await unit.node_meta.put("second", b"1")
                await unit.commit()
        async with database.view() as view:
            assert await view.node_meta.get("first") == b"1"
            assert await view.node_meta.get("second") == (b"1" if moment is Moment.AFTER else None)


async def test_concurrent_increments_are_never_lost(database_url: str) -> None:
    """Units that read and then write, in two openers of one database at once, come one after the other."""

    async def increment(database: Database) -> None:
        async with database.unit() as unit:
            value = int(await unit.node_meta.get("count") or b"0")
            await asyncio.sleep(0)
            await unit.node_meta.put("count", str(value + 1).encode())
            await unit.commit()

    async with await Database.open(database_url) as one, await Database.open(database_url) as two:
        await asyncio.gather(*(increment(database) for database in (one, two) for _ in range(10)))
        async with one.view() as view:
            assert await view.node_meta.get("count") == b"20"


async def test_a_view_stands_still_and_waits_for_no_writer(database: Database) -> None:
    """A view shows one moment, also while a unit of work is open and after it is committed."""
    async with database.view() as view:
        assert await view.node_meta.get("fact") is None
        async with database.unit() as unit:
            await unit.node_meta.put("fact", b"1")
            async with asyncio.timeout(PATIENCE_S):
                assert await view.node_meta.get("fact") is None
            await unit.commit()
        assert await view.node_meta.get("fact") is None


async def test_a_view_cannot_write(database: Database) -> None:
    """Writing through a view fails as the mistake that it is, and later units are not affected."""
    with pytest.raises(DBAPIError):
        async with database.view() as view:
            await view.node_meta.put("fact", b"1")
    async with database.unit() as unit:
        await unit.node_meta.put("fact", b"2")
        await unit.commit()


async def test_a_unit_inside_another_is_a_mistake_that_is_caught(database: Database) -> None:
    """Opening a second unit in the same task would wait for itself; it fails at once instead."""
    async with database.unit():
        with pytest.raises(AssertionError, match="inside another"):
            async with database.unit():
                pass


async def test_a_unit_is_over_after_its_commit(database: Database) -> None:
    """A second commit, or one after the block, is a mistake that is caught."""
    async with database.unit() as unit:
        await unit.commit()
        with pytest.raises(AssertionError, match="over"):
            await unit.commit()


async def test_openers_at_once_find_one_migrated_database(database_url: str) -> None:
    """Several openers of a database that does not exist yet all succeed."""
    databases = await asyncio.gather(*(Database.open(database_url) for _ in range(4)))
    for database in databases:
        async with database.unit() as unit:
            await unit.outbox.add("kind", "key", b"", rows.UnixMs(0))
            await unit.commit()
        await database.close()


async def test_a_database_of_a_newer_release_is_refused(database_url: str) -> None:
    """A revision that this release does not know is named in a typed error, and nothing is changed."""
    async with await Database.open(database_url):
        pass
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseNewer) as refusal:
        await Database.open(database_url)
    assert refusal.value.found == "9999"


async def test_a_file_that_is_no_database_is_bad_input(tmp_path: Path) -> None:
    """A file of something else is named at `database` and left as it is."""
    file = tmp_path / "text.db"
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(BadInput) as refusal:
        await Database.open(f"sqlite:///{file}")
    assert refusal.value.field == "database"
    assert file.read_bytes() == b"this is no database" * 100


async def test_a_lock_that_another_process_keeps_is_retryable(database_url: str) -> None:
    """A unit that waits too long for the write lock ends with `DatabaseUnavailable`."""
    async with await Database.open(database_url) as one, await Database.open(database_url, busy_ms=50) as two:
        async with one.unit():
            with pytest.raises(DatabaseUnavailable):
                async with two.unit():
                    pass
        async with two.unit():
            pass


@pytest.mark.parametrize("trouble", [TimeoutError("elsewhere"), ConnectionError("elsewhere"), ValueError("here")])
async def test_trouble_that_is_not_the_databases_passes_through(database: Database, trouble: Exception) -> None:
    """A time-out of something else inside a unit or a view is not told as the database's."""
    for block in (database.unit, database.view):
        with pytest.raises(type(trouble)) as raised:
            async with block():
                raise trouble
        assert raised.value is trouble


async def test_a_statement_that_is_wrong_is_no_matter_of_waiting(database: Database) -> None:
    """Our own mistake is not retried for ever."""
    with pytest.raises(DBAPIError):
        async with database.unit() as unit:
            await unit.cursors._connection.execute(text("SELECT nothing FROM nowhere"))


async def test_a_cancelled_unit_is_undone_and_frees_the_lock(database: Database) -> None:
    """An agent that is stopped in the middle of a unit leaves no trace and stands in nobody's way."""
    wrote = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.unit() as unit:
            await unit.node_meta.put("fact", b"1")
            wrote.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await wrote.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE_S), database.unit() as unit:
        assert await unit.node_meta.get("fact") is None


async def test_a_server_that_does_not_answer_is_retryable() -> None:
    """A refused connection is `DatabaseUnavailable`."""
    with pytest.raises(DatabaseUnavailable):
        await Database.open("postgresql://nobody:nothing@127.0.0.1:1/nothing")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "sqlite:////nowhere/at/all/file.db"]
)
async def test_urls_that_cannot_be_used_name_the_field(url: str) -> None:
    """A wrong URL is bad input at `database`."""
    with pytest.raises(BadInput) as refusal:
        await Database.open(url)
    assert refusal.value.field == "database"


async def test_sqlite_runs_durably_and_is_closed_to_others(sqlite_url: str, tmp_path: Path) -> None:
    """The file is for its owner alone, in WAL mode, flushed at each commit, with foreign keys checked."""
    async with await Database.open(sqlite_url) as database, database.unit() as unit:
        connection = unit.cursors._connection
        found = {name: await connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
        assert found == {"journal_mode": "wal", "synchronous": 2}
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
    assert (tmp_path / "test.db").stat().st_mode & 0o777 == 0o600
