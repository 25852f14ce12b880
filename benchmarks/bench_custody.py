"""Custodial payments, all thirteen steps: three gateways and two books, a process each, on one PostgreSQL server.

Bank A pays bank B through the clearing bank, so many payments at the same time; quotes, exchange of data, screening,
acceptances, holds, receipts with all three signatures, journals and third entries are as in life. A payment counts when
the payer has the receipt. CPU is that of each process, a payment.

`python -m benchmarks.bench_custody [PAYMENTS] [AT_ONCE] [PARTY]` profiles the gateway of a party (bank-a by default).
"""

from __future__ import annotations

import asyncio
import cProfile
import multiprocessing
import os
import pstats
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import structlog
import uvloop

from foundation.collector import spare_collector
from foundation.database import Database
from foundation.quantities import UnixMs
from infra.ports import free_port
from infra.postgres import Postgres
from settlement.connect.policy import decode_policy
from settlement.custody import payer
from settlement.custody.margins import Margins
from settlement.custody.states import stage_of
from settlement.custody.terms import PaymentId
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.gateway.dossiers import Dossier
from settlement.gateway.http import HttpLetterBoxes, LetterBoxServer
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.pricing import Corridor, CorridorPricing, Standing
from settlement.gateway.runtime import SCHEMA, Gateway, Parts
from settlement.gateway.stamps import Stamps
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import wall_clock
from settlement.ledgers.book.types import AccountKind, Payment
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import PartyId, Units
from settlement.rules.parse import parse_rules
from tests.support.settlement_book import ISSUER, OPERATOR_DIGEST, OPERATOR_KEY, transfer_id
from tests.support.settlement_gateway import (
    BUYER,
    EURO,
    EURO_LEDGER,
    GOODS,
    POLICY,
    RULES,
    SELLER,
    YUAN,
    YUAN_LEDGER,
    A,
    Account,
    B,
    C,
    OneRate,
    People,
)

PAYMENTS: Final = 2_000
AT_ONCE: Final = 384
ALONE: Final = 10
_AMOUNT: Final = 100_00
_FUNDS: Final = 10**12
_MS_MAX: Final = 1_000 / 150
"""150 payments a second."""
_SECONDS_MAX: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[1]
_ASSETS: Final = {EURO_LEDGER: EURO, YUAN_LEDGER: YUAN}


@dataclass(frozen=True)
class Setting:
    """What a gateway's process is told. Fields: party; seeds, urls (of all letter boxes); born; database; books (of the
    ledgers on which it has an account: URL and API key); profile (a file, or none)."""

    party: PartyId
    seeds: dict[PartyId, bytes]
    urls: dict[PartyId, str]
    born: int
    database: str
    books: dict[LedgerId, tuple[str, str]]
    profile: str


# --- A gateway's process ----------------------------------------------------------------------------------------------


def gateway_process(setting: Setting, pipe: Connection) -> None:
    """Run one gateway; the parent's words are (payments, at once) to pay, "stages", "bulk" and None to end."""
    # As in `cli.node_process`, errors alone.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40), cache_logger_on_first_use=True)
    uvloop.run(_serve(setting, pipe))


async def _serve(setting: Setting, pipe: Connection) -> None:
    async with AsyncExitStack() as stack:
        parts = await _parts(setting, stack)
        gateway = await stack.enter_async_context(Gateway(parts))
        host, _, port = setting.urls[setting.party].removeprefix("http://").partition(":")
        stamps = Stamps(parts.secrets.letters, parts.directory, wall_clock)
        await stack.enter_async_context(LetterBoxServer(gateway.letter_box, stamps, host, int(port)))
        spare_collector()
        pipe.send("ready")
        profiler = cProfile.Profile(time.thread_time)  # the machine may be busy with others
        while (asked := await asyncio.to_thread(pipe.recv)) is not None:
            match asked:
                case "stages":
                    pipe.send(await _stages(gateway, parts.database))
                case "bulk":
                    if setting.profile:
                        profiler.enable()
                    pipe.send("ready")
                case _:
                    pipe.send(await _pay(gateway, *asked))
        profiler.disable()
        if setting.profile:
            profiler.dump_stats(setting.profile)


