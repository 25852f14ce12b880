"""Links and hops in memory, and ilp-protocol-stream as a process at the other end of one."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from foundation.quantities import UnixMs
from settlement.ilp import ildcp
from settlement.ilp.addresses import Address
from settlement.ilp.errors import AmountTooLarge, IlpReject
from settlement.ilp.link import PacketHandler, Reply
from settlement.ilp.packets import decode_prepare, encode, forwarded, rejection
from settlement.quantities import Asset, Units
from tests.support.node_scripts import ROOT, node_command


def clock() -> UnixMs:
    """The time."""
    return UnixMs(time.time_ns() // 1_000_000)


class Hop:
    """A connector in memory between a sender and a handler: converts, limits and refuses.

    Fields: rate (what arrives for what was sent, as a fraction, to be changed while it runs); max_packet; trouble
    (called with each packet's amount, may return an error to refuse it with); sent (packets).
    """

    is_up = True

    def __init__(self, handler: PacketHandler, rate: tuple[int, int] = (1, 1), max_packet: int = 2**64 - 1) -> None:
        self.handler = handler
        self.rate = rate
        self.max_packet = max_packet
        self.sent = 0
        self.trouble: Any = None

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Forward one packet, later in the same loop."""
        self.sent += 1
        asyncio.get_running_loop().call_soon(self._forward, prepare, reply)

    def _forward(self, prepare: bytes, reply: Reply) -> None:
        packet = decode_prepare(prepare)
        try:
            if packet.amount > self.max_packet:
                raise AmountTooLarge(packet.amount, self.max_packet)
            if self.trouble is not None and (error := self.trouble(packet.amount)) is not None:
                raise error
        except IlpReject as error:
            reply(encode(rejection(error, "test.hop")))
            return
        arrives = packet.amount * self.rate[0] // self.rate[1]
        self.handler("hop", forwarded(prepare, Units(arrives), UnixMs(packet.expires_at - 500)), reply)


class StreamPeer:
    """ilp-protocol-stream in a process. Its packets go to `handler`; ours go to it by `send`, which makes it a `Link`.

    Fields: handler; told (what it said besides answers, by kind).
    """

    is_up = True

    def __init__(self, address: Address, asset: Asset, handler: PacketHandler | None = None) -> None:
        self.handler = handler
        self.told: dict[str, list[Any]] = defaultdict(list)
        self._configuration = ildcp.Configuration(address, asset)
        self._waiting: dict[int, Reply] = {}
        self._next = 1
        self._news = asyncio.Condition()

    async def __aenter__(self) -> StreamPeer:
        command = node_command("stream_peer.js", "ilp-protocol-stream")
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT, limit=2**22)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Hand a packet of ours to it."""
        self._waiting[self._next] = reply
        self._say({"packet": prepare.hex(), "id": self._next})
        self._next += 1

    async def command(self, answer: str, **asked: Any) -> Any:
        """Tell it to do something, and wait for what it says of this kind."""
        self._say(asked)
        return await self.hear(answer)

    async def hear(self, kind: str) -> Any:
        """The next thing of this kind that it says; what went wrong in it is this test's failure."""
        async with self._news:
            await self._news.wait_for(lambda: self.told[kind] or self.told["failed"])
        assert not self.told["failed"], self.told["failed"]
        return self.told[kind].pop(0)

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "packet" in told:
                self._take(bytes.fromhex(told["packet"]), told["id"])
            elif "answer" in told:
                self._waiting.pop(told["id"])(bytes.fromhex(told["answer"]))
            else:
                async with self._news:
                    for kind, value in told.items():
                        self.told[kind].append(value)
                    self._news.notify_all()

    def _take(self, prepare: bytes, number: int) -> None:
        def reply(raw: bytes) -> None:
            if not self._reading.done():
                self._say({"answer": raw.hex(), "id": number})

        packet = decode_prepare(prepare)
        if ildcp.is_request(packet):
            reply(encode(ildcp.answer(packet, self._configuration, Address("test.parent"))))
        else:
            assert self.handler is not None
            self.handler("js", prepare, reply)
