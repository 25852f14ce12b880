"""The outbox, the incidents that operators look at, and the facts about this node."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from sqlalchemy import delete, func, select, update

from bridge.storage.errors import WrongDatabase
from bridge.storage.rows import IncidentKind, IncidentRow, OutboxRow
from bridge.storage.tables import incidents, node_meta, outbox
from foundation.database.repository import Repository, chunks
from foundation.quantities import UnixMs


class Outbox(Repository):
    """Effects, stored with the state that caused them and delivered after the commit, at least once."""

    async def add(self, kind: str, key: str, body: bytes, now: UnixMs, not_before: UnixMs | None = None) -> None:
        """Ask for a delivery, from `not_before` on (at once where None). The same key is the same delivery."""
        await self.add_many(kind, {key: body}, now, not_before)

    async def add_many(
        self, kind: str, bodies: Mapping[str, bytes], now: UnixMs, not_before: UnixMs | None = None
    ) -> None:
        """Ask for a delivery for each key in `bodies`; see `add`."""
        start = now if not_before is None else not_before
        rows = [
            {"key": key, "kind": kind, "body": body, "created_at_ms": now, "attempts": 0, "not_before_ms": start}
            for key, body in bodies.items()
        ]
        await self._write(self._insert(outbox).on_conflict_do_nothing(index_elements=["key"]), rows)

    async def due(
        self, now: UnixMs, limit: int = 100, kind: str | None = None, but_endings: Collection[str] = ()
    ) -> tuple[OutboxRow, ...]:
        """At most `limit` deliveries that may be tried at `now`, in the order in which they were asked for.

        Those whose keys end with one of `but_endings` are left out.
        """
        query = select(outbox).where(outbox.c.delivered_at_ms.is_(None), outbox.c.not_before_ms <= now)
        for ending in but_endings:
            query = query.where(~outbox.c.key.endswith(ending, autoescape=True))
        if kind is not None:
            query = query.where(outbox.c.kind == kind)
        return await self._rows(OutboxRow, query.order_by(outbox.c.id).limit(limit))

    async def next_due(self) -> UnixMs | None:
        """When the next delivery may be tried; None where nothing waits."""
        query = select(func.min(outbox.c.not_before_ms)).where(outbox.c.delivered_at_ms.is_(None))
        at_ms = await self._connection.scalar(query)
        return None if at_ms is None else UnixMs(at_ms)

    async def delivered(self, ids: Collection[int], now: UnixMs) -> None:
        """They arrived; they are never due again."""
        for chunk in chunks(ids):
            statement = update(outbox).where(outbox.c.id.in_(chunk), outbox.c.delivered_at_ms.is_(None))
            await self._connection.execute(statement.values(delivered_at_ms=now))

    async def postpone(self, delivery_id: int, not_before: UnixMs) -> None:
        """An attempt failed: try again from `not_before` on."""
        statement = update(outbox).where(outbox.c.id == delivery_id)
        await self._connection.execute(statement.values(attempts=outbox.c.attempts + 1, not_before_ms=not_before))

    async def forget(self, before: UnixMs) -> None:
        """Delete what was delivered before `before`; its keys may then be asked for anew."""
        await self._connection.execute(delete(outbox).where(outbox.c.delivered_at_ms < before))


class Incidents(Repository):
    """Refusals, faults and alarms for `node status`."""

    async def record(
        self,
        kind: IncidentKind,
        error: str,
        now: UnixMs,
        *,
        party: bytes = b"",
        subject: bytes = b"",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """Count an incident; the same kind, party, error and subject is one row, which keeps the latest `fields`.

        Args:
            kind: how bad it is.
            error: the name of the error's type.
            now: the time.
            party: host key (33 bytes) or account (20 bytes) of who is to blame; empty for nobody.
            subject: what it is about, such as a transfer's id.
            fields: the error's fields; bytes are written as hex, what JSON does not know as text.
        """
        insert = self._insert(incidents)
        again = {
            "at_ms": insert.excluded.at_ms,
            "fields": insert.excluded.fields,
            "count": incidents.c["count"] + 1,
        }
        row = {
            "first_at_ms": now,
            "at_ms": now,
            "party": party,
            "kind": kind,
            "error": error,
            "subject": subject,
            "fields": json.dumps(fields or {}, default=_plain, sort_keys=True),
            "count": 1,
        }
        same = ["party", "kind", "error", "subject"]
        await self._write(insert.on_conflict_do_update(index_elements=same, set_=again), [row])

    async def latest(
        self, limit: int = 100, *, kind: IncidentKind | None = None, party: bytes | None = None
    ) -> tuple[IncidentRow, ...]:
        """At most `limit` incidents, the latest first."""
        query = select(incidents)
        if kind is not None:
            query = query.where(incidents.c.kind == kind)
        if party is not None:
            query = query.where(incidents.c.party == party)
        query = query.order_by(incidents.c.at_ms.desc(), incidents.c.id.desc())
        return await self._rows(IncidentRow, query.limit(limit))


class NodeMeta(Repository):
    """Facts about this node by name."""

    async def get(self, key: str) -> bytes | None:
        """The fact, or None."""
        return await self._connection.scalar(select(node_meta.c.value).where(node_meta.c.key == key))

    async def put(self, key: str, value: bytes) -> None:
        """Store a fact that changes, such as the heartbeat."""
        insert = self._insert(node_meta)
        change = {"value": insert.excluded.value}
        await self._write(
            insert.on_conflict_do_update(index_elements=["key"], set_=change), [{"key": key, "value": value}]
        )

    async def claim(self, key: str, value: bytes) -> None:
        """Store a fact that must never change, such as the network and the node's identity.

        Raises:
            WrongDatabase: the database says something else.
        """
        insert = self._insert(node_meta).on_conflict_do_nothing(index_elements=["key"])
        await self._write(insert, [{"key": key, "value": value}])
        found = await self.get(key)
        assert found is not None, "a fact was neither stored nor there"
        if found != value:
            raise WrongDatabase(key, value, found)


def _plain(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)