async def _parts(setting: Setting, stack: AsyncExitStack) -> Parts:
    party, margins = setting.party, Margins()
    own = Secrets.derive(party, setting.seeds[party])
    cards = {
        name: Secrets.derive(name, seed).card(setting.urls[name], UnixMs(setting.born))
        for name, seed in setting.seeds.items()
    }
    directory = Directory(cards, wall_clock())
    database = await stack.enter_async_context(await Database.open(setting.database, SCHEMA))
    ledgers: dict[LedgerId, BookClient] = {}
    for ledger, (url, key) in setting.books.items():
        access = BookAccess(ledger, _ASSETS[ledger], url, LedgerAccount(party), key)
        ledgers[ledger] = await stack.enter_async_context(BookClient(access))
    facts = {name: await ledger.facts() for name, ledger in ledgers.items()}
    stamps = Stamps(own.letters, directory, wall_clock)
    boxes = await stack.enter_async_context(HttpLetterBoxes(directory, stamps))
    rules, policy = parse_rules(RULES), decode_policy(POLICY)
    corridor = Corridor(str(EURO_LEDGER), str(YUAN_LEDGER), fee=100)
    standings = {str(name): Standing(facts[name], ledger.own) for name, ledger in ledgers.items()}
    prices = CorridorPricing(
        own, directory, standings, {(corridor.source, corridor.target): corridor}, OneRate(), margins
    )
    return Parts(
        secrets=own,
        directory=directory,
        database=database,
        ledgers=ledgers,
        facts=facts,
        rules=lambda: rules,
        policy=lambda: policy,
        margins=margins,
        customers={A: People(BUYER), B: People(SELLER), C: People()}[party],
        books=GatewayBooks(party, {str(name): fact.asset for name, fact in facts.items()}, own.books_key),
        receiving=Account(str(YUAN_LEDGER), str(B)),
        pricing=prices if party == C else None,
        box=boxes,
        peers=directory.others(party),
        address=f"g.{party}",
        clock=wall_clock,
    )


async def _pay(gateway: Gateway, count: int, at_once: int) -> tuple[float, list[float]]:
    """Pay; seconds for all, and those of each."""
    seconds: list[float] = []
    begun: dict[PaymentId, float] = {}
    room, finished = asyncio.Semaphore(at_once), asyncio.Event()

    def committed() -> None:
        now = time.perf_counter()
        for payment in [one for one in begun if gateway.open_state(one) is None]:
            seconds.append(now - begun.pop(payment))
            room.release()
        if len(seconds) == count:
            finished.set()

    async def one() -> None:
        payment = PaymentId(os.urandom(32))
        now = wall_clock()
        order = payer.Order(
            *(payment, A, C, B, str(YUAN_LEDGER), _AMOUNT, str(EURO_LEDGER), str(A)),
            source_max=_AMOUNT,
            particulars=GOODS,
            answer_by=now + 30_000,
        )
        started = time.perf_counter()
        await gateway.pay(order, Dossier(BUYER.account, SELLER.account))
        begun[payment] = started

    end = gateway.on_commit(committed)
    start = time.perf_counter()
    async with asyncio.timeout(_SECONDS_MAX), asyncio.TaskGroup() as group:
        for _ in range(count):
            await room.acquire()
            group.create_task(one())
        await finished.wait()
    end()
    return time.perf_counter() - start, seconds


async def _stages(gateway: Gateway, database: Database) -> dict[str, int]:
    """How many payments stand where."""
    async with database.view() as view:
        store = gateway.payments(view.connection)
        return Counter(stage_of(stored.state) for _, stored in await store.page(100_000))


# --- The parent -------------------------------------------------------------------------------------------------------


