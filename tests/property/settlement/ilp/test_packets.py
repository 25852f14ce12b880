"""ILPv4 packets and OER, for any contents and any bytes."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.ilp.addresses import SCHEMES, Address
from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, var_octets, var_uint
from settlement.ilp.packets import Fulfill, Packet, Prepare, Reject, decode, encode
from settlement.ilp.stream.packet import decode_packet
from settlement.quantities import Condition, Preimage, Units

SEGMENTS = st.lists(st.from_regex(r"[A-Za-z0-9_~-]{1,20}", fullmatch=True), min_size=1, max_size=5)
ADDRESSES = st.builds(
    lambda scheme, segments: Address(".".join((scheme, *segments))), st.sampled_from(SCHEMES), SEGMENTS
)
HASHES = st.binary(min_size=32, max_size=32)
DATA = st.binary(max_size=400) | st.binary(min_size=32_000, max_size=32_767)
MOMENTS = st.integers(0, 253_402_300_799_999).map(UnixMs)
PREPARES = st.builds(Prepare, st.integers(0, 2**64 - 1).map(Units), MOMENTS, HASHES.map(Condition), ADDRESSES, DATA)
FULFILLS = st.builds(Fulfill, HASHES.map(Preimage), DATA)
REJECTS = st.builds(
    Reject,
    st.from_regex(r"[FTR][0-9]{2}", fullmatch=True),
    ADDRESSES | st.just(""),
    st.text(st.characters(codec="utf-8"), max_size=200),
    DATA,
)


@given(PREPARES | FULFILLS | REJECTS)
def test_any_packet_reads_back(packet: Packet) -> None:
    """Decoding what was encoded gives the packet, and encoding it again the same bytes."""
    raw = encode(packet)
    assert decode(raw) == packet
    assert encode(decode(raw)) == raw


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda raw: b"\x0c" + raw))
def test_any_bytes_are_a_packet_or_refused(raw: bytes) -> None:
    """Whatever a peer sends, decoding it raises nothing but the one error."""
    for read in (decode, decode_packet):
        with suppress(BadPacket):
            read(raw)


@given(PREPARES | FULFILLS | REJECTS, st.data())
def test_a_changed_byte_changes_the_packet_or_is_refused(packet: Packet, data: st.DataObject) -> None:
    """No two packets' bytes read as the same packet: there is one encoding only."""
    raw = bytearray(encode(packet))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with suppress(BadPacket):
        read = decode(bytes(raw))
        assert read != packet or isinstance(packet, Reject)


@given(st.integers(0, 2**80), st.binary(max_size=70_000))
def test_variable_fields_read_back(number: int, content: bytes) -> None:
    """Integers and octet strings of any length are read as they were written."""
    reader = Reader(var_uint(number) + var_octets(content))
    assert reader.big_var_uint() == number
    assert reader.var_octets() == content
    assert reader.remaining == 0
