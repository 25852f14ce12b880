"""ILP addresses, by RFC 15."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from settlement.ilp.addresses import (
    Address,
    address_of,
    child_of,
    covers,
    parse_address,
    parse_prefix,
    scheme_of,
    tail_of,
)


@pytest.mark.parametrize(
    "text", ["g.acme.bob", "test1.x", "peer.config", "local.a~b_c-D9", "g." + "a" * 1021, "self.1", "private.1.2"]
)
def test_addresses_are_accepted(text: str) -> None:
    """Each scheme, and each allowed character, up to 1,023 characters."""
    assert parse_address(text) == text
    assert address_of(text.encode()) == text


@pytest.mark.parametrize(
    "text",
    ["", "g", "g.", "g..a", ".g.a", "g.a.", "test4.a", "G.a", "g.ä", "g.a b", "g.a\n", "g." + "a" * 1022, "http://g.a"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A scheme alone, empty segments, other characters and too long ones are refused, named by the field."""
    with pytest.raises(BadInput) as refusal:
        parse_address(text, "destination")
    assert refusal.value.field == "destination"
    assert address_of(text.encode()) is None


def test_bytes_that_are_no_text_are_no_address() -> None:
    """Bytes outside ASCII are refused without an exception of their own."""
    assert address_of(b"g.\xff") is None


def test_prefixes_end_at_segments() -> None:
    """A prefix covers itself and what lies below it, never a sibling that starts with the same letters."""
    assert covers("g.a", "g.a")
    assert covers("g.a", "g.a.b")
    assert covers("", "test.x")
    assert not covers("g.a", "g.ab")
    assert not covers("g.a.b", "g.a")


def test_prefixes_may_be_written_with_a_dot() -> None:
    """A dot at the end is dropped; a dot alone or two are no prefix."""
    assert parse_prefix("g.") == "g"
    assert parse_prefix("") == ""
    for text in (".", "g..", "x.a"):
        with pytest.raises(BadInput):
            parse_prefix(text)


def test_children_and_tails() -> None:
    """A child adds segments, and its tail is what was added; a child that cannot be written is refused."""
    parent = Address("g.a")
    child = child_of(parent, "b", "c")
    assert child == "g.a.b.c"
    assert tail_of(parent, child) == "b.c"
    assert tail_of(parent, Address("g.ab")) is None
    assert tail_of(parent, parent) is None
    assert scheme_of(child) == "g"
    with pytest.raises(BadInput):
        child_of(parent, "")
