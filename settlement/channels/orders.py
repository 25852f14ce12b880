"""What a bank's people want of its channels, kept until the agent has done it, and what came of each payment.

A command only writes its order down; the one process that runs the agent signs. An order is forgotten in the
transaction that changes the channel (`ChannelAgent.follow`), so that a payment is never made twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from sqlalchemy import insert, select, update

from foundation.database import Repository
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.channels.routing import Credential, Invoice
from settlement.channels.tables import invoices, orders, payments
from settlement.channels.terms import ChannelId, LockId
from settlement.quantities import Condition, Preimage, Units


class OpenOrder(msgspec.Struct, frozen=True, tag=True):
    """Open a channel of the configuration: put our deposit in."""

    name: str


class PayOrder(msgspec.Struct, frozen=True, tag=True):
    """Pay in a channel at once; the order's id is the reference."""

    channel: ChannelId
    amount: Units


class InvoiceOrder(msgspec.Struct, frozen=True, tag=True):
    """Ask to be paid. The result is the invoice, `encode_invoice`."""

    amount: Units
    expires_at: UnixMs


class RouteOrder(msgspec.Struct, frozen=True, tag=True):
    """Pay an invoice over a proxy. Fields: channel (with the proxy); credential (of the proxy); fee, hop_ms, least_ms
    (the proxy's terms)."""

    channel: ChannelId
    invoice: Invoice
    credential: Credential
    fee: Units
    hop_ms: int
    least_ms: int


class CloseOrder(msgspec.Struct, frozen=True, tag=True):
    """End a channel. Fields: alone (without asking the other bank)."""

    channel: ChannelId
    alone: bool


Order: TypeAlias = OpenOrder | PayOrder | InvoiceOrder | RouteOrder | CloseOrder


class OrderState(StrEnum):
    """How far an order is."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class PaymentState(StrEnum):
    """What became of a payment, for good."""

    PAID = "paid"
    RETURNED = "returned"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Standing:
    """An order as it stands. Fields: result (what it made, or why it failed)."""

    order_id: bytes
    order: Order
    state: OrderState
    result: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A payment that has ended. Fields: reference (32 bytes: an order's id, or a conditional payment's); reason."""

    channel: ChannelId
    reference: bytes
    incoming: bool
    amount: int
    state: PaymentState
    reason: str
    at: UnixMs


_ORDER: Final[msgspec.msgpack.Decoder[Order]] = msgspec.msgpack.Decoder(Order)


class OrderStore(Repository):
    """One bank's orders, payments and invoices, in the caller's transaction."""

    async def add(self, order_id: bytes, order: Order, now: UnixMs) -> None:
        """Write an order down. `order_id`: 32 random bytes."""
        row = {"order_id": order_id, "made_at": now, "content": msgspec.msgpack.encode(order), "result": ""}
        await self._write(insert(orders), [{**row, "state": OrderState.WAITING.value}])

    async def waiting(self) -> tuple[Standing, ...]:
        """What is to be done, the oldest first."""
        c = orders.c
        query = select(c.order_id, c.content, c.state, c.result).where(c.state == OrderState.WAITING.value)
        rows = await self._connection.execute(query.order_by(c.made_at, c.order_id).limit(100))
        return tuple(_standing(*row) for row in rows)

    async def get(self, order_id: bytes) -> Standing | None:
        """An order."""
        c = orders.c
        row = (
            await self._connection.execute(
                select(c.order_id, c.content, c.state, c.result).where(c.order_id == order_id)
            )
        ).first()
        return None if row is None else _standing(*row)

    async def finish(self, order_id: bytes, state: OrderState, result: str = "") -> bool:
        """It is done, or never will be; False where that was known."""
        waits = orders.c.order_id == order_id, orders.c.state == OrderState.WAITING.value
        done = await self._connection.execute(update(orders).where(*waits).values(state=state.value, result=result))
        return done.rowcount == 1

    async def record(self, entry: Entry) -> None:
        """What became of a payment; the first word counts."""
        row = {
            "channel": entry.channel,
            "reference": entry.reference,
            "incoming": int(entry.incoming),
            "amount": str(entry.amount),
            "state": entry.state.value,
            "reason": entry.reason[:1000],
            "at": entry.at,
        }
        await self._write(self._insert(payments).on_conflict_do_nothing(), [row])

    async def outcome(self, reference: bytes) -> Entry | None:
        """What became of a payment of ours."""
        found = await self._entries(payments.c.reference == reference, payments.c.incoming == 0)
        return found[0] if found else None

    async def entries(self, channel: ChannelId, at_most: int = 20) -> tuple[Entry, ...]:
        """The newest payments of a channel."""
        return await self._entries(payments.c.channel == channel, at_most=at_most)

    async def _entries(self, *where: object, at_most: int = 1) -> tuple[Entry, ...]:
        c = payments.c
        columns = (c.channel, c.reference, c.incoming, c.amount, c.state, c.reason, c.at)
        query = select(*columns).where(*where).order_by(c.at.desc(), c.reference).limit(at_most)  # type: ignore[arg-type]
        return tuple(
            Entry(ChannelId(channel), reference, bool(incoming), int(amount), PaymentState(state), reason, UnixMs(at))
            for channel, reference, incoming, amount, state, reason, at in await self._connection.execute(query)
        )

    async def add_invoice(self, invoice: Invoice, preimage: Preimage) -> None:
        """Keep what we asked to be paid, and how it is claimed. Again changes nothing."""
        row = {"condition": invoice.condition, "preimage": preimage, "content": msgspec.msgpack.encode(invoice)}
        await self._write(self._insert(invoices).on_conflict_do_nothing(), [{**row, "lock_id": b""}])

    async def invoice(self, condition: Condition) -> tuple[Invoice, Preimage] | None:
        """The invoice of a condition of ours."""
        c = invoices.c
        row = (await self._connection.execute(select(c.content, c.preimage).where(c.condition == condition))).first()
        return None if row is None else (msgspec.msgpack.decode(row[0], type=Invoice), Preimage(row[1]))

    async def claim(self, condition: Condition, lock_id: LockId) -> bool:
        """Whether an invoice is claimed with this conditional payment: each is paid once."""
        c = invoices.c
        await self._connection.execute(
            update(invoices).where(c.condition == condition, c.lock_id == b"").values(lock_id=lock_id)
        )
        claimed = await self._connection.scalar(select(c.lock_id).where(c.condition == condition))
        return bool(claimed == lock_id)


def encode_invoice(invoice: Invoice) -> str:
    """An invoice as JSON, for the payer."""
    return msgspec.json.encode(invoice).decode()


def decode_invoice(text: str) -> Invoice:
    """What `encode_invoice` wrote; nothing is verified.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.json.decode(text, type=Invoice)
    except UNREADABLE as error:
        raise BadInput("invoice", f"is none: {error}", "the JSON that the payee gave") from error


def _standing(order_id: bytes, content: bytes, state: str, result: str) -> Standing:
    return Standing(order_id, _ORDER.decode(content), OrderState(state), result)
