"""Longest-prefix routing."""

from __future__ import annotations

import pytest

from settlement.connector.routing.table import RoutingTable


@pytest.fixture
def table() -> RoutingTable:
    table = RoutingTable()
    for prefix, account in (("g", "parent"), ("g.bank", "bank"), ("g.bank.retail.north", "north"), ("test.x", "x")):
        table.set(prefix, account)
    return table


@pytest.mark.parametrize(
    ("destination", "account"),
    [
        ("g.elsewhere.alice", "parent"),
        ("g.bank", "bank"),
        ("g.bank.alice", "bank"),
        ("g.bank.retail", "bank"),
        ("g.bank.retail.north", "north"),
        ("g.bank.retail.north.alice.~stream", "north"),
        ("g.bank.retail.northern", "bank"),
        ("g.bankrupt.alice", "parent"),
        ("test.y.alice", None),
        ("peer.config", None),
    ],
)
def test_the_longest_prefix_wins_by_whole_segments(table: RoutingTable, destination: str, account: str | None):
    """A packet goes to the account of the longest prefix, where `g.bank` covers `g.bank.alice` but not `g.bankrupt`."""
    assert table.next_hop(destination) == account
    assert table.next_hop(destination) == account  # out of the cache


def test_a_change_is_seen_by_whoever_asked_before(table: RoutingTable):
    """A route that is set or removed counts at once, and moves the version."""
    assert table.next_hop("g.bank.alice") == "bank"
    before = table.version
    table.set("g.bank.alice", "alice")
    assert table.next_hop("g.bank.alice") == "alice"
    table.remove("g.bank.alice")
    table.remove("g.bank")
    assert table.next_hop("g.bank.alice") == "parent"
    assert table.version == before + 3


def test_what_changes_nothing_leaves_caches_alone(table: RoutingTable):
    """Setting a route that stands already, or removing one that does not, moves no version."""
    before = table.version
    table.set("g.bank", "bank")
    table.remove("g.nobody")
    assert table.version == before


def test_invented_destinations_fill_no_memory(table: RoutingTable):
    """However many destinations are asked for, few are remembered."""
    for number in range(20_000):
        assert table.next_hop(f"g.bank.{number}") == "bank"
    assert len(table._cache) <= 8_192
