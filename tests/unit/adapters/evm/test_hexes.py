"""Numbers, bytes and addresses as text."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.evm.errors import BadAnswer
from adapters.evm.hexes import address_text, parse_address, read_data, read_quantity
from foundation.errors import BadInput

CHECKSUMMED = (  # EIP-55's own examples
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
)


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_addresses_are_written_and_read_with_their_checksum(text: str) -> None:
    """The text of an address is EIP-55's, and comes back; so does the text without a checksum."""
    address = parse_address(text)
    assert address_text(address) == text
    assert parse_address(text.lower()) == address
    assert parse_address("0x" + text[2:].upper()) == address


@pytest.mark.parametrize(
    "text",
    [
        CHECKSUMMED[0].swapcase().replace("X", "x"),
        CHECKSUMMED[0][:-1] + "D",
        CHECKSUMMED[0][:-1],
        CHECKSUMMED[0][2:],
        CHECKSUMMED[0] + "00",
        "0x" + "g" * 40,
        "0x" + "٣" * 40,
        "",
    ],
)
def test_a_mistyped_address_is_refused(text: str) -> None:
    """A wrong checksum, a wrong length and what is no hex are refused by the field's name."""
    with pytest.raises(BadInput) as refusal:
        parse_address(text, "recipient")
    assert refusal.value.field == "recipient"


@pytest.mark.parametrize("value", [None, 5, "5", "0x", "0xg", [], {}])
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    """A number that is not written as a node has to is refused."""
    with pytest.raises(BadAnswer):
        read_quantity(value, "eth_x", "field")


@pytest.mark.parametrize("value", [None, 5, "ab", "0xa", "0xzz", "0xab"])
def test_what_is_no_data_is_refused(value: Any) -> None:
    """Bytes that are not written as a node has to, or of another length, are refused."""
    with pytest.raises(BadAnswer) as refusal:
        read_data(value, "eth_x", "field", 2)
    assert (refusal.value.method, refusal.value.field) == ("eth_x", "field")
