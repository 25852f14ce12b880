"""Whatever refuses, fails or stays silent: the payment ends at all three, with its reason, and the money is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from settlement.custody import changes as c
from settlement.custody.margins import Margins
from settlement.custody.states import note_of
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway.pricing import CorridorPricing
from settlement.ledgers.protocol import LedgerId
from settlement.quantities import PartyId
from tests.support.gateway_crashes import without_pauses
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import Time
from tests.support.settlement_gateway import (
    EURO_LEDGER,
    FUNDS,
    POLICY,
    RULES,
    YUAN_LEDGER,
    A,
    B,
    C,
    Town,
    stages,
)

pytestmark = pytest.mark.integration
MARGINS = Margins()
BLOCKED = b"""
[[limit]]
id = "small"
window = "each"
asset = "EUR"
amount_max = "1.00"
"""


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """Three banks at work, by a clock that tests set."""
    without_pauses(monkeypatch)
    async with Town(tmp_path, clock=Time()) as made:
        yield made


async def _restarted(town: Town, *parties: PartyId) -> None:
    """Start parties anew, and let so much time pass that what they asked of ledgers before is known."""
    for party in (A, B, C):
        if party in parties:
            await town.stop(party)
            await town.start(party)
    await town.pass_time(MARGINS.skew_ms)


async def _failed(town: Town, payment: PaymentId, why: c.Why, *parties: PartyId) -> None:
    """It has failed at the payer with this reason, and nothing has moved."""
    state = await town.stage(A, payment, "failed", "back")
    assert note_of(state).startswith(why), note_of(state)
    for party in parties:
        await town.stage(party, payment, "failed", "lapsed")
    await town.nothing_moved()


async def test_no_route(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clearing bank has no corridor, the payer learns that there is no route, and the payee that it ended."""
    monkeypatch.setattr(CorridorPricing, "offers", lambda self, asks, payer, now: [_no(ask) for ask in asks])
    payment = await town.pay()
    await _failed(town, payment, c.Why.NO_ROUTE, B)


def _no(ask: m.QuoteAsk) -> m.QuoteNo:
    return m.QuoteNo(ask.payment_id, c.Why.NO_ROUTE, "none")


async def test_a_rate_that_moved_costs_nothing(town: Town) -> None:
    """A quote above the most that the payer allows ends the payment before anything is held."""
    payment = await town.pay(2_000_00, most=1_000_99)
    await _failed(town, payment, c.Why.RATE_MOVED, B)


async def test_an_account_that_nobody_has_is_declined_first(town: Town) -> None:
    """The payee's bank declines a payment to an account that is not its customer's, before all else."""
    payment = await town.pay(creditor="SG-0000-0000")
    await _failed(town, payment, c.Why.UNKNOWN_CUSTOMER, B)


async def test_policies_that_do_not_fit(town: Town) -> None:
    """A bank that requires what the other may not disclose gets no payment, and the reason is screening."""
    town.policies[A] = POLICY.replace(b'"address", "national-id"', b'"national-id"')
    await _restarted(town, A)
    payment = await town.pay()
    await _failed(town, payment, c.Why.SCREENING, B)


@pytest.mark.parametrize("party", [A, B])
async def test_rules_that_bar_a_payment_at_a_bank(town: Town, party: PartyId) -> None:
    """A bank whose rules bar the payment holds nothing, and says that its rules did."""
    town.rules[party] = RULES + BLOCKED
    await _restarted(town, party)
    payment = await town.pay()
    await _failed(town, payment, c.Why.RULES, B)


async def test_rules_that_bar_a_payment_at_the_clearing_bank(town: Town) -> None:
    """The clearing bank whose rules bar a payment gives the money back that is held for it."""
    town.rules[C] = RULES + BLOCKED
    await _restarted(town, C)
    payment = await town.pay()
    await town.stage(A, payment, "back")
    await town.stage(C, payment, "failed")
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(B, payment, "failed")
    await town.nothing_moved()


async def test_a_payee_that_is_silent(town: Town) -> None:
    """Where nobody fulfils in time, both holds end by their time-outs, and all money is back."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"events", "fulfil"}
    await _restarted(town, B)
    payment = await town.pay()
    await town.stage(C, payment, "waiting")
    await town.stop(B)
    state = await town.state(C, payment)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(C, payment, "failed")
    await town.stage(A, payment, "back")
    await town.start(B)
    await town.stage(B, payment, "failed")
    assert state is not None
    await town.nothing_moved()


async def test_a_payee_that_was_away(town: Town) -> None:
    """A payee that comes back in time finds the hold and is paid."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"events"}
    await _restarted(town, B)
    payment = await town.pay()
    await town.stage(C, payment, "waiting")
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}


