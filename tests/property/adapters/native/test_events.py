"""Each event passes from its values to a log and back, and no log of another kind is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.grammar import BasicType, TupleType, parse
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.abi import Event, encode_values
from adapters.evm.errors import BadAnswer
from adapters.evm.types import BlockRef, Log
from adapters.native import events
from adapters.native.bindings import Bonds, Hub, Registry
from adapters.native.events import Position, decode_event
from foundation.quantities import BlockHeight

EVENTS = [value for group in (Registry, Bonds, Hub) for value in vars(group).values() if isinstance(value, Event)]
BLOCK = BlockRef(BlockHeight(5), b"\x05" * 32)
TRANSACTION = b"\x06" * 32


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any values of an ABI type."""
    if kind.is_array:
        return st.lists(values_of(kind.item_type), max_size=4).map(tuple)
    if isinstance(kind, TupleType):
        return st.tuples(*(values_of(part) for part in kind.components))
    assert isinstance(kind, BasicType)
    if kind.base == "uint":
        return st.integers(0, 2 ** int(kind.sub) - 1)
    if kind.base == "bool":
        return st.booleans()
    if kind.base == "string":
        return st.text(max_size=40)
    length = 20 if kind.base == "address" else kind.sub
    return st.binary(max_size=45) if length is None else st.binary(min_size=length, max_size=length)


def log_of(event: Event, values: tuple[Any, ...]) -> Log:
    """The log that a contract emits for an event."""
    pairs = list(zip(event.inputs, values, strict=True))
    topics = [encode_values([kind], [value], "topic") for (kind, indexed), value in pairs if indexed]
    rest = [(kind, value) for (kind, indexed), value in pairs if not indexed]
    data = encode_values([kind for kind, _ in rest], [value for _, value in rest], "data")
    return Log(b"\x01" * 20, (event.topic, *topics), data, BLOCK, TRANSACTION, 3)


def flat(value: Any) -> Any:
    """A typed event's values, structures as plain tuples."""
    if isinstance(value, tuple):
        return tuple(flat(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return tuple(flat(getattr(value, name)) for name in value.__dataclass_fields__ if name != "at")
    return value


def joined(value: tuple[Any, ...], event: Event) -> tuple[Any, ...]:
    """The typed values in the order of the event: terms and proofs, which are objects, are spread out."""
    if event is Hub.DepositAnnounced:
        return (value[0], *value[1])
    if event is Hub.ReleasePublished:
        return (*value[:2], *value[2])
    if event is Hub.DepositMinted:
        *before, txid, vout, group, fee, attesters = value
        return (*before, fee, attesters, txid, vout, group)
    return value


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.name))
@settings(max_examples=12)
@given(data=st.data())
def test_an_event_comes_back_from_its_log(event: Event, data: st.DataObject) -> None:
    """Whatever values a contract logs, the typed event has them, each in its place, and where it stood."""
    values = tuple(data.draw(values_of(parse(kind))) for kind, _ in event.inputs)
    decoded = decode_event(event.contract, log_of(event, values))
    assert type(decoded).__name__ == event.name
    assert decoded is not None
    assert decoded.at == Position(BLOCK, 3, TRANSACTION)
    assert joined(flat(decoded), event) == values


@given(topics=st.lists(st.binary(min_size=32, max_size=32), max_size=4), content=st.binary(max_size=200))
def test_unknown_logs_are_ignored(topics: list[bytes], content: bytes) -> None:
    """A log whose topic is none of ours, or that has none, is no event."""
    assert decode_event("Hub", Log(b"\x01" * 20, tuple(topics), content, BLOCK, TRANSACTION, 0)) is None


def test_an_event_counts_only_from_its_own_contract() -> None:
    """A log of one contract is not taken for an event of another, whatever its topic says."""
    log = log_of(Bonds.VoucherAdmitted, (b"\x02" * 20,))
    assert decode_event("Bonds", log) == events.VoucherAdmitted(Position(BLOCK, 3, TRANSACTION), b"\x02" * 20)
    assert decode_event("Hub", log) is None
    transferred = Log(b"\x01" * 20, (keccak(text="OwnershipTransferred(address,address)"),), b"", BLOCK, TRANSACTION, 0)
    assert decode_event("Bonds", transferred) is None


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.name))
@settings(max_examples=12)
@given(cut=st.integers(0, 31), extra=st.binary(max_size=31))
def test_a_malformed_event_is_a_bad_answer(event: Event, cut: int, extra: bytes) -> None:
    """A log of ours with too little in it is refused with a typed error, and nothing else is ever raised."""
    log = Log(b"\x01" * 20, (event.topic,), b"\xff" * cut + extra, BLOCK, TRANSACTION, 0)
    with pytest.raises(BadAnswer):
        decode_event(event.contract, log)
