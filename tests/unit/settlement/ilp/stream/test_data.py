"""Pieces of a stream's bytes on their way out."""

from __future__ import annotations

from settlement.ilp.stream.data import acknowledged, next_piece, rejected, unsent, written
from settlement.ilp.stream.states import DataOut


def test_rejected_bytes_go_before_new_ones() -> None:
    """A rejected piece that does not fit into a packet waits for the next, and nothing overtakes it."""
    out, first = next_piece(written(DataOut(), b"x" * 100), 60, 1_000)
    assert first == (0, b"x" * 60)
    out = rejected(out, 0)
    assert next_piece(out, 59, 1_000) == (out, None)
    out, again = next_piece(out, 60, 0)
    assert again == first
    out, rest = next_piece(out, 60, 1_000)
    assert rest == (60, b"x" * 40)
    assert unsent(out) == 100
    assert unsent(acknowledged(acknowledged(out, 0), 60)) == 0


def test_limits_hold_new_bytes_back() -> None:
    """No more is sent than the stream's limit, the connection's and the packet's room allow."""
    out = written(DataOut(allowed=10), b"x" * 100)
    for room, fresh, size in ((50, 50, 10), (5, 50, 5), (50, 3, 3)):
        _, piece = next_piece(out, room, fresh)
        assert piece == (0, b"x" * size)
    assert next_piece(out, 50, 0) == (out, None)


def test_what_was_acknowledged_is_not_rejected_any_more() -> None:
    """A late rejection of a piece that arrived changes nothing."""
    out, _ = next_piece(written(DataOut(), b"abc"), 10, 10)
    done = acknowledged(out, 0)
    assert rejected(done, 0) == done
