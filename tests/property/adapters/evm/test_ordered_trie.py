"""The ordered trie's root, against py-trie."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.ordered_trie import EMPTY_ROOT, ordered_root
from tests.support.evm_endpoint import trie_root


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=80), max_size=40))
def test_roots_are_those_of_another_implementation(items: list[bytes]) -> None:
    """Items of any length, short ones that stand in their parents included, make the root that py-trie finds."""
    assert ordered_root(items) == trie_root(items)


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 127, 128, 129, 255, 256, 257, 700])
def test_roots_of_long_lists(count: int) -> None:
    """Where the key's length changes (128, 256) the root is still that of py-trie."""
    rng = random.Random(count)
    items = [rng.randbytes(rng.randrange(1, 200)) for _ in range(count)]
    assert ordered_root(items) == trie_root(items)


def test_the_root_of_nothing() -> None:
    """An empty list has the root that every empty block shows."""
    assert ordered_root([]) == EMPTY_ROOT
