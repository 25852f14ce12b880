"""Exchanges and decisions in the database, on the connection of a unit or a view."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, Repository
from settlement.connect.acceptance import PaymentId
from settlement.connect.exchange_types import Exchange, Phase, Reason, Record
from settlement.connect.screening import Verdict
from settlement.connect.tables import decisions, exchanges
from settlement.quantities import PartyId

_SAVE = BulkInsert(exchanges, ("payment_id", "party"), ("phase", "state", "expires_at_ms"))
_ADD = BulkInsert(decisions)


class Exchanges(Repository):
    """Where the exchanges of one party stand. No personal datum is in them."""

    def __init__(self, connection: AsyncConnection, party: PartyId) -> None:
        super().__init__(connection)
        self._party = party

    async def save(self, state: Exchange) -> None:
        """Keep the state, in place of the payment's earlier one."""
        await self.save_many([state])

    async def save_many(self, states: Sequence[Exchange]) -> None:
        """Keep these states, in place of their payments' earlier ones."""
        assert all(state.me == self._party for state in states), "another party's view"
        rows = [
            {
                "payment_id": state.payment_id,
                "party": self._party,
                "phase": state.phase.value,
                "state": msgspec.msgpack.encode(state),
                "expires_at_ms": state.expires_at,
            }
            for state in states
        ]
        await _SAVE.write(self._connection, rows)

    async def get(self, payment: PaymentId) -> Exchange | None:
        """The state of a payment's exchange, if it has begun."""
        query = select(exchanges.c.state).where(exchanges.c.payment_id == payment, exchanges.c.party == self._party)
        raw = (await self._connection.execute(query)).scalar_one_or_none()
        return None if raw is None else msgspec.msgpack.decode(raw, type=Exchange)

    async def open(self, most: int = 1000) -> tuple[Exchange, ...]:
        """Exchanges that have not ended, those first that end first: what a restarted node goes on with."""
        query = (
            select(exchanges.c.state)
            .where(exchanges.c.party == self._party)
            .where(exchanges.c.phase.not_in([Phase.ACCEPTED.value, Phase.REFUSED.value]))
            .order_by(exchanges.c.expires_at_ms)
            .limit(most)
        )
        rows = (await self._connection.execute(query)).scalars()
        return tuple(msgspec.msgpack.decode(raw, type=Exchange) for raw in rows)


class Decisions(Repository):
    """Why each payment was accepted or refused, for auditors. Decisions are added, never changed."""

    def __init__(self, connection: AsyncConnection, party: PartyId) -> None:
        super().__init__(connection)
        self._party = party

    async def add(self, records: Sequence[Record]) -> None:
        """Keep decisions."""
        await _ADD.write(self._connection, [self._row_of(record) for record in records])

    async def of(self, payment: PaymentId) -> tuple[Record, ...]:
        """All decisions on a payment, in the order in which they were made."""
        query = (
            select(decisions)
            .where(decisions.c.payment_id == payment, decisions.c.party == self._party)
            .order_by(decisions.c.id)
        )
        return tuple(
            Record(
                PaymentId(row.payment_id),
                Reason(row.reason),
                row.field,
                row.policy_version,
                row.rule_version,
                msgspec.msgpack.decode(row.verdicts, type=tuple[Verdict, ...]),
                row.at_ms,
            )
            for row in await self._connection.execute(query)
        )

    def _row_of(self, record: Record) -> dict[str, object]:
        return {
            "payment_id": record.payment_id,
            "party": self._party,
            "reason": record.reason.value,
            "field": record.field[:128],
            "policy_version": record.policy_version,
            "rule_version": record.rule_version,
            "verdicts": msgspec.msgpack.encode(record.verdicts),
            "at_ms": record.at,
        }
