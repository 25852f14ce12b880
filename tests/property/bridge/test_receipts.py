"""Receipts under random damage: what is read is what was written, or an error says which member is wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.receipts import DepositReceipt
from foundation.errors import BadInput
from tests.support.receipts import receipt

KEYS = sorted(receipt().as_json())
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80), st.lists(st.integers(), max_size=2)
)
UNCOMMITTED = {"birthday"}
"""The address commits to everything else."""
MEANT = {"recipient", "hub_chain_id", "hub_address", "delay"}
"""Another possible value of these is a valid term: then it is the address that does not fit."""


def read_or_refused(text: str) -> DepositReceipt | BadInput:
    """What reading gives; any other error fails the test."""
    try:
        return DepositReceipt.from_json(text)
    except BadInput as refusal:
        return refusal


@settings(max_examples=60)
@given(
    delay=st.integers(1, 65_535),
    salt=st.binary(min_size=32, max_size=32),
    recipient=st.binary(min_size=20, max_size=20),
    birthday=st.integers(0, 0xFFFFFFFF),
)
def test_every_receipt_reads_back(delay: int, salt: bytes, recipient: bytes, birthday: int) -> None:
    """Writing and reading is the identity."""
    written = receipt(delay=delay, salt=salt, recipient=recipient, birthday=birthday)
    assert DepositReceipt.from_json(written.to_json()) == written


@settings(max_examples=300)
@given(field=st.sampled_from(KEYS), value=VALUES)
def test_a_member_that_was_replaced_is_noticed(field: str, value: Any) -> None:
    """A receipt with another value in any member is refused by name, or means what it meant before."""
    content = receipt().as_json() | {field: value}
    read = read_or_refused(json.dumps(content))
    if isinstance(read, DepositReceipt):
        assert read.terms == receipt().terms
        assert field in UNCOMMITTED or content == receipt().as_json()
    else:
        assert read.field == f"receipt.{field}" or field in MEANT


@settings(max_examples=300)
@given(position=st.integers(0, len(receipt().to_json()) - 1), character=st.characters(codec="utf-8"))
def test_a_character_that_was_replaced_is_noticed(position: int, character: str) -> None:
    """A damaged file is refused, or means what it meant before; no other error comes out."""
    text = receipt().to_json()
    damaged = text[:position] + character + text[position + 1 :]
    read = read_or_refused(damaged)
    assert isinstance(read, BadInput) or read.terms == receipt().terms


@settings(max_examples=200)
@given(text=st.one_of(st.text(max_size=200), st.recursive(VALUES, lambda v: st.dictionaries(st.text(), v)).map(repr)))
def test_any_text_is_read_or_refused(text: str) -> None:
    """What is no receipt gives a `BadInput`."""
    read = read_or_refused(text)
    assert isinstance(read, BadInput)
    assert read.field.startswith("receipt")
