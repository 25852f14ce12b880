"""The time-outs of a quote leave each party what it needs, on quick ledgers and on slow ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody.margins import Margins, claim_ms, place_ms, plan, reveal_ms
from settlement.ledgers.protocol import LedgerFacts, LedgerId
from settlement.quantities import Asset, Scale

NOW = UnixMs(1_700_000_000_123)
EURO = Asset("EUR", Scale(2))
MARGINS = Margins()
CHAIN_SKEW_MS = 15_000


def book() -> LedgerFacts:
    """A book: final at once."""
    return LedgerFacts(LedgerId("book"), EURO, 0, 1_000)


def chain(settle_s: int) -> LedgerFacts:
    """A chain, as `settlement.ledgers.evm` tells of it."""
    settle_ms = settle_s * 1_000
    return LedgerFacts(LedgerId(f"chain-{settle_s}"), EURO, settle_ms, 2 * settle_ms + CHAIN_SKEW_MS)


LEDGERS = [book(), chain(2), chain(10), chain(60), chain(120), chain(900)]


@pytest.mark.parametrize("target", LEDGERS, ids=lambda facts: facts.ledger_id)
@pytest.mark.parametrize("source", LEDGERS, ids=lambda facts: facts.ledger_id)
def test_the_slowest_payment_that_keeps_its_times_succeeds(source: LedgerFacts, target: LedgerFacts) -> None:
    """A source that is final at the quote's end, a target that takes all its finality, and clocks at the edge are in
    time.
    """
    margins = replace(MARGINS, hold_ms_max=10_000_000)
    times = plan(NOW, source, target, margins)
    seen = times.quote
    assert seen - source.settle_ms - NOW == margins.quote_ms
    assert seen + place_ms(target, margins) <= times.target
    held = seen + target.settle_ms + margins.skew_ms
    assert times.target - reveal_ms(target, margins) - held >= margins.target_ms
    fulfilled = times.target + target.settle_ms + margins.skew_ms
    claimed = fulfilled + margins.downtime_ms
    assert times.source - claimed - margins.skew_ms >= source.hold_ms_min
    assert times.source - times.target >= claim_ms(source, target, margins)
    assert times.target % 1_000 == times.source % 1_000 == 0


@pytest.mark.parametrize("settle_s", [2, 10, 60, 120, 900])
def test_the_usual_margins_serve_a_book_and_a_chain(settle_s: int) -> None:
    """Nobody has to change a margin to pay from a book to a chain whose finality takes a quarter of an hour."""
    times = plan(NOW, book(), chain(settle_s), MARGINS)
    assert times.quote < times.target < times.source <= NOW + MARGINS.hold_ms_max


def test_what_the_payee_needs_is_what_the_chains_ledger_insists_on() -> None:
    """The payee gives up no earlier than its ledger would refuse to show the preimage, apart from the clocks' skew."""
    slow = chain(900)
    assert reveal_ms(slow, MARGINS) == slow.settle_ms + CHAIN_SKEW_MS + MARGINS.skew_ms


def test_a_hold_that_would_be_too_long_is_not_quoted() -> None:
    """A quote whose holds would outlast what the party allows is refused, and says how long they would be."""
    with pytest.raises(BadInput) as refusal:
        plan(NOW, chain(900), chain(900), replace(MARGINS, hold_ms_max=600_000))
    assert refusal.value.field == "margins.hold_ms_max"
