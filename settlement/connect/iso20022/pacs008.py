"""pacs.008: a customer's credit transfer between banks, one in each message."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final, Literal, cast

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
from settlement.connect.iso20022.parties import (
    Account,
    Agent,
    Party,
    account_of,
    add_account,
    add_agent,
    add_party,
    agent_of,
    party_of,
)
from settlement.quantities import Asset, Units

Bearer = Literal["DEBT", "CRED", "SHAR", "SLEV"]
_TYPE: Final = MessageType.CREDIT_TRANSFER
_RATE_DIGITS: Final = 11
_RATE_DECIMALS: Final = 10


@dataclass(frozen=True, slots=True)
class Charge:
    """A fee: its amount in base units, and the bank that takes it."""

    asset: Asset
    amount: Units
    agent: Agent


@dataclass(frozen=True, slots=True)
class CreditTransfer:
    """One payment as banks tell each other.

    Fields: message_id, instruction_id, end_to_end_id, transaction_id (at most 35 characters each); uetr (UUID v4);
    created_at (Unix ms); settlement_date; asset and amount (what is settled between the banks, base units); instructed
    (what the debtor asked for, if it differs, in its currency); exchange_rate (decimal text, at most 11 digits, 10 of
    them decimals; empty: none); bearer (who bears charges); charges; instructing, instructed_agent, debtor_agent,
    creditor_agent; debtor, creditor with their accounts; purpose (external code, 1 to 4 characters; empty: none);
    remittance (at most 140 characters; not shown).
    """

    message_id: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str
    created_at: UnixMs
    settlement_date: date
    asset: Asset
    amount: Units
    bearer: Bearer
    instructing: Agent
    instructed_agent: Agent
    debtor: Party
    debtor_account: Account
    debtor_agent: Agent
    creditor: Party
    creditor_account: Account
    creditor_agent: Agent
    instructed: tuple[Asset, Units] | None = None
    exchange_rate: str = ""
    charges: tuple[Charge, ...] = ()
    purpose: str = ""
    remittance: str = field(default="", repr=False)


def rate_text(numerator: int, denominator: int) -> str:
    """A rate as pacs.008 writes it, to at most 11 digits: told to people, while the terms hold the exact fraction.

    Raises:
        MalformedDocument: it is not above 0, or has more than 11 digits before the point, or rounds to 0.
    """
    if numerator <= 0 or denominator <= 0:
        raise MalformedDocument("XchgRate", "it is not above 0", "")
    with localcontext() as context:
        context.prec, context.rounding = _RATE_DIGITS, ROUND_HALF_EVEN
        rate = Decimal(numerator) / Decimal(denominator)
        smallest = Decimal(1).scaleb(-_RATE_DECIMALS)
        if rate < smallest or rate.adjusted() >= _RATE_DIGITS:
            raise MalformedDocument("XchgRate", "it has no form of 11 digits, 10 of them decimals", "scale the asset")
        # XML counts the digits before the point as they are written: a rate below 1 has 10 decimals at most.
        text = format(rate if rate >= 1 else rate.quantize(smallest), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_credit_transfer(transfer: CreditTransfer) -> bytes:
    """The message in XML, valid against its schema.

    Raises:
        MalformedDocument: a value is not one that the schema allows; names the element and not the value.
    """
    root, body = new_document(_TYPE, "FIToFICstmrCdtTrf")
    header = add(body, "GrpHdr")
    add(header, "MsgId", transfer.message_id)
    add(header, "CreDtTm", time_text(transfer.created_at))
    add(header, "NbOfTxs", "1")
    add(header, "SttlmInf/SttlmMtd", "CLRG")
    one = add(body, "CdtTrfTxInf")
    add(one, "PmtId/InstrId", transfer.instruction_id)
    add(one, "PmtId/EndToEndId", transfer.end_to_end_id)
    add(one, "PmtId/TxId", transfer.transaction_id)
    add(one, "PmtId/UETR", transfer.uetr)
    _add_money(one, transfer)
    add_agent(one, "InstgAgt", transfer.instructing)
    add_agent(one, "InstdAgt", transfer.instructed_agent)
    add_party(one, "Dbtr", transfer.debtor)
    add_account(one, "DbtrAcct", transfer.debtor_account)
    add_agent(one, "DbtrAgt", transfer.debtor_agent)
    add_agent(one, "CdtrAgt", transfer.creditor_agent)
    add_party(one, "Cdtr", transfer.creditor)
    add_account(one, "CdtrAcct", transfer.creditor_account)
    if transfer.purpose:
        add(one, "Purp/Cd", transfer.purpose)
    if transfer.remittance:
        add(one, "RmtInf/Ustrd", transfer.remittance)
    return write_document(root, _TYPE)


def read_credit_transfer(raw: bytes, assets: dict[str, Asset]) -> CreditTransfer:
    """The one payment of a message; `assets` by their currency codes.

    Raises:
        MalformedDocument: not valid, more or less than one payment, or something that this gateway needs is missing.
    """
    root = read_document(raw, _TYPE)
    payments = find_all(root, "FIToFICstmrCdtTrf/CdtTrfTxInf")
    if len(payments) != 1 or required(root, "FIToFICstmrCdtTrf/GrpHdr/NbOfTxs") != "1":
        raise MalformedDocument("CdtTrfTxInf", "not exactly one payment", "send one in each message")
    one = payments[0]
    settled = find(one, "IntrBkSttlmAmt")
    assert settled is not None, "required by the schema"
    asset, amount = amount_of(settled, assets)
    instructed = find(one, "InstdAmt")
    day = text_at(one, "IntrBkSttlmDt") or required(root, "FIToFICstmrCdtTrf/GrpHdr/IntrBkSttlmDt")
    return CreditTransfer(
        message_id=required(root, "FIToFICstmrCdtTrf/GrpHdr/MsgId"),
        instruction_id=required(one, "PmtId/InstrId"),
        end_to_end_id=required(one, "PmtId/EndToEndId"),
        transaction_id=required(one, "PmtId/TxId"),
        uetr=required(one, "PmtId/UETR"),
        created_at=time_of(required(root, "FIToFICstmrCdtTrf/GrpHdr/CreDtTm"), "CreDtTm"),
        settlement_date=day_of(day, "IntrBkSttlmDt"),
        asset=asset,
        amount=amount,
        bearer=cast(Bearer, required(one, "ChrgBr")),
        instructing=agent_of(one, "InstgAgt"),
        instructed_agent=agent_of(one, "InstdAgt"),
        debtor=party_of(one, "Dbtr"),
        debtor_account=account_of(one, "DbtrAcct"),
        debtor_agent=agent_of(one, "DbtrAgt"),
        creditor=party_of(one, "Cdtr"),
        creditor_account=account_of(one, "CdtrAcct"),
        creditor_agent=agent_of(one, "CdtrAgt"),
        instructed=None if instructed is None else amount_of(instructed, assets),
        exchange_rate=text_at(one, "XchgRate") or "",
        charges=tuple(_charge(charge, assets) for charge in find_all(one, "ChrgsInf")),
        purpose=text_at(one, "Purp/Cd") or "",
        remittance=text_at(one, "RmtInf/Ustrd") or "",
    )


def _add_money(one: Element, transfer: CreditTransfer) -> None:
    add_amount(one, "IntrBkSttlmAmt", transfer.asset, transfer.amount)
    add(one, "IntrBkSttlmDt", transfer.settlement_date.isoformat())
    if transfer.instructed is not None:
        add_amount(one, "InstdAmt", *transfer.instructed)
    if transfer.exchange_rate:
        add(one, "XchgRate", transfer.exchange_rate)
    add(one, "ChrgBr", transfer.bearer)
    for charge in transfer.charges:
        element = add(one, "ChrgsInf")
        add_amount(element, "Amt", charge.asset, charge.amount)
        add_agent(element, "Agt", charge.agent)


def _charge(element: Element, assets: dict[str, Asset]) -> Charge:
    amount = find(element, "Amt")
    assert amount is not None, "required by the schema"
    return Charge(*amount_of(amount, assets), agent_of(element, "Agt"))
