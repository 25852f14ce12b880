"""Credit transfers, status reports and statements: written as the standard has them, read as they were written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from settlement.connect.exchange_types import Reason
from settlement.connect.iso20022.camt053 import Entry, UnbalancedStatement, read_statement, write_statement
from settlement.connect.iso20022.documents import MalformedDocument
from settlement.connect.iso20022.pacs002 import (
    Status,
    read_status_report,
    reason_code,
    write_status_report,
)
from settlement.connect.iso20022.pacs008 import rate_text, read_credit_transfer, write_credit_transfer
from settlement.connect.iso20022.parties import Account, Party, account_from, party_from
from settlement.connect.ivms101 import (
    LegalName,
    LegalNameId,
    LegalNameType,
    LegalPerson,
    NaturalName,
    NaturalNameId,
    NaturalNameType,
    NaturalPerson,
    Person,
)
from settlement.quantities import Units
from tests.support.settlement_connect import MARIA, SHOP, lei_person
from tests.support.settlement_iso20022 import ASSETS, JPY, REPORT, STATEMENT, TRANSFER


def values(raw: bytes) -> dict[str, str]:
    """The leaves of a document by their paths."""
    found: dict[str, str] = {}
    for element in etree.fromstring(raw).iter():
        if len(element) == 0:
            names = [etree.QName(part).localname for part in (element, *element.iterancestors())]
            found["/".join(reversed(names[:-2]))] = element.text or ""
    return found


def test_a_credit_transfer_says_what_the_standard_asks() -> None:
    """Parties, agents, amounts, rate, charges and references stand in the elements that pacs.008 has for them."""
    said = values(write_credit_transfer(TRANSFER))
    one = "CdtTrfTxInf"
    assert said[f"{one}/PmtId/UETR"] == TRANSFER.uetr
    assert said[f"{one}/IntrBkSttlmAmt"] == "2900.00"
    assert said[f"{one}/InstdAmt"] == "2000.00"
    assert said[f"{one}/XchgRate"] == "1.45"
    assert said[f"{one}/ChrgsInf/Amt"] == "5.00"
    assert said[f"{one}/DbtrAgt/FinInstnId/BICFI"] == "BANKDEFFXXX"
    assert said[f"{one}/CdtrAgt/FinInstnId/LEI"] == "529900T8BM49AURSDO55"
    assert said[f"{one}/Cdtr/Nm"] == "Seltsame Waren & Söhne <GmbH>"
    assert said[f"{one}/CdtrAcct/Id/Othr/Id"] == "0042-1717"
    assert said[f"{one}/Purp/Cd"] == "SUPP"
    assert said["GrpHdr/SttlmInf/SttlmMtd"] == "CLRG"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"asset": JPY, "amount": Units(12_345), "instructed": None, "exchange_rate": "", "charges": ()},
        {"purpose": "", "remittance": "", "creditor": Party("B"), "debtor_account": Account(other="1")},
        {"amount": Units(999_999_999_999_999_999)},
        {"amount": Units(0)},
    ],
)
def test_a_credit_transfer_is_read_as_it_was_written(change: dict[str, Any]) -> None:
    """Writing and reading give the same payment, whatever it leaves out."""
    transfer = replace(TRANSFER, **change)
    assert read_credit_transfer(write_credit_transfer(transfer), ASSETS) == transfer


@pytest.mark.parametrize(
    "change",
    [
        {"message_id": "M" * 36},
        {"message_id": ""},
        {"uetr": "not-a-uuid"},
        {"purpose": "TOOLONG"},
        {"exchange_rate": "1.234567890123"},
        {"bearer": "NONE"},
        {"debtor": Party("N" * 141)},
        {"debtor_account": Account(iban="not an iban")},
        {"remittance": "R" * 141},
        {"amount": Units(10**18)},
    ],
)
def test_a_credit_transfer_that_the_schema_refuses_is_not_written(change: dict[str, Any]) -> None:
    """Nothing leaves that is not valid."""
    with pytest.raises(MalformedDocument):
        write_credit_transfer(replace(TRANSFER, **change))


def test_people_of_ivms_101_stand_in_payments() -> None:
    """A person's legal name, address and account of IVMS 101 fit the elements of a payment."""
    maria, shop = party_from(MARIA), party_from(SHOP)
    assert maria == Party("Maria Musterfrau", "DE", ("Geheimgasse 17", "99999 Musterstadt"))
    assert shop == Party("Seltsame Waren GmbH", "SG", ("Handelsweg 3",))
    assert party_from(lei_person("Bank A")) == Party("Bank A")
    long = Person(legal_person=LegalPerson(LegalName((LegalNameId("ß" * 100, LegalNameType.LEGAL),))))
    assert party_from(long).name == "ß" * 100
    two = NaturalName((NaturalNameId("A" * 100, NaturalNameType.LEGAL, "B" * 100),))
    cut = party_from(Person(natural_person=NaturalPerson(two)))
    assert (len(cut.name), cut.name[-1]) == (140, "+")
    transfer = replace(TRANSFER, debtor=maria, creditor=cut, debtor_account=account_from("DE02 1203 0000 0000 2020 51"))
    assert read_credit_transfer(write_credit_transfer(transfer), ASSETS) == transfer


