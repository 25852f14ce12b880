"""Any payload of IVMS 101 survives JSON, and any other bytes are refused."""

from __future__ import annotations

from datetime import date

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.connect.errors import MalformedConnect
from settlement.connect.ivms101 import IdentityPayload, from_json, to_json
from settlement.connect.ivms101_rules import check
from settlement.connect.policy import Datum, present, reduced
from settlement.connect.screening import Subject
from tests.support.settlement_connect import BENEFICIARY, ORIGINATOR

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["originator", "beneficiary", "originatorPerson", "naturalPerson", "name", "customerNumber", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=80)
@given(
    st.sampled_from([(ORIGINATOR, Subject.ORIGINATOR), (BENEFICIARY, Subject.BENEFICIARY)]),
    st.frozensets(st.sampled_from(list(Datum))),
)
def test_whatever_is_disclosed_survives(side: tuple[IdentityPayload, Subject], data: frozenset[Datum]) -> None:
    """A payload reduced to any kinds of data is read as it was written and holds no kind that was not to be told."""
    payload, subject = side
    told = reduced(payload, subject, data)
    read = from_json(to_json(told))
    assert to_json(read) == to_json(told)
    organisations_have_no_birth = {Datum.BIRTH} if subject is Subject.BENEFICIARY else set()
    assert present(read, subject) <= data | {Datum.NAME} | organisations_have_no_birth


@settings(max_examples=100)
@given(JSON | st.binary(max_size=40))
def test_anything_else_is_refused_or_is_a_payload(document: object) -> None:
    """Any JSON, and any bytes, are read as a payload or refused by the one error that says so."""
    raw = document if isinstance(document, bytes) else msgspec.json.encode(document)
    try:
        check(from_json(raw), date(2026, 11, 21))
    except MalformedConnect:
        return
    assert to_json(from_json(raw))
