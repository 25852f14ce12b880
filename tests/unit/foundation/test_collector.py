"""The garbage collector of a process that serves."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from foundation.collector import spare_collector


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_what_is_there_is_passed_over_and_new_cycles_are_still_found() -> None:
    """What was there is not looked through again, and a cycle that is made later is freed."""

    class Node:
        other: Node

    spare_collector()
    assert gc.get_freeze_count() > 1_000
    assert gc.isenabled()
    node = Node()
    node.other = node
    del node
    assert gc.collect() > 0
