"""Leases of an account's room: what may be widened, and what may be given back."""

from __future__ import annotations

from settlement.connector.balances.model import UNBOUNDED, Position, Terms
from settlement.connector.balances.shares import Bounds, Share, free_room, narrowed, widened
from tests.support.connector import EUR

TERMS = Terms("alice", EUR, floor=-1_000, ceiling=1_000)


def position(
    delta: int = 0, debits: int = 0, credits_: int = 0, lowest: int = -1_000, highest: int = 1_000
) -> Position:
    """A position as it stands in memory."""
    made = Position(TERMS)
    made.delta, made.debits, made.credits, made.lowest, made.highest = delta, debits, credits_, lowest, highest
    return made


def test_credit_that_is_not_written_is_no_room_to_give_away() -> None:
    """If the process died before the write, others would have used room that was never there."""
    bounds = narrowed(position(delta=500), written=0, wanted=(10_000, 0))
    assert bounds.lowest == 0


def test_debit_that_is_not_written_is_no_room_to_rise() -> None:
    """The same on the other side: the debit may be lost with the process."""
    bounds = narrowed(position(delta=-500), written=0, wanted=(0, 10_000))
    assert bounds.highest == 0


def test_what_packets_hold_is_never_given_back() -> None:
    """Packets in flight may still be fulfilled, all of them."""
    bounds = narrowed(position(debits=300, credits_=200), written=0, wanted=(10_000, 10_000))
    assert bounds == Bounds(-300, 200)


def test_half_of_the_unused_room_is_given_where_less_is_wanted() -> None:
    """Who lacks room gets some in advance, so that it need not ask for each packet."""
    assert narrowed(position(), written=0, wanted=(1, 0)) == Bounds(-500, 1_000)


def test_nothing_is_granted_that_is_not_free() -> None:
    """A wish that cannot be met in full leaves the bounds as they are."""
    shares = [Share(1, 0, -900, 900), Share(2, 0, 0, 0)]
    free = free_room(TERMS, 0, shares)
    assert free == (100, 100)
    assert widened(Bounds(0, 0), Bounds(-101, 50), free, 2) == Bounds(0, 75)


def test_room_is_never_negative_when_a_settlement_went_above_the_ceiling() -> None:
    """A balance beyond its limit has no room on that side, and all of it on the other."""
    assert free_room(TERMS, 1_500, [Share(1, 0, 0, 0)]) == (2_500, 0)


def test_account_without_limits_is_unbounded() -> None:
    """No floor and no ceiling: every wish is met."""
    free = free_room(Terms("own", EUR), 0, [Share(1, 0, -5, 5)])
    assert free == (UNBOUNDED, UNBOUNDED)