class Town:
    """All processes. Use as `async with`."""

    def __init__(self, folder: Path, profile: dict[PartyId, str]) -> None:
        self._folder = folder
        self._profile = profile
        self._stack = AsyncExitStack()
        self._pipes: dict[PartyId, Connection] = {}
        self._pids: dict[str, list[int]] = {}

    async def __aenter__(self) -> Town:
        """Start everything."""
        async with AsyncExitStack() as stack:
            server = Postgres()
            await stack.enter_async_context(server)
            self.server = server
            self._pids["postgres"] = [server.pid]
            books = {
                EURO_LEDGER: await self._book(stack, server, EURO_LEDGER, (A, C)),
                YUAN_LEDGER: await self._book(stack, server, YUAN_LEDGER, (C, B)),
            }
            seeds = {party: secrets.token_bytes(32) for party in (A, B, C)}
            urls = {party: f"http://127.0.0.1:{free_port()}" for party in (A, B, C)}
            born = wall_clock() - 1_000
            for party in (A, B, C):
                keys = {ledger: (url, keys[party]) for ledger, (url, keys) in books.items() if party in keys}
                database = await server.create_database(f"gateway_{party.replace('-', '_')}")
                profile = self._profile.get(party, "")
                self._start(stack, Setting(party, seeds, urls, born, database, keys, profile))
            for pipe in self._pipes.values():
                assert await asyncio.to_thread(pipe.recv) == "ready"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End everything."""
        await self._stack.aclose()

    def _start(self, stack: AsyncExitStack, setting: Setting) -> None:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=gateway_process, args=(setting, theirs))
        process.start()
        assert process.pid is not None
        self._pipes[setting.party] = ours
        self._pids[f"gateway of {setting.party}"] = [process.pid]

        async def end() -> None:
            ours.send(None)
            await asyncio.to_thread(process.join, 10)
            if process.is_alive():
                process.terminate()

        stack.push_async_callback(end)

    async def _book(
        self, stack: AsyncExitStack, server: Postgres, ledger: LedgerId, holders: tuple[PartyId, ...]
    ) -> tuple[str, dict[PartyId, str]]:
        database = await server.create_database(ledger.replace("-", "_"))
        config = self._folder / f"{ledger}.toml"
        operators = f'{{ root = "{OPERATOR_DIGEST.hex()}" }}'
        text = f'[book]\nledger_id = "{ledger}"\ndatabase = "{database}"\nport = 0\noperators = {operators}\n'
        config.write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "settlement.ledgers.book", str(config)), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
        )
        stack.push_async_callback(_ended, process)
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        self._pids[f"book of {ledger}"] = [process.pid]
        operator = await stack.enter_async_context(BookOperator(ledger, url, OPERATOR_KEY))
        await operator.open_account(ISSUER, _ASSETS[ledger], "operator", AccountKind.ISSUER)
        keys: dict[PartyId, str] = {}
        for holder in holders:
            await operator.open_account(holder, _ASSETS[ledger], holder)
            keys[holder] = await operator.make_key(f"{holder}-key", holder)
            await operator.pay([Payment(transfer_id(), ISSUER, LedgerAccount(holder), Units(_FUNDS))])
        return url, keys

    async def pay(self, count: int, at_once: int) -> tuple[float, list[float]]:
        """Let bank A pay."""
        self._pipes[A].send((count, at_once))
        answer: Any = await asyncio.to_thread(self._pipes[A].recv)
        return answer  # type: ignore[no-any-return]

    async def bulk(self) -> None:
        """What comes from here on is measured: whose process is to be profiled, is."""
        for pipe in self._pipes.values():
            pipe.send("bulk")
            await asyncio.to_thread(pipe.recv)

    async def stages(self, party: PartyId) -> dict[str, int]:
        """How many payments stand where at a party."""
        self._pipes[party].send("stages")
        answer: Any = await asyncio.to_thread(self._pipes[party].recv)
        return answer  # type: ignore[no-any-return]

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU by process, those that PostgreSQL has started for connections and for itself together."""
        found: dict[str, float] = {}
        for name, pids in self._pids.items():
            processes = [psutil.Process(pid) for pid in pids]
            if name == "postgres":
                processes += processes[0].children(recursive=True)
            times = [one.cpu_times() for one in processes if one.is_running()]
            found[name] = sum(each.user + each.system for each in times)
        return found


async def _ended(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.wait()


async def measure(payments: int, at_once: int, profile: dict[PartyId, str]) -> list[dict[str, object]]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        async with Town(Path(folder), profile) as town:
            await town.pay(30, 30)  # caches, connections, prepared statements
            alone = sorted((await town.pay(ALONE, 1))[1])
            await town.bulk()
            before = town.cpu()
            elapsed, seconds = await town.pay(payments, at_once)
            used = {name: (cpu - before[name]) * 1_000 / payments for name, cpu in town.cpu().items()}
            await _all_closed(town, payments + 30 + ALONE)
    seconds.sort()
    where = ", ".join(f"{name} {ms:.2f}" for name, ms in sorted(used.items(), key=lambda item: -item[1]))
    each = f"{payments:,} payments, {at_once} at a time"
    return [
        _figure("time for a payment, in bulk", elapsed * 1_000 / payments, "ms", _MS_MAX, each),
        _figure("payments", payments / elapsed, "payments/s", None, each),
        _figure("latency, median", seconds[len(seconds) // 2] * 1_000, "ms", None, each),
        _figure("latency, p99", seconds[len(seconds) * 99 // 100] * 1_000, "ms", None, each),
        _figure("latency, one at a time, median", alone[len(alone) // 2] * 1_000, "ms", None, f"{ALONE} payments"),
        _figure("CPU of all processes a payment", sum(used.values()), "ms", None, f"ms: {where}"),
    ]


async def _all_closed(town: Town, count: int) -> None:
    async with asyncio.timeout(10):
        for party in (A, B, C):
            while (found := await town.stages(party)) != {"closed": count}:
                await asyncio.sleep(0.1)
                if any(stage in found for stage in ("failed", "back", "lost", "lapsed")):
                    raise AssertionError(f"{party}: {found}")


def _figure(name: str, value: float, unit: str, target: float | None, note: str) -> dict[str, object]:
    name = f"custodial payments, {name}"
    return {"name": name, "value": round(value, 2), "unit": unit, "target": target, "samples": 1, "note": note}


async def run() -> list[dict[str, object]]:
    """The figures."""
    return await measure(PAYMENTS, AT_ONCE, {})


if __name__ == "__main__":
    given = sys.argv[1:]
    party = PartyId(given[2]) if len(given) > 2 else A
    kept = str(Path(tempfile.gettempdir()) / f"custody-{party}.prof")
    wanted = (int(given[0]) if given else 500, int(given[1]) if len(given) > 1 else AT_ONCE)
    for found in uvloop.run(measure(*wanted, {party: kept} if len(given) > 2 else {})):
        print(f"{found['name']}: {found['value']} {found['unit']} ({found['note']})")
    if len(given) > 2:
        pstats.Stats(kept).sort_stats("tottime").print_stats(45)
