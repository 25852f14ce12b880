"""A proxy's gateway: what is set aside for it in one channel it offers onward in another, and ends as that ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from foundation.database import Database
from settlement.channels.ops import Offer, Return
from settlement.channels.port import Gateway, Notice
from settlement.channels.routing import Margins, RouteRefused, end_upstream, pass_on, relay_id
from settlement.channels.state import Change, LockEnded, NotDone, Offered, PreimageSeen, Want
from settlement.channels.store import ChannelStore, UnknownChannel
from settlement.channels.terms import ChannelId, LockId, Side
from settlement.quantities import Clock, PartyId, Preimage

Changes: TypeAlias = tuple[tuple[ChannelId, Change], ...]


class Relay:
    """Passes conditional payments on. It keeps nothing: ids downstream follow from those upstream.

    What it answers is made exactly once, with the notice that it answers (`ChannelAgent`): an offer that is passed on
    is never passed on again, when its preimage may be known already.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[PartyId, ChannelId],
        margins: Margins,
        clock: Clock,
        other: Gateway | None = None,
    ) -> None:
        """`channels`: with whom this proxy has which. `other`: is told what is no relaying of ours."""
        self._database = database
        self._channels = channels
        self._margins = margins
        self._clock = clock
        self._other = other

    async def tell(self, channel: ChannelId, number: int, notice: Notice) -> Changes:
        """See `Gateway.tell`."""
        match notice:
            case Offered():
                return await self._offered(channel, notice)
            case PreimageSeen(lock=lock, preimage=preimage) | LockEnded(lock=lock, preimage=preimage):
                changes = await self._ended(lock.lock_id, preimage)
            case NotDone(op=Offer(lock=lock)):
                changes = await self._ended(lock.lock_id, None)
            case _:
                changes = ()
        if not changes and self._other is not None:
            return await self._other.tell(channel, number, notice)
        return changes

    async def _offered(self, channel: ChannelId, notice: Offered) -> Changes:
        lock = notice.lock
        try:
            payee, _ = pass_on(channel, lock, notice.memo, self._margins, lock.payer.other, self._clock())
            side = await self._side_with(payee, channel)
            _, offer = pass_on(channel, lock, notice.memo, self._margins, side, self._clock())
        except RouteRefused:
            return ((channel, Want((Return(lock.lock_id),))),)
        return ((self._channels[payee], Want((offer,))),)

    async def _side_with(self, payee: PartyId, upstream: ChannelId) -> Side:
        """Our side in the channel with a payee. Raises `RouteRefused` where there is none, or it is the payer."""
        downstream = self._channels.get(payee)
        if downstream is None or downstream == upstream:
            raise RouteRefused(f"there is no channel with {payee}")
        try:
            async with self._database.view() as view:
                return (await ChannelStore(view.connection).get(downstream)).side
        except UnknownChannel as error:
            raise RouteRefused(f"the channel with {payee} is not open") from error

    async def _ended(self, downstream: LockId, preimage: Preimage | None) -> Changes:
        """Where it came from, if it was passed on and is open there still."""
        async with self._database.view() as view:
            store = ChannelStore(view.connection)
            for channel in await store.living():
                state = await store.get(channel)
                for lock in state.sheet.locks:
                    if lock.payer is not state.side and relay_id(channel, lock.lock_id) == downstream:
                        return ((channel, Want((end_upstream(lock.lock_id, preimage),))),)
        return ()
