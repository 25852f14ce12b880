"""Settlements in the database, on the connection of a unit of work."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database.repository import Repository
from foundation.quantities import UnixMs
from settlement.connector.settle.outgoing import OPEN, Outgoing, Stage
from settlement.connector.settle.quantity import NOTHING, Quantity
from settlement.connector.settle.tables import incoming, leftovers, outgoing
from settlement.quantities import Scale, Units, tagged_hash


@dataclass(frozen=True, slots=True)
class Incoming:
    """A settlement that an engine has reported.

    Fields: id (of account and key, 64 hex digits: also the balance's key); account; quantity (as the engine said);
    units (what the balance gets for it, base units); credited (the balance has it).
    """

    id: str
    account: str
    quantity: Quantity
    units: int
    credited: bool


def incoming_id(account: str, key: str) -> str:
    """What a settlement is known by: an engine's key may be any text, and two engines may use the same."""
    return tagged_hash("settle/incoming", account.encode(), key.encode()).hex()


class Settlements(Repository):
    """Outgoing and incoming settlements."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)

    async def add(self, state: Outgoing) -> None:
        """Keep a new settlement."""
        row = {
            "key": state.key,
            "account": state.account,
            "amount": int(state.amount),
            "scale": int(state.scale),
            "keep": str(state.keep),
            "state": state.stage.value,
            "attempts": state.attempts,
            "next_at_ms": state.next_at,
            "created_at_ms": state.created_at,
        }
        await self._connection.execute(self._insert(outgoing).values(row))

    async def change(self, old: Outgoing, new: Outgoing) -> bool:
        """Change a settlement if it is still as it was read; returns whether it was."""
        where = (
            outgoing.c.key == old.key,
            outgoing.c.state == old.stage.value,
            outgoing.c.next_at_ms == old.next_at,
            outgoing.c.attempts == old.attempts,
        )
        changed = {"state": new.stage.value, "next_at_ms": new.next_at, "attempts": new.attempts}
        return (await self._connection.execute(update(outgoing).where(*where).values(changed))).rowcount == 1

    async def reserve(self, state: Outgoing) -> Outgoing:
        """The balance has been lowered for this settlement. Returns how it stands: it may be further already."""
        found = await self.get(state.key)
        assert found is not None, "settlements are never deleted"
        if found.stage in (Stage.WANTED, Stage.DROPPED):
            changed = {"state": state.stage.value, "next_at_ms": state.next_at, "attempts": state.attempts}
            await self._connection.execute(update(outgoing).where(outgoing.c.key == state.key).values(changed))
            return state
        return found

    async def get(self, key: str) -> Outgoing | None:
        """The settlement with this key."""
        row = (await self._connection.execute(select(outgoing).where(outgoing.c.key == key))).one_or_none()
        return None if row is None else _outgoing(tuple(row))

    async def open_of(self, account: str) -> tuple[Outgoing, ...]:
        """What is on its way to an account's engine, oldest first."""
        query = select(outgoing).where(outgoing.c.account == account, outgoing.c.state.in_(OPEN))
        rows = await self._connection.execute(query.order_by(outgoing.c.created_at_ms, outgoing.c.key))
        return tuple(_outgoing(tuple(row)) for row in rows)

    async def open(self) -> tuple[Outgoing, ...]:
        """All that is on its way to an engine, by when it is due."""
        query = select(outgoing).where(outgoing.c.state.in_(OPEN)).order_by(outgoing.c.next_at_ms, outgoing.c.key)
        return tuple(_outgoing(tuple(row)) for row in await self._connection.execute(query))

    async def received(self, settlement_id: str) -> Incoming | None:
        """The incoming settlement with this id."""
        row = (await self._connection.execute(_INCOMING.where(incoming.c.id == settlement_id))).one_or_none()
        return None if row is None else _incoming(tuple(row))

    async def uncredited(self) -> tuple[Incoming, ...]:
        """Incoming settlements that no balance is known to have."""
        rows = await self._connection.execute(_INCOMING.where(incoming.c.credited == 0).order_by(incoming.c.id))
        return tuple(_incoming(tuple(row)) for row in rows)

    async def receive(self, new: Incoming, now: UnixMs) -> None:
        """Keep an incoming settlement that is not there yet."""
        row = {
            "id": new.id,
            "account": new.account,
            "amount": new.quantity.amount,
            "scale": new.quantity.scale,
            "units": new.units,
            "credited": int(new.credited),
            "received_at_ms": now,
        }
        await self._connection.execute(self._insert(incoming).values(row))

    async def credited(self, settlement_id: str) -> None:
        """The balance has it."""
        await self._connection.execute(update(incoming).where(incoming.c.id == settlement_id).values(credited=1))

    async def left_over(self, account: str) -> Quantity:
        """What an account was paid beyond whole base units."""
        query = select(leftovers.c.amount, leftovers.c.scale).where(leftovers.c.account == account)
        row = (await self._connection.execute(query)).one_or_none()
        return NOTHING if row is None else Quantity(*row)

    async def leave_over(self, account: str, quantity: Quantity) -> None:
        """Keep what an account was paid beyond whole base units, instead of what was kept before."""
        row = {"account": account, "amount": quantity.amount, "scale": quantity.scale}
        statement = self._insert(leftovers).values(row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["account"], set_=row))


_INCOMING = select(
    incoming.c.id, incoming.c.account, incoming.c.amount, incoming.c.scale, incoming.c.units, incoming.c.credited
)


def _outgoing(row: tuple[object, ...]) -> Outgoing:
    key, account, amount, scale, keep, stage, attempts, next_at, created_at = row
    return Outgoing(
        str(key),
        str(account),
        Units(_number(amount)),
        Scale(_number(scale)),
        int(str(keep)),
        Stage(str(stage)),
        _number(attempts),
        UnixMs(_number(next_at)),
        UnixMs(_number(created_at)),
    )


def _incoming(row: tuple[object, ...]) -> Incoming:
    settlement_id, account, amount, scale, units, is_credited = row
    quantity = Quantity(_number(amount), _number(scale))
    return Incoming(str(settlement_id), str(account), quantity, _number(units), bool(is_credited))


def _number(value: object) -> int:
    assert isinstance(value, int), "the column holds numbers"
    return value
