"""How payments end where something is missing: a part of the receipt, an acceptance, money, a database, a margin."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connect.exchange_types import Reason
from settlement.connect.store import Decisions
from settlement.connect.vault import PersonalRecords, RecordGone, RecordKind, Retention
from settlement.custody import changes as c
from settlement.custody import clearer
from settlement.custody.margins import Margins
from settlement.custody.states import note_of
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway.dossiers import Dossiers
from settlement.gateway.housekeeping import DAY_MS, forget
from settlement.gateway.resolving import resolve
from settlement.gateway.tables import alarms
from settlement.quantities import PartyId
from settlement.rules.store import RulesStore, UseState
from tests.support.gateway_crashes import without_pauses
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import Time
from tests.support.settlement_gateway import EURO_LEDGER, FUNDS, RULES, YUAN_LEDGER, A, B, C, Town, stages

pytestmark = pytest.mark.integration
MARGINS = Margins()
CLOSED = {A: "closed", B: "closed", C: "closed"}
LARGE = RULES.replace(b"1000000.00", b"9000000.00")
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
BARS = b"""
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


async def _restarted(town: Town, *parties: PartyId, rules: bytes | None = None) -> None:
    """Start parties anew, with other rules, and let time pass until what they asked of ledgers before is known."""
    for party in parties:
        town.rules[party] = rules or town.rules[party]
        await town.stop(party)
        await town.start(party)
    await town.pass_time(MARGINS.skew_ms)


async def _alarms(town: Town, party: PartyId, state: str = "open") -> list[str]:
    async with town.databases[party].view() as view:
        query = select(alarms.c.detail).where(alarms.c.state == state).order_by(alarms.c.id)
        return list((await view.connection.execute(query)).scalars())


async def _reserved(town: Town, party: PartyId, payment: PaymentId) -> UseState | None:
    async with town.databases[party].view() as view:
        return await RulesStore(view.connection, town.secrets[party].facts_key).state_of(payment)


async def test_an_old_database_gives_back_no_source_whose_target_is_held(town: Town) -> None:
    """A clearing bank that is started on a copy from before the second hold finds it, and is paid like everybody else.

    Its rules bar the payment by now, so that by its memory alone it would give the source back at once.
    """
    town.ledgers[B, YUAN_LEDGER].silent |= {"events"}
    await _restarted(town, B)
    await _restarted(town, C, rules=RULES + REFERS)
    payment = await town.pay()
    await town.referred(C, payment)
    await town.stop(C)
    shutil.copy(town.folder / "clearing.db", town.folder / "old.db")
    await town.start(C)
    await town.approve(C, payment, "officer-olga")
    await town.gateways[C].recheck(payment)
    await town.stage(C, payment, "waiting")
    await town.stop(C)
    shutil.copy(town.folder / "old.db", town.folder / "clearing.db")
    town.rules[C] = RULES + BARS
    await town.start(C)
    assert isinstance(await town.state(C, payment), clearer.Clearing)
    await town.gateways[C].recheck(payment)
    await town.stage(C, payment, "waiting")
    assert "old copy" in (await _alarms(town, C))[0]
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    assert stages(await town.ended(payment)) == CLOSED
    assert await town.balance(EURO_LEDGER, C) == FUNDS + 1_001_00
    assert await town.balance(YUAN_LEDGER, C) == FUNDS - 2_000_00


