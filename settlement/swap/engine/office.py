"""Steps the machines: one transaction stores a swap's new state, its orders, and what else belongs to the change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import Flag, auto
from typing import Final, TypeAlias

import structlog

from foundation.database import Database
from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.swap.engine.open_swaps import OpenSwaps
from settlement.swap.machine.changes import Change, OwnerAsked, Tick, Wish
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Swap
from settlement.swap.machine.step import step
from settlement.swap.store.store import SwapRow, SwapStore

Clock: TypeAlias = Callable[[], UnixMs]
Beside: TypeAlias = Callable[[SwapStore], Awaitable[None]]
_TICKS_AT_ONCE: Final = 50
_WISH_SECONDS: Final = 0.2
"""How often the database is asked for what owners wish: they write from other processes."""
_STUCK_SECONDS: Final = 60.0
"""After so long a swap is ticked again whose step failed."""
_log = structlog.get_logger(__name__)


class News(Flag):
    """What has happened, so that nobody looks in vain: each look costs a query, or calls to a node."""

    SWAPS = auto()
    """A swap, an offer or a taking has begun or ended."""
    STATES = auto()
    """A swap has changed otherwise."""
    DONE = auto()
    """An order was carried out, or has to be put off."""
    ALL = SWAPS | STATES | DONE


class Office:
    """All swaps of one wallet. One process at a time works on a wallet (see `runtime`)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """`clock`: milliseconds since 1970."""
        self.database = database
        self.clock = clock
        self.news = asyncio.Event()
        """Set when a swap has changed or an order was given; whoever waits clears it first."""
        self._listeners: dict[asyncio.Event, News] = {}
        self._open = OpenSwaps()
        self._stuck: dict[bytes, float] = {}  # swaps whose step failed, and when they are tried again
        self._wishes_at = float("-inf")

    # --- Changes ------------------------------------------------------------------------------------------------------

    async def apply(
        self, swap_id: bytes, changes: Sequence[Change], beside: Beside | None = None, *, signature: bytes = b""
    ) -> SwapRow | None:
        """Step a swap by changes, in one transaction with what `beside` writes; the swap as it is then.

        A swap that is not there is passed over (None). Orders are carried out afterwards.

        Args:
            swap_id: 32 bytes.
            changes: what has happened, in order.
            beside: writes more in the same transaction.
            signature: the other side's over the swap's id, to be kept (64 bytes; empty: none came).
        """
        async with self.database.unit() as unit:
            store = SwapStore(unit.connection)
            row = await store.swap(swap_id)
            if row is None:
                return None
            now = self.clock()
            state, effects = steps(row.state, changes, now)
            is_new = state != row.state
            newer = row
            if is_new:
                newer = await self._store(store, row, state, effects, now)
            if signature:
                await store.sign(swap_id, signature)
                newer = replace(newer, peer_signature=signature)
            if beside is not None:
                await beside(store)
            if is_new or signature or beside is not None:
                with self._open.storing(newer):
                    await unit.commit()
        if is_new:
            has_turned = row.is_open is not newer.is_open or row.state.outcome is not state.outcome
            self.wake(News.SWAPS | News.STATES if has_turned else News.STATES)
        return newer

    async def begin(self, row: SwapRow, changes: Sequence[Change] = (), beside: Beside | None = None) -> None:
        """Keep a new swap and give its first orders; one that is there already stays as it is."""
        async with self.database.unit() as unit:
            store = SwapStore(unit.connection)
            if await store.add(row):
                now = self.clock()
                state, effects = steps(row.state, (*changes, Tick()), now)
                await store.note(row.swap_id, now, "the terms are complete")
                await self._store(store, row, state, effects, now)
            if beside is not None:
                await beside(store)
            await unit.commit()
        self.wake()

    async def tick(self) -> UnixMs | None:
        """Step what waits for time to pass, and what owners ask for; when to come again (None: at the next change)."""
        if time.monotonic() >= self._wishes_at + _WISH_SECONDS:
            await self.take_wishes()
        rows = await self.swaps(open_only=True)
        now = self.clock()
        started = time.monotonic()
        due = [row for row in rows if 0 < row.state.wake_at <= now and self._stuck.get(row.swap_id, 0) <= started]
        for row in due[:_TICKS_AT_ONCE]:
            try:
                await self.apply(row.swap_id, [Tick()])
            except (Fatal, AssertionError):
                # One swap that cannot go on must not keep the others from what they have to do in time.
                _log.exception("a swap cannot go on", swap=row.swap_id.hex())
                self._stuck[row.swap_id] = started + _STUCK_SECONDS
        later = [row.state.wake_at for row in rows if row.state.wake_at > now]
        return UnixMs(now) if due else UnixMs(min(later)) if later else None

    async def take_wishes(self) -> None:
        """Step swaps by what their owners ask for."""
        self._wishes_at = time.monotonic()
        async with self.database.unit() as unit:
            store = SwapStore(unit.connection)
            wishes = await store.take_wishes()
            changed = [await self._take_wish(store, swap_id, wish) for swap_id, wish in wishes]
            if wishes:
                with self._open.storing(*(row for row in changed if row is not None)):
                    await unit.commit()
        if wishes:
            self.wake()

    async def _take_wish(self, store: SwapStore, swap_id: bytes, wish: Wish) -> SwapRow | None:
        row = await store.swap(swap_id)
        if row is None:
            return None
        now = self.clock()
        try:
            state, effects = steps(row.state, [OwnerAsked(wish)], now)
        except (Fatal, AssertionError):
            _log.exception("a swap cannot do what its owner asks", swap=swap_id.hex(), wish=wish.value)
            await store.note(swap_id, now, f"its owner asks: {wish.value}, which cannot be done (swap.log says why)")
            return None
        await store.note(swap_id, now, f"its owner asks: {wish.value}")
        return await self._store(store, row, state, effects, now)

    # --- Looking ------------------------------------------------------------------------------------------------------

    async def swap(self, swap_id: bytes) -> SwapRow | None:
        """One swap."""
        for row in self._open.fresh() or ():
            if row.swap_id == swap_id:
                return row
        async with self.database.view() as view:
            return await SwapStore(view.connection).swap(swap_id)

    async def swaps(self, *, open_only: bool = False) -> tuple[SwapRow, ...]:
        """Swaps, the oldest first."""
        if not open_only:
            async with self.database.view() as view:
                return await SwapStore(view.connection).swaps()
        fresh = self._open.fresh()
        if fresh is not None:
            return fresh
        begun = self._open.begin()
        async with self.database.view() as view:
            rows = await SwapStore(view.connection).swaps(open_only=True)
        self._open.keep(begun, rows)
        return rows

    def wake(self, what: News = News.ALL) -> None:
        """Tell those who wait for it that something has changed."""
        if News.SWAPS in what:
            self._open.forget()
        self.news.set()
        for listener, wanted in self._listeners.items():
            if wanted & what:
                listener.set()

    def listen(self, wanted: News = News.ALL) -> asyncio.Event:
        """An event of one's own that is set at each such change."""
        event = asyncio.Event()
        self._listeners[event] = wanted
        return event

    def unlisten(self, event: asyncio.Event) -> None:
        """Give back what `listen` gave."""
        self._listeners.pop(event, None)

    async def _store(
        self, store: SwapStore, row: SwapRow, state: Swap, effects: Sequence[Effect], now: UnixMs
    ) -> SwapRow:
        newer = await store.save(row, state, now)
        await store.give(row.swap_id, effects, now)
        for note in notes(row.state, state):
            await store.note(row.swap_id, now, note)
            _log.info("swap", swap=row.swap_id.hex()[:12], note=note)
        return newer


