"""The connector's core by itself: what one packet costs, with loop-back links in place of transports.

A packet is a Prepare that comes in, is held, forwarded, fulfilled by the next hop one turn of the loop later, written
to the database, and answered. On SQLite and on PostgreSQL, in both durabilities, with one and with 64 in flight.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foundation.database import Database, Schema
from foundation.quantities import UnixMs
from infra.postgres import Postgres
from settlement.connector.accounts import Account, AccountConfig
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Durability
from settlement.connector.balances.postgres import PostgresBalances
from settlement.connector.balances.sqlite import SqliteBalances
from settlement.connector.pipeline import Pipeline
from settlement.connector.rates.backend import Spread, StaticRates
from settlement.connector.routing.routes import Relation
from settlement.connector.routing.table import RoutingTable
from settlement.connector.tables import METADATA
from settlement.ilp.addresses import Address
from settlement.ilp.link import Reply
from settlement.ilp.packets import FULFILL, Fulfill, Prepare, encode
from settlement.quantities import Asset, Condition, Preimage, Scale, Units, condition_of

SECONDS = 1.5
PREIMAGE = Preimage(bytes(range(32)))
SENDER = AccountConfig("alice", Asset("EUR", Scale(9)), Relation.CHILD, floor=None)
NEXT = AccountConfig("bob", Asset("USD", Scale(6)), Relation.CHILD)


def now_ms() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)


class LoopbackLink:
    """Fulfils each packet in the next turn of the loop."""

    is_up = True

    def __init__(self) -> None:
        self._answer = encode(Fulfill(PREIMAGE, bytes(32)))

    def send(self, prepare: bytes, reply: Reply) -> None:
        asyncio.get_running_loop().call_soon(reply, self._answer)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    database: str
    durability: str
    in_flight: int
    packets: int
    packets_per_second: int
    microseconds_per_packet: float
    p50_ms: float
    p99_ms: float


class Load:
    """Keeps a number of packets in flight for a time, and measures each."""

    def __init__(self, pipeline: Callable[[str, bytes, Reply], None], in_flight: int, seconds: float) -> None:
        self._pipeline = pipeline
        self._in_flight = in_flight
        self._until = time.perf_counter() + seconds
        self._left = in_flight
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        condition = Condition(condition_of(PREIMAGE))
        packet = Prepare(Units(1_000_000), UnixMs(now_ms() + 60_000), condition, Address("test.hub.bob.x"), bytes(200))
        self.prepare = encode(packet)

    async def run(self) -> float:
        """Packets a second."""
        begun = time.perf_counter()
        for _ in range(self._in_flight):
            self._send()
        await self._done
        return len(self.latencies) / (time.perf_counter() - begun)

    def _send(self) -> None:
        sent = time.perf_counter()

        def replied(answer: bytes) -> None:
            assert answer[0] == FULFILL, answer
            now = time.perf_counter()
            self.latencies.append(now - sent)
            if now < self._until:
                # As a transport would: in the next turn, not within the connector's own call.
                asyncio.get_running_loop().call_soon(self._send)
            else:
                self._left -= 1
                if not self._left:
                    self._done.set_result(None)

        self._pipeline("alice", self.prepare, replied)


async def measure(url: str, durability: Durability, in_flight: int, seconds: float) -> Row:
    book = Book([SENDER.terms, NEXT.terms])
    await (await Database.open(url, schema=Schema((METADATA,)))).close()
    is_sqlite = url.startswith("sqlite")
    balances: SqliteBalances | PostgresBalances
    if is_sqlite:
        balances = await SqliteBalances.open(Path(url.removeprefix("sqlite:///")), book, now_ms, durability)
    else:
        balances = await PostgresBalances.open(url, book, now_ms, durability)
    try:
        link = LoopbackLink()
        accounts = {c.id: Account(c, book.positions[c.id], now_ms(), link) for c in (SENDER, NEXT)}
        routes = RoutingTable()
        routes.set("test.hub.bob", "bob")
        converter = Spread(StaticRates({"EUR": "1.0843", "USD": "1"}), spread_bp=20)
        pipeline = Pipeline(Address("test.hub"), accounts, book, routes, converter, now_ms)
        load = Load(pipeline, in_flight, seconds)
        used = time.process_time()
        rate = await load.run()
        used = time.process_time() - used
        pipeline.timers.close()
    finally:
        await balances.close()
    cuts = statistics.quantiles(load.latencies, n=100)
    each = used / len(load.latencies) * 1e6
    name = "sqlite" if is_sqlite else "postgresql"
    p50, p99 = round(cuts[49] * 1e3, 3), round(cuts[98] * 1e3, 3)
    return Row(name, durability, in_flight, len(load.latencies), round(rate), round(each, 1), p50, p99)


async def flooded(folder: str, seconds: float) -> tuple[float, float]:
    """The p99 in ms of one peer's packets, 8 in flight: while nobody else sends, and while another floods at 10 times
    its limit."""
    mallory = AccountConfig("mallory", Asset("EUR", Scale(9)), Relation.CHILD, packets_per_second=2_000, burst=200)
    configs = (SENDER, NEXT, mallory)
    book = Book([each.terms for each in configs])
    url = f"{folder}/flood.db"
    await (await Database.open(f"sqlite:///{url}", schema=Schema((METADATA,)))).close()
    balances = await SqliteBalances.open(Path(url), book, now_ms, Durability.PROCESS)
    link = LoopbackLink()
    accounts = {c.id: Account(c, book.positions[c.id], now_ms(), link) for c in configs}
    routes = RoutingTable()
    routes.set("test.hub.bob", "bob")
    converter = Spread(StaticRates({"EUR": "1.0843", "USD": "1"}), spread_bp=20)
    pipeline = Pipeline(Address("test.hub"), accounts, book, routes, converter, now_ms)
    found = []
    for is_flooded in (False, True):
        load = Load(pipeline, 8, seconds)
        flood = asyncio.create_task(send_flood(pipeline, load.prepare)) if is_flooded else None
        await load.run()
        if flood is not None:
            flood.cancel()
        found.append(statistics.quantiles(load.latencies, n=100)[98] * 1e3)
    pipeline.timers.close()
    await balances.close()
    return found[0], found[1]


async def send_flood(pipeline: Pipeline, prepare: bytes) -> None:
    """20,000 packets a second, in the portions that a transport would read at once."""
    sent, begun = 0, time.perf_counter()
    while True:
        while sent < (time.perf_counter() - begun) * 20_000:
            for _ in range(16):
                pipeline("mallory", prepare, ignore)
            sent += 16
            await asyncio.sleep(0)
        await asyncio.sleep(0.0005)


def ignore(_: bytes) -> None:
    """The flooding peer's answers."""


