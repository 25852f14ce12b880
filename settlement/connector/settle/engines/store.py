"""An engine's memory, on the connection of a unit of work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select, update

from foundation.database.repository import Repository
from foundation.quantities import UnixMs
from settlement.connector.settle.engines.core import OPEN, Credit, Payment, PaymentStage
from settlement.connector.settle.engines.tables import (
    accounts,
    cursors,
    leftovers,
    payments,
    received,
    requests,
    sources,
)
from settlement.connector.settle.quantity import NOTHING, Quantity

_PAYMENTS = select(
    payments.c.id,
    payments.c.account,
    payments.c.units,
    payments.c.stage,
    payments.c.attempt,
    payments.c.target,
    payments.c.failures,
    payments.c.next_at_ms,
)
_CREDITS = select(
    received.c.id,
    received.c.account,
    received.c.source,
    received.c.units,
    received.c.reported,
    received.c.failures,
    received.c.next_at_ms,
)


class EngineStore(Repository):
    """Accounts, requests, payments, credits and cursors."""

    async def open_account(self, account: str, is_open: bool = True) -> None:
        """Begin to serve an account, or stop."""
        row = {"id": account, "open": int(is_open)}
        statement = self._insert(accounts).values(row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    async def accounts(self) -> frozenset[str]:
        """The accounts that are served."""
        rows = await self._connection.execute(select(accounts.c.id).where(accounts.c.open == 1))
        return frozenset(row.id for row in rows)

    async def known_accounts(self) -> frozenset[str]:
        """All that are, or once were, served: what is under way for one that was closed is still its own."""
        rows = await self._connection.execute(select(accounts.c.id))
        return frozenset(row.id for row in rows)

    async def request(self, request_id: str) -> Quantity | None:
        """What a request asked for; None for one that was never taken."""
        query = select(requests.c.amount, requests.c.scale).where(requests.c.id == request_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else Quantity(row.amount, row.scale)

    async def take_request(self, request_id: str, account: str, quantity: Quantity, now: UnixMs) -> None:
        """Keep a new request."""
        row = {"id": request_id, "account": account, "amount": quantity.amount, "scale": quantity.scale}
        await self._connection.execute(self._insert(requests).values({**row, "received_at_ms": now}))

    async def left_over(self, account: str) -> Quantity:
        """What is owed to an account and in no payment."""
        query = select(leftovers.c.amount, leftovers.c.scale).where(leftovers.c.account == account)
        row = (await self._connection.execute(query)).one_or_none()
        return NOTHING if row is None else Quantity(row.amount, row.scale)

    async def leave_over(self, account: str, quantity: Quantity) -> None:
        """Replace what is owed to an account and in no payment."""
        row = {"account": account, "amount": quantity.amount, "scale": quantity.scale}
        statement = self._insert(leftovers).values(row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["account"], set_=row))

    async def put_payment(self, payment: Payment) -> None:
        """Keep a payment, new or changed."""
        row = {
            "id": payment.id,
            "account": payment.account,
            "units": payment.units,
            "stage": payment.stage.value,
            "attempt": payment.attempt,
            "target": payment.target,
            "failures": payment.failures,
            "next_at_ms": payment.next_at,
        }
        statement = self._insert(payments).values(row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    async def payment(self, payment_id: str) -> Payment | None:
        """A payment by its id."""
        row = (await self._connection.execute(_PAYMENTS.where(payments.c.id == payment_id))).one_or_none()
        return None if row is None else _payment(row)

    async def open_payments(self) -> tuple[Payment, ...]:
        """Payments that are not paid yet."""
        rows = await self._connection.execute(_PAYMENTS.where(payments.c.stage.in_(OPEN)).order_by(payments.c.id))
        return tuple(_payment(row) for row in rows)

    async def add_credit(self, credit: Credit) -> None:
        """Keep money that came in; one that is known already is left as it is."""
        row = {
            "id": credit.id,
            "account": credit.account,
            "source": credit.source,
            "units": credit.units,
            "reported": int(credit.reported),
            "failures": credit.failures,
            "next_at_ms": credit.next_at,
        }
        await self._connection.execute(self._insert(received).values(row).on_conflict_do_nothing())

    async def change_credit(self, credit: Credit) -> None:
        """How far the connector knows of it."""
        changed = {"reported": int(credit.reported), "failures": credit.failures, "next_at_ms": credit.next_at}
        await self._connection.execute(update(received).where(received.c.id == credit.id).values(changed))

    async def unreported(self) -> tuple[Credit, ...]:
        """What the connector has not acknowledged, and whose account is known."""
        query = _CREDITS.where(received.c.reported == 0, received.c.account.is_not(None)).order_by(received.c.id)
        return tuple(_credit(row) for row in await self._connection.execute(query))

    async def unclaimed(self) -> tuple[Credit, ...]:
        """What came from nobody that we know."""
        query = _CREDITS.where(received.c.account.is_(None)).order_by(received.c.id)
        return tuple(_credit(row) for row in await self._connection.execute(query))

    async def account_of(self, source: str) -> str | None:
        """Whose account pays from there."""
        query = select(sources.c.account).where(sources.c.source == source)
        found = await self._connection.scalar(query)
        return None if found is None else str(found)

    async def claim(self, source: str, account: str) -> str:
        """Let an account pay from there, unless another does; what came from there before becomes its own.

        Returns:
            The account that pays from there now.
        """
        row = {"source": source, "account": account}
        await self._connection.execute(self._insert(sources).values(row).on_conflict_do_nothing())
        owner = await self.account_of(source)
        assert owner is not None, "it is there since the statement before"
        unclaimed = update(received).where(received.c.source == source, received.c.account.is_(None))
        await self._connection.execute(unclaimed.values(account=owner))
        return owner

    async def cursor(self, name: str) -> bytes | None:
        """How far something was read."""
        found = await self._connection.scalar(select(cursors.c.value).where(cursors.c.name == name))
        return None if found is None else bytes(found)

    async def move_cursor(self, name: str, value: bytes) -> None:
        """Something was read up to there."""
        row = {"name": name, "value": value}
        statement = self._insert(cursors).values(row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def _payment(row: Iterable[Any]) -> Payment:
    payment_id, account, units, stage, attempt, target, failures, next_at = row
    return Payment(payment_id, account, units, PaymentStage(stage), attempt, target, failures, UnixMs(next_at))


def _credit(row: Iterable[Any]) -> Credit:
    credit_id, account, source, units, reported, failures, next_at = row
    return Credit(credit_id, account, source, units, bool(reported), failures, UnixMs(next_at))
