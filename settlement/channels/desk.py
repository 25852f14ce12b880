"""A bank's desk: does what its people ordered, claims what was asked for, and writes down what became of it."""

from __future__ import annotations

import hashlib
import hmac

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.errors import CausewayError, Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.channels.agent import ChannelAgent
from settlement.channels.ops import Fulfil, Offer, Pay, Return
from settlement.channels.orders import (
    CloseOrder,
    Entry,
    InvoiceOrder,
    OpenOrder,
    OrderState,
    OrderStore,
    PaymentState,
    PayOrder,
    RouteOrder,
    Standing,
    encode_invoice,
)
from settlement.channels.port import Notice
from settlement.channels.routing import Margins, RouteRefused, accept_last, invoice, plan
from settlement.channels.signing import KeySigner
from settlement.channels.state import Change, CloseNow, Leave, LockEnded, NotDone, Offered, Paid, Want
from settlement.channels.store import ChannelStore
from settlement.channels.terms import Account, ChannelId, LockId
from settlement.quantities import Clock, PartyId, Preimage, condition_of

_log = structlog.get_logger(__name__)
Changes = tuple[tuple[ChannelId, Change], ...]


class ChannelDesk:
    """Implements `port.Gateway`, and carries orders out. Amounts in base units of each channel's ledger."""

    def __init__(
        self, database: Database, party: PartyId, secret: bytes, authority: Account | None, clock: Clock
    ) -> None:
        """Describe it.

        Args:
            database: has the tables of `settlement.channels`.
            party: this bank's name.
            secret: the key of its channel account, 32 bytes.
            authority: who vouches for proxies; None: nobody, and nothing is paid over one.
            clock: ours.
        """
        self._database = database
        self._party = party
        self._secret = secret
        self._account = KeySigner(secret).account
        self._authority = authority
        self._clock = clock

    async def tell(self, channel: ChannelId, number: int, notice: Notice) -> Changes:
        """See `Gateway.tell`."""
        async with self._database.unit() as unit:
            changes = await self._heard(unit.connection, channel, notice)
            await unit.commit()
        return changes

    async def serve(self, agent: ChannelAgent) -> tuple[Standing, ...]:
        """Carry out what waits, as far as it is the agent's; returns the orders to open, which take their time."""
        async with self._database.view() as view:
            waiting = await OrderStore(view.connection).waiting()
        for each in waiting:
            if not isinstance(each.order, OpenOrder):
                await self._serve(agent, each)
        return tuple(each for each in waiting if isinstance(each.order, OpenOrder))

    async def finish(self, order_id: bytes, state: OrderState, result: str = "") -> None:
        """An order has its end."""
        async with self._database.unit() as unit:
            await OrderStore(unit.connection).finish(order_id, state, result)
            await unit.commit()

    async def _serve(self, agent: ChannelAgent, each: Standing) -> None:
        async def forget(connection: AsyncConnection) -> bool:
            return await OrderStore(connection).finish(each.order_id, OrderState.DONE)

        try:
            if isinstance(each.order, InvoiceOrder):
                await self._ask(each.order_id, each.order)
            else:
                await agent.follow(forget, (await self._change(each),))
        except Retryable as error:
            _log.warning("channel_order_waits", order=each.order_id.hex(), problem=str(error))
        except Fatal as error:
            await self.finish(each.order_id, OrderState.FAILED, str(error))

    async def _change(self, each: Standing) -> tuple[ChannelId, Change]:
        """What an order changes. Raises `RouteRefused`."""
        match each.order:
            case PayOrder(channel=channel, amount=amount):
                return channel, Want((Pay(amount, each.order_id),))
            case CloseOrder(channel=channel, alone=alone):
                return channel, CloseNow() if alone else Leave()
            case RouteOrder() as order:
                return order.channel, Want((await self._plan(each.order_id, order),))
        raise AssertionError("opening and invoices change no channel")

    async def _plan(self, order_id: bytes, order: RouteOrder) -> Offer:
        if self._authority is None:
            raise RouteRefused("nobody is known who vouches for proxies: write channel.authority")
        async with self._database.view() as view:
            state = await ChannelStore(view.connection).get(order.channel)
        if order.credential.account != state.terms.account(state.side.other):
            raise RouteRefused(f"the channel is not with {order.credential.party}")
        margins = Margins(order.fee, order.hop_ms, order.least_ms)
        now = self._clock()
        return plan(order.invoice, order.credential, self._authority, margins, state.side, LockId(order_id), now)

    async def _ask(self, order_id: bytes, order: InvoiceOrder) -> None:
        """Make an invoice. Its preimage follows from the order, so that a repeat is the same invoice."""
        preimage = Preimage(hmac.digest(self._secret, b"causeway/channels/invoice/1/" + order_id, hashlib.sha256))
        asked = invoice(
            self._secret, self._party, self._account, order.amount, condition_of(preimage), order.expires_at
        )
        async with self._database.unit() as unit:
            store = OrderStore(unit.connection)
            await store.add_invoice(asked, preimage)
            await store.finish(order_id, OrderState.DONE, encode_invoice(asked))
            await unit.commit()

    # --- What has become final ----------------------------------------------------------------------------------------

    async def _heard(self, connection: AsyncConnection, channel: ChannelId, notice: Notice) -> Changes:
        store, now = OrderStore(connection), self._clock()
        match notice:
            case Offered():
                return ((channel, Want((await self._claimed(store, notice, now),))),)
            case Paid(amount=amount, reference=reference, incoming=incoming):
                await store.record(Entry(channel, reference, incoming, amount, PaymentState.PAID, "", now))
            case LockEnded(lock=lock, preimage=preimage):
                side = (await ChannelStore(connection).get(channel)).side
                state = PaymentState.RETURNED if preimage is None else PaymentState.PAID
                incoming = lock.payer is not side
                await store.record(Entry(channel, lock.lock_id, incoming, lock.amount, state, "", now))
            case NotDone(op=Pay(amount=amount, reference=reference), reason=reason):
                await store.record(Entry(channel, reference, False, amount, PaymentState.REFUSED, reason, now))
            case NotDone(op=Offer(lock=lock), reason=reason):
                entry = Entry(channel, lock.lock_id, False, lock.amount, PaymentState.REFUSED, reason, now)
                await store.record(entry)
            case _:
                pass
        return ()

    async def _claimed(self, store: OrderStore, notice: Offered, now: UnixMs) -> Fulfil | Return:
        """Claim what an invoice of ours asked for, once; all else goes back."""
        lock = notice.lock
        found = await store.invoice(lock.condition)
        try:
            if found is None:
                raise RouteRefused("nothing was asked for under this condition")
            asked, preimage = found
            accept_last(asked, lock, notice.memo, now)
            if not await store.claim(lock.condition, lock.lock_id):
                raise RouteRefused("the invoice was paid before")
        except RouteRefused as error:
            _log.info("channel_offer_returned", lock=lock.lock_id.hex(), reason=error.reason)
            return Return(lock.lock_id)
        return Fulfil(lock.lock_id, preimage)


async def outcome_of(database: Database, order_id: bytes) -> Standing | Entry | None:
    """What became of an order: an `Entry` once a payment has ended, the order where it failed or is done, else None."""
    async with database.view() as view:
        store = OrderStore(view.connection)
        entry = await store.outcome(order_id)
        if entry is not None:
            return entry
        found = await store.get(order_id)
    if found is None:
        raise CausewayError(f"there is no order {order_id.hex()}")
    is_payment = isinstance(found.order, PayOrder | RouteOrder)
    return None if found.state is OrderState.WAITING or (is_payment and found.state is OrderState.DONE) else found
