"""Webhooks and what is queued for them, on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select, update

from api.tables import deliveries, webhooks
from foundation.database import Repository
from foundation.errors import BadInput
from foundation.quantities import UnixMs

EACH_MAX: Final = 20
ACTIVE, DISABLED = "active", "disabled"
WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"
_KEPT_MS: Final = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """Fields: events (types that are wanted; empty: all); generation, rotated_at and rotated_by (of the secret); state;
    cursor (events after this number are still to be queued)."""

    webhook_id: str
    principal: str
    url: str
    events: tuple[str, ...]
    generation: int
    rotated_at: UnixMs | None
    state: str
    made_at: UnixMs
    cursor: int
    rotated_by: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One event for one webhook. Fields: state; attempts (so far); status (of the last answer); problem (of the last
    attempt)."""

    id: int
    webhook_id: str
    event: int
    body: bytes
    state: str
    attempts: int
    next_at: UnixMs
    status: int | None
    problem: str
    made_at: UnixMs
    ended_at: UnixMs | None


class WebhookStore(Repository):
    """See the module."""

    async def put(self, hook: WebhookRow) -> None:
        """Keep a new webhook; the same id again changes nothing.

        Raises:
            BadInput: its principal has as many as it may.
        """
        if await self.find(hook.webhook_id) is not None:
            return
        if len(await self.of(hook.principal)) >= EACH_MAX:
            raise BadInput("url", f"there are {EACH_MAX} webhooks already", "delete one first")
        row = {name: getattr(hook, name) for name in WebhookRow.__dataclass_fields__}
        await self._connection.execute(insert(webhooks), {**row, "events": msgspec.json.encode(hook.events).decode()})

    async def find(self, webhook_id: str) -> WebhookRow | None:
        """One webhook."""
        row = (
            await self._connection.execute(select(webhooks).where(webhooks.c.webhook_id == webhook_id))
        ).one_or_none()
        return None if row is None else _hook(row._mapping)

    async def of(self, principal: str) -> tuple[WebhookRow, ...]:
        """A principal's."""
        query = select(webhooks).where(webhooks.c.principal == principal).order_by(webhooks.c.made_at)
        return tuple(_hook(row._mapping) for row in await self._connection.execute(query))

    async def active(self) -> tuple[WebhookRow, ...]:
        """All that want to be told."""
        query = select(webhooks).where(webhooks.c.state == ACTIVE)
        return tuple(_hook(row._mapping) for row in await self._connection.execute(query))

    async def change(self, webhook_id: str, **columns: object) -> None:
        """Set columns of a webhook."""
        statement = update(webhooks).where(webhooks.c.webhook_id == webhook_id).values(**columns)
        await self._connection.execute(statement)

    async def disable(self, webhook_id: str, now: UnixMs) -> None:
        """The receiver wants no more: what waits is given up."""
        await self.change(webhook_id, state=DISABLED)
        c = deliveries.c
        statement = update(deliveries).where(c.webhook_id == webhook_id, c.state == WAITING)
        await self._connection.execute(statement.values(state=GIVEN_UP, ended_at=now))

    async def remove(self, webhook_id: str) -> None:
        """Forget a webhook and all that was queued for it."""
        await self._connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
        await self._connection.execute(delete(webhooks).where(webhooks.c.webhook_id == webhook_id))

    # --- The queue ----------------------------------------------------------------------------------------------------

    async def queue(self, webhook_id: str, events: Sequence[tuple[int, bytes]], cursor: int, now: UnixMs) -> None:
        """Queue events (number, body) for a webhook, up to and with `cursor`."""
        rows = [
            {
                **{"webhook_id": webhook_id, "event": number, "body": body, "state": WAITING, "attempts": 0},
                **{"next_at": now, "problem": "", "made_at": now},
            }
            for number, body in events
        ]
        await self._write(insert(deliveries), rows)
        await self.change(webhook_id, cursor=cursor)

    async def due(self, now: UnixMs, limit: int) -> tuple[DeliveryRow, ...]:
        """What is to be sent now, oldest first."""
        c = deliveries.c
        query = select(deliveries).where(c.state == WAITING, c.next_at <= now).order_by(c.next_at, c.id).limit(limit)
        return await self._rows(DeliveryRow, query)

    async def next_due(self) -> UnixMs | None:
        """When the next one is to be sent."""
        query = select(func.min(deliveries.c.next_at)).where(deliveries.c.state == WAITING)
        moment: int | None = await self._connection.scalar(query)
        return None if moment is None else UnixMs(moment)

    async def tried(self, number: int, **columns: object) -> None:
        """What has become of an attempt."""
        statement = update(deliveries).where(deliveries.c.id == number, deliveries.c.state == WAITING)
        await self._connection.execute(statement.values(**columns))

    async def postpone(self, webhook_id: str, until: UnixMs) -> None:
        """Send nothing that waits for a webhook before a moment."""
        c = deliveries.c
        statement = update(deliveries).where(c.webhook_id == webhook_id, c.state == WAITING, c.next_at < until)
        await self._connection.execute(statement.values(next_at=until))

    async def log(self, webhook_id: str, limit: int) -> tuple[DeliveryRow, ...]:
        """The newest deliveries of a webhook."""
        c = deliveries.c
        return await self._rows(
            DeliveryRow, select(deliveries).where(c.webhook_id == webhook_id).order_by(c.id.desc()).limit(limit)
        )

    async def forget_old(self, now: UnixMs) -> None:
        """Forget deliveries that ended thirty days ago."""
        await self._connection.execute(delete(deliveries).where(deliveries.c.ended_at < now - _KEPT_MS))


def _hook(row: Any) -> WebhookRow:
    fields = dict(row)
    fields["events"] = msgspec.json.decode(fields["events"], type=tuple[str, ...])
    return WebhookRow(**fields)
