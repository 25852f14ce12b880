"""A ledger is asked before anybody acts on a memory that may be wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId
from settlement.gateway import ledger_courier
from settlement.gateway.ledger_courier import LedgerCourier, Submit
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    Ledger,
    LedgerAccount,
    LedgerId,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Preimage, Units, condition_of
from tests.support.patience import PATIENCE_S

LEDGER, OWN, OTHER = LedgerId("asked"), LedgerAccount("own"), LedgerAccount("other")
PREIMAGE = Preimage(bytes(range(32)))
NOT_AFTER, EXPIRES_AT = 1_000, 2_000


class KnownLedger:
    """Answers by what it has. Fields: views; calls; forgets (calls of `fulfil` that it knows nothing of)."""

    own = OWN

    def __init__(self, *views: HoldView) -> None:
        self.views = {view.hold.transfer_id: view for view in views}
        self.calls: list[str] = []
        self.forgets = 0

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """As `Ledger`."""
        self.calls.append("transfers")
        return tuple(self.views.get(one) for one in transfer_ids)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """As `Ledger`."""
        self.calls.append("fulfil")
        if self.forgets:
            self.forgets -= 1
            return tuple(Refused(one.transfer_id, Refusal.UNKNOWN_TRANSFER, "none") for one in fulfilments)
        return tuple(Done(self._end(one.transfer_id, HoldState.FULFILLED)) for one in fulfilments)

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """As `Ledger`."""
        self.calls.append("cancel")
        return tuple(Done(self._end(one, HoldState.CANCELLED)) for one in transfer_ids)

    def _end(self, transfer_id: TransferId, state: HoldState) -> HoldView:
        self.views[transfer_id] = replace(self.views[transfer_id], state=state, preimage=PREIMAGE)
        return self.views[transfer_id]


def view_of(number: int, payer: LedgerAccount, state: HoldState = HoldState.HELD) -> HoldView:
    """A hold between the two."""
    payee = OTHER if payer == OWN else OWN
    hold = Hold(TransferId(_id(number)), payer, payee, Units(1), condition_of(PREIMAGE), UnixMs(EXPIRES_AT))
    return HoldView(hold, state, PREIMAGE if state is HoldState.FULFILLED else None, UnixMs(1), None)


def _id(number: int) -> bytes:
    return bytes([number]) * 32


def _due(number: int, effect: c.AnyEffect) -> Due:
    return Due(number, PaymentId(_id(number)), f"ledger:{LEDGER}", effect)


class At:
    """A courier at work, its clock, and what it told."""

    def __init__(self, ledger: KnownLedger) -> None:
        self.now = NOT_AFTER + 1
        self.news: asyncio.Queue[News] = asyncio.Queue()
        submit = cast("Submit", self.news.put)
        self.courier = LedgerCourier(LEDGER, cast("Ledger", ledger), submit, lambda: UnixMs(self.now))

    async def told(self) -> list[Any]:
        """The changes that come next."""
        async with asyncio.timeout(PATIENCE_S):
            return [change for _, change in (await self.news.get()).changes]


@asynccontextmanager
async def working(ledger: KnownLedger, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[At]:
    """A courier that tries again at once."""
    monkeypatch.setattr(ledger_courier, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(ledger_courier, "_PAUSE_SECONDS_MAX", 0.002)
    at = At(ledger)
    running = asyncio.create_task(at.courier.run())
    try:
        yield at
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_a_look_tells_how_our_own_hold_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold of ours is told as it is; one that a stranger made under its id, and none, is absent."""
    ledger = KnownLedger(
        view_of(1, OWN), view_of(2, OWN, HoldState.FULFILLED), view_of(3, OWN, HoldState.EXPIRED), view_of(4, OTHER)
    )
    async with working(ledger, monkeypatch) as at:
        at.courier.add([_due(number, c.Look(LEDGER, _id(number))) for number in range(1, 6)])
        assert await at.told() == [
            c.HoldMade(LEDGER, _id(1)),
            c.Fulfilled(LEDGER, _id(2), OWN, PREIMAGE),
            c.Returned(LEDGER, _id(3), OWN, True),
            c.Absent(LEDGER, _id(4)),
            c.Absent(LEDGER, _id(5)),
        ]


