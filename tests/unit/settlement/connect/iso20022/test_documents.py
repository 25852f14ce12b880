"""XML from outside is refused where it is unsafe or not valid, and no error quotes it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lxml import etree

from settlement.connect.iso20022.camt053 import read_statement, write_statement
from settlement.connect.iso20022.documents import (
    MalformedDocument,
    MessageType,
    add_amount,
    new_document,
    read_document,
    time_of,
    time_text,
    uetr_of,
)
from settlement.connect.iso20022.pacs002 import read_status_report
from settlement.connect.iso20022.pacs008 import read_credit_transfer, write_credit_transfer
from settlement.quantities import Asset, Scale
from tests.support.settlement_iso20022 import ASSETS, EUR, REPORT, STATEMENT, TRANSFER

GOOD = write_credit_transfer(TRANSFER)
BODY = GOOD.split(b"?>", 1)[1]


def bombs(folder: Path) -> dict[str, bytes]:
    """Attacks on XML readers; each would be a valid message if the entity were expanded."""
    secret = folder / "secret"
    secret.write_text("TX-1")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    entity = BODY.replace(b">TX-1<", b">&e;<")
    return {
        "file": f'<!DOCTYPE d [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'.encode() + entity,
        "network": b'<!DOCTYPE d [<!ENTITY e SYSTEM "http://127.0.0.1:1/e">]>' + entity,
        "dtd": f'<!DOCTYPE d SYSTEM "{secret.as_uri()}">'.encode() + BODY,
        "internal": b'<!DOCTYPE d [<!ENTITY e "TX-1">]>' + entity,
        "laughs": f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}<!ENTITY e "&l9;">]>'.encode() + entity,
        "parameter": f'<!DOCTYPE d [<!ENTITY % p SYSTEM "{secret.as_uri()}"> %p;]>'.encode() + BODY,
        "utf-16": ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE d [<!ENTITY e "TX-1">]>' + entity.decode()).encode(
            "utf-16"
        ),
        "utf-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-+ACE-DOCTYPE d [+ADw-+ACE-ENTITY e "TX-1"+AD4-]+AD4-'
        + entity,
        "latin": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + BODY.replace("ö".encode(), b"\xf6"),
        "undeclared": entity,
        "large": GOOD + b" " * (1 << 20),
        "deep": b"<a>" * 5_000 + b"</a>" * 5_000,
        "empty": b"",
        "cut": GOOD[:-20],
        "two roots": BODY + BODY,
    }


@pytest.mark.parametrize("name", list(bombs(Path("/tmp"))))
def test_attacks_on_the_reader_are_refused(name: str, tmp_path: Path) -> None:
    """Entities of any kind, other encodings, great size and depth are refused, at once."""
    started = time.process_time()
    with pytest.raises(MalformedDocument) as refusal:
        read_credit_transfer(bombs(tmp_path)[name], ASSETS)
    assert refusal.value.__cause__ is None
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"<ChrgBr>SHAR</ChrgBr>", b"<ChrgBr>Maria</ChrgBr>", "Document/FIToFICstmrCdtTrf/CdtTrfTxInf/ChrgBr"),
        (b"<UETR>", b"<UETR>Maria", "Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId/UETR"),
        (b"<Nm>Maria", b"<Nm>" + b"Maria" * 40, "Document/FIToFICstmrCdtTrf/CdtTrfTxInf/Dbtr/Nm"),
        (b"pacs.008.001.08", b"pacs.008.001.09", "Document"),
        (b">2900.00<", b">2900.001<", "IntrBkSttlmAmt"),
        (b'"SGD">2900', b'"USD">2900', "IntrBkSttlmAmt@Ccy"),
        (b">2900.00<", b">999999999999999999<", "IntrBkSttlmAmt"),
        (b">2900.00<", b">-2900.00<", "Document/FIToFICstmrCdtTrf/CdtTrfTxInf/IntrBkSttlmAmt"),
        (b">2900.00<", b">2.9e3<", "Document/FIToFICstmrCdtTrf/CdtTrfTxInf/IntrBkSttlmAmt"),
        (b"<NbOfTxs>1<", b"<NbOfTxs>2<", "CdtTrfTxInf"),
        (b"<InstrId>INSTR-1</InstrId>", b"", "PmtId/InstrId"),
    ],
)
def test_what_is_not_valid_is_refused_by_the_element_s_name(old: bytes, new: bytes, field: str) -> None:
    """A message that is not as the schema has it, or lacks what is needed, is refused; the value is not quoted."""
    assert GOOD.count(old) >= 1
    with pytest.raises(MalformedDocument) as refusal:
        read_credit_transfer(GOOD.replace(old, new), ASSETS)
    assert refusal.value.field == field
    assert "Maria" not in str(refusal.value)


def test_a_message_of_one_kind_is_none_of_another() -> None:
    """Each reader takes its own message only."""
    for raw in (GOOD, write_statement(STATEMENT)):
        with pytest.raises(MalformedDocument):
            read_status_report(raw)
    with pytest.raises(MalformedDocument):
        read_statement(GOOD, ASSETS)
    assert REPORT.uetr == TRANSFER.uetr


@pytest.mark.parametrize(
    ("asset", "amount"),
    [(Asset("eur", Scale(2)), 1), (Asset("EURO", Scale(2)), 1), (EUR, 10**18), (EUR, -1), (Asset("EUR", Scale(6)), 1)],
)
def test_amounts_that_iso_20022_cannot_say_are_not_written(asset: Asset, amount: int) -> None:
    """Other currencies than ISO's, more than 18 digits or 5 decimals, and negative amounts are refused, not rounded."""
    _, body = new_document(MessageType.CREDIT_TRANSFER, "FIToFICstmrCdtTrf")
    with pytest.raises(MalformedDocument):
        add_amount(body, "IntrBkSttlmAmt", asset, amount)


