"""camt.053: a statement of an account, whose entries lead from the opening balance to the closing one, exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

from foundation.quantities import UnixMs
from settlement.connect.iso20022.documents import (
    Element,
    MalformedDocument,
    MessageType,
    add,
    add_amount,
    amount_of,
    day_of,
    find,
    find_all,
    new_document,
    read_document,
    required,
    text_at,
    time_of,
    time_text,
    write_document,
)
from settlement.connect.iso20022.parties import Account, account_of, add_account
from settlement.quantities import Asset

_TYPE: Final = MessageType.STATEMENT
_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = ("CLBD",)
_BOOKED: Final = "BOOK"


@dataclass(frozen=True, slots=True)
class Entry:
    """One booked movement.

    Fields: reference (the account servicer's, at most 35 characters, unique in the statement); change (base units:
    positive credits the account's owner, negative debits); booked_on; end_to_end_id and uetr (of the payment; empty:
    not told); information (at most 140 characters; not shown).
    """

    reference: str
    change: int
    booked_on: date
    end_to_end_id: str = ""
    uetr: str = ""
    information: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's booked movements between two moments.

    Fields: message_id, statement_id (35 characters each); created_at, from_time, to_time (Unix ms); account; asset;
    opening, closing (base units; negative: the owner owes); entries.
    """

    message_id: str
    statement_id: str
    created_at: UnixMs
    from_time: UnixMs
    to_time: UnixMs
    account: Account
    asset: Asset
    opening: int
    closing: int
    entries: tuple[Entry, ...]


class UnbalancedStatement(MalformedDocument):
    """The entries do not lead from the opening balance to the closing one.

    Fields: opening, closing, computed (base units: where the entries lead).
    """

    def __init__(self, opening: int, closing: int, computed: int) -> None:
        self.opening = opening
        self.closing = closing
        self.computed = computed
        super().__init__("Bal", f"the entries lead from {opening} to {computed} and not to {closing} base units", "")


def write_statement(statement: Statement) -> bytes:
    """The statement in XML, valid against its schema.

    Raises:
        UnbalancedStatement: the entries do not add up.
        MalformedDocument: a reference comes twice, or a value is not one that the schema allows.
    """
    _check(statement)
    root, body = new_document(_TYPE, "BkToCstmrStmt")
    add(body, "GrpHdr/MsgId", statement.message_id)
    add(body, "GrpHdr/CreDtTm", time_text(statement.created_at))
    one = add(body, "Stmt")
    add(one, "Id", statement.statement_id)
    add(one, "CreDtTm", time_text(statement.created_at))
    add(one, "FrToDt/FrDtTm", time_text(statement.from_time))
    add(one, "FrToDt/ToDtTm", time_text(statement.to_time))
    add_account(one, "Acct", statement.account)
    if find(one, "Acct") is not None:
        add(one, "Acct/Ccy", statement.asset.code)
    _add_balance(one, "OPBD", statement.asset, statement.opening, statement.from_time)
    _add_balance(one, "CLBD", statement.asset, statement.closing, statement.to_time)
    for entry in statement.entries:
        _add_entry(one, statement.asset, entry)
    return write_document(root, _TYPE)


def read_statement(raw: bytes, assets: dict[str, Asset]) -> Statement:
    """The one statement of a message; `assets` by their currency codes. Entries that are not booked are left out.

    Raises:
        UnbalancedStatement: the booked entries do not lead from the opening balance to the closing one.
        MalformedDocument: not valid, more or less than one statement, several currencies, or a part is missing.
    """
    root = read_document(raw, _TYPE)
    statements = find_all(root, "BkToCstmrStmt/Stmt")
    if len(statements) != 1:
        raise MalformedDocument("Stmt", "not exactly one statement", "send one in each message")
    one = statements[0]
    asset, opening = _balance(one, _OPENING, assets)
    other, closing = _balance(one, _CLOSING, assets)
    if other != asset:
        raise MalformedDocument("Bal", "opening and closing balance are of two currencies", "")
    booked = [entry for entry in find_all(one, "Ntry") if text_at(entry, "Sts/Cd") == _BOOKED]
    statement = Statement(
        message_id=required(root, "BkToCstmrStmt/GrpHdr/MsgId"),
        statement_id=required(one, "Id"),
        created_at=time_of(required(root, "BkToCstmrStmt/GrpHdr/CreDtTm"), "CreDtTm"),
        from_time=time_of(required(one, "FrToDt/FrDtTm"), "FrDtTm"),
        to_time=time_of(required(one, "FrToDt/ToDtTm"), "ToDtTm"),
        account=account_of(one, "Acct"),
        asset=asset,
        opening=opening,
        closing=closing,
        entries=tuple(_entry(entry, asset, assets) for entry in booked),
    )
    _check(statement)
    return statement


