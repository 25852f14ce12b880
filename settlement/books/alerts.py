"""Alerts: findings as they are kept for people, from when they were first seen until they are gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from foundation.database import Repository
from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.books.tables import alerts
from settlement.books.verify import Finding, Monitor


class AlertState(StrEnum):
    """Where an alert stands."""

    OPEN = "open"  # seen, and nobody has said that they look at it
    ACKNOWLEDGED = "acknowledged"  # somebody looks at it
    RESOLVED = "resolved"  # the check does not find it any more


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that was seen. Fields: opened_at, seen_at (first and last); acknowledged_by; resolved_at."""

    id: int
    monitor: Monitor
    subject: str
    detail: str
    state: AlertState
    opened_at: UnixMs
    seen_at: UnixMs
    acknowledged_by: str | None
    resolved_at: UnixMs | None


class UnknownAlert(Fatal):
    """There is no such alert that waits for somebody. Fields: alert_id."""

    def __init__(self, alert_id: int) -> None:
        self.alert_id = alert_id
        super().__init__(f"no open alert has number {alert_id}")


class AlertStore(Repository):
    """Alerts on the connection of a unit or a view."""

    async def update(self, monitor: Monitor, found: Sequence[Finding], now: UnixMs) -> tuple[Finding, ...]:
        """Take in all that a check found now. What it finds no more is resolved; returns what is new."""
        standing = {alert.subject: alert for alert in await self.standing() if alert.monitor is monitor}
        findings = {finding.subject: finding for finding in found}
        for subject, alert in standing.items():
            values: dict[str, object] = {"state": AlertState.RESOLVED.value, "resolved_at": now}
            if subject in findings:
                values = {"seen_at": now, "detail": findings[subject].detail}
            await self._connection.execute(update(alerts).where(alerts.c.id == alert.id).values(**values))
        new = tuple(finding for subject, finding in findings.items() if subject not in standing)
        rows = [
            {
                "monitor": finding.monitor.value,
                "subject": finding.subject,
                "detail": finding.detail,
                "state": AlertState.OPEN.value,
                "opened_at": now,
                "seen_at": now,
            }
            for finding in new
        ]
        await self._write(insert(alerts), rows)
        return new

    async def acknowledge(self, alert_id: int, by: str) -> None:
        """Somebody looks at it. Whoever was first stays.

        Raises:
            UnknownAlert: it is not there, or resolved.
        """
        row = (await self._connection.execute(select(alerts.c.state).where(alerts.c.id == alert_id))).one_or_none()
        if row is None or row[0] == AlertState.RESOLVED:
            raise UnknownAlert(alert_id)
        mine = update(alerts).where(alerts.c.id == alert_id, alerts.c.state == AlertState.OPEN.value)
        await self._connection.execute(mine.values(state=AlertState.ACKNOWLEDGED.value, acknowledged_by=by))

    async def standing(self) -> tuple[Alert, ...]:
        """Alerts that are not resolved, oldest first."""
        query = select(alerts).where(alerts.c.state != AlertState.RESOLVED.value).order_by(alerts.c.id)
        return tuple(_alert(row) for row in await self._connection.execute(query))

    async def page(self, before: int | None = None, limit: int = 100) -> tuple[Alert, ...]:
        """All alerts, newest first, with numbers below `before`."""
        query = select(alerts).order_by(alerts.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(alerts.c.id < before)
        return tuple(_alert(row) for row in await self._connection.execute(query))


def _alert(row: Any) -> Alert:
    number, monitor, subject, detail, state, opened, seen, by, resolved = row
    at = None if resolved is None else UnixMs(resolved)
    return Alert(number, Monitor(monitor), subject, detail, AlertState(state), UnixMs(opened), UnixMs(seen), by, at)
