"""One database under several processes, killed processes, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.storage import Database, DatabaseUnavailable
from infra.postgres import Postgres
from tests.support.patience import PATIENCE_S
from tests.support.processes import ROOT

COUNT = """
import asyncio, sys
from bridge.storage import Database

async def main(url, times):
    async with await Database.open(url) as database:
        for _ in range(times):
            async with database.unit() as unit:
                count = int(await unit.node_meta.get("count") or b"0")
                await unit.node_meta.put("count", str(count + 1).encode())
                await unit.commit()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

HOLD = """
import asyncio, sys
from bridge.storage import Database

async def main(url):
    async with await Database.open(url) as database, database.unit() as unit:
        await unit.node_meta.put("held", b"1")
        print("holding", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await unit.commit()
    print("committed", flush=True)

asyncio.run(main(sys.argv[1]))
"""


@asynccontextmanager
async def running(script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def answer(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()


async def test_processes_that_count_together_lose_nothing(database_url: str) -> None:
    """Three processes open one database at once, migrate it once, and each reads what the others wrote."""
    async with (
        running(COUNT, database_url, "10") as one,
        running(COUNT, database_url, "10") as two,
        await Database.open(database_url) as database,
    ):
        for _ in range(10):
            async with database.unit() as unit:
                count = int(await unit.node_meta.get("count") or b"0")
                await unit.node_meta.put("count", str(count + 1).encode())
                await unit.commit()
        assert (await one.wait(), await two.wait()) == (0, 0)
        async with database.view() as view:
            assert await view.node_meta.get("count") == b"30"


async def test_a_writer_waits_for_another_process_or_gives_up_in_time(database_url: str) -> None:
    """While a process holds the write lock, others open it and read, patient writers wait, impatient ones are told."""
    async with running(HOLD, database_url) as holder:
        assert await said(holder) == "holding"
        async with await Database.open(database_url) as patient:
            async with patient.view() as view:
                assert await view.node_meta.get("held") is None
            async with await Database.open(database_url, busy_ms=50) as impatient:
                with pytest.raises(DatabaseUnavailable):
                    async with impatient.unit():
                        pass
            await answer(holder)
            async with patient.unit() as unit:
                assert await unit.node_meta.get("held") == b"1"
        assert await said(holder) == "committed"


async def test_a_process_that_is_killed_in_a_unit_leaves_nothing_and_locks_nobody_out(database_url: str) -> None:
    """Kill -9 between the write and the commit: the write is gone, and the next writer goes on."""
    async with running(HOLD, database_url) as holder:
        assert await said(holder) == "holding"
        holder.kill()
        await holder.wait()
    async with await Database.open(database_url) as database, asyncio.timeout(PATIENCE_S), database.unit() as unit:
        assert await unit.node_meta.get("held") is None
        await unit.node_meta.put("held", b"2")
        await unit.commit()


@pytest.fixture
async def own_server() -> AsyncIterator[Postgres]:
    """A PostgreSQL server of this test's own, to stop."""
    async with Postgres() as server:
        yield server


async def test_a_server_that_restarts_is_retryable_and_then_goes_on(own_server: Postgres) -> None:
    """A unit, a view and an opening say `DatabaseUnavailable` while it is away, and the same object works after it."""
    url = await own_server.create_database("restarted")
    async with await Database.open(url) as database:
        async with database.unit() as unit:
            await unit.node_meta.put("before", b"1")
            await unit.commit()
        with pytest.raises(DatabaseUnavailable):
            async with database.unit() as unit:
                await unit.node_meta.put("during", b"1")
                await own_server.stop()
                await unit.commit()
        for block in (database.unit, database.view):
            with pytest.raises(DatabaseUnavailable):
                async with block() as away:
                    await away.node_meta.get("before")
        with pytest.raises(DatabaseUnavailable):
            await Database.open(url)
        await own_server.start()
        async with database.unit() as unit:
            assert await unit.node_meta.get("before") == b"1"
            assert await unit.node_meta.get("during") is None
            await unit.node_meta.put("after", b"1")
            await unit.commit()
        async with database.view() as view:
            assert await view.node_meta.get("after") == b"1"


async def test_idle_connections_survive_a_restart_that_nobody_noticed(own_server: Postgres) -> None:
    """A connection that died in the pool is replaced before it is used: no unit fails for it."""
    async with await Database.open(await own_server.create_database("idle")) as database:
        async with database.unit() as unit:
            await unit.node_meta.put("fact", b"1")
            await unit.commit()
        await own_server.restart()
        async with database.unit() as unit:
            assert await unit.node_meta.get("fact") == b"1"
        async with database.view() as view:
            assert await view.node_meta.get("fact") == b"1"


async def test_a_disk_that_is_full_is_retryable_and_undoes_the_unit(sqlite_url: str) -> None:
    """SQLite says that the file may not grow: nothing of the unit is kept, and smaller ones still work."""
    async with await Database.open(sqlite_url) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.unit() as unit:
                connection = unit.cursors._connection
                pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
                await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
                await unit.node_meta.put("large", bytes(1_000_000))
                await unit.commit()
        async with database.unit() as unit:
            assert await unit.node_meta.get("large") is None
            await unit.node_meta.put("small", b"1")
            await unit.commit()
