"""What the pipeline does with any bytes: forward the same packet with another amount and expiry, or refuse once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.ilp.errors import Code
from settlement.ilp.link import Reply
from settlement.ilp.packets import MAX_DATA_BYTES, Reject, encode
from tests.support.connector import ALICE, CAROL, OURS, START, Core, make_core, make_prepare

DATA = st.integers(0, MAX_DATA_BYTES).map(bytes)


class Raw:
    """A link that keeps the bytes."""

    is_up = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Keep them."""
        self.sent.append(prepare)


def with_core(check: Callable[[Core, Raw], Awaitable[None]]) -> None:
    """Run a check on a core whose account carol is a raw link."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            core = await make_core(Path(folder), [replace(ALICE, floor=None), CAROL])
            raw = Raw()
            core.accounts["carol"].link = raw
            try:
                await check(core, raw)
            finally:
                await core.close()

    asyncio.run(run())


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 10**15), st.integers(2_000, 40_000), DATA), min_size=1, max_size=10))
def test_forwarded_bytes_are_the_packet_encoded_anew(packets: list[tuple[int, int, bytes]]) -> None:
    """Replacing amount and expiry in place gives the very bytes that decoding and encoding would."""

    async def check(core: Core, raw: Raw) -> None:
        for amount, left, data in packets:
            packet = make_prepare(amount, f"{OURS}.carol.x", expires_at=START + left, data=data)
            core.take("alice", packet)
            expiry = min(START + left - 1_000, START + 30_000)
            assert raw.sent[-1] == encode(replace(packet, amount=amount * 110, expires_at=expiry))

    with_core(check)


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.tuples(st.integers(0, 150), st.binary(min_size=1, max_size=4)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_bytes_are_forwarded_or_refused_once(inputs: list[bytes | tuple[int, bytes]]) -> None:
    """Bytes that are no packet, and packets with bytes changed, get one answer at most, and none is our error."""

    async def check(core: Core, raw: Raw) -> None:
        for given_bytes in inputs:
            if isinstance(given_bytes, bytes):
                message = given_bytes
            else:
                good = encode(make_prepare(5, f"{OURS}.carol.x"))
                place, change = given_bytes
                message = good[:place] + change + good[place + len(change) :]
            before = len(raw.sent)
            replies = core.take("alice", message)
            forwarded = len(raw.sent) - before
            assert forwarded + len(replies.all) == 1
            for reply in replies.all:
                assert isinstance(reply, Reject)
                assert reply.code != Code.INTERNAL_ERROR
            if forwarded:
                assert len(raw.sent[-1]) <= len(message)

    with_core(check)
