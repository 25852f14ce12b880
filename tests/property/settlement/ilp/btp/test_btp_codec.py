"""BTP packets: whatever is written is read back, and no bytes do more harm than to be refused."""

from hypothesis import given
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.ilp.btp.codec import (
    Entry,
    Failure,
    Message,
    Response,
    Transfer,
    decode,
    encode,
    ilp_head,
    ilp_payload,
)
from settlement.ilp.errors import BadPacket
from settlement.quantities import Units

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
entries = st.lists(
    st.builds(Entry, names, st.binary(max_size=400), st.integers(0, 255)),
    max_size=5,
    unique_by=lambda entry: entry.name,
).map(tuple)
ids = st.integers(0, 2**32 - 1)
codes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=3, max_size=3)
moments = st.integers(0, 253_402_300_799_999).map(UnixMs)
packets = st.one_of(
    st.builds(Message, ids, entries),
    st.builds(Response, ids, entries),
    st.builds(Transfer, ids, st.integers(0, 2**64 - 1).map(Units), entries),
    st.builds(Failure, ids, codes, names, moments, st.binary(max_size=300), entries),
)


@given(packets)
def test_every_packet_is_read_back_as_it_was_written(packet):
    """Reading what was written gives the packet, and bytes after it change nothing."""
    raw = encode(packet)
    assert decode(raw) == packet
    assert decode(raw + b"\x00") == packet


@given(st.one_of(st.binary(max_size=200), st.tuples(packets, st.data()).map(lambda drawn: damaged(*drawn))))
def test_no_bytes_raise_anything_but_a_bad_packet(raw):
    """Damaged and random bytes are read or refused, and both ways of reading agree."""
    payload = ilp_payload(raw)
    try:
        packet = decode(raw)
    except BadPacket:
        # The short way does not look at the type, its caller does.
        assert payload is None or raw[0] not in {1, 6}
        return
    if payload is not None and isinstance(packet, Message | Response):
        assert packet.entries == (Entry("ilp", payload),)


@given(ids, st.binary(max_size=70_000))
def test_an_ilp_packet_has_the_same_bytes_by_the_short_and_the_long_way(request_id, packet):
    """The framing that is kept for speed is the codec's own."""
    raw = b"\x01" + request_id.to_bytes(4, "big") + ilp_head(len(packet)) + packet
    assert raw == encode(Response(request_id, (Entry("ilp", packet),)))
    assert ilp_payload(raw) == packet


def damaged(packet, data):
    raw = bytearray(encode(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    return bytes(raw[: data.draw(st.integers(0, len(raw)))])
