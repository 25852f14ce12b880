"""What has become of a payment, as a pacs.002: the same stage is always the same message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.ports import PaymentShown
from api.transfers import Names
from settlement.connect.iso20022.documents import uetr_of
from settlement.connect.iso20022.pacs002 import Status, StatusReport
from settlement.custody.changes import Why
from settlement.quantities import tagged_hash

_ID_MAX: Final = 35
_NOT_PROVIDED: Final = "NOTPROVIDED"
_UNSPECIFIED: Final = "MS03"

REASONS: Final[Mapping[Why, str]] = {
    Why.NO_ROUTE: "AG03",  # this kind of transaction is not supported
    Why.RATE_MOVED: "AM14",  # more than the limit that was agreed with the customer
    Why.QUOTE_EXPIRED: "AB01",  # clearing: timed out
    Why.QUOTE_WRONG: "AB10",  # an error at the instructed agent
    Why.RULES: "AG01",  # this transaction is forbidden
    Why.SCREENING: "RR04",  # regulatory
    Why.REFUSED_BY_PAYEE: "AB09",  # an error at the creditor's agent
    Why.NO_ANSWER: "AB05",  # timed out at the creditor's agent
    Why.NO_FUNDS: "AM04",
    Why.LEDGER: "AB04",  # settlement: a fatal error
    Why.TOO_LATE: "AB03",  # settlement: timed out
    Why.UNKNOWN_CUSTOMER: "AC03",  # no such account of a creditor
    Why.CANCELLED: "DS02",  # an authorised user has cancelled it
}
"""External status reason codes. None says who was screened, by which list, or which rule it was."""

_STATUS: Final = {
    "pending": Status.PENDING,
    "in_progress": Status.IN_PROCESS,
    "paid": Status.SETTLED,
    "returned": Status.REJECTED,
    "failed": Status.REJECTED,
    "lost": Status.PENDING,  # a person has to look; whether it is settled is what they find out
}


def report_of(payment: PaymentShown, names: Names | None) -> StatusReport:
    """The report on a payment as it stands.

    Args:
        payment: as this party has it. To the payee's bank a payment that is paid is credited (ACCC), to the others it
        is settled (ACSC).
        names: what its pacs.008 called it; None: it came by another way, and is called by its own number.
    """
    status, reason = _STATUS[payment.status], ""
    if status is Status.SETTLED and payment.role == "payee":
        status = Status.CREDITED
    if status is Status.REJECTED:
        why = payment.reason.partition(":")[0]
        reason = REASONS[Why(why)] if why in REASONS else _UNSPECIFIED
        status = Status.CANCELLED if why == Why.CANCELLED else status
    called = names or _own_names(payment.payment_id)
    return StatusReport(
        message_id=_message_id(payment, status),
        created_at=payment.updated_at,
        original_message_id=called.message_id,
        original_instruction_id=called.instruction_id,
        original_end_to_end_id=called.end_to_end_id,
        original_transaction_id=called.transaction_id,
        uetr=called.uetr,
        status=status,
        reason=reason,
    )


def _message_id(payment: PaymentShown, status: Status) -> str:
    text = (payment.payment_id, payment.role.encode(), payment.stage.encode(), status.value.encode())
    return f"R-{tagged_hash('api/pacs.002', *text)[:16].hex()}"


def _own_names(payment: bytes) -> Names:
    number = payment.hex()[:_ID_MAX]
    return Names(_NOT_PROVIDED, number, number, number, uetr_of(payment))
