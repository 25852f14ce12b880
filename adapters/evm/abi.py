"""Functions and events of contracts: encoding and decoding by their ABI types. Source: Solidity's ABI specification.

Inside, addresses are 20 bytes, lists and structures are tuples. A test compares the bindings that are declared with
these types to what the compiler says of the contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.grammar import ABIType, BasicType, TupleType, parse
from eth_utils.crypto import keccak

from adapters.evm.errors import BadAnswer
from adapters.evm.types import Log
from foundation.errors import BadInput


@dataclass(frozen=True)
class Function:
    """A function. Fields: contract (its name, for messages); name; inputs, outputs (ABI types in order)."""

    contract: str
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def signature(self) -> str:
        """Name and input types."""
        return f"{self.name}({','.join(self.inputs)})"

    @cached_property
    def selector(self) -> bytes:
        """The first 4 bytes of a call."""
        return keccak(text=self.signature)[:4]

    @property
    def label(self) -> str:
        """Contract and name, for people and errors."""
        return f"{self.contract}.{self.name}"

    def encode(self, *arguments: Any) -> bytes:
        """A call's data. Raises `BadInput` for arguments that do not fit their types."""
        return self.selector + encode_values(self.inputs, arguments, self.label)

    def decode(self, answer: bytes) -> tuple[Any, ...]:
        """What a call returned. Raises `BadAnswer`: there is no such contract, or it is another one."""
        try:
            return decode_values(self.outputs, answer)
        except DecodingError as error:
            problem = str(error) if answer else "nothing is there: no such contract"
            raise BadAnswer("eth_call", self.label, problem) from error


@dataclass(frozen=True)
class Event:
    """An event. Fields: contract; name; inputs (type and whether it is indexed, in order)."""

    contract: str
    name: str
    inputs: tuple[tuple[str, bool], ...]

    @cached_property
    def signature(self) -> str:
        """Name and types."""
        return f"{self.name}({','.join(kind for kind, _ in self.inputs)})"

    @cached_property
    def topic(self) -> bytes:
        """The first topic of its logs."""
        return keccak(text=self.signature)

    def decode(self, log: Log) -> tuple[Any, ...]:
        """The values in a log, in the order of declaration. Raises `BadAnswer`."""
        indexed = [kind for kind, is_indexed in self.inputs if is_indexed]
        try:
            topics = iter(decode_values(indexed, b"".join(log.topics[1:])))
            rest = iter(decode_values([kind for kind, is_indexed in self.inputs if not is_indexed], log.data))
        except DecodingError as error:
            raise BadAnswer("eth_getLogs", f"{self.contract}.{self.name}", str(error)) from error
        return tuple(next(topics if is_indexed else rest) for _, is_indexed in self.inputs)


def encode_values(types: Sequence[str], values: Sequence[Any], name: str) -> bytes:
    """ABI encoding; unlike eth_abi's it pads nothing in silence. Raises `BadInput` naming `name` and the position."""
    if len(types) != len(values):
        raise BadInput(name, f"{len(values)} arguments", f"{len(types)} arguments")
    for index, (kind, value) in enumerate(zip(types, values, strict=True)):
        _check(parse(kind), value, f"{name}[{index}]")
    try:
        return encode(types, values)
    except (EncodingError, TypeError) as error:
        raise BadInput(name, str(error)) from error


def decode_values(types: Sequence[str], content: bytes) -> tuple[Any, ...]:
    """The inverse of `encode_values`; text that is no UTF-8 comes with escapes. Raises eth_abi's `DecodingError`."""
    # Contracts take any bytes for text. A voucher whose endpoint is no UTF-8 must not keep all others from reading on,
    # so text is decoded here: its encoding is that of bytes.
    values = decode([kind.replace("string", "bytes") for kind in types], content)
    return tuple(_inside(parse(kind), value) for kind, value in zip(types, values, strict=True))


def _check(kind: ABIType, value: Any, name: str) -> None:
    if kind.is_array:
        for index, item in enumerate(value):
            _check(kind.item_type, item, f"{name}[{index}]")
    elif isinstance(kind, TupleType):
        for index, (component, item) in enumerate(zip(kind.components, value, strict=True)):
            _check(component, item, f"{name}.{index}")
    else:
        length = _fixed_length(kind)
        if length is not None and len(value) != length:
            raise BadInput(name, f"{len(value)} bytes", f"{length} bytes")


def _fixed_length(kind: ABIType) -> int | None:
    if not isinstance(kind, BasicType):
        return None
    if kind.base == "address":
        return 20
    return kind.sub if kind.base == "bytes" and isinstance(kind.sub, int) else None


def _inside(kind: ABIType, value: Any) -> Any:
    """Addresses as bytes and bytes as text, everywhere within a value."""
    if kind.is_array:
        return tuple(_inside(kind.item_type, item) for item in value)
    if isinstance(kind, TupleType):
        return tuple(_inside(component, item) for component, item in zip(kind.components, value, strict=True))
    if isinstance(kind, BasicType) and kind.base == "address":
        return bytes.fromhex(value[2:])
    if isinstance(kind, BasicType) and kind.base == "string":
        return value.decode(errors="backslashreplace")
    return value


def function(contract: str, name: str, inputs: str = "", outputs: str = "") -> Function:
    """A function of a contract; its types as Solidity writes them, with commas between them."""
    return Function(contract, name, _split(inputs), _split(outputs))


def event(contract: str, name: str, inputs: str) -> Event:
    """An event of a contract; each type may have `indexed` before it."""
    kinds = [(kind.removeprefix("indexed "), kind.startswith("indexed ")) for kind in _split(inputs)]
    return Event(contract, name, tuple(kinds))


def _split(types: str) -> tuple[str, ...]:
    """Types at commas and spaces that are in no parentheses."""
    found, depth, start = [], 0, 0
    for index, character in enumerate(types):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            found.append(types[start:index].strip())
            start = index + 1
    last = types[start:].strip()
    return (*found, last) if last else tuple(found)
