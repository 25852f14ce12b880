"""What the rules say of one payment, and why."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from foundation.quantities import UnixMs
from settlement.rules.model import Verdict


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule's word. Holds nothing personal: names and accounts are told by their place in the facts.

    Fields: rule_id; verdict; text (a sentence for people); compared (what was held against what, as (name, value)).
    """

    rule_id: str
    verdict: Verdict
    text: str
    compared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a payment. Fields: verdict (the worst of the reasons'); reasons (each rule that had something to
    say, also those that a person cleared); rule_version (32 bytes); facts_digest (32 bytes); at.
    """

    payment_id: bytes
    verdict: Verdict
    reasons: tuple[Reason, ...]
    rule_version: bytes
    facts_digest: bytes
    at: UnixMs


def encode_decision(decision: Decision) -> bytes:
    """JSON of the decision, the same bytes for the same decision."""
    return msgspec.json.encode(decision, order="deterministic")


def decode_decision(raw: bytes) -> Decision:
    """The decision that `encode_decision` wrote."""
    return msgspec.json.decode(raw, type=Decision)