async def test_an_old_database_that_knows_nothing_of_a_payment_claims_its_source(town: Town) -> None:
    """A clearing bank on a copy from before a payment's beginning finds on the ledgers what it paid, and claims it."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"events"}
    await _restarted(town, B)
    await town.stop(C)
    shutil.copy(town.folder / "clearing.db", town.folder / "old.db")
    await town.start(C)
    payment = await town.pay()
    await town.stage(C, payment, "waiting")
    await town.stop(C)
    shutil.copy(town.folder / "old.db", town.folder / "clearing.db")
    await town.start(C)
    assert await town.state(C, payment) is None
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    await town.stage(B, payment, "received")
    await town.stage(A, payment, "paid")
    assert await town.balance(EURO_LEDGER, C) == FUNDS + 1_001_00
    assert await town.balance(YUAN_LEDGER, C) == FUNDS - 2_000_00
    assert "does not know" in (await _alarms(town, C))[0]
    async with asyncio.timeout(PATIENCE_S):
        while await town.outbox(C):
            await asyncio.sleep(0.01)


async def test_a_margin_that_did_not_hold_is_resolved_by_a_person(town: Town) -> None:
    """A clearing bank that is away until the source has gone back bears it; limits stay taken until a person says."""
    town.ledgers[C, EURO_LEDGER].silent |= {"fulfil"}
    payment = await town.pay()
    await town.stage(C, payment, "claiming")
    await town.stop(C)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(A, payment, "back")
    town.ledgers[C, EURO_LEDGER].silent.clear()
    await town.start(C)
    await town.stage(C, payment, "lost")
    database, secrets = town.databases[C], town.secrets[C]
    assert await _reserved(town, C, payment) is UseState.RESERVED
    with pytest.raises(BadInput, match="says not who"):
        await resolve(database, secrets, payment, " ", True, "paid", town.clock())
    with pytest.raises(BadInput, match="no payment"):
        await resolve(database, secrets, PaymentId(bytes(32)), "olga", True, "paid", town.clock())
    await resolve(database, secrets, payment, "olga", True, "the target was paid, we bear it", town.clock())
    assert await _reserved(town, C, payment) is UseState.SETTLED
    assert await _alarms(town, C) == []
    assert len(await _alarms(town, C, "acknowledged")) == 1
    history = await town.gateways[C].history(payment)
    assert history[-1].note == "olga: counts: the target was paid, we bear it"
    with pytest.raises(BadInput, match="resolved before"):
        await resolve(database, secrets, payment, "anna", False, "no", town.clock())
    assert await _reserved(town, C, payment) is UseState.SETTLED


async def test_what_a_lost_payment_had_taken_can_be_released(town: Town) -> None:
    """A person who finds that nothing has moved gives the limits back what the payment had taken of them."""
    town.ledgers[C, EURO_LEDGER].silent |= {"fulfil"}
    payment = await town.pay()
    await town.stage(C, payment, "claiming")
    await town.pass_time(MARGINS.hold_ms_max)
    town.ledgers[C, EURO_LEDGER].silent.clear()
    await town.stage(C, payment, "lost")
    await resolve(town.databases[C], town.secrets[C], payment, "olga", False, "paid back", town.clock())
    assert await _reserved(town, C, payment) is UseState.RELEASED
    assert await _reserved(town, B, payment) is UseState.SETTLED


async def test_a_part_of_the_receipt_that_is_withheld_keeps_no_personal_data(town: Town) -> None:
    """A payment whose receipt nobody completes is paid all the same, and its data are forgotten in their time."""
    town.ledgers[C, YUAN_LEDGER].silent |= {"hold"}
    payment = await town.pay()
    await town.stage(A, payment, "held")
    town.post.change = lambda party, body: m.encode(()) if party == A else body
    town.ledgers[C, YUAN_LEDGER].silent.clear()
    await town.stage(A, payment, "paid")
    await town.stage(B, payment, "closed")
    assert await _kept(town, A, payment) == (True, True)
    retention = Retention(days=30)
    await forget(town.databases[A], town.secrets[A], retention, UnixMs(town.clock() + 29 * DAY_MS))
    assert await _kept(town, A, payment) == (True, True)
    await forget(town.databases[A], town.secrets[A], retention, UnixMs(town.clock() + 31 * DAY_MS))
    assert await _kept(town, A, payment) == (False, False)
    await town.stage(A, payment, "paid")


async def _kept(town: Town, party: PartyId, payment: PaymentId) -> tuple[bool, bool]:
    secrets = town.secrets[party]
    async with town.databases[party].view() as view:
        try:
            await PersonalRecords(view.connection, secrets.party, secrets.vault).read(payment, RecordKind.THEIRS)
            has_record = True
        except RecordGone:
            has_record = False
        return has_record, await Dossiers(view.connection, secrets.state_key).get(payment) is not None


@pytest.mark.parametrize("party", [A, B])
async def test_an_exchange_that_runs_out_of_time_is_decided(town: Town, party: PartyId) -> None:
    """Where nobody approves until the quote ends, the bank's decisions say so: it was refused because time was over."""
    await _restarted(town, party, rules=RULES + REFERS)
    payment = await town.pay()
    await town.referred(party, payment)
    assert (await _reasons(town.databases[party], party, payment))[-1] is Reason.REFERRED
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(party, payment, "failed")
    assert (await _reasons(town.databases[party], party, payment))[-1] is Reason.EXPIRED


async def _reasons(database: Database, party: PartyId, payment: PaymentId) -> list[Reason]:
    async with database.view() as view:
        return [record.reason for record in await Decisions(view.connection, party).of(payment)]