def figures(row: Row) -> list[dict[str, object]]:
    """A row's rate, the time of one packet, and the slowest of a hundred."""
    case = f"{row.database}, survives {row.durability}, {row.in_flight} in flight"
    target = 50 if row.in_flight > 1 and row.durability == Durability.PROCESS else None
    note = f"{row.packets_per_second:,} packets/s, p50 {row.p50_ms} ms"
    each = {"unit": "µs CPU", "value": row.microseconds_per_packet, "target": target, "note": note}
    slow = {"unit": "ms", "value": row.p99_ms, "target": None}
    return [
        {"name": f"One packet through the core, {case}", "samples": row.packets, **each},
        {"name": f"p99 of a packet in the core, {case}", "samples": row.packets, **slow},
    ]


async def run() -> list[dict[str, object]]:
    """Measure all cases."""
    rows: list[Row] = []
    floods: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        async with Postgres(durable=True) as server:
            name = "bench_connector_core"
            await server.create_database(name)
            for url in (f"sqlite:///{folder}/connector.db", server.url(name, "postgresql")):
                for durability in Durability:
                    for in_flight in (1, 64):
                        rows.append(await measure(url, durability, in_flight, SECONDS))
            await server.remove()
        quiet, loud = await flooded(folder, SECONDS)
        name = "p99 with another peer at 10 times its limit, as a multiple of the quiet one"
        note = f"{quiet:.3f} ms and {loud:.3f} ms"
        multiple = {"unit": "×", "value": round(loud / quiet, 2), "target": 2, "samples": 1}
        floods.append({"name": name, "note": note} | multiple)
    return [figure for row in rows for figure in figures(row)] + floods


def print_table(rows: list[dict[str, object]]) -> None:
    for row in rows:
        target = "" if row["target"] is None else f"target {row['target']} "
        sys.stdout.write(f"{row['name']:<85} {row['value']:>8} {row['unit']}  {target}{row.get('note', '')}\n")


if __name__ == "__main__":
    results = asyncio.run(run())
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        print_table(results)
