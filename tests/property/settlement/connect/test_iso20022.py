"""Round trips of any payment, status and statement through XML."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.connect.iso20022.camt053 import (
    Entry,
    Statement,
    UnbalancedStatement,
    read_statement,
    write_statement,
)
from settlement.connect.iso20022.documents import MalformedDocument, uetr_of
from settlement.connect.iso20022.pacs008 import Charge, read_credit_transfer, write_credit_transfer
from settlement.connect.iso20022.parties import Account, Agent, Party
from settlement.quantities import Units
from tests.support.settlement_iso20022 import ASSETS, EUR, SGD, STATEMENT, TRANSFER

CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="￾￿")
MONEY = st.integers(0, 10**18 - 1).map(Units)
IDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/?:().,'+", min_size=1, max_size=35)
LINES = st.text(CHARACTERS, min_size=1, max_size=70)
PARTIES = st.builds(
    Party,
    st.text(CHARACTERS, min_size=1, max_size=140),
    st.sampled_from(["", "DE", "SG"]),
    st.lists(LINES, max_size=7).map(tuple),
)
AGENTS = st.sampled_from(
    [
        Agent("BANKDEFF"),
        Agent("BANKSGSGXXX"),
        Agent(lei="529900T8BM49AURSDO55"),
        Agent("BANKDEFF", "529900T8BM49AURSDO55"),
    ]
)
ACCOUNTS = st.one_of(
    st.just(Account()),
    st.just(Account(iban="DE02120300000000202051")),
    st.text("0123456789-", min_size=1, max_size=34).map(lambda n: Account(other=n)),
)
TIMES = st.integers(0, 4_000_000_000_000).map(UnixMs)
DAYS = st.dates(date(1970, 1, 1), date(2200, 1, 1))
TRANSFERS = st.builds(
    replace,
    st.just(TRANSFER),
    message_id=IDS,
    instruction_id=IDS,
    end_to_end_id=IDS,
    transaction_id=IDS,
    uetr=st.binary(min_size=32, max_size=32).map(uetr_of),
    created_at=TIMES,
    settlement_date=DAYS,
    amount=MONEY,
    bearer=st.sampled_from(["DEBT", "CRED", "SHAR", "SLEV"]),
    debtor=PARTIES,
    creditor=PARTIES,
    debtor_account=ACCOUNTS,
    creditor_account=ACCOUNTS,
    instructing=AGENTS,
    creditor_agent=AGENTS,
    instructed=st.one_of(st.none(), st.tuples(st.sampled_from([EUR, SGD]), MONEY)),
    charges=st.lists(st.builds(Charge, st.sampled_from([EUR, SGD]), MONEY, AGENTS), max_size=3).map(tuple),
    purpose=st.sampled_from(["", "SUPP", "SALA"]),
    remittance=st.text(CHARACTERS, max_size=140),
)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    changes = draw(st.lists(st.integers(-(10**15), 10**15), max_size=8))
    opening = draw(st.integers(-(10**17), 10**17))
    entries = tuple(
        Entry(
            f"R-{place}",
            change,
            draw(DAYS),
            draw(st.one_of(st.just(""), IDS)),
            draw(st.sampled_from(["", TRANSFER.uetr])),
            draw(st.text(CHARACTERS, max_size=140)),
        )
        for place, change in enumerate(changes)
    )
    return replace(
        STATEMENT,
        opening=opening,
        closing=opening + sum(changes),
        entries=entries,
        account=draw(st.sampled_from([Account(iban="DE02120300000000202051"), Account(other="7")])),
    )


@settings(max_examples=60)
@given(TRANSFERS)
def test_any_payment_survives(transfer: object) -> None:
    """A payment of any texts and amounts is read as it was written."""
    assert read_credit_transfer(write_credit_transfer(transfer), ASSETS) == transfer  # type: ignore[arg-type]


@settings(max_examples=40)
@given(statements())
def test_any_statement_survives(statement: Statement) -> None:
    """A statement whose lines add up is read as it was written."""
    assert read_statement(write_statement(statement), ASSETS) == statement


@settings(max_examples=40)
@given(statements(), st.integers(-(10**15), 10**15).filter(bool))
def test_no_statement_passes_that_does_not_add_up(statement: Statement, wrong: int) -> None:
    """Whatever the closing balance is off by, the statement is refused."""
    with pytest.raises(UnbalancedStatement):
        write_statement(replace(statement, closing=statement.closing + wrong))


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_message_is_refused_or_is_a_message(data: st.DataObject) -> None:
    """Bytes changed anywhere in a message lead to a refusal or to another valid message, and to no other error."""
    raw = bytearray(write_credit_transfer(TRANSFER))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    told = ""
    try:
        read_credit_transfer(bytes(raw), ASSETS)
    except MalformedDocument as refusal:
        told = str(refusal)
    assert "Musterfrau" not in told
