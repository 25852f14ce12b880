"""ILPv4 packets as bytes: what is written, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.errors import BadInput, Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.errors import (
    AmountTooLarge,
    BadPacket,
    Code,
    IlpReject,
    RateLimited,
    Unreachable,
    amount_limits,
    is_final,
    is_temporary,
)
from settlement.ilp.oer import length_prefix, var_octets
from settlement.ilp.packets import (
    Fulfill,
    Packet,
    Prepare,
    Reject,
    decode,
    decode_prepare,
    decode_reply,
    encode,
    forwarded,
    rejection,
)
from settlement.quantities import Condition, Preimage, Units

PREPARE = Prepare(
    Units(107), UnixMs(1_513_836_862_279), Condition(bytes(range(32))), Address("example.alice"), b"\x5d\xb3" * 80
)
FULFILL = Fulfill(Preimage(bytes(range(32))), b"data")
REJECT = Reject("F08", "example.connector", "zu groß", b"\x01\x02")
# Written by hand from RFC 27's tables.
PREPARE_HEAD = "0c81e9000000000000006b" + b"20171221061422279".hex()


def test_a_prepare_is_written_field_by_field() -> None:
    """Type, length, amount, time, condition, destination and data stand in the order of RFC 27."""
    raw = encode(PREPARE)
    assert raw.hex() == PREPARE_HEAD + bytes(range(32)).hex() + "0d" + b"example.alice".hex() + "81a0" + "5db3" * 80
    assert decode(raw) == PREPARE


@pytest.mark.parametrize("packet", [PREPARE, FULFILL, REJECT, replace(REJECT, triggered_by="", message="")])
def test_packets_read_back(packet: Packet) -> None:
    """What is written is read, from bytes and from a view, whatever bytes follow it."""
    assert decode(encode(packet)) == packet
    assert decode(memoryview(encode(packet) + b"later fields")) == packet


@pytest.mark.parametrize("packet", [PREPARE, FULFILL, REJECT])
def test_every_cut_is_refused(packet: Packet) -> None:
    """A packet that ends anywhere before its end is refused as a bad packet."""
    raw = encode(packet)
    for end in range(len(raw)):
        with pytest.raises(BadPacket):
            decode(raw[:end])


@pytest.mark.parametrize("packet", [PREPARE, FULFILL, REJECT])
def test_a_cut_hidden_by_a_shorter_envelope_is_refused(packet: Packet) -> None:
    """An envelope that ends inside a field does not make the reader run on into what follows it."""
    raw = encode(packet)
    content = raw[3 if packet is PREPARE else 2 :]
    for end in range(len(content)):
        with pytest.raises(BadPacket):
            decode(raw[:1] + length_prefix(end) + content)


@pytest.mark.parametrize("kind", [0, 1, 9, 11, 15, 255])
def test_other_types_are_refused(kind: int) -> None:
    """Packets of older versions of ILP, and unknown ones, are refused."""
    with pytest.raises(BadPacket):
        decode(bytes([kind]) + encode(FULFILL)[1:])


def test_an_answer_is_no_prepare() -> None:
    """Each decoder takes its own types only."""
    with pytest.raises(BadPacket):
        decode_prepare(encode(FULFILL))
    with pytest.raises(BadPacket):
        decode_reply(encode(PREPARE))


@pytest.mark.parametrize(
    ("field", "packet"),
    [
        ("amount", replace(PREPARE, amount=Units(2**64))),
        ("amount", replace(PREPARE, amount=Units(-1))),
        ("condition", replace(PREPARE, condition=Condition(bytes(31)))),
        ("destination", replace(PREPARE, destination=Address("nowhere"))),
        ("data", replace(PREPARE, data=bytes(32_768))),
        ("fulfillment", replace(FULFILL, fulfillment=Preimage(bytes(33)))),
        ("code", replace(REJECT, code="F0")),
        ("triggered_by", replace(REJECT, triggered_by="nowhere")),
    ],
)
def test_fields_out_of_bounds_are_not_written(field: str, packet: Packet) -> None:
    """A field that the packet cannot carry is refused and named."""
    with pytest.raises(BadInput) as refusal:
        encode(packet)
    assert refusal.value.field == field


def test_data_above_the_limit_are_refused_when_read() -> None:
    """A peer's data of more than 32,767 bytes, and a message of more than 8,191, are refused."""
    content = bytes(32) + var_octets(bytes(32_768))
    with pytest.raises(BadPacket):
        decode(b"\x0d" + length_prefix(len(content)) + content)
    content = b"F00\x00" + var_octets(bytes(8_192)) + b"\x00"
    with pytest.raises(BadPacket):
        decode(b"\x0e" + length_prefix(len(content)) + content)


def test_a_long_message_is_cut_between_characters() -> None:
    """A message of ours that is too long is cut to whole characters."""
    read = decode(encode(replace(REJECT, message="ß" * 5_000)))
    assert isinstance(read, Reject)
    assert read.message == "ß" * 4_095


def test_bytes_of_a_message_that_are_no_text_are_replaced() -> None:
    """A peer's broken text does not hide its error code."""
    content = b"T00\x00" + var_octets(b"\xffno") + b"\x00"
    read = decode(b"\x0e" + length_prefix(len(content)) + content)
    assert read == Reject("T00", "", "\ufffdno", b"")


def test_forwarding_changes_amount_and_expiry_alone() -> None:
    """A forwarded Prepare is the same packet with the new amount and expiry, and nothing behind it."""
    raw = forwarded(encode(PREPARE) + b"junk", Units(99), UnixMs(PREPARE.expires_at - 1000))
    assert raw == encode(replace(PREPARE, amount=Units(99), expires_at=UnixMs(PREPARE.expires_at - 1000)))
    with pytest.raises(BadInput):
        forwarded(raw, Units(2**64), PREPARE.expires_at)
    with pytest.raises(BadPacket):
        forwarded(encode(FULFILL), Units(1), PREPARE.expires_at)


def test_errors_become_rejects() -> None:
    """An error is answered by its code and words, and F08 tells its limits to programs."""
    assert rejection(Unreachable("no route"), "g.us") == Reject("F02", "g.us", "no route", b"")
    packet = rejection(AmountTooLarge(500, 100), "g.us")
    assert packet.code == "F08"
    assert amount_limits(packet.data) == (500, 100)


@pytest.mark.parametrize("data", [b"", bytes(15), bytes(16), (100).to_bytes(8, "big") * 2])
def test_limits_that_cannot_be_are_ignored(data: bytes) -> None:
    """An F08 whose data are short, zero or no limit says nothing."""
    assert amount_limits(data) is None


def test_every_code_has_one_error_of_the_right_root() -> None:
    """Each code of RFC 27 has one class; final ones are fatal, the others can be retried."""
    classes = {error.code: error for error in IlpReject.__subclasses__()}
    assert set(classes) == set(Code)
    for code, error in classes.items():
        assert issubclass(error, Fatal if is_final(code) else Retryable)
    assert is_temporary(RateLimited.code)
