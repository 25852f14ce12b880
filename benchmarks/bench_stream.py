"""A STREAM payment of 5,000 packets through one connector, end to end: ours, and the JavaScript stack beside it.

The connector runs on one core; sender and receiver, in one process, share the other. Sender and receiver do most of the
work: each packet is encrypted, opened, answered encrypted and opened again. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.connector_town import (
    ADDRESS,
    ROOT,
    btp_endpoint,
    js_command,
    js_connector,
    now_ms,
    on_endpoints_core,
    our_connector,
)
from infra.ports import free_port
from settlement.ilp.addresses import Address
from settlement.ilp.stream.client import StreamClient
from settlement.ilp.stream.server import StreamServer
from settlement.quantities import Units

PACKETS = 5_000
PACKET = 1_000_000
ROUNDS = 3
LEAST = 1_500
Pay = Callable[[int], Awaitable[float]]
"""Pays so many packets' worth, and answers the seconds that it took."""


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[Pay]:
    """Our sender, connector and receiver."""
    accounts = [
        {"id": "a", "max_packet": "0.001", "btp": {"token": "token-a"}},
        {"id": "b", "btp": {"token": "token-b"}},
    ]
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(our_connector(folder, accounts))
        server = StreamServer(Address(f"{ADDRESS}.b"), os.urandom(32), now_ms)
        sender = await stack.enter_async_context(btp_endpoint(ports["btp"], "token-a"))
        await stack.enter_async_context(btp_endpoint(ports["btp"], "token-b", server.handle))
        client = StreamClient(sender, now_ms)

        async def pay(packets: int) -> float:
            given, begun = server.invite(), time.perf_counter()
            payment = await client.pay(given.address, given.shared_secret, Units(packets * PACKET))
            assert payment.delivered == packets * PACKET
            assert payment.packets >= packets
            return time.perf_counter() - begun

        yield pay


@asynccontextmanager
async def theirs() -> AsyncIterator[Pay]:
    """`ilp-protocol-stream` at both ends of `ilp-connector`."""
    a, b = free_port(), free_port()

    def account(port: int, token: str) -> dict[str, Any]:
        options = {"listener": {"port": port, "secret": token}}
        return {"plugin": "ilp-plugin-btp", "maxPacketAmount": str(PACKET), "options": options}

    urls = [f"btp+ws://:{token}@127.0.0.1:{port}" for port, token in ((a, "token-a"), (b, "token-b"))]
    command = js_command("connector_stream.js", *urls)
    assert command is not None, "asked for by the caller"
    async with js_connector({"a": account(a, "token-a"), "b": account(b, "token-b")}):
        pipe = asyncio.subprocess.PIPE
        ends = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
        assert ends.stdin is not None
        assert ends.stdout is not None
        assert b"connected" in await ends.stdout.readline()
        write, read = ends.stdin.write, ends.stdout.readline

        async def pay(packets: int) -> float:
            write(json.dumps({"amount": str(packets * PACKET)}).encode() + b"\n")
            async with asyncio.timeout(60):
                told = json.loads(await read())
            assert told.get("delivered") == str(packets * PACKET), told
            return float(told["seconds"])

        try:
            yield pay
        finally:
            ends.stdin.close()
            await ends.wait()


async def measure() -> list[dict[str, Any]]:
    """Packets a second of both stacks."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        async with AsyncExitStack() as stack:
            stacks = {"ours": await stack.enter_async_context(ours(Path(folder)))}
            if js_command("connector_stream.js") is not None:
                stacks["theirs"] = await stack.enter_async_context(theirs())
            for pay in stacks.values():
                await pay(200)
            for _ in range(ROUNDS):
                for name, pay in stacks.items():
                    # The other stack's rounds tell enough with fewer packets, which keeps this short.
                    packets = PACKETS if name == "ours" else PACKETS // 2
                    found.setdefault(name, []).append(packets / await pay(packets))
    return figures(found)


def figures(found: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Our time a packet, and that as a multiple of the other stack's."""
    rate = statistics.median(found["ours"])
    rows: list[dict[str, Any]] = [
        {
            "name": f"One packet of a STREAM payment of {PACKETS:,}, sender, connector and receiver",
            "value": 1e6 / rate,
            "unit": "µs",
            "target": 1e6 / LEAST,
            "samples": [1e6 / each for each in found["ours"]],
            "note": f"{rate:,.0f} packets/s",
        }
    ]
    if "theirs" in found:
        other = statistics.median(found["theirs"])
        rows.append(
            {
                "name": "The same as a multiple of the JavaScript stack's time",
                "value": other / rate,
                "unit": "×",
                "target": 1.0,
                "samples": [theirs / ours for ours, theirs in zip(found["ours"], found["theirs"], strict=True)],
                "note": f"ours {rate:,.0f}, JavaScript {other:,.0f} packets/s",
            }
        )
    return rows


def run() -> list[dict[str, Any]]:
    """See `benchmarks.run`."""
    found: list[dict[str, Any]] = on_endpoints_core(lambda: uvloop.run(measure()))
    return found