def _check(statement: Statement) -> None:
    references = [entry.reference for entry in statement.entries]
    if len(set(references)) != len(references):
        raise MalformedDocument("Ntry/AcctSvcrRef", "a reference comes twice", "each movement has its own")
    computed = statement.opening + sum(entry.change for entry in statement.entries)
    if computed != statement.closing:
        raise UnbalancedStatement(statement.opening, statement.closing, computed)


def _add_balance(one: Element, code: str, asset: Asset, balance: int, at: UnixMs) -> None:
    element = add(one, "Bal")
    add(element, "Tp/CdOrPrtry/Cd", code)
    _add_change(element, asset, balance)
    add(element, "Dt/DtTm", time_text(at))


def _add_change(element: Element, asset: Asset, change: int) -> None:
    add_amount(element, "Amt", asset, abs(change))
    add(element, "CdtDbtInd", "DBIT" if change < 0 else "CRDT")


def _add_entry(one: Element, asset: Asset, entry: Entry) -> None:
    element = add(one, "Ntry")
    _add_change(element, asset, entry.change)
    add(element, "Sts/Cd", _BOOKED)
    add(element, "BookgDt/Dt", entry.booked_on.isoformat())
    add(element, "AcctSvcrRef", entry.reference)
    add(element, "BkTxCd/Domn/Cd", "PMNT")
    family = "RCDT" if entry.change >= 0 else "ICDT"  # received and issued credit transfers
    add(element, "BkTxCd/Domn/Fmly/Cd", family)
    add(element, "BkTxCd/Domn/Fmly/SubFmlyCd", "XBCT")
    if entry.end_to_end_id or entry.uetr or entry.information:
        details = add(element, "NtryDtls/TxDtls")
        if entry.end_to_end_id:
            add(details, "Refs/EndToEndId", entry.end_to_end_id)
        if entry.uetr:
            add(details, "Refs/UETR", entry.uetr)
        _add_change(details, asset, entry.change)
        if entry.information:
            add(details, "RmtInf/Ustrd", entry.information)


def _balance(one: Element, codes: tuple[str, ...], assets: dict[str, Asset]) -> tuple[Asset, int]:
    found = [balance for balance in find_all(one, "Bal") if text_at(balance, "Tp/CdOrPrtry/Cd") in codes]
    if len(found) != 1:
        raise MalformedDocument("Bal", f"not exactly one {' or '.join(codes)}", "give opening and closing booked")
    return _signed(found[0], assets)


def _signed(element: Element, assets: dict[str, Asset]) -> tuple[Asset, int]:
    amount = find(element, "Amt")
    assert amount is not None, "required by the schema"
    asset, units = amount_of(amount, assets)
    return asset, -units if required(element, "CdtDbtInd") == "DBIT" else int(units)


def _entry(element: Element, asset: Asset, assets: dict[str, Asset]) -> Entry:
    booked_in, change = _signed(element, assets)
    if booked_in != asset:
        raise MalformedDocument("Ntry/Amt@Ccy", "an entry is of another currency than the account", "")
    day = text_at(element, "BookgDt/Dt") or required(element, "BookgDt/DtTm")
    details = find_all(element, "NtryDtls/TxDtls")
    single = details[0] if len(details) == 1 else element  # a batch has no reference of its own
    return Entry(
        reference=required(element, "AcctSvcrRef"),
        change=change,
        booked_on=day_of(day, "BookgDt"),
        end_to_end_id=text_at(single, "Refs/EndToEndId") or "",
        uetr=text_at(single, "Refs/UETR") or "",
        information=text_at(single, "RmtInf/Ustrd") or "",
    )
