"""Amounts, conditions and domain-separated hashes."""

from __future__ import annotations

import hashlib

import pytest

from foundation.errors import BadInput
from settlement.quantities import (
    MAX_UNITS,
    Asset,
    Condition,
    Preimage,
    Scale,
    condition_of,
    fulfils,
    party_id,
    tagged_hash,
    units,
)

EURO = Asset("EUR", Scale(2))


@pytest.mark.parametrize(("text", "expected"), [("10.00", 1000), ("0", 0), ("0.01", 1), ("7", 700), ("1.500", 150)])
def test_amounts_are_read_exactly(text, expected):
    """A decimal number becomes base units exactly, whatever zeros stand at its end."""
    assert EURO.units(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", "1e3", "0.001", "01", "1,0", "½", "١", "1" * 400, "184467440737095516.16", " 1"],
)
def test_what_is_no_amount_is_refused_and_names_its_field(text):
    """Negative, too fine, too large or malformed amounts are refused, and the error names the field."""
    with pytest.raises(BadInput) as refusal:
        EURO.units(text, "payment.amount")
    assert refusal.value.field == "payment.amount"


@pytest.mark.parametrize(("value", "text"), [(0, "0.00"), (-1, "-0.01"), (123456, "1234.56"), (-100, "-1.00")])
def test_units_are_written_with_all_decimals(value, text):
    """A number of base units is written with all the scale's decimals, and a debt with its sign."""
    assert EURO.text(value) == text
    assert Asset("JPY", Scale(0)).text(value) == str(value)


def test_the_largest_amount_of_a_packet_is_accepted_and_one_more_is_not():
    """2^64−1 base units are an amount, 2^64 are none."""
    assert units(MAX_UNITS) == MAX_UNITS
    assert EURO.units("184467440737095516.15") == MAX_UNITS
    for value in (-1, MAX_UNITS + 1):
        with pytest.raises(BadInput):
            units(value)


@pytest.mark.parametrize(("code", "scale"), [("", 2), ("E" * 21, 2), ("E R", 2), ("EUR", 256), ("EUR", -1)])
def test_an_asset_needs_a_code_and_a_scale(code, scale):
    """An asset without a proper code, or with a scale outside one byte, cannot be made."""
    with pytest.raises(BadInput):
        Asset(code, Scale(scale))


@pytest.mark.parametrize("text", ["", "Bank", "-a", "a-", "a" * 33, "a_b"])
def test_a_partys_name_is_short_and_plain(text):
    """A name that could be mistaken in a path, a log or a header is no party's."""
    with pytest.raises(BadInput):
        party_id(text)
    assert party_id("bank-a") == "bank-a"


def test_only_32_bytes_that_hash_to_the_condition_fulfil_it():
    """A preimage of another length does not fulfil, even where its hash is the condition."""
    preimage = Preimage(bytes(range(32)))
    assert fulfils(preimage, condition_of(preimage))
    assert not fulfils(bytes(32), condition_of(preimage))
    assert not fulfils(b"long" * 9, Condition(hashlib.sha256(b"long" * 9).digest()))


def test_hashes_of_other_domains_and_other_splits_differ():
    """The same bytes under another tag, or split elsewhere, hash to something else."""
    assert len({tagged_hash("a", b"bc"), tagged_hash("a", b"b", b"c"), tagged_hash("ab", b"c"), tagged_hash("a")}) == 4