async def test_a_fulfilment_in_doubt_shows_no_preimage_when_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart a payee does not begin, when it is late, what it may have begun: the ledger's end is waited for.

    Nor is it given back before the time-out: what was begun may be on its way.
    """
    ledger = KnownLedger(view_of(1, OTHER))
    async with working(ledger, monkeypatch) as at:
        at.courier.add([_due(1, c.Fulfil(LEDGER, _id(1), PREIMAGE, NOT_AFTER))], recovered=True)
        while ledger.calls.count("transfers") < 3:
            await asyncio.sleep(0)
        assert set(ledger.calls) == {"transfers"}
        at.now = EXPIRES_AT
        assert await at.told() == [c.Returned(LEDGER, _id(1), OTHER, False)]
        assert "fulfil" not in ledger.calls


async def test_a_fulfilment_in_doubt_that_was_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart a payee learns from the ledger, however late, that it was paid."""
    ledger = KnownLedger(view_of(1, OTHER, HoldState.FULFILLED))
    async with working(ledger, monkeypatch) as at:
        at.courier.add([_due(1, c.Fulfil(LEDGER, _id(1), PREIMAGE, NOT_AFTER))], recovered=True)
        assert await at.told() == [c.Fulfilled(LEDGER, _id(1), OTHER, PREIMAGE)]
        assert ledger.calls == ["transfers"]


async def test_a_fulfilment_in_doubt_is_made_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart a payee fulfils as long as there is time, and a claim is made at any time."""
    ledger = KnownLedger(view_of(1, OTHER), view_of(2, OTHER))
    async with working(ledger, monkeypatch) as at:
        at.now = NOT_AFTER
        at.courier.add([_due(1, c.Fulfil(LEDGER, _id(1), PREIMAGE, NOT_AFTER))], recovered=True)
        assert await at.told() == [c.Fulfilled(LEDGER, _id(1), OTHER, PREIMAGE)]
        at.now = EXPIRES_AT
        at.courier.add([_due(2, c.Fulfil(LEDGER, _id(2), PREIMAGE))], recovered=True)
        assert await at.told() == [c.Fulfilled(LEDGER, _id(2), OTHER, PREIMAGE)]


async def test_a_fulfilment_that_was_not_begun_is_not_begun_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process has never begun it does not begin after the last moment, and says so."""
    ledger = KnownLedger(view_of(1, OTHER))
    async with working(ledger, monkeypatch) as at:
        at.courier.add([_due(1, c.Fulfil(LEDGER, _id(1), PREIMAGE, NOT_AFTER))])
        assert await at.told() == [c.NotSent(LEDGER, _id(1))]
        assert ledger.calls == []


async def test_what_is_salvaged_is_claimed_where_it_is_held_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preimage is brought to what it opens and is held for us; what is another's, over, or missing needs nothing."""
    ledger = KnownLedger(view_of(1, OTHER), view_of(2, OWN), view_of(3, OTHER, HoldState.EXPIRED), view_of(5, OTHER))
    async with working(ledger, monkeypatch) as at:
        salvages = [c.Salvage(LEDGER, _id(number), PREIMAGE) for number in range(1, 5)]
        at.courier.add([_due(number, effect) for number, effect in enumerate(salvages, 1)])
        at.courier.add([_due(5, c.Salvage(LEDGER, _id(5), bytes(32)))])
        async with asyncio.timeout(10):
            done: set[int] = set()
            while done != {1, 2, 3, 4, 5}:
                done |= set((await at.news.get()).done)
        states = {number: ledger.views[TransferId(_id(number))].state for number in (1, 2, 3, 5)}
        assert states == {1: HoldState.FULFILLED, 2: HoldState.HELD, 3: HoldState.EXPIRED, 5: HoldState.HELD}


async def test_a_claim_is_never_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that has forgotten a hold for a while is asked to pay it again, until it does."""
    ledger = KnownLedger(view_of(1, OTHER))
    ledger.forgets = 2
    async with working(ledger, monkeypatch) as at:
        at.courier.add([_due(1, c.Fulfil(LEDGER, _id(1), PREIMAGE))])
        assert await at.told() == [c.Fulfilled(LEDGER, _id(1), OTHER, PREIMAGE)]
        assert ledger.calls == ["fulfil"] * 3
