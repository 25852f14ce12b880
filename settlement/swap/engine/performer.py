"""Carries out orders: all at the same time, one of a key at a time, and again where it did not work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import structlog

from foundation.errors import Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.swap.engine.hands import claims, evm, funding
from settlement.swap.engine.hands.desk import Changes, Desk, NobodyToTell, NotNow
from settlement.swap.engine.office import News
from settlement.swap.handshake import sign_terms
from settlement.swap.letters.bodies import TermsSigned
from settlement.swap.machine import effects
from settlement.swap.machine.changes import Showing
from settlement.swap.machine.states import Initiator
from settlement.swap.store.store import DueOrder, SwapRow, SwapStore

Hand: TypeAlias = Callable[[Desk, SwapRow, Any], Awaitable[Changes]]
_FIRST_MS: Final = 500
_MOST_MS: Final = 30_000
_HOPELESS_MS: Final = 60_000
_AT_ONCE: Final = 64
_PAUSE_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


async def _nothing(desk: Desk, row: SwapRow, order: object) -> Changes:
    return ()


async def _sign_terms(desk: Desk, row: SwapRow, order: effects.SignTerms) -> Changes:
    await desk.tell(row, TermsSigned(sign_terms(row.swap_id, desk.secrets(row).identity)))
    return ()


async def _send_letter(desk: Desk, row: SwapRow, order: effects.SendLetter) -> Changes:
    await desk.say(row, order.message)
    return ()


HANDS: Final[Mapping[type[Any], Hand]] = {
    effects.Watch: _nothing,  # watching follows from which swaps are open
    effects.StopWatching: _nothing,
    effects.SignTerms: _sign_terms,
    effects.SendLetter: _send_letter,
    effects.SignRungs: funding.sign_rungs,
    effects.CompleteRungs: funding.complete,
    effects.PlaceLock: evm.place,
    effects.RevealByLetter: claims.reveal,
    effects.ClaimBitcoinByKey: claims.claim_by_key,
    effects.ClaimBitcoinByScript: claims.claim_by_script,
    effects.ClaimBitcoinByRung: claims.claim_by_rung,
    effects.SignRefundWith: claims.cosign_refund,
    effects.SubmitGiveBack: evm.submit_give_back,
    effects.RefundEvm: evm.refund,
    effects.PrepareFunding: funding.prepare,
    effects.CountersignRungs: funding.countersign,
    effects.BroadcastFunding: funding.broadcast,
    effects.AbandonFunding: funding.abandon,
    effects.ClaimEvm: evm.claim,
    effects.CosignClaim: claims.cosign_claim,
    effects.AskRefund: claims.ask_refund,
    effects.RefundBitcoinByKey: claims.refund_by_key,
    effects.RefundBitcoin: claims.refund_by_script,
    effects.SignGiveBack: evm.sign_give_back,
}
"""Every kind of order, and who carries it out."""


class Performer:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._office = desk.office
        self._running: dict[tuple[bytes, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Carry out what is due, until cancelled."""
        listener = self._office.listen()
        try:
            while True:
                listener.clear()
                try:
                    pause = await self._start_due()
                except Retryable as error:
                    _log.warning("orders have to wait", problem=str(error))
                    pause = _PAUSE_SECONDS
                try:
                    async with asyncio.timeout(pause):
                        await listener.wait()
                except TimeoutError:
                    continue
        finally:
            self._office.unlisten(listener)
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _start_due(self) -> float | None:
        """Begin what is due; for how long nothing else will be (seconds; None: until something changes)."""
        now = self._office.clock()
        async with self._office.database.view() as view:
            # Beyond those that run: one that takes long keeps no other from its turn.
            coming = await SwapStore(view.connection).coming(len(self._running) + _AT_ONCE)
        for order in coming:
            if order.due_at > now:
                return (order.due_at - now) / 1000
            place = (order.swap_id, order.key)
            if place not in self._running:
                task = asyncio.create_task(self._perform(order), name=f"{order.key} of {order.swap_id.hex()[:12]}")
                self._running[place] = task
                task.add_done_callback(lambda _, place=place: self._ended(place))  # type: ignore[misc]
        return None  # what runs wakes us when it ends

    def _ended(self, place: tuple[bytes, str]) -> None:
        self._running.pop(place, None)
        self._office.wake(News.DONE)

    async def _perform(self, order: DueOrder) -> None:
        try:
            try:
                await self._carry_out(order)
            except Retryable:
                raise
            except Exception as error:  # noqa: BLE001 - the machine itself refuses what came of it, and will again
                _log.exception("what came of an order cannot be taken in", order=order.key)
                await self._later(order, _HOPELESS_MS, error)
        except Exception:  # noqa: BLE001 - the database does not serve: it stays due, and is not tried at once
            _log.exception("what came of an order cannot be stored", order=order.key)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _carry_out(self, order: DueOrder) -> None:
        row = await self._office.swap(order.swap_id)
        assert row is not None, "orders are of swaps"
        if isinstance(order.effect, effects.SHOWING):
            row = await self._shown(row)
            if row is None:
                await self._office.apply(order.swap_id, (), lambda store: store.done(order))
                return
        try:
            changes = await HANDS[type(order.effect)](self._desk, row, order.effect)
        except NotNow as error:
            await self._later(order, int(error.seconds * 1000), error)
        except NobodyToTell:
            await self._office.apply(order.swap_id, (), lambda store: store.done(order))
        except Retryable as error:
            await self._later(order, min(_FIRST_MS << min(order.attempts, 10), _MOST_MS), error)
        except Fatal as error:
            # Perhaps a person can do something about it; nothing is given up meanwhile.
            _log.warning("an order cannot be carried out", order=order.key, problem=str(error))
            await self._later(order, _HOPELESS_MS, error)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw must not be tried without a pause, nor stop others
            _log.exception("an order came to a bad end", order=order.key)
            await self._later(order, _HOPELESS_MS, error)
        else:
            await self._office.apply(order.swap_id, changes, lambda store: store.done(order))

    async def _shown(self, row: SwapRow) -> SwapRow | None:
        """The swap with the secret given up, durably, before anybody is told; None where the machine holds it back.

        A machine that was decided on showing the secret may have slept since, until it was too late.
        """
        assert isinstance(row.state, Initiator), "it has the secret"
        if row.state.shown:
            return row
        newer = await self._office.apply(row.swap_id, [Showing()])
        assert newer is not None, "it is there"
        return newer if isinstance(newer.state, Initiator) and newer.state.shown else None

    async def _later(self, order: DueOrder, pause_ms: int, error: Exception) -> None:
        async with self._office.database.unit() as unit:
            at = UnixMs(self._office.clock() + pause_ms)
            await SwapStore(unit.connection).later(order, at, str(error))
            await unit.commit()
