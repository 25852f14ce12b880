"""Numbers and bytes as JSON-RPC writes them (execution-apis: QUANTITY and DATA), checked when they come in."""

from __future__ import annotations

import re
from typing import Any, Final

from adapters.evm.errors import BadAnswer
from foundation.errors import BadInput

_ADDRESS_DIGITS: Final = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)


def quantity(number: int) -> str:
    """A number as QUANTITY."""
    return hex(number)


def data(content: bytes) -> str:
    """Bytes as DATA."""
    return "0x" + content.hex()


def address_text(account: bytes) -> str:
    """The checksummed text of an address of 20 bytes, for people (EIP-55)."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(account))


def parse_address(text: str, field: str = "address") -> bytes:
    """The 20 bytes of an address in text, whose checksum is checked where it has one (EIP-55).

    Raises:
        BadInput: not 0x and 40 hex digits, or a wrong checksum; names `field`.
    """
    digits = text[2:]
    if not text.startswith("0x") or not _ADDRESS_DIGITS.fullmatch(digits):
        raise BadInput(field, f"{text!r} is no address", "0x and 40 hex digits")
    address = bytes.fromhex(digits)
    # In one case alone there is no checksum.
    if digits not in (digits.lower(), digits.upper()) and text != address_text(address):
        raise BadInput(field, f"{text!r} has a wrong checksum", "the address as it was given, without a mistyped digit")
    return address


def read_quantity(value: Any, method: str, field: str) -> int:
    """The number of a QUANTITY. Raises `BadAnswer`."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise BadAnswer(method, field, "is no hex number")
    try:
        return int(value, 16)
    except ValueError as error:
        raise BadAnswer(method, field, "is no hex number") from error


def read_data(value: Any, method: str, field: str, length: int | None = None) -> bytes:
    """The bytes of DATA, of `length` bytes where that is given. Raises `BadAnswer`."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise BadAnswer(method, field, "is no hex data")
    try:
        content = bytes.fromhex(value[2:])
    except ValueError as error:
        raise BadAnswer(method, field, "is no hex data") from error
    if length is not None and len(content) != length:
        raise BadAnswer(method, field, f"has {len(content)} bytes, not {length}")
    return content


def read_field(value: Any, method: str, field: str) -> Any:
    """A member of an answer that has to be an object; `field` is its last dotted part. Raises `BadAnswer`."""
    if not isinstance(value, dict) or field not in value:
        raise BadAnswer(method, field, "is missing")
    return value[field]
