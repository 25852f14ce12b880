"""How a child learns its address: RFC 31."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.errors import BadPacket
from settlement.ilp.ildcp import (
    Configuration,
    ConfigurationRefused,
    answer,
    decode_configuration,
    encode_configuration,
    is_request,
    read_answer,
    request,
)
from settlement.ilp.packets import Fulfill, Reject, decode, encode
from settlement.quantities import Asset, Condition, Preimage, Scale

PARENT = Address("test.parent")
TOLD = Configuration(Address("test.parent.child"), Asset("XRP", Scale(9)))


def test_a_child_asks_and_learns() -> None:
    """The request is the one that the RFC fixes, and its answer tells address and asset."""
    asked = decode(encode(request(UnixMs(1_000))))
    assert asked == request(UnixMs(1_000))
    assert asked.destination == "peer.config"
    assert base64.b64encode(asked.condition) == b"Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU="
    assert (asked.amount, asked.data) == (0, b"")
    assert is_request(asked)
    reply = answer(asked, TOLD, PARENT)
    assert isinstance(reply, Fulfill)
    assert reply.fulfillment == bytes(32)
    assert read_answer(reply) == TOLD


def test_the_answer_is_written_as_the_rfc_says() -> None:
    """Address, one byte of scale, and code stand in this order."""
    assert encode_configuration(TOLD).hex() == "11" + b"test.parent.child".hex() + "09" + "03" + b"XRP".hex()
    assert decode_configuration(encode_configuration(TOLD) + b"later") == TOLD


def test_another_condition_is_no_request() -> None:
    """A packet that cannot be fulfilled with zeros is rejected."""
    reply = answer(replace(request(UnixMs(1)), condition=Condition(b"x" * 32)), TOLD, PARENT)
    assert isinstance(reply, Reject)
    assert (reply.code, reply.triggered_by) == ("F00", PARENT)


@pytest.mark.parametrize(
    "data", [b"", b"\x03abc\x02\x03EUR", b"\x05g.a.b", b"\x05g.a.b\x02\x03E\xffR", b"\x05g.a.b\x02\x00"]
)
def test_an_answer_that_says_nothing_is_refused(data: bytes) -> None:
    """No address, a cut, and a code that is none are told from a configuration."""
    with pytest.raises(BadPacket):
        read_answer(Fulfill(Preimage(bytes(32)), data))


def test_refusals_are_told() -> None:
    """A parent that refuses is quoted, and a wrong preimage is no answer."""
    with pytest.raises(ConfigurationRefused) as refusal:
        read_answer(Reject("T00", PARENT, "not now", b""))
    assert (refusal.value.code, refusal.value.message) == ("T00", "not now")
    with pytest.raises(BadPacket):
        read_answer(Fulfill(Preimage(b"x" * 32), encode_configuration(TOLD)))
