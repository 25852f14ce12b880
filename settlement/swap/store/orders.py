"""Orders of swaps, and what is kept beside them: transactions, history, wishes and cursors; on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update

from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.effects import Effect
from settlement.swap.store.rows import (
    DueOrder,
    KeptTransaction,
    Line,
)
from settlement.swap.store.tables import cursors, history, orders, transactions, wishes

HISTORY_MAX: Final = 400
"""Lines of one swap: a history never fills a disk."""
_ORDER: Final = (
    orders.c.swap_id,
    orders.c.key,
    orders.c.effect,
    orders.c.number,
    orders.c.due_at,
    orders.c.attempts,
    orders.c.problem,
)
_encode_effect = msgspec.msgpack.Encoder().encode
_effects = msgspec.msgpack.Decoder(Effect)


class OrderStore(Repository):
    """See the module."""

    # --- Orders -------------------------------------------------------------------------------------------------------

    async def give(self, swap_id: bytes, effects: Sequence[Effect], now: UnixMs) -> None:
        """Keep orders; one with a key that is there takes its place and is due again."""
        for effect in effects:
            row = {
                "swap_id": swap_id,
                "key": effect.key,
                "effect": _encode_effect(effect),
                "number": 1,
                "is_due": True,
                "due_at": now,
                "attempts": 0,
                "problem": "",
            }
            news = {**{name: row[name] for name in ("effect", "is_due", "due_at", "attempts", "problem")}}
            made = self._insert(orders).values(row)
            await self._connection.execute(
                made.on_conflict_do_update(
                    index_elements=["swap_id", "key"], set_={**news, "number": orders.c.number + 1}
                )
            )

    async def coming(self, most: int = 100) -> tuple[DueOrder, ...]:
        """Orders that are not carried out yet, whether they are due now or later; the first that is due first."""
        query = select(*_ORDER).where(orders.c.is_due.is_(True))
        return await self._orders(query.order_by(orders.c.due_at, orders.c.key).limit(most))

    async def orders(self, swap_id: bytes, *, due_only: bool = False) -> tuple[DueOrder, ...]:
        """Orders of a swap, by their keys."""
        query = select(*_ORDER).where(orders.c.swap_id == swap_id)
        if due_only:
            query = query.where(orders.c.is_due.is_(True))
        return await self._orders(query.order_by(orders.c.key))

    async def done(self, order: DueOrder) -> None:
        """An order was carried out; one that was given again meanwhile stays due."""
        await self._connection.execute(update(orders).where(*_this(order)).values(is_due=False, problem=""))

    async def later(self, order: DueOrder, at: UnixMs, problem: str) -> None:
        """An order cannot be carried out now."""
        news = {"due_at": at, "attempts": order.attempts + 1, "problem": problem[:500]}
        await self._connection.execute(update(orders).where(*_this(order)).values(news))

    async def _orders(self, query: Select[*tuple[Any, ...]]) -> tuple[DueOrder, ...]:
        return tuple(
            DueOrder(bytes(swap_id), key, _effects.decode(effect), number, UnixMs(due_at), attempts, problem)
            for swap_id, key, effect, number, due_at, attempts, problem in await self._connection.execute(query)
        )

    # --- Transactions, history, wishes, cursors -----------------------------------------------------------------------

    async def keep(self, transaction: KeptTransaction) -> None:
        """Keep a signed transaction before it leaves; the first one of an attempt stays."""
        row = {
            "swap_id": transaction.swap_id,
            "key": transaction.key,
            "attempt": transaction.attempt,
            "txid": transaction.txid,
            "raw": transaction.raw,
            "fee": transaction.fee,
            "made_at": transaction.made_at,
        }
        await self._connection.execute(self._insert(transactions).values(row).on_conflict_do_nothing())

    async def kept(self, swap_id: bytes, key: str) -> tuple[KeptTransaction, ...]:
        """Transactions of an order, the first attempt first."""
        query = select(transactions).where(transactions.c.swap_id == swap_id, transactions.c.key == key)
        return await self._rows(KeptTransaction, query.order_by(transactions.c.attempt))

    async def all_kept(self, swap_id: bytes) -> tuple[KeptTransaction, ...]:
        """All transactions of a swap."""
        query = select(transactions).where(transactions.c.swap_id == swap_id)
        return await self._rows(KeptTransaction, query.order_by(transactions.c.made_at, transactions.c.attempt))

    async def forget(self, swap_id: bytes, key: str) -> None:
        """Drop transactions that never left."""
        await self._connection.execute(
            delete(transactions).where(transactions.c.swap_id == swap_id, transactions.c.key == key)
        )

    async def note(self, swap_id: bytes, at: UnixMs, note: str) -> None:
        """Add a line to a swap's history, as long as it is not too long."""
        count = select(func.count()).select_from(history).where(history.c.swap_id == swap_id)
        if int((await self._connection.execute(count)).scalar_one()) < HISTORY_MAX:
            await self._connection.execute(insert(history).values(swap_id=swap_id, at=at, note=note[:500]))

    async def lines(self, swap_id: bytes) -> tuple[Line, ...]:
        """A swap's history, the oldest line first."""
        query = select(history.c.at, history.c.note).where(history.c.swap_id == swap_id).order_by(history.c.id)
        return await self._rows(Line, query)

    async def wish(self, swap_id: bytes, wish: Wish) -> None:
        """Write down what the owner wants, for whichever process runs the swaps."""
        await self._connection.execute(insert(wishes).values(swap_id=swap_id, wish=wish.value))

    async def take_wishes(self) -> tuple[tuple[bytes, Wish], ...]:
        """What owners asked for since the last time."""
        query = select(wishes.c.swap_id, wishes.c.wish).order_by(wishes.c.id)
        found = tuple((bytes(one), Wish(wish)) for one, wish in await self._connection.execute(query))
        if found:
            await self._connection.execute(delete(wishes))
        return found

    async def cursor(self, name: str) -> bytes:
        """Where a reader stands; empty: at its beginning."""
        found = await self._connection.scalar(select(cursors.c.value).where(cursors.c.name == name))
        return b"" if found is None else bytes(found)

    async def set_cursor(self, name: str, value: bytes) -> None:
        """Say where a reader stands."""
        made = self._insert(cursors).values(name=name, value=value)
        await self._connection.execute(made.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _this(order: DueOrder) -> tuple[ColumnElement[bool], ...]:
    return orders.c.swap_id == order.swap_id, orders.c.key == order.key, orders.c.number == order.number
