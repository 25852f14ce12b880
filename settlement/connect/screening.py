"""What screening said of a payment's two persons. Verdicts name no person and no entry of a list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Subject(StrEnum):
    """Who was screened."""

    ORIGINATOR = "originator"
    BENEFICIARY = "beneficiary"


class Outcome(StrEnum):
    """What came of it."""

    PASS = "pass"  # noqa: S105  (no password)
    REFER = "refer"  # a person has to decide; the payment waits or is refused, it never goes on by itself
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one person, by one version of a list and of the rules."""

    subject: Subject
    outcome: Outcome
    list_name: _Name
    list_version: _Name
    rule_version: _Name


def all_cleared(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether both persons were screened, and each verdict is a pass."""
    screened = {verdict.subject for verdict in verdicts}
    return screened == set(Subject) and all(verdict.outcome is Outcome.PASS for verdict in verdicts)
