"""pacs.002: what has become of a credit transfer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from foundation.quantities import UnixMs
from settlement.connect.exchange_types import Reason
from settlement.connect.iso20022.documents import (
    MalformedDocument,
    MessageType,
    add,
    find_all,
    new_document,
    read_document,
    required,
    text_at,
    time_of,
    time_text,
    write_document,
)

_TYPE: Final = MessageType.STATUS_REPORT


class Status(StrEnum):
    """External payment transaction status codes that this gateway says and understands."""

    RECEIVED = "RCVD"
    TECHNICALLY_VALID = "ACTC"
    PENDING = "PDNG"
    IN_PROCESS = "ACSP"  # accepted; money is held
    SETTLED = "ACSC"  # settled on the debtor's side
    CREDITED = "ACCC"  # the creditor has the money
    REJECTED = "RJCT"
    CANCELLED = "CANC"


_CODES: Final = {
    Reason.SCREENING: "RR04",  # regulatory reason
    Reason.DATA: "RR04",
    Reason.DISCLOSURE: "RR04",
    Reason.DEMAND: "RR04",
    Reason.PURPOSE: "AG01",  # this kind of transaction is forbidden
    Reason.EXPIRED: "AB05",  # time-out at the creditor's agent
}
_UNSPECIFIED: Final = "MS03"  # not specified, by an agent


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What has become of one credit transfer.

    Fields: message_id (at most 35 characters); created_at (Unix ms); original_message_id and the payment's
    original_instruction_id, original_end_to_end_id, original_transaction_id (35 each) and uetr; status; reason (an
    external status reason code, 1 to 4 characters; needed with REJECTED and CANCELLED, else it may be empty).
    """

    message_id: str
    created_at: UnixMs
    original_message_id: str
    original_instruction_id: str
    original_end_to_end_id: str
    original_transaction_id: str
    uetr: str
    status: Status
    reason: str = ""


def reason_code(reason: Reason) -> str:
    """The code under which a refusal is told to the other bank. It does not say who was screened, or by which list."""
    return _CODES.get(reason, _UNSPECIFIED)


def write_status_report(report: StatusReport) -> bytes:
    """The message in XML, valid against its schema.

    Raises:
        MalformedDocument: a rejection has no reason, or a value is not one that the schema allows.
    """
    _check(report)
    root, body = new_document(_TYPE, "FIToFIPmtStsRpt")
    add(body, "GrpHdr/MsgId", report.message_id)
    add(body, "GrpHdr/CreDtTm", time_text(report.created_at))
    one = add(body, "TxInfAndSts")
    add(one, "OrgnlGrpInf/OrgnlMsgId", report.original_message_id)
    add(one, "OrgnlGrpInf/OrgnlMsgNmId", MessageType.CREDIT_TRANSFER.value)
    add(one, "OrgnlInstrId", report.original_instruction_id)
    add(one, "OrgnlEndToEndId", report.original_end_to_end_id)
    add(one, "OrgnlTxId", report.original_transaction_id)
    add(one, "OrgnlUETR", report.uetr)
    add(one, "TxSts", report.status.value)
    if report.reason:
        add(one, "StsRsnInf/Rsn/Cd", report.reason)
    return write_document(root, _TYPE)


def read_status_report(raw: bytes) -> StatusReport:
    """The one status of a message.

    Raises:
        MalformedDocument: not valid, more or less than one status, a status that is not known, or a part is missing.
    """
    root = read_document(raw, _TYPE)
    reports = find_all(root, "FIToFIPmtStsRpt/TxInfAndSts")
    if len(reports) != 1:
        raise MalformedDocument("TxInfAndSts", "not exactly one status", "send one in each message")
    one = reports[0]
    try:
        status = Status(required(one, "TxSts"))
    except ValueError:
        raise MalformedDocument("TxSts", "this status is not known", "see docs/connect.md") from None
    report = StatusReport(
        message_id=required(root, "FIToFIPmtStsRpt/GrpHdr/MsgId"),
        created_at=time_of(required(root, "FIToFIPmtStsRpt/GrpHdr/CreDtTm"), "CreDtTm"),
        original_message_id=required(one, "OrgnlGrpInf/OrgnlMsgId"),
        original_instruction_id=required(one, "OrgnlInstrId"),
        original_end_to_end_id=required(one, "OrgnlEndToEndId"),
        original_transaction_id=required(one, "OrgnlTxId"),
        uetr=required(one, "OrgnlUETR"),
        status=status,
        reason=text_at(one, "StsRsnInf/Rsn/Cd") or "",
    )
    _check(report)
    return report


def _check(report: StatusReport) -> None:
    if report.status in (Status.REJECTED, Status.CANCELLED) and not report.reason:
        raise MalformedDocument("StsRsnInf", f"{report.status} says no reason", "give an external status reason code")
