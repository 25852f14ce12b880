"""A bank's shell around its channels: each change is stored with all that it signed before anything leaves.

What is sent or submitted may be lost in a crash: the machine asks for it again on its ticks. What the gateway is told
is stored with the state, and told until it is dealt with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.errors import CausewayError, Retryable
from settlement.channels.errors import Overruled
from settlement.channels.judge import Challenge, Close, Command, Settle
from settlement.channels.machine import step
from settlement.channels.messages import decode
from settlement.channels.port import Courts, Gateway, Notice, PeerLink
from settlement.channels.signing import SheetSigner
from settlement.channels.state import (
    Change,
    Channel,
    Effect,
    LockEnded,
    NotDone,
    Offered,
    Paid,
    Policy,
    PreimageSeen,
    Received,
    Registered,
    Ruled,
    Send,
    Step,
    SubmitChallenge,
    SubmitClose,
    SubmitCloseAgreed,
    SubmitReveal,
    SubmitSettle,
    Tick,
    new_channel,
)
from settlement.channels.store import ChannelStore
from settlement.channels.terms import ChannelId, Side, Terms
from settlement.quantities import Clock, fulfils

_log = structlog.get_logger(__name__)


class ChannelAgent:
    """Runs a bank's sides. `change` and `receive` may be called at once; each channel's changes come one by one."""

    def __init__(
        self,
        database: Database,
        signer: SheetSigner,
        courts: Courts,
        link: PeerLink,
        gateway: Gateway,
        clock: Clock,
    ) -> None:
        self._database = database
        self._signer = signer
        self._courts = courts
        self._link = link
        self._gateway = gateway
        self._clock = clock
        self._turns: defaultdict[ChannelId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, terms: Terms, policy: Policy) -> ChannelId:
        """Keep a side of a channel from now on; the deposits are the adjudicator's business. Again changes nothing."""
        side = Side.A if self._signer.account == terms.a else Side.B
        state = new_channel(terms, side, policy)
        async with self._database.unit() as unit:
            store = ChannelStore(unit.connection)
            if state.channel not in await store.living():
                await store.put(state)
                await unit.commit()
        return state.channel

    async def receive(self, channel: ChannelId, raw: bytes) -> None:
        """The other bank's message, from an authenticated link.

        Raises:
            BadInput: it is no message.
            BadStep, ForgedSheet: it does not fit; nothing has changed. The caller may count that against the peer.
            UnknownChannel: it is not ours.
        """
        await self.change(channel, Received(decode(raw)))

    async def change(self, channel: ChannelId, change: Change) -> Channel:
        """One step, stored, and only then what follows from it.

        Raises:
            BadStep, ForgedSheet: the change does not fit.
            UnknownChannel: it is not ours.
        """
        async with self._turns[channel]:
            async with self._database.unit() as unit:
                state, effects, changed = await self._stored(ChannelStore(unit.connection), channel, change)
                if changed:
                    await unit.commit()
            for effect in effects:
                await self._deliver(state, effect)
        return state

    async def _stored(
        self, store: ChannelStore, channel: ChannelId, change: Change
    ) -> tuple[Channel, tuple[Effect, ...], bool]:
        before = await store.get(channel)
        state, effects = step(before, change, self._clock(), self._signer)
        notices = tuple(effect for effect in effects if isinstance(effect, Notice))
        if state != before:
            await store.put(state)
        await store.add_notices(channel, notices)
        return state, effects, state != before or bool(notices)

    async def tick(self) -> None:
        """Look at every channel's ledger, let time pass, and tell the gateway what is new. Call it every second or so.

        The adjudicator has to be looked at well within a challenge period: a stale close is answered here.
        """
        async with self._database.view() as view:
            living = await ChannelStore(view.connection).living()
        for channel in living:
            try:
                await self._look(channel)
            except Retryable as error:
                _log.warning("channel_ledger_unavailable", channel=channel.hex(), problem=str(error))
            except CausewayError as error:
                # A ledger that is not what it should be stops none of the channels on others.
                _log.error("channel_ledger_unusable", channel=channel.hex(), problem=str(error))
            await self.change(channel, Tick())
        await self._tell()

    async def _look(self, channel: ChannelId) -> None:
        async with self._database.view() as view:
            state = await ChannelStore(view.connection).get(channel)
        conditions = tuple(lock.condition for lock in state.sheet.locks)
        standing = await self._courts(channel).standing(channel, conditions)
        if standing is None:
            return
        for entry in standing.reveals:
            if any(fulfils(entry.preimage, lock.condition) for lock in state.sheet.locks):
                await self.change(channel, Registered(entry.preimage, entry.at))
        await self.change(channel, Ruled(standing.case, standing.reveals))

    async def _tell(self) -> None:
        while True:
            async with self._database.view() as view:
                waiting = await ChannelStore(view.connection).notices()
            if not waiting:
                return
            for number, channel, notice in waiting:
                changes = await self._gateway.tell(channel, number, notice)
                # In the transaction that forgets the notice: an offer is never passed on twice.
                await self.follow(_telling(number), changes)

    async def follow(
        self, forget: Callable[[AsyncConnection], Awaitable[bool]], changes: tuple[tuple[ChannelId, Change], ...]
    ) -> None:
        """What follows from something that is stored, in the transaction that forgets it, so that it is made once.

        Args:
            forget: removes it; False where that was done before, and then nothing is changed.
            changes: what follows.

        Raises:
            UnknownChannel: one is not ours; nothing is forgotten.
        """
        steps: list[Step] = []
        async with contextlib.AsyncExitStack() as stack:
            for channel in sorted({channel for channel, _ in changes}):
                await stack.enter_async_context(self._turns[channel])
            async with self._database.unit() as unit:
                store = ChannelStore(unit.connection)
                if not await forget(unit.connection):
                    return
                for channel, change in changes:
                    state, effects, _ = await self._stored(store, channel, change)
                    steps.append((state, effects))
                await unit.commit()
            for state, effects in steps:
                for effect in effects:
                    await self._deliver(state, effect)

    async def _deliver(self, state: Channel, effect: Effect) -> None:
        account = self._signer.account
        match effect:
            case Send(message=message):
                await self._link.send(state.channel, message)
            case SubmitClose(sheet=sheet):
                await self._submit(state.channel, Close(account, sheet))
            case SubmitChallenge(sheet=sheet, held=held):
                await self._submit(state.channel, Challenge(account, sheet, held))
            case SubmitCloseAgreed(command=command):
                await self._submit(state.channel, command)
            case SubmitSettle():
                await self._submit(state.channel, Settle())
            case SubmitReveal(preimage=preimage):
                try:
                    await self._courts(state.channel).reveal(preimage)
                except Retryable as error:
                    _log.warning("channel_reveal_unavailable", channel=state.channel.hex(), problem=str(error))
            case Offered() | Paid() | LockEnded() | NotDone() | PreimageSeen():
                pass  # stored, and told by `tick`

    async def _submit(self, channel: ChannelId, command: Command) -> None:
        """What is not followed is looked at on the next tick: the ledger's standing decides what is asked then."""
        try:
            await self._courts(channel).submit(channel, command)
        except Overruled as error:
            _log.info("channel_overruled", channel=channel.hex(), ruling=error.ruling.value, problem=error.problem)
        except Retryable as error:
            _log.warning("channel_ledger_unavailable", channel=channel.hex(), problem=str(error))


def _telling(number: int) -> Callable[[AsyncConnection], Awaitable[bool]]:
    return lambda connection: ChannelStore(connection).told(number)
