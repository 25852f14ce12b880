"""The declared functions and events are those of the compiled contracts, and values pass both ways unharmed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.evm.abi import Event, Function, decode_values, encode_values
from adapters.evm.errors import BadAnswer
from adapters.evm.escrow.bindings import Anchors, Escrow
from adapters.evm.lockbox.bindings import Lockbox
from adapters.native import bindings
from contracts import artifacts
from foundation.errors import BadInput

CONTRACTS = {
    "Registry": bindings.Registry,
    "Bonds": bindings.Bonds,
    "Hub": bindings.Hub,
    "MappingToken": bindings.Token,
    "Lockbox": Lockbox,
    "Escrow": Escrow,
    "Anchors": Anchors,
}


def declared(kind: type[Function] | type[Event]) -> list[Any]:
    """All functions or events of the bindings."""
    return [value for group in CONTRACTS.values() for value in vars(group).values() if isinstance(value, kind)]


def compiled(contract: str, what: str) -> dict[str, dict[str, Any]]:
    """What the compiler says of a contract's functions or events, by name."""
    entries = [entry for entry in artifacts.load(contract).abi if entry["type"] == what]
    return {entry["name"]: entry for entry in entries}


def abi_type(entry: dict[str, Any]) -> str:
    """The type of a parameter, structures as tuples."""
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(abi_type(part) for part in entry['components'])}){kind.removeprefix('tuple')}"


@pytest.mark.parametrize("function", declared(Function), ids=lambda function: str(function.label))
def test_functions_are_those_of_the_contracts(function: Function) -> None:
    """Name, inputs and outputs of each function are what the compiler made."""
    entry = compiled(function.contract, "function")[function.name]
    assert tuple(abi_type(part) for part in entry["inputs"]) == function.inputs
    assert tuple(abi_type(part) for part in entry["outputs"]) == function.outputs


@pytest.mark.parametrize("event", declared(Event), ids=lambda event: f"{event.contract}.{event.name}")
def test_events_are_those_of_the_contracts(event: Event) -> None:
    """Name, types and indexes of each event are what the compiler made."""
    entry = compiled(event.contract, "event")[event.name]
    assert tuple((abi_type(part), part["indexed"]) for part in entry["inputs"]) == event.inputs


@pytest.mark.parametrize("contract", ["Registry", "Bonds", "Hub", "Lockbox", "Escrow", "Anchors"])
def test_no_event_is_forgotten(contract: str) -> None:
    """Each event of our contracts is declared, but for those of a change of owner."""
    known = {event.name for event in declared(Event) if event.contract == contract}
    assert set(compiled(contract, "event")) - known <= {"OwnershipTransferred"}


def test_text_that_is_no_text_does_not_stop_the_reader() -> None:
    """Bytes that are no UTF-8, which a contract takes for text, are shown as escapes, in structures and lists too."""
    content = encode(["(bytes,string)[]", "string"], [[(b"\xff", b"tcp://\xff\xfe:1".decode("latin-1"))], "ü"])
    spoilt = content.replace("tcp://ÿþ:1".encode(), b"tcp://\xff\xfe:1\0\0")
    assert spoilt != content
    ((pair,), text) = decode_values(["(bytes,string)[]", "string"], spoilt)
    assert pair[0] == b"\xff"
    assert pair[1].startswith(r"tcp://\xff\xfe:1")
    assert text == "ü"


@pytest.mark.parametrize(
    ("types", "values"),
    [
        (["address"], [b"\x01" * 19]),
        (["bytes32"], [b"\x01" * 33]),
        (["bytes32[]"], [[b"\x01" * 31]]),
        (["(bytes32,uint256)[]"], [[(b"\x01" * 31, 1)]]),
        (["uint8"], [256]),
        (["uint256"], [-1]),
        (["uint256"], ["1"]),
        (["uint256"], []),
    ],
)
def test_values_that_do_not_fit_are_refused_by_place(types: list[str], values: list[Any]) -> None:
    """A value of the wrong length, range, kind or number is refused, and its place named."""
    with pytest.raises(BadInput) as refusal:
        encode_values(types, values, "Hub.call")
    assert refusal.value.field.startswith("Hub.call")


def test_an_answer_of_nobody_is_told() -> None:
    """An empty answer says that no contract is there; a short one that it is another."""
    with pytest.raises(BadAnswer, match="no such contract"):
        bindings.Hub.supply.decode(b"")
    with pytest.raises(BadAnswer):
        bindings.Hub.supply.decode(b"\x01")
