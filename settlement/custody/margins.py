"""The time that a party keeps between deadlines, and the time-outs that a quote gets from it.

Source: seeds/002…, step 7 (the second time-out is less than the first); DESIGN.md, invariant 5. Clocks of the parties
and the ledgers may differ by `skew_ms`; what is asked of a ledger is final after the ledger's `settle_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ledgers.protocol import LedgerFacts


@dataclass(frozen=True, slots=True)
class Margins:
    """What one party insists upon.

    Fields: skew_ms (how far clocks may be apart); quote_ms (how long a quote is firm); answer_ms (how long another
    party may take to answer); target_ms (how long the payee has, from the latest moment at which the target can be
    held, besides what its ledger needs); downtime_ms (how long the clearing bank may be down between learning the
    preimage and claiming); hold_ms_max (the longest hold that this party enters).
    """

    skew_ms: int = 2_000
    quote_ms: int = 60_000
    answer_ms: int = 30_000
    target_ms: int = 30_000
    downtime_ms: int = 60_000
    hold_ms_max: int = 3_600_000

    def __post_init__(self) -> None:
        for name in ("skew_ms", "quote_ms", "answer_ms", "target_ms", "downtime_ms", "hold_ms_max"):
            if getattr(self, name) < (0 if name == "skew_ms" else 1):
                raise BadInput(f"margins.{name}", "too small", "milliseconds, above 0")


@dataclass(frozen=True, slots=True)
class Times:
    """When a quote and its two holds end, in this order."""

    quote: UnixMs
    target: UnixMs
    source: UnixMs


def plan(now: UnixMs, source: LedgerFacts, target: LedgerFacts, margins: Margins) -> Times:
    """The time-outs of a quote that is made now.

    The quote is firm until the source's hold can be final. The target's hold outlives it by its own finality, the
    payee's time, and what the payee's fulfilment needs; the source's outlives the target's by what the clearing bank
    needs to see the preimage and to claim, after a downtime.

    Raises:
        BadInput: the source's hold would be longer than `hold_ms_max`.
    """
    quote = now + margins.quote_ms + source.settle_ms
    # Whole seconds: chains count in them, and both sides have to see the same moment.
    target_at = _whole_seconds(quote + margins.target_ms + place_ms(target, margins))
    source_at = _whole_seconds(target_at + claim_ms(source, target, margins))
    if source_at - now > margins.hold_ms_max:
        raise BadInput("margins.hold_ms_max", f"a hold of {source_at - now} ms would be needed", "allow longer holds")
    return Times(UnixMs(quote), UnixMs(target_at), UnixMs(source_at))


def _whole_seconds(moment: int) -> int:
    """The moment, or up to a second later."""
    return -(-moment // 1_000) * 1_000


def claim_ms(source: LedgerFacts, target: LedgerFacts, margins: Margins) -> int:
    """How much later the source's hold has to end than the target's: invariant 5's margin.

    A fulfilment at the last moment is final, and seen, after the target's `settle_ms`; then the claim has to be made
    within what the source's ledger needs for a hold that can be relied upon.
    """
    return target.settle_ms + margins.downtime_ms + source.hold_ms_min + 2 * margins.skew_ms


def reveal_ms(target: LedgerFacts, margins: Margins) -> int:
    """How long before the target's time-out the payee still sends the preimage.

    Later, the fulfilment might fail and yet show it. `hold_ms_min` is time enough for a hold to become final and to be
    fulfilled, so without the one it leaves the other.
    """
    return target.hold_ms_min - target.settle_ms + margins.skew_ms


def place_ms(target: LedgerFacts, margins: Margins) -> int:
    """How long before the target's time-out its hold is still begun: the payee has to see it final, and to fulfil."""
    return target.settle_ms + reveal_ms(target, margins) + margins.skew_ms
