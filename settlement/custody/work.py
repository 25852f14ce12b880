"""One transaction's payments: all that came in is stepped here, in rounds.

In a round each payment meets one change at most. So the signatures of a round are verified together, and each is held
against the very state that its change meets: nothing comes to a machine unverified because something before it in the
same transaction had opened the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.news import Act, Acted, Begin, News, Office
from settlement.custody.states import State, Times, note_of, stage_of, step
from settlement.custody.store import PaymentStore, Stored
from settlement.custody.terms import PaymentId

_log = structlog.get_logger(__name__)


class Work:
    """See the module.

    Fields: before (the payments as they were stored); changed (those that are to be stored); trail (each stage that was
    passed); effects (for the outbox: payment, destination, effect).
    """

    def __init__(
        self,
        office: Office,
        times: Times,
        connection: AsyncConnection,
        now: UnixMs,
        known: Mapping[PaymentId, Stored],
    ) -> None:
        self.before: dict[PaymentId, Stored] = {}
        self.changed: dict[PaymentId, State] = {}
        self.trail: list[tuple[PaymentId, State]] = []
        self.effects: list[tuple[PaymentId, str, c.AnyEffect]] = []
        self._states: dict[PaymentId, State] = {}
        self._waiting: dict[PaymentId, deque[c.AnyChange]] = {}
        self._office = office
        self._times = times
        self._connection = connection
        self._now = now
        self._known = known

    async def take(self, store: PaymentStore, news: Sequence[News]) -> None:
        """Step all that came in, carry out what belongs into the transaction, and gather the rest."""
        begins = [begun for one in news for begun in one.begins]
        changes = [change for one in news for change in one.changes]
        acts = [act for one in news for act in one.acts]
        wanted = {begin.payment for begin in begins} | {act.payment for act in acts}
        await self._load(store, wanted | {payment for payment, _ in changes})
        self._office.begun([begin.payment for begin in begins if begin.payment not in self._states])
        self._office.prepare(acts)
        for begin in begins:
            await self._begin(begin)
        self._add(changes)
        await self._rounds()
        for round_ in _one_each(acts):
            for act in round_:
                acted = await self._run(act)
                await self._load(store, {payment for payment, _ in (*acted.changes, *acted.effects)})
                self._put_out(acted.effects)
                self._add(acted.changes)
            await self._rounds()
        for payment, state in self.changed.items():
            old = self.before.get(payment)
            await self._office.moved(self._connection, payment, None if old is None else old.state, state, self._now)
        await self._office.flush(self._connection, self._now)

    async def _load(self, store: PaymentStore, wanted: set[PaymentId]) -> None:
        missing = wanted - self._states.keys()
        found = {payment: self._known[payment] for payment in missing if payment in self._known}
        missing -= found.keys()
        if missing:
            found.update(await store.load(missing))
        self.before.update(found)
        self._states.update((payment, stored.state) for payment, stored in found.items())

    async def _begin(self, begin: Begin) -> None:
        if begin.payment in self._states:
            if begin.again is not None:
                self._add([(begin.payment, begin.again)])
            return
        state, effects = begin.begun
        self._states[begin.payment] = self.changed[begin.payment] = state
        self.trail.append((begin.payment, state))
        await self._apply(begin.payment, effects)

    async def _run(self, act: Act) -> Acted:
        try:
            return await act.run(self._connection, self._states.get(act.payment), self._now)
        except Fatal as problem:
            _log.warning("refused", payment=act.payment.hex(), why=str(problem))
            return Acted()

    def _add(self, changes: Iterable[tuple[PaymentId, c.AnyChange]]) -> None:
        for payment, change in changes:
            if payment in self._states:  # else it is a payment that this party does not have
                self._waiting.setdefault(payment, deque()).append(change)

    async def _rounds(self) -> None:
        while self._waiting:
            round_: list[tuple[PaymentId, c.AnyChange]] = []
            for payment, queue in tuple(self._waiting.items()):
                round_.append((payment, queue.popleft()))
                if not queue:
                    del self._waiting[payment]
            for payment, change in self._office.admit(round_, self._states):
                await self._step(payment, change)

    async def _step(self, payment: PaymentId, change: c.AnyChange) -> None:
        state = self._states[payment]
        after, effects = step(state, change, self._now, self._times)
        if after is not state:
            self._states[payment] = self.changed[payment] = after
            if (stage_of(after), note_of(after)) != (stage_of(state), note_of(state)):
                self.trail.append((payment, after))
            _log.debug("payment", payment=payment.hex(), stage=stage_of(after))
        await self._apply(payment, effects)

    async def _apply(self, payment: PaymentId, effects: Iterable[c.AnyEffect]) -> None:
        """Carry effects out, or put them out. What one leads to comes before all that waits for the payment."""
        led_to: list[c.AnyChange] = []
        for effect in effects:
            acted = await self._office.within(self._connection, payment, effect, self._states[payment], self._now)
            if acted is None:
                self._put_out([(payment, effect)])
                continue
            self._put_out(acted.effects)
            for which, change in acted.changes:
                assert which == payment, "an effect is of its own payment"
                led_to.append(change)
        if led_to:
            self._waiting.setdefault(payment, deque()).extendleft(reversed(led_to))

    def _put_out(self, effects: Iterable[tuple[PaymentId, c.AnyEffect]]) -> None:
        for payment, effect in effects:
            to = self._office.destination(payment, effect, self._states.get(payment))
            self.effects.append((payment, to, effect))


def _one_each(acts: Sequence[Act]) -> Iterable[list[Act]]:
    """The acts in their order, in lists with one act of each payment at most."""
    waiting: dict[PaymentId, deque[Act]] = {}
    for act in acts:
        waiting.setdefault(act.payment, deque()).append(act)
    while waiting:
        yield [queue.popleft() for queue in waiting.values()]
        waiting = {payment: queue for payment, queue in waiting.items() if queue}
