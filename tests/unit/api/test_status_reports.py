"""What is told of a payment as a pacs.002: valid at each stage, with a reason where it did not go through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.ports import PaymentShown
from api.showing import STATUSES
from api.status_reports import REASONS, report_of
from api.transfers import Names
from foundation.quantities import UnixMs
from settlement.connect.iso20022.pacs002 import Status, read_status_report, write_status_report
from settlement.custody.changes import Why

NUMBER = b"\x5f" * 32
NAMES = Names("M-1", "I-1", "E-1", "T-1", "7d8e6a52-0f9b-4c1d-8b1a-0123456789ab")
AT = UnixMs(1_795_000_000_000)
SHOWN = PaymentShown(
    NUMBER, "payer", "held", "in_progress", "", "bank-a", "clearing", "bank-b", None, None, None, AT, AT
)


@pytest.mark.parametrize("names", [NAMES, None])
@pytest.mark.parametrize("role", ["payer", "clearer", "payee"])
@pytest.mark.parametrize("status", list(STATUSES))
def test_every_status_is_a_valid_message(status: str, role: str, names: Names | None) -> None:
    """At each stage, for each party, the report passes its schema and reads back as it was written."""
    report = report_of(replace(SHOWN, status=status, role=role), names)
    assert read_status_report(write_status_report(report)) == report


@pytest.mark.parametrize(
    ("role", "status", "code"),
    [
        ("payer", "pending", Status.PENDING),
        ("payer", "in_progress", Status.IN_PROCESS),
        ("payer", "paid", Status.SETTLED),
        ("clearer", "paid", Status.SETTLED),
        ("payee", "paid", Status.CREDITED),
        ("payee", "lost", Status.PENDING),
    ],
)
def test_settled_is_credited_at_the_payees_bank(role: str, status: str, code: Status) -> None:
    """Who pays is told that it is settled, who is paid that it is credited, and nobody that what is lost is settled."""
    report = report_of(replace(SHOWN, role=role, status=status), NAMES)
    assert (report.status, report.reason) == (code, "")


@pytest.mark.parametrize("why", list(REASONS))
@pytest.mark.parametrize("status", ["failed", "returned"])
def test_what_failed_is_rejected_with_its_reason(why: Why, status: str) -> None:
    """A payment that failed or came back is RJCT with the code of its reason; one that was cancelled is CANC."""
    report = report_of(replace(SHOWN, status=status, reason=f"{why}: told to people"), NAMES)
    assert report.status is (Status.CANCELLED if why is Why.CANCELLED else Status.REJECTED)
    assert report.reason == REASONS[why]
    assert read_status_report(write_status_report(report)).reason == report.reason


def test_an_unknown_reason_is_told_as_none_in_particular() -> None:
    """A reason of a later release is an unspecified one, and never no reason."""
    assert report_of(replace(SHOWN, status="failed", reason="something new"), None).reason == "MS03"


def test_the_same_stage_is_the_same_message() -> None:
    """A report that is fetched twice has one number; the next stage, and the other side, have others."""
    ids = {
        report_of(shown, NAMES).message_id
        for shown in (
            SHOWN,
            SHOWN,
            replace(SHOWN, stage="paid", status="paid"),
            replace(SHOWN, role="payee"),
        )
    }
    assert len(ids) == 3
