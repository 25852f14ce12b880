"""Open swaps that were read a moment ago: nothing in them is older than an order that is in the database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.database import DatabaseUnavailable
from foundation.quantities import UnixMs
from settlement.swap.engine import open_swaps
from settlement.swap.engine.open_swaps import OpenSwaps
from settlement.swap.store.store import Peer, SwapRow
from tests.support.swap_sides import follower

ROW = SwapRow(bytes(32), 0, True, "", Peer(b"", b"", ""), b"", follower().state, 1, UnixMs(1), UnixMs(1))
NEWER = replace(ROW, version=2)


def read(swaps: OpenSwaps, *rows: SwapRow) -> None:
    """As an office reads them."""
    swaps.keep(swaps.begin(), rows)


def test_what_was_read_is_taken_for_a_moment(monkeypatch):
    """Another process may write as well, if seldom: a while later it is read anew."""
    swaps = OpenSwaps()
    assert swaps.fresh() is None
    read(swaps, ROW)
    assert swaps.fresh() == (ROW,)
    monkeypatch.setattr(open_swaps, "FRESH_SECONDS", 0)
    assert swaps.fresh() is None


def test_a_change_is_seen_once_it_is_stored_and_nothing_meanwhile():
    """The order that it gives may be there already, or not."""
    swaps = OpenSwaps()
    read(swaps, ROW)
    with swaps.storing(NEWER):
        assert swaps.fresh() is None
    assert swaps.fresh() == (NEWER,)


def test_what_is_read_while_a_change_is_stored_is_not_kept():
    """Begun before it, or in its middle, it may show the state of before."""
    swaps = OpenSwaps()
    before = swaps.begin()
    with swaps.storing(NEWER):
        within = swaps.begin()
        read(swaps, ROW)
    for begun in (before, within):
        swaps.keep(begun, (ROW,))
        assert swaps.fresh() is None
    read(swaps, NEWER)
    assert swaps.fresh() == (NEWER,)


def test_where_nobody_knows_what_was_stored_all_is_read_anew():
    """The database went away in a commit."""
    swaps = OpenSwaps()
    read(swaps, ROW)
    with pytest.raises(DatabaseUnavailable), swaps.storing(NEWER):
        raise DatabaseUnavailable("it went away")
    assert swaps.fresh() is None


def test_when_a_swap_begins_all_is_read_anew():
    """What is being read just then may lack it."""
    swaps = OpenSwaps()
    begun = swaps.begin()
    swaps.forget()
    swaps.keep(begun, (ROW,))
    assert swaps.fresh() is None
