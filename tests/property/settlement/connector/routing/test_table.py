"""The routing table against the definition of a longest prefix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from settlement.connector.routing.table import RoutingTable
from settlement.ilp.addresses import covers

SEGMENT = st.sampled_from(["a", "b", "ab", "~"])
ADDRESS = st.lists(SEGMENT, min_size=0, max_size=6).map(lambda parts: ".".join(["g", *parts]))


@given(st.lists(st.tuples(ADDRESS, st.one_of(st.none(), st.sampled_from("xyz")))), st.lists(ADDRESS, min_size=1))
def test_the_table_answers_as_the_definition_does(changes: list[tuple[str, str | None]], asked: list[str]):
    """After any changes each destination goes to the longest prefix that covers it, or nowhere if none does."""
    table, model = RoutingTable(), dict[str, str]()
    for prefix, account in changes:
        if account is None:
            table.remove(prefix)
            model.pop(prefix, None)
        else:
            table.set(prefix, account)
            model[prefix] = account
        for destination in asked:
            found = max((p for p in model if covers(p, destination)), key=len, default=None)
            assert table.next_hop(destination) == (None if found is None else model[found])