def test_amounts_finer_than_iso_20022_are_written_where_they_are_exact() -> None:
    """An asset of six decimals is written where the sixth is 0."""
    root, body = new_document(MessageType.CREDIT_TRANSFER, "FIToFICstmrCdtTrf")
    assert add_amount(body, "IntrBkSttlmAmt", Asset("EUR", Scale(6)), 1_234_560).text == "1.23456"
    assert etree.QName(root).localname == "Document"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T15:00:00.123Z", 1_795_273_200_123),
        ("2026-11-21T16:00:00.1239+01:00", 1_795_273_200_123),
        ("2026-11-21T15:00:00.123", 1_795_273_200_123),
    ],
)
def test_times_are_read_to_the_millisecond(text: str, at: int) -> None:
    """Times with any zone, or none, are milliseconds of UTC."""
    assert time_of(text, "CreDtTm") == at


def test_times_that_are_none_are_refused() -> None:
    """Text that is no time, and times before 1970, are refused; what is written is read the same."""
    for text in ("yesterday", "1969-12-31T23:59:59Z"):
        with pytest.raises(MalformedDocument):
            time_of(text, "CreDtTm")
    assert time_of(time_text(TRANSFER.created_at), "CreDtTm") == TRANSFER.created_at


def test_each_payment_has_a_reference_of_its_own() -> None:
    """A payment's UETR is a UUID of version 4's form, always the same, and another for another payment."""
    import uuid

    first = uuid.UUID(uetr_of(b"\x01" * 32))
    assert (first.version, first.variant) == (4, uuid.RFC_4122)
    assert uetr_of(b"\x01" * 32) == str(first) != uetr_of(b"\x02" * 32)


def test_the_schemas_are_read_without_a_network() -> None:
    """Each schema that is stored is one for its message."""
    for message in MessageType:
        root, _ = new_document(message, "None")
        with pytest.raises(MalformedDocument):
            read_document(etree.tostring(root), message)
