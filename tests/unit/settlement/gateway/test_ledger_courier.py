"""Effects on their way to a ledger that takes its time: none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import cast

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId
from settlement.gateway.ledger_courier import LedgerCourier
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    Ledger,
    LedgerAccount,
    LedgerId,
    LedgerUnavailable,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Condition, Preimage, Units, condition_of
from tests.support.patience import PATIENCE_S

LEDGER = LedgerId("slow")
PREIMAGE = Preimage(bytes(range(32)))


class SlowLedger:
    """Holds only when it is let; fulfils at once, after it was down for a while."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[bytes] = []
        self.failures = 2

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """As `Ledger`."""
        self.asked += [hold.transfer_id for hold in holds]
        await self.gate.wait()
        return tuple(Done(HoldView(hold, HoldState.HELD, None, UnixMs(1), None)) for hold in holds)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """As `Ledger`."""
        if self.failures:
            self.failures -= 1
            raise LedgerUnavailable(LEDGER, "down")
        return tuple(Done(_fulfilled(one)) for one in fulfilments)


def _fulfilled(one: Fulfilment) -> HoldView:
    payer, payee = LedgerAccount("a"), LedgerAccount("b")
    hold = Hold(one.transfer_id, payer, payee, Units(1), condition_of(one.preimage), UnixMs(10))
    return HoldView(hold, HoldState.FULFILLED, one.preimage, UnixMs(1), UnixMs(2))


def hold_of(number: int) -> Due:
    """An effect that asks for a hold."""
    effect = c.MakeHold(LEDGER, bytes([number]) * 32, "a", "b", 1, Condition(bytes(32)), 10, b"")
    return Due(number, PaymentId(bytes([number]) * 32), f"ledger:{LEDGER}", effect)


def fulfil_of(number: int) -> Due:
    """An effect that asks for a fulfilment."""
    effect = c.Fulfil(LEDGER, bytes([number]) * 32, PREIMAGE)
    return Due(number, PaymentId(bytes([number]) * 32), f"ledger:{LEDGER}", effect)


async def test_claim_does_not_wait_for_holds_that_take_long_to_be_final() -> None:
    """A preimage that was learned is claimed with although other calls of the ledger have not come back."""
    ledger, news = SlowLedger(), asyncio.Queue[News]()
    courier = LedgerCourier(LEDGER, cast("Ledger", ledger), news.put, lambda: UnixMs(5))
    running = asyncio.create_task(courier.run())
    try:
        courier.add([hold_of(1)])
        while not ledger.asked:
            await asyncio.sleep(0)
        courier.add([fulfil_of(2)])
        async with asyncio.timeout(PATIENCE_S):
            told = await news.get()
        assert [type(change) for _, change in told.changes] == [c.Fulfilled]
        assert told.done == (2,)
        courier.add([hold_of(3)])
        ledger.gate.set()
        done: set[int] = set()
        async with asyncio.timeout(PATIENCE_S):
            while done != {1, 3}:
                done |= set((await news.get()).done)
        assert sorted(ledger.asked) == [TransferId(bytes([1]) * 32), TransferId(bytes([3]) * 32)]
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class ShyLedger:
    """Shows no preimage that others do not know: too little time is left. Fields: asked (all fulfilments)."""

    def __init__(self) -> None:
        self.asked: list[Fulfilment] = []

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """As `Ledger`."""
        self.asked += fulfilments
        return tuple(
            Done(_fulfilled(one)) if one.is_known else Refused(one.transfer_id, Refusal.NOT_SHOWN, "too late")
            for one in fulfilments
        )


async def test_what_was_not_shown_ends_at_once_and_what_is_known_is_claimed_all_the_same() -> None:
    """A fulfilment that the ledger did not begin is told as not sent; a claim of a known preimage is pressed."""
    ledger, news = ShyLedger(), asyncio.Queue[News]()
    courier = LedgerCourier(LEDGER, cast("Ledger", ledger), news.put, lambda: UnixMs(5))
    running = asyncio.create_task(courier.run())
    try:
        for number, not_after, told in ((1, 6, c.NotSent), (2, None, c.Fulfilled)):
            effect = c.Fulfil(LEDGER, bytes([number]) * 32, PREIMAGE, not_after)
            courier.add([Due(number, PaymentId(bytes([number]) * 32), f"ledger:{LEDGER}", effect)])
            async with asyncio.timeout(PATIENCE_S):
                heard = await news.get()
            assert [type(change) for _, change in heard.changes] == [told]
        assert [one.is_known for one in ledger.asked] == [False, True]
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
