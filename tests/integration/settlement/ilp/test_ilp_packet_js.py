"""Our packets and those of `ilp-packet`, for any contents, in both directions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.ilp.addresses import SCHEMES, Address
from settlement.ilp.errors import BadPacket, Code
from settlement.ilp.packets import Fulfill, Packet, Prepare, Reject, decode, encode
from settlement.quantities import Condition, Preimage, Units
from tests.support.node_scripts import ROOT, node_command

SEGMENTS = st.lists(st.from_regex(r"[A-Za-z0-9_~-]{1,20}", fullmatch=True), min_size=1, max_size=6)
ADDRESSES = st.builds(lambda scheme, tail: Address(".".join((scheme, *tail))), st.sampled_from(SCHEMES), SEGMENTS)
HASHES = st.binary(min_size=32, max_size=32)
DATA = st.binary(max_size=400) | st.binary(min_size=32_700, max_size=32_767)
# JavaScript takes the years before 1000 for others, and the first millisecond of 1970 for an error.
MOMENTS = st.integers(-30_000_000_000_000, 253_402_300_799_999).filter(bool).map(UnixMs)
PREPARES = st.builds(Prepare, st.integers(0, 2**64 - 1).map(Units), MOMENTS, HASHES.map(Condition), ADDRESSES, DATA)
FULFILLS = st.builds(Fulfill, HASHES.map(Preimage), DATA)
MESSAGES = st.text(st.characters(codec="utf-8"), max_size=300)
REJECTS = st.builds(Reject, st.sampled_from([code.value for code in Code]), ADDRESSES | st.just(""), MESSAGES, DATA)
FREE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


class Codec:
    """The JavaScript codec, one line for one line."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = node_command("packet_codec.js", "ilp-packet")
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Ask one thing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    """One process for all examples."""
    process = Codec()
    yield process
    process.close()


def described(packet: Packet) -> dict[str, Any]:
    """A packet as the script writes it."""
    match packet:
        case Prepare():
            return {
                "type": 12,
                "amount": str(packet.amount),
                "expiresAt": packet.expires_at,
                "condition": packet.condition.hex(),
                "destination": packet.destination,
                "data": packet.data.hex(),
            }
        case Fulfill():
            return {"type": 13, "fulfillment": packet.fulfillment.hex(), "data": packet.data.hex()}
        case Reject():
            return {
                "type": 14,
                "code": packet.code,
                "triggeredBy": packet.triggered_by,
                "message": packet.message,
                "data": packet.data.hex(),
            }


@FREE
@given(packet=PREPARES | FULFILLS | REJECTS)
@example(packet=Prepare(Units(0), UnixMs(1), Condition(bytes(32)), Address("g.a"), b""))
@example(packet=Prepare(Units(2**64 - 1), UnixMs(1), Condition(bytes(32)), Address("g." + "a" * 1021), bytes(32_767)))
def test_both_write_the_same_bytes(codec: Codec, packet: Packet) -> None:
    """A packet that JavaScript encodes is, byte for byte, the one that we encode, and each reads the other's."""
    raw = encode(packet)
    assert codec.ask(encode=described(packet)) == {"raw": raw.hex()}
    assert codec.ask(decode=raw.hex()) == {"packet": described(packet)}
    assert decode(raw) == packet


@FREE
@given(packet=PREPARES | FULFILLS | REJECTS, data=st.data())
def test_what_javascript_refuses_we_refuse(codec: Codec, packet: Packet, data: st.DataObject) -> None:
    """A damaged packet that we accept is accepted by JavaScript too, and read as the same one."""
    raw = bytearray(encode(packet))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, min(len(raw), 120) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(len(raw) - 3, len(raw)))]
    try:
        read = decode(bytes(raw))
    except BadPacket:
        return
    if isinstance(read, Prepare) and (read.expires_at == 0 or read.expires_at < -30_000_000_000_000):
        return
    assert codec.ask(decode=bytes(raw).hex()) == {"packet": described(read)}
