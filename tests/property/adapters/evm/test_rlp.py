"""RLP, against the `rlp` package."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.rlp import encode, scalar

ITEMS = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=20)


@settings(max_examples=150)
@given(ITEMS)
def test_items_are_written_as_another_implementation_does(item: Any) -> None:
    """Bytes and lists of any depth are the same."""
    assert encode(item) == rlp.encode(item)


@pytest.mark.parametrize("length", [0, 1, 55, 56, 255, 256, 65_535, 65_536])
def test_long_items_have_long_lengths(length: int) -> None:
    """Where the length's own length changes, bytes and lists are the same."""
    assert encode(bytes(length)) == rlp.encode(bytes(length))
    assert encode([b""] * length) == rlp.encode([b""] * length)


@given(st.integers(0, 2**256 - 1))
def test_numbers_have_no_leading_zeros(number: int) -> None:
    """A number is written as shortly as it can be."""
    assert encode(scalar(number)) == rlp.encode(number)
