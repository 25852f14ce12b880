"""STREAM packets: what is ignored, and what is refused."""

from __future__ import annotations

import pytest

from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import var_octets, var_uint
from settlement.ilp.packets import FULFILL, PREPARE
from settlement.ilp.stream.frames import StreamMoney, decode_frame, encode_frame
from settlement.ilp.stream.packet import MAX_FRAMES, StreamPacket, decode_packet

MONEY = StreamMoney(1, 10)
HEAD = bytes([1, PREPARE]) + var_uint(7) + var_uint(5)


def test_frames_of_unknown_types_are_ignored() -> None:
    """A later version's frame among known ones is passed over."""
    raw = HEAD + var_uint(3) + encode_frame(MONEY) + b"\x7f" + var_octets(b"later") + encode_frame(MONEY)
    assert decode_packet(raw) == StreamPacket(PREPARE, 7, 5, (MONEY, MONEY))
    assert decode_frame(0x7F, b"later") is None


def test_padding_and_later_fields_are_ignored() -> None:
    """Zeros, and whatever follows the frames, do not change the packet."""
    packet = StreamPacket(FULFILL, 2**40, 3, (MONEY,))
    padded = packet.encode(pad_to=500)
    assert len(padded) == 500
    assert decode_packet(padded) == packet
    assert decode_packet(packet.encode() + b"later") == packet


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02" + HEAD[1:] + var_uint(0),
        b"\x01\x0b" + HEAD[2:] + var_uint(0),
        HEAD + var_uint(1),
        HEAD + var_uint(1) + b"\x11\x05\x01\x01",
        HEAD + var_uint(1) + b"\x11" + var_octets(var_uint(1)),
        HEAD + var_uint(1) + b"\x02" + var_octets(var_octets(b"nowhere")),
        HEAD + var_uint(1) + b"\x01" + var_octets(b"\x01" + var_octets(b"\xff")),
        HEAD + var_uint(MAX_FRAMES + 1) + encode_frame(MONEY) * (MAX_FRAMES + 1),
    ],
    ids=["empty", "version", "kind", "no frame", "cut frame", "missing field", "address", "text", "too many"],
)
def test_malformed_packets_are_refused(raw: bytes) -> None:
    """Other versions, cut frames, wrong contents and floods of frames are refused."""
    with pytest.raises(BadPacket):
        decode_packet(raw)