async def test_the_clearing_bank_claims_after_a_downtime(town: Town) -> None:
    """A clearing bank that dies after it has learnt the preimage claims with it when it is back."""
    town.ledgers[C, EURO_LEDGER].silent |= {"fulfil"}
    payment = await town.pay()
    await town.stage(C, payment, "claiming")
    await town.stop(C)
    town.ledgers[C, EURO_LEDGER].silent.clear()
    await town.pass_time(MARGINS.downtime_ms)
    await town.start(C)
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}
    assert await town.balance(EURO_LEDGER, C) == FUNDS + 1_001_00


async def test_a_clearing_bank_that_never_comes_back(town: Town) -> None:
    """Without the clearing bank the payer's money comes back after its time-out."""
    town.ledgers[C, EURO_LEDGER].silent |= {"events"}
    await _restarted(town, C)
    payment = await town.pay()
    await town.stage(A, payment, "held")
    await town.stop(C)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(A, payment, "back")
    await town.stage(B, payment, "failed")
    await town.nothing_moved()


@pytest.mark.parametrize(
    ("party", "ledger", "call"),
    [
        (A, EURO_LEDGER, "hold"),
        (A, EURO_LEDGER, "events"),
        (C, EURO_LEDGER, "events"),
        (C, EURO_LEDGER, "fulfil"),
        (C, YUAN_LEDGER, "hold"),
        (C, YUAN_LEDGER, "events"),
        (B, YUAN_LEDGER, "fulfil"),
        (B, YUAN_LEDGER, "events"),
    ],
)
async def test_answers_that_are_lost(town: Town, party: PartyId, ledger: LedgerId, call: str) -> None:
    """Whichever of a ledger's answers is lost, or comes late, the payment is made once."""
    fragile = town.ledgers[party, ledger]
    (fragile.silent if call == "events" else fragile.deaf).add(call)
    if call == "events":
        await _restarted(town, party)
        fragile = town.ledgers[party, ledger]
    payment = await town.pay()
    if call == "events":
        await town.stage(A, payment, "holding", "held", "paid", "closed")
    else:
        await _called_twice(fragile.calls, call)
    fragile.silent.clear()
    fragile.deaf.clear()
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}
    assert await town.balance(EURO_LEDGER, A) == FUNDS - 1_001_00
    assert await town.balance(YUAN_LEDGER, B) == FUNDS + 2_000_00


async def _called_twice(calls: list[str], name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while calls.count(name) < 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("party", [B, C])
async def test_a_party_that_does_not_answer(town: Town, party: PartyId) -> None:
    """A payer whose question is not answered gives up in time; nothing was held."""
    await town.stop(party)
    payment = await town.pay()
    await town.stage(A, payment, "asking" if party == B else "pricing")
    await town.pass_time(MARGINS.answer_ms)
    await town.stage(A, payment, "failed")
    await town.nothing_moved()


async def test_a_payer_that_forgets_asks_again(town: Town) -> None:
    """A payer that starts anew while it waits for the secret asks for it again, and the payment goes on."""
    town.post.change = lambda party, body: m.encode(()) if party == A else body
    payment = await town.pay()
    await town.stage(B, payment, "offered")
    await town.stop(A)
    town.post.change = lambda party, body: body
    await town.start(A)
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}


async def test_whoever_comes_later_works_alone(town: Town) -> None:
    """Of two processes on one party's database, the later one goes on, and the earlier does nothing any more."""
    earlier, stack = town.gateways[A], town.leave_running(A)
    later = await town.start(A)
    with pytest.raises(Exception, match="stopped"):
        await earlier.change(PaymentId(bytes(32)), c.Tick())
    payment = await town.pay()
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}
    assert later is town.gateways[A]
    await stack.aclose()


REFERS = b"""
[[four_eyes]]
id = "two-persons"
asset = "EUR"
above = "1.00"
approvals = 1
roles = ["officer"]

[[person]]
name = "officer-olga"
roles = ["officer"]
"""


@pytest.mark.parametrize("party", [A, B, C])
async def test_a_payment_waits_for_a_person_and_goes_on(town: Town, party: PartyId) -> None:
    """A payment above the limit for one pair of eyes waits at that party, and goes on when the person has approved."""
    town.rules[party] = RULES + REFERS
    await _restarted(town, party)
    payment = await town.pay()
    await town.stage(party, payment, "agreeing" if party == A else "consenting" if party == B else "clearing")
    await town.referred(party, payment)
    await town.gateways[party].recheck(payment)  # nobody has said anything yet
    await town.approve(party, payment, "officer-olga")
    await town.gateways[party].recheck(payment)
    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}


@pytest.mark.parametrize("party", [A, B, C])
async def test_a_payment_that_nobody_approves_ends(town: Town, party: PartyId) -> None:
    """A payment that nobody approves in time ends at all three, and all money is back."""
    town.rules[party] = RULES + REFERS
    await _restarted(town, party)
    payment = await town.pay()
    await town.referred(party, payment)
    if party == C:
        await town.stage(A, payment, "held")
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(A, payment, "back" if party == C else "failed")
    await town.stage(B, payment, "failed")
    await town.stage(C, payment, "failed", "lapsed")
    await town.nothing_moved()