def steps(state: Swap, changes: Sequence[Change], now: UnixMs) -> tuple[Swap, list[Effect]]:
    """A swap's state after several changes, and the orders that they give: of each key, the newest."""
    effects: dict[str, Effect] = {}
    for change in changes:
        state, given = step(state, change, now)
        effects.update({effect.key: effect for effect in given})
    return state, list(effects.values())


def notes(before: Swap, after: Swap) -> list[str]:
    """Lines for the history: what a person would want to have been told."""
    lines = []
    if after.peer_agreed and not before.peer_agreed:
        lines.append("the other side has signed the terms")
    lines += _lock_notes(before, after)
    lines += _output_notes(before, after)
    for key in after.failures.keys() - before.failures.keys():
        lines.append(f"{key} cannot be done: {after.failures[key]}")
    for field, text in _DECISIONS.items():
        if getattr(after, field, None) and not getattr(before, field, None):
            lines.append(text)
    if after.outcome is not before.outcome:
        lines.append("it is open again" if after.outcome is None else f"ended: {after.outcome.value}")
    return lines


_DECISIONS: Final = {
    "locking": "decided to lock the EVM asset",
    "revealed_at": "decided to show the secret",
    "quit": "decided to show no secret any more",
    "cosigned": "signed the other side's refund",
    "exposed": "the secret is public",
    "presignatures": "the claims are signed in advance",
    "funding": "decided to fund the bitcoin output",
    "never_fund": "decided not to fund",
    "given_back": "signed that the lock goes back",
    "secret": "learnt the secret",
    "abandoned": "the funding cannot confirm any more",
}
"""Fields of the states that are set once, and what that means."""


def _lock_notes(before: Swap, after: Swap) -> list[str]:
    old = {lock.view.lock_id: lock for lock in before.locks}
    lines = []
    for lock in after.locks:
        known = old.pop(lock.view.lock_id, None)
        if known is None or known.status is not lock.status:
            lines.append(f"the EVM lock is {lock.status.value}" + ("" if lock.confirmations else ", in the mempool"))
        if lock.final and (known is None or not known.final or known.status is not lock.status):
            lines.append(f"the EVM lock is {lock.status.value} for good")
    return [*lines, *("the EVM lock is not there any more" for _ in old)]


def _output_notes(before: Swap, after: Swap) -> list[str]:
    old = {output.outpoint: output for output in before.outputs}
    depth = after.terms.bitcoin.confirmations
    lines = []
    for output in after.outputs:
        known = old.pop(output.outpoint, None)
        if known is None:
            lines.append(f"{output.value:,} satoshi are paid to the swap's output")
        if output.confirmations >= depth and (known is None or known.confirmations < depth):
            lines.append("the bitcoin output is confirmed")
        was = None if known is None else known.spend
        if output.spend is not None and (was is None or was.txid != output.spend.txid):
            lines.append(f"the bitcoin output is spent: {output.spend.kind.value} {output.spend.txid[::-1].hex()}")
        if (
            output.spend is not None
            and output.spend.confirmations >= depth
            and (was is None or was.confirmations < depth)
        ):
            lines.append(f"the {output.spend.kind.value} of the bitcoin output is confirmed")
        if output.spend is None and was is not None:
            lines.append("what spent the bitcoin output is not there any more")
    return [*lines, *("a bitcoin output is not there any more" for _ in old)]
