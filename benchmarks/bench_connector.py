"""A connector between two endpoints: packets a second, and how late the slowest of a hundred is.

The connector runs on one core, both endpoints share the other. `ilp-connector` 23 stands beside ours in the same run,
round by round, with the same endpoints; its balances are in memory only, ours are written before a Fulfill is passed
on. A figure is the time of one packet; its note has the packets a second of both.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.connector_town import (
    Load,
    Packets,
    btp_endpoint,
    http_receiver,
    http_sender,
    js_command,
    js_connector,
    on_endpoints_core,
    our_connector,
)
from infra.ports import free_port
from infra.postgres import Postgres
from settlement.ilp.link import Link, LinkDown

ROUNDS = 3
SECONDS = 1.2
WINDOW = 64
LEAST = {"BTP, 64 in flight": 4_000, "HTTP, 64 in flight": 2_000}
"""Packets a second that a connector must reach whatever the other one does."""
STRETCHES, STRETCH_SECONDS = 12, 0.25
"""How often, and for how long, the other peer is quiet, and floods."""
FLOODER_RATE = 500
"""Packets a second that the flooding peer may send; it sends ten times as many."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One connector's endpoints. Fields: btp, http (links that send to the other endpoint of their kind); mallory (of
    a peer whose packets are limited; None with the other connector).
    """

    btp: Link
    http: Link
    mallory: Link | None = None

    def load(self, kind: str) -> Load:
        """Packets over BTP or HTTP."""
        return Load(self.btp, "test.hub.b.x") if kind == "BTP" else Load(self.http, "test.hub.d.x")


@asynccontextmanager
async def ours(folder: Path, **connector: Any) -> AsyncIterator[Sides]:
    """Our connector with two endpoints over BTP and two over HTTP."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(http_receiver("from-hub"))
        accounts: list[dict[str, Any]] = [
            {"id": "a", "btp": {"token": "token-a"}},
            {"id": "b", "btp": {"token": "token-b"}},
            {"id": "c", "http": {"token": "token-c"}},
            {"id": "d", "http": {"url": f"http://127.0.0.1:{receiver}/ilp", "outgoing_token": "from-hub"}},
            {
                "id": "mallory",
                "btp": {"token": "token-m"},
                "packets_per_second": FLOODER_RATE,
                "burst": FLOODER_RATE // 10,
            },
        ]
        ports = await stack.enter_async_context(our_connector(folder, accounts, **connector))
        sender = await stack.enter_async_context(btp_endpoint(ports["btp"], "token-a"))
        await stack.enter_async_context(btp_endpoint(ports["btp"], "token-b"))
        poster = await stack.enter_async_context(http_sender(f"http://127.0.0.1:{ports['http']}/ilp", "token-c"))
        mallory = await stack.enter_async_context(btp_endpoint(ports["btp"], "token-m"))
        yield Sides(sender, poster, mallory)


@asynccontextmanager
async def theirs() -> AsyncIterator[Sides]:
    """`ilp-connector` with the same endpoints."""
    a, b, c, d = (free_port() for _ in range(4))
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(http_receiver("from-hub"))

        def btp(port: int, token: str) -> dict[str, Any]:
            return {"plugin": "ilp-plugin-btp", "options": {"listener": {"port": port, "secret": token}}}

        def http(port: int, token: str, url: str) -> dict[str, Any]:
            outgoing = {"url": url, "staticToken": "from-hub"}
            incoming = {"port": port, "staticToken": token}
            return {"plugin": "ilp-plugin-http", "options": {"incoming": incoming, "outgoing": outgoing}}

        url = f"http://127.0.0.1:{receiver}/ilp"
        accounts = {
            "a": btp(a, "token-a"),
            "b": btp(b, "token-b"),
            "c": http(c, "token-c", url),
            "d": http(d, "token-d", url),
        }
        await stack.enter_async_context(js_connector(accounts))
        sender = await stack.enter_async_context(btp_endpoint(a, "token-a"))
        await stack.enter_async_context(btp_endpoint(b, "token-b"))
        poster = await stack.enter_async_context(http_sender(f"http://127.0.0.1:{c}/", "token-c"))
        yield Sides(sender, poster)