async def test_a_payer_without_funds(town: Town) -> None:
    """A ledger that refuses the first hold for want of money ends the payment at all three, with that reason."""
    for party in (A, B, C):
        await _restarted(town, party, rules=LARGE)
    payment = await town.pay(2 * FUNDS, most=2 * FUNDS)
    state = await town.stage(A, payment, "failed")
    assert note_of(state).startswith(c.Why.NO_FUNDS)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(B, payment, "failed")
    await town.stage(C, payment, "lapsed")
    await town.nothing_moved()


async def test_a_clearing_bank_without_funds(town: Town) -> None:
    """A ledger that refuses the second hold for want of money has the first one given back at once."""
    for party in (A, B, C):
        await _restarted(town, party, rules=LARGE)
    payment = await town.pay(FUNDS + 1, most=FUNDS)
    state = await town.stage(A, payment, "back")
    assert c.Why.NO_FUNDS in note_of(state)
    failed = await town.stage(C, payment, "failed")
    assert note_of(failed).startswith(c.Why.NO_FUNDS)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(B, payment, "failed")
    await town.nothing_moved()


LISTED = b"""
[sanctions]
near_from = 990

[[sanction]]
id = "own-1"
names = ["Seltsame Waren GmbH", "Maria Musterfrau"]
"""


@pytest.mark.parametrize(("party", "customer_of"), [(A, B), (B, A)])
async def test_a_person_on_a_list_is_refused_by_the_other_bank(
    town: Town, party: PartyId, customer_of: PartyId
) -> None:
    """A bank that finds the other's customer on its list ends the payment before anything is held, and tells nobody."""
    name = b"Seltsame Waren GmbH" if customer_of is B else b"Maria Musterfrau"
    own = b"Maria Musterfrau" if customer_of is B else b"Seltsame Waren GmbH"
    await _restarted(town, party, rules=RULES + LISTED.replace(b'"' + own + b'"', b'"Nobody Else"'))
    payment = await town.pay()
    state = await town.stage(A, payment, "failed")
    await town.stage(B, payment, "failed")
    assert note_of(state).startswith(c.Why.SCREENING)
    assert name.decode() not in note_of(state)
    assert (await _reasons(town.databases[party], party, payment))[-1] is Reason.SCREENING
    await town.nothing_moved()


async def test_a_payer_that_is_away_when_its_hold_is_paid(town: Town) -> None:
    """A payer that was away hears from its ledger that it has paid, and the receipt is signed by all three."""
    town.ledgers[C, YUAN_LEDGER].silent |= {"hold"}
    payment = await town.pay()
    await town.stage(A, payment, "held")
    await town.stop(A)
    town.ledgers[C, YUAN_LEDGER].silent.clear()
    await town.stage(C, payment, "earned")
    await town.pass_time(MARGINS.hold_ms_max)
    await town.start(A)
    assert stages(await town.ended(payment)) == CLOSED


async def test_a_target_ledger_that_is_down_until_it_is_too_late(town: Town) -> None:
    """A second hold that its ledger does not answer for is asked for until it says no, and then the first goes back."""
    town.ledgers[C, YUAN_LEDGER].silent |= {"hold"}
    payment = await town.pay()
    await town.stage(C, payment, "forwarding")
    await town.pass_time(MARGINS.quote_ms + MARGINS.target_ms + 10_000)
    assert isinstance(await town.state(C, payment), clearer.Forwarding)
    town.ledgers[C, YUAN_LEDGER].silent.clear()
    await town.stage(C, payment, "failed")
    await town.stage(A, payment, "back")
    await town.stage(B, payment, "failed")
    await town.nothing_moved()


async def test_a_payee_whose_ledger_is_down_shows_no_preimage_too_late(town: Town) -> None:
    """A payee that restarts with a fulfilment it may have begun waits for the ledger's word, and tells a person."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"fulfil"}
    payment = await town.pay()
    await town.stage(B, payment, "fulfilling")
    await town.stop(B)
    calls = town.ledgers[B, YUAN_LEDGER].calls
    begun = calls.count("fulfil")
    state = await town.state(C, payment)
    assert isinstance(state, clearer.Waiting)
    left = state.offer.quote.target.expires_at - town.clock()
    await town.pass_time(left - 500)
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    await town.start(B)
    async with asyncio.timeout(PATIENCE_S):
        while "transfers" not in town.ledgers[B, YUAN_LEDGER].calls:
            await asyncio.sleep(0.01)
    await town.pass_time(MARGINS.hold_ms_max)
    await town.stage(B, payment, "lost")
    await town.stage(A, payment, "back")
    await town.stage(C, payment, "failed")
    assert town.ledgers[B, YUAN_LEDGER].calls.count("fulfil") == begun
    assert len(await _alarms(town, B)) == 1
    await town.nothing_moved()