@pytest.mark.parametrize(
    ("number", "account"),
    [
        ("DE02120300000000202051", Account(iban="DE02120300000000202051")),
        ("DE02120300000000202052", Account(other="DE02120300000000202052")),
        ("GB82 WEST 1234 5698 7654 32", Account(iban="GB82WEST12345698765432")),
        ("0042-1717", Account(other="0042-1717")),
    ],
)
def test_an_iban_is_told_by_its_check_digits(number: str, account: Account) -> None:
    """A number with good check digits is an IBAN, any other one is another number."""
    assert account_from(number) == account


def test_an_account_that_no_payment_can_carry_is_refused() -> None:
    """A number of more than 34 characters, or of none, is refused and not cut."""
    for number in ("", "7" * 35):
        with pytest.raises(MalformedDocument):
            account_from(number)


def test_payments_do_not_show_people() -> None:
    """The repr of a payment and of a statement holds no name, address, account or remittance text."""
    shown = repr(TRANSFER) + repr(STATEMENT)
    for secret in ("Maria", "Geheimgasse", "DE0212", "0042", "Söhne", "Rechnung"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (145, 100, "1.45"),
        (1, 3, "0.3333333333"),
        (2, 3, "0.6666666667"),
        (10**10, 1, "10000000000"),
        (1, 10**10, "0.0000000001"),
        (200, 3, "66.666666667"),
    ],
)
def test_rates_have_eleven_digits(numerator: int, denominator: int, text: str) -> None:
    """A rate is told to eleven digits at most, and is a rate that the schema takes."""
    assert rate_text(numerator, denominator) == text
    write_credit_transfer(replace(TRANSFER, exchange_rate=text))


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (1, 0), (-1, 2), (10**11, 1), (1, 10**11)])
def test_rates_that_cannot_be_told_are_refused(numerator: int, denominator: int) -> None:
    """Rates of nothing, below nothing, and beyond eleven digits are refused."""
    with pytest.raises(MalformedDocument):
        rate_text(numerator, denominator)


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_read_as_it_was_written(status: Status) -> None:
    """Each status survives, with its reason."""
    report = replace(REPORT, status=status, reason=reason_code(Reason.EXPIRED))
    assert read_status_report(write_status_report(report)) == report


def test_a_rejection_needs_a_reason_and_a_known_status() -> None:
    """A rejection without a reason is neither written nor read, and a status that nobody knows is refused."""
    with pytest.raises(MalformedDocument):
        write_status_report(replace(REPORT, status=Status.REJECTED))
    raw = write_status_report(REPORT)
    for status in (b"RJCT", b"XXXX"):
        with pytest.raises(MalformedDocument):
            read_status_report(raw.replace(b">ACCC<", b">" + status + b"<"))


def test_a_refusal_s_code_does_not_tip_off() -> None:
    """Screening, lacking data and what may not be told have one code: it does not say that somebody is on a list."""
    assert len({reason_code(reason) for reason in (Reason.SCREENING, Reason.DATA, Reason.DISCLOSURE)}) == 1
    assert reason_code(Reason.TERMS) == "MS03"


def test_a_statement_is_read_as_it_was_written() -> None:
    """Balances below zero, credits and debits survive; the XML says signs by credit and debit."""
    raw = write_statement(STATEMENT)
    assert read_statement(raw, ASSETS) == STATEMENT
    assert raw.count(b">DBIT<") == 2


@pytest.mark.parametrize(
    "change",
    [
        {"closing": 198_901},
        {"opening": 0},
        {"entries": STATEMENT.entries[:1]},
        {"entries": (*STATEMENT.entries, Entry("R-3", 1, STATEMENT.entries[0].booked_on))},
    ],
)
def test_a_statement_that_does_not_add_up_is_refused(change: dict[str, Any]) -> None:
    """A statement is neither written nor read unless its lines lead from balance to balance, to the cent."""
    with pytest.raises(UnbalancedStatement):
        write_statement(replace(STATEMENT, **change))


def test_a_statement_with_a_changed_line_is_refused() -> None:
    """One cent changed in a line that was sent is told, with where the lines lead."""
    raw = write_statement(STATEMENT)
    with pytest.raises(UnbalancedStatement) as refusal:
        read_statement(raw.replace(b">0.50<", b">0.51<"), ASSETS)
    assert (refusal.value.closing, refusal.value.computed) == (198_900, 198_899)


def test_a_line_twice_is_refused() -> None:
    """Two lines of one reference are refused, even where the sums fit."""
    twice = (*STATEMENT.entries, replace(STATEMENT.entries[1], change=0))
    with pytest.raises(MalformedDocument):
        write_statement(replace(STATEMENT, entries=twice))


def test_pending_lines_do_not_count() -> None:
    """A line that is not booked is left out of the movements."""
    raw = write_statement(
        replace(STATEMENT, entries=(*STATEMENT.entries, Entry("R-3", 0, STATEMENT.entries[0].booked_on)))
    )
    head, _, tail = raw.rpartition(b">BOOK<")
    assert read_statement(head + b">PDNG<" + tail, ASSETS) == STATEMENT


def test_a_line_of_another_currency_is_refused() -> None:
    """Every line is of the account's currency, and so are both balances."""
    raw = write_statement(STATEMENT)
    for old in (b'"EUR">0.50', b'"EUR">10.50'):
        with pytest.raises(MalformedDocument):
            read_statement(raw.replace(old, old.replace(b"EUR", b"SGD")), ASSETS)