async def rounds(sides: dict[str, Sides], kind: str, window: int) -> dict[str, list[tuple[float, float]]]:
    """Packets a second and the p99 in ms of each round, by whose connector it is."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, side in sides.items():
            load = side.load(kind)
            rate = await load.volley(SECONDS / 4 if number == 0 else SECONDS, window)
            if number:  # the first round warms up
                found[name].append((rate, load.percentile(99)))
    return found


def figures(case: str, found: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Our time of a packet, and that as a multiple of the other's."""
    mine = [rate for rate, _ in found["ours"]]
    rate, p99 = statistics.median(mine), statistics.median(late for _, late in found["ours"])
    least = LEAST.get(case)
    note = f"{rate:,.0f} packets/s, p99 {p99:.1f} ms"
    rows: list[dict[str, Any]] = [
        {
            "name": f"One packet through our connector, {case}",
            "value": 1e6 / rate,
            "unit": "µs",
            "target": None if least is None else 1e6 / least,
            "samples": [1e6 / each for each in mine],
            "note": note,
        }
    ]
    if "theirs" in found:
        other = statistics.median(rate for rate, _ in found["theirs"])
        late = statistics.median(late for _, late in found["theirs"])
        ratios = [theirs[0] / ours[0] for ours, theirs in zip(found["ours"], found["theirs"], strict=True)]
        rows.append(
            {
                "name": f"The same as a multiple of ilp-connector's time, {case}",
                "value": other / rate,
                "unit": "×",
                "target": 1.0,
                "samples": ratios,
                "note": f"ours {rate:,.0f}, ilp-connector {other:,.0f} packets/s (p99 {late:.1f} ms)",
            }
        )
    return rows


async def half_load(side: Sides, most: float) -> dict[str, Any]:
    """The p99 at half of the most that was measured."""
    load = side.load("BTP")
    await load.paced(2.5, most / 2)
    note = f"{most / 2:,.0f} packets/s over BTP; p50 {load.percentile(50):.2f} ms"
    name = "p99 of a packet at half the maximum load"
    return {"name": name, "value": load.percentile(99), "unit": "ms", "target": 15, "samples": len(load.times)} | {
        "note": note
    }


async def flooded(side: Sides) -> dict[str, Any]:
    """How much later the slowest of a hundred of one peer's packets are while another peer floods at ten times its
    limit. Quiet and loud stretches alternate quickly, so that what else the machine does falls on both alike."""
    assert side.mallory is not None, "ours"
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * STRETCHES):
        load, is_loud = side.load("BTP"), number % 2
        flood = asyncio.create_task(send_flood(side.mallory)) if is_loud else None
        await load.paced(STRETCH_SECONDS, 1_000)
        if flood is not None:
            flood.cancel()
        times[is_loud].extend(load.times)
    quiet, loud = (statistics.quantiles(each, n=100)[98] * 1e3 for each in times)
    return {
        "name": "p99 of a peer's packets while another floods at 10 times its limit, as a multiple of the quiet p99",
        "value": loud / quiet,
        "unit": "×",
        "target": 2,
        "samples": len(times[1]),
        "note": f"{quiet:.2f} and {loud:.2f} ms at 1,000 packets/s; the limit is {FLOODER_RATE} packets/s",
    }


async def send_flood(link: Link) -> None:
    """Ten times the limit, in small portions."""
    packets, loop = Packets("test.hub.b.x"), asyncio.get_running_loop()
    begun, sent = loop.time(), 0
    while True:
        while sent < (loop.time() - begun) * FLOODER_RATE * 10:
            sent += 1
            try:
                link.send(packets.next(), lambda _answer: None)
            except LinkDown:
                return
        await asyncio.sleep(0.001)


async def durable(folder: Path, server: Postgres) -> list[dict[str, Any]]:
    """What durability costs: SQLite and PostgreSQL, surviving the process and the machine."""
    found = []
    name = "bench_connector"
    await server.create_database(name)
    urls = {"SQLite": None, "PostgreSQL": server.url(name, "postgresql")}
    for database, url in urls.items():
        for durability in ("process", "power"):
            settings = {"durability": durability} | ({} if url is None else {"database": url})
            async with ours(folder, **settings) as side:
                load = side.load("BTP")
                await load.volley(0.4, WINDOW)
                rate = await load.volley(SECONDS, WINDOW)
                late = load.percentile(99)
            found.append(
                {
                    "name": f"One packet, BTP, 64 in flight, balances on {database} survive {durability}",
                    "value": 1e6 / rate,
                    "unit": "µs",
                    "target": None,
                    "samples": len(load.times),
                    "note": f"{rate:,.0f} packets/s, p99 {late:.1f} ms",
                }
            )
    return found


async def measure() -> list[dict[str, Any]]:
    """All figures."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            sides = {"ours": await stack.enter_async_context(ours(folder))}
            if js_command("connector_bare.js") is not None:
                sides["theirs"] = await stack.enter_async_context(theirs())
            many = await rounds(sides, "BTP", WINDOW)
            found += figures("BTP, 64 in flight", many)
            found += figures("BTP, one in flight", await rounds(sides, "BTP", 1))
            found += figures("HTTP, 64 in flight", await rounds(sides, "HTTP", WINDOW))
            found.append(await half_load(sides["ours"], statistics.median(rate for rate, _ in many["ours"])))
            found.append(await flooded(sides["ours"]))
        async with Postgres(durable=True) as server:
            found += await durable(folder, server)
            await server.remove()
    return found


def run() -> list[dict[str, Any]]:
    """See `benchmarks.run`."""
    found: list[dict[str, Any]] = on_endpoints_core(lambda: uvloop.run(measure()))
    return found
