"""The book ledger over REST: a service process, its PostgreSQL or SQLite, and a client process that holds and fulfils.

Each round holds `batch` transfers in one request and fulfils them in another; so many rounds run at the same time. A
transfer is one hold and one fulfilment. CPU is what the service's process used, per transfer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from infra.postgres import Postgres
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import wall_clock
from settlement.ledgers.protocol import Done, LedgerAccount
from tests.support.settlement_book import (
    EUR,
    LEDGER,
    OPERATOR_DIGEST,
    OPERATOR_KEY,
    a_hold,
    fulfilment_of,
    open_account,
)

SECONDS: Final = 3.0
SHAPES: Final = ((1, 1), (1, 64), (10, 8), (100, 2))
"""Transfers in a request, and requests at the same time."""
_CPU_MS_MAX: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parents[1]


@asynccontextmanager
async def book_process(folder: Path, database: str) -> AsyncIterator[tuple[str, int]]:
    """A book of its own process; its URL and process id."""
    config = folder / "book.toml"
    operators = f'{{ root = "{OPERATOR_DIGEST.hex()}" }}'
    text = f'[book]\nledger_id = "{LEDGER}"\ndatabase = "{database}"\nport = 0\noperators = {operators}\n'
    config.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "settlement.ledgers.book", str(config)), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.terminate()
        await process.wait()


async def rounds(payer: BookClient, payee: BookClient, batch: int, until: float) -> int:
    """Hold and fulfil until the moment; how many transfers."""
    done = 0
    while time.perf_counter() < until:
        holds = [a_hold("payer", "payee", 1, wall_clock() + 60_000, memo=bytes(200)) for _ in range(batch)]
        held = await payer.hold(holds)
        paid = await payee.fulfil([fulfilment_of(hold) for hold in holds])
        assert all(isinstance(outcome, Done) for outcome in (*held, *paid)), "everything is done"
        done += batch
    return done


async def measure(name: str, folder: Path, database: str) -> list[dict[str, object]]:
    """Figures of one engine."""
    found: list[dict[str, object]] = []
    async with AsyncExitStack() as stack:
        url, pid = await stack.enter_async_context(book_process(folder, database))
        operator = await stack.enter_async_context(BookOperator(LEDGER, url, OPERATOR_KEY))
        clients = []
        for account, money in (("payer", 10**12), ("payee", 0)):
            key = await open_account(operator, account, money)
            access = BookAccess(LEDGER, EUR, url, LedgerAccount(account), key)
            clients.append(await stack.enter_async_context(BookClient(access)))
        payer, payee = clients
        service = psutil.Process(pid)
        for batch, at_once in SHAPES:
            cpu, start = sum(service.cpu_times()[:2]), time.perf_counter()
            counts = await asyncio.gather(*(rounds(payer, payee, batch, start + SECONDS) for _ in range(at_once)))
            seconds, done = time.perf_counter() - start, sum(counts)
            cpu_ms = 1000 * (sum(service.cpu_times()[:2]) - cpu) / done
            shape = f"batches of {batch}, {at_once} at a time"
            note = f"{done:,} transfers in {seconds:.1f} s"
            target = _CPU_MS_MAX if batch * at_once > 1 else None
            found.append(
                {
                    "name": f"transfers over REST, {name}, {shape}",
                    "value": round(done / seconds),
                    "unit": "transfers/s",
                    "target": None,
                    "samples": 1,
                    "note": note,
                }
            )
            found.append(
                {
                    "name": f"service CPU a transfer, {name}, {shape}",
                    "value": round(cpu_ms, 3),
                    "unit": "ms",
                    "target": target,
                    "samples": 1,
                    "note": note,
                }
            )
        verdict = await operator.verify()
        assert verdict.ok, verdict.faults
    return found


async def run() -> list[dict[str, object]]:
    """Both engines, one after the other."""
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found += await measure("SQLite", folder, f"sqlite:///{folder / 'book.db'}")
        async with Postgres(durable=True) as postgres:
            url = await postgres.create_database(f"bench_{os.getpid()}")
            found += await measure("PostgreSQL", folder, url)
        await postgres.remove()
    return found
