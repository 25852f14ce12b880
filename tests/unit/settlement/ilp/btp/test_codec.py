"""BTP packets in bytes."""

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.btp.codec import (
    JSON,
    MAX_ENTRIES,
    Entry,
    Failure,
    Message,
    Response,
    Transfer,
    decode,
    encode,
    failure,
    ilp_head,
    ilp_payload,
)
from settlement.ilp.errors import BadPacket
from settlement.quantities import Units

AT = UnixMs(1_503_919_823_123)
PACKETS = [
    (Response(1), "01 00000001 02 0100"),
    (Message(2**32 - 1, (Entry("ilp", b"\x0c\x00"),)), "06 ffffffff 0a 0101 03696c70 00 020c00"),
    (Message(9, (Entry("a", b""), Entry("b", b"{}", JSON))), "06 00000009 0c 0102 0161 00 00 0162 02 027b7d"),
    (Transfer(5, Units(2**64 - 1)), "07 00000005 0a ffffffffffffffff 0100"),
    (
        Failure(3, "F00", "NotAcceptedError", AT, b"no"),
        "02 00000003 2d 463030 104e6f7441636365707465644572726f7213 32303137303832383131333032332e3132335a 026e6f 0100",
    ),
]


@pytest.mark.parametrize(("packet", "text"), PACKETS)
def test_packets_are_the_bytes_that_the_standard_lays_out(packet, text):
    """Each kind of packet is written as RFC 23's ASN.1 says under RFC 30's rules, and read back from these bytes."""
    raw = bytes.fromhex(text)
    assert encode(packet) == raw
    assert decode(raw) == packet


@pytest.mark.parametrize(("packet", "text"), PACKETS)
def test_a_packet_that_is_cut_off_is_refused_wherever_it_is_cut(packet, text):
    """Every proper prefix of a packet is unreadable."""
    raw = bytes.fromhex(text)
    for length in range(len(raw)):
        with pytest.raises(BadPacket):
            decode(raw[:length])
        assert ilp_payload(raw[:length]) is None


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 8, 255])
def test_packet_types_that_are_not_of_version_2_are_refused(kind):
    """The types of BTP 1.0 (prepare, fulfill, reject) and unknown ones are unreadable."""
    with pytest.raises(BadPacket):
        decode(bytes([kind]) + bytes.fromhex("00000001 02 0100"))


def test_two_sub_protocols_of_one_name_are_refused():
    """A packet that names a sub-protocol twice breaks the rules of the protocol."""
    with pytest.raises(BadPacket) as refusal:
        decode(encode(Message(1, (Entry("ilp", b"\x0c"), Entry("ilp", b"\x0d")))))
    assert refusal.value.field == "protocol_data"


def test_a_count_of_sub_protocols_that_is_a_lie_costs_nothing():
    """A packet that announces more sub-protocols than we keep is refused before any of them is read."""
    with pytest.raises(BadPacket):
        decode(bytes.fromhex("06 00000001 09 08 ffffffffffffffff"))
    with pytest.raises(BadInput):
        encode(Message(1, (Entry("x", b""),) * (MAX_ENTRIES + 1)))


@pytest.mark.parametrize("length", [0, 1, 118, 119, 127, 128, 245, 255, 256, 32_767, 34_000, 70_000])
def test_the_short_way_for_packets_writes_and_reads_the_same_bytes_as_the_long_one(length):
    """A packet that carries nothing but an ILP packet has the same bytes by either way, at every length of lengths."""
    packet = bytes(length)
    raw = encode(Message(77, (Entry("ilp", packet),)))
    assert b"\x06" + (77).to_bytes(4, "big") + ilp_head(length) + packet == raw
    assert ilp_payload(raw) == packet
    assert ilp_payload(raw + b"more") == packet


@pytest.mark.parametrize(
    "text",
    [
        "06 00000001 0a 0101 03696c70 01 020c00",  # text, not octets
        "06 00000001 810a 0101 03696c70 00 020c00",  # a length that is not canonical
        "06 00000001 0b 0101 03696c70 00 81020c00",
        "06 00000001 0b 0101 03696c70 00 020c0000",  # more in the envelope than in the entry
        "06 00000001 09 0101 03696c70 00 020c00",  # and less
        "06 00000001 0a 0101 03696c70 00 030c0000",
        "06 00000001 0a 0102 03696c70 00 020c00",
        "06 00000001 ff",
        "",
    ],
)
def test_the_short_way_leaves_all_other_shapes_to_the_long_one(text):
    """Bytes that are not exactly one ILP packet in canonical framing are not taken the short way."""
    assert ilp_payload(bytes.fromhex(text)) is None


def test_values_that_do_not_fit_are_not_written():
    """Request ids, amounts, codes, names and data outside their range are refused when a packet is written."""
    for packet in (
        Message(2**32),
        Message(-1),
        Transfer(1, Units(2**64)),
        Message(1, (Entry("é", b""),)),
        Message(1, (Entry("a", b"", 256),)),
        Failure(1, "F0", "NotAcceptedError", AT),
        Failure(1, "F00", "NotAcceptedError", AT, bytes(8193)),
    ):
        with pytest.raises(BadInput):
            encode(packet)


def test_a_failure_says_when_it_happened():
    """An error keeps the millisecond of its time, and a time that is no moment of the calendar is refused."""
    raw = encode(failure(4, ("F00", "NotAcceptedError"), "why", AT))
    assert decode(raw) == Failure(4, "F00", "NotAcceptedError", AT, b"why")
    with pytest.raises(BadPacket):
        decode(raw.replace(b"20170828", b"20171328"))
    with pytest.raises(BadPacket):
        decode(raw.replace(b"20170828", b"2017082Z"))
