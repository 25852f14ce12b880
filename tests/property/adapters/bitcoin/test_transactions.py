"""Parsing is the inverse of serializing, and whatever the bytes, nothing but `MalformedTransaction` is raised."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bitcoin.errors import MalformedTransaction
from adapters.bitcoin.primitives import OutPoint, TxOut
from adapters.bitcoin.transactions import ParsedTx, UnsignedTx, key_path_vsize, parse_transaction, serialize
from foundation.quantities import Satoshi
from tests.support.vault_coins import DESTINATIONS, coins, signatures

outpoints = st.builds(OutPoint, st.binary(min_size=32, max_size=32), st.integers(0, 0xFFFFFFFF))
outputs = st.builds(TxOut, st.integers(0, 10**14).map(Satoshi), st.binary(max_size=300))


@st.composite
def serialized(draw: st.DrawFn) -> bytes:
    """A transaction with one to four inputs, with witnesses or without."""
    points = draw(st.lists(outpoints, min_size=1, max_size=4, unique=True))
    spends = [(point, draw(st.integers(0, 0xFFFFFFFF))) for point in points]
    witness = st.lists(st.binary(max_size=300), max_size=3)
    witnesses = draw(st.none() | st.lists(witness, min_size=len(points), max_size=len(points)).filter(any))
    return serialize(spends, draw(st.lists(outputs, min_size=1, max_size=4)), witnesses)


def written_again(parsed: ParsedTx) -> bytes:
    """The bytes of a parsed transaction that this library wrote."""
    spends = list(zip(parsed.inputs, parsed.sequences, strict=True))
    return serialize(spends, parsed.outputs, parsed.witnesses if parsed.txid != parsed.wtxid else None)


@given(serialized())
def test_parsing_undoes_serializing(raw: bytes) -> None:
    """What is parsed from written bytes is written as the same bytes again."""
    assert written_again(parse_transaction(raw)) == raw


@given(serialized(), st.data())
def test_damaged_bytes_raise_nothing_else(raw: bytes, data: st.DataObject) -> None:
    """Bytes replaced, cut out or doubled either parse or raise `MalformedTransaction`."""
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 8)))
    with contextlib.suppress(MalformedTransaction):
        parse_transaction(raw[:start] + data.draw(st.binary(max_size=12)) + raw[end:])


@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: b"\x02\x00\x00\x00\x00\x01\x01" + tail))
def test_any_bytes_raise_nothing_else(raw: bytes) -> None:
    """Random bytes, and such that begin like a transaction, either parse or raise `MalformedTransaction`."""
    with contextlib.suppress(MalformedTransaction):
        parse_transaction(raw)


@settings(max_examples=20)
@given(st.integers(1, 5), st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=4))
def test_the_foretold_size_is_exact(count: int, scripts: list[bytes]) -> None:
    """Signing adds exactly what `vsize` foretells, for any number of inputs and any destinations."""
    unsigned = UnsignedTx(coins(*[10_000] * count), tuple(TxOut(Satoshi(1_000), script) for script in scripts))
    parsed = parse_transaction(unsigned.signed(signatures(unsigned)))
    assert parsed.vsize == unsigned.vsize == key_path_vsize(count, scripts)
    assert parsed.txid == unsigned.txid()
