"""Transfers, payouts, and the journey that people read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, Table, and_, func, or_, select, update

from bridge.storage.rows import JourneyEntry, PayoutRow, TransferKind, TransferRow
from bridge.storage.tables import journey, payout_withdrawals, payouts, transfers
from foundation.database.errors import LostUpdate
from foundation.database.repository import Repository, chunks, values
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs

_ID_DIGITS = 64


class Transfers(Repository):
    """Deposits and withdrawals by their ids."""

    async def get(self, transfer_id: bytes) -> TransferRow | None:
        """The transfer, or None."""
        return await self._row(TransferRow, select(transfers).where(transfers.c.id == transfer_id))

    async def get_many(self, transfer_ids: Collection[bytes]) -> dict[bytes, TransferRow]:
        """Those of `transfer_ids` that are stored."""
        found: dict[bytes, TransferRow] = {}
        for chunk in chunks(transfer_ids):
            rows = await self._rows(TransferRow, select(transfers).where(transfers.c.id.in_(chunk)))
            found.update((row.id, row) for row in rows)
        return found

    async def save(self, *rows: TransferRow) -> tuple[TransferRow, ...]:
        """Store new and changed transfers, all or none, and return them with their new versions.

        The chain is stored with a new one and stays. Writers come one after the other, so that nobody can write
        between the check and the write.

        Raises:
            LostUpdate: one of them has changed since it was read.
        """
        stored: dict[bytes, int] = {}
        for chunk in chunks(row.id for row in rows):
            query = select(transfers.c.id, transfers.c.version).where(transfers.c.id.in_(chunk))
            stored.update((id_, version) for id_, version in await self._connection.execute(query))
        _check_versions("transfers", {row.id: row.version for row in rows}, stored)
        saved = tuple(replace(row, version=row.version + 1) for row in rows)
        insert = self._insert(transfers)
        changing = ("stage", "state", "updated_at_ms", "height", "next_height", "version")
        changes = {name: insert.excluded[name] for name in changing}
        await self._write(insert.on_conflict_do_update(index_elements=["id"], set_=changes), [values(r) for r in saved])
        return saved

    async def by_stage(self, kind: TransferKind, *stages: str, chain: bytes | None = None) -> tuple[TransferRow, ...]:
        """Transfers in one of `stages`, oldest first; of every stage where none is named, of every chain where None."""
        query = _of_chain(transfers, chain).where(transfers.c.kind == kind)
        if stages:
            query = query.where(transfers.c.stage.in_(stages))
        return await self._rows(TransferRow, query.order_by(transfers.c.created_at_ms, transfers.c.id))

    async def due(self, kind: TransferKind, height: BlockHeight, chain: bytes | None = None) -> tuple[TransferRow, ...]:
        """Transfers whose next step is due at `height` of their origin chain, oldest first.

        Of every chain where `chain` is None.
        """
        query = _of_chain(transfers, chain).where(transfers.c.kind == kind, transfers.c.next_height <= height)
        return await self._rows(TransferRow, query.order_by(transfers.c.created_at_ms, transfers.c.id))

    async def from_height(
        self, kind: TransferKind, height: BlockHeight, chain: bytes | None = None
    ) -> tuple[TransferRow, ...]:
        """Transfers that lie in the block at `height` or in a later one: those that a reorg down to it touches.

        Of every chain where `chain` is None.
        """
        query = _of_chain(transfers, chain).where(transfers.c.kind == kind, transfers.c.height >= height)
        return await self._rows(TransferRow, query.order_by(transfers.c.height, transfers.c.id))

    async def adopt_chain(self, chain: bytes) -> None:
        """Give `chain` to transfers without one: a database from before there were several holds one chain's alone."""
        await self._connection.execute(update(transfers).where(transfers.c.chain == b"").values(chain=chain))

    async def page(
        self, limit: int, kind: TransferKind | None = None, before: tuple[UnixMs, bytes] | None = None
    ) -> tuple[TransferRow, ...]:
        """At most `limit` transfers, newest first; `before` is (created_at_ms, id) of the last page's last row."""
        query = select(transfers)
        if kind is not None:
            query = query.where(transfers.c.kind == kind)
        if before is not None:
            created_at_ms, transfer_id = before
            older = transfers.c.created_at_ms < created_at_ms
            beside = and_(transfers.c.created_at_ms == created_at_ms, transfers.c.id < transfer_id)
            query = query.where(or_(older, beside))
        query = query.order_by(transfers.c.created_at_ms.desc(), transfers.c.id.desc())
        return await self._rows(TransferRow, query.limit(limit))

    async def by_prefix(self, prefix: str, limit: int = 10) -> tuple[TransferRow, ...]:
        """At most `limit` transfers whose id in hex starts with `prefix`.

        Raises:
            BadInput: `prefix` is no hex, or longer than an id.
        """
        digits = prefix.lower().removeprefix("0x")
        if len(digits) > _ID_DIGITS or not set(digits) <= set("0123456789abcdef"):
            raise BadInput("id", f"{prefix!r} is not the start of a transfer id", "give up to 64 hex digits")
        low, high = bytes.fromhex(digits.ljust(_ID_DIGITS, "0")), bytes.fromhex(digits.ljust(_ID_DIGITS, "f"))
        query = select(transfers).where(transfers.c.id.between(low, high)).order_by(transfers.c.id).limit(limit)
        return await self._rows(TransferRow, query)

    async def count_by_stage(self, kind: TransferKind) -> dict[str, int]:
        """How many transfers are in each stage."""
        query = select(transfers.c.stage, func.count()).where(transfers.c.kind == kind).group_by(transfers.c.stage)
        return dict((await self._connection.execute(query)).all())


class Payouts(Repository):
    """Payouts and the withdrawals they pay."""

    async def get(self, payout_id: bytes) -> PayoutRow | None:
        """The payout, or None."""
        return await self._row(PayoutRow, select(payouts).where(payouts.c.id == payout_id))

    async def save(self, row: PayoutRow) -> PayoutRow:
        """Store a new or changed payout and return it with its new version. Its chain is stored once and stays.

        Raises:
            LostUpdate: it has changed since it was read.
        """
        query = select(payouts.c.id, payouts.c.version).where(payouts.c.id == row.id)
        stored = dict((await self._connection.execute(query)).all())
        _check_versions("payouts", {row.id: row.version}, stored)
        saved = replace(row, version=row.version + 1)
        insert = self._insert(payouts)
        changes = {name: insert.excluded[name] for name in ("stage", "state", "updated_at_ms", "version")}
        await self._write(insert.on_conflict_do_update(index_elements=["id"], set_=changes), [values(saved)])
        return saved

    async def by_stage(self, *stages: str, chain: bytes | None = None) -> tuple[PayoutRow, ...]:
        """Payouts in one of `stages`, oldest first; of every stage where none is named, of every chain where None."""
        query = _of_chain(payouts, chain)
        if stages:
            query = query.where(payouts.c.stage.in_(stages))
        return await self._rows(PayoutRow, query.order_by(payouts.c.created_at_ms, payouts.c.id))

    async def adopt_chain(self, chain: bytes) -> None:
        """Give `chain` to payouts without one; see `Transfers.adopt_chain`."""
        await self._connection.execute(update(payouts).where(payouts.c.chain == b"").values(chain=chain))

    async def link(self, payout_id: bytes, withdrawal_ids: Sequence[bytes]) -> None:
        """Say which withdrawals the payout pays, in order. They never change: linking again changes nothing."""
        rows = [
            {"payout_id": payout_id, "position": position, "withdrawal_id": withdrawal_id}
            for position, withdrawal_id in enumerate(withdrawal_ids)
        ]
        await self._write(self._insert(payout_withdrawals).on_conflict_do_nothing(), rows)

    async def withdrawals_of(self, payout_id: bytes) -> tuple[bytes, ...]:
        """The ids of the withdrawals that the payout pays, in order."""
        link = payout_withdrawals.c
        query = select(link.withdrawal_id).where(link.payout_id == payout_id).order_by(link.position)
        return tuple((await self._connection.scalars(query)).all())

    async def of_withdrawal(self, withdrawal_id: bytes) -> tuple[PayoutRow, ...]:
        """Every payout that ever was to pay the withdrawal, oldest first."""
        paying = select(payout_withdrawals.c.payout_id).where(payout_withdrawals.c.withdrawal_id == withdrawal_id)
        query = select(payouts).where(payouts.c.id.in_(paying)).order_by(payouts.c.created_at_ms, payouts.c.id)
        return await self._rows(PayoutRow, query)


class Journey(Repository):
    """What happened to each transfer, in the order in which it was told."""

    async def append(self, *entries: JourneyEntry) -> None:
        """Add entries at the end of their transfers' journeys. The transfers exist at the commit."""
        last: dict[bytes, int] = {}
        for chunk in chunks({entry.transfer_id for entry in entries}):
            query = select(journey.c.transfer_id, func.max(journey.c.seq)).where(journey.c.transfer_id.in_(chunk))
            rows = await self._connection.execute(query.group_by(journey.c.transfer_id))
            last.update((transfer_id, seq) for transfer_id, seq in rows)
        await self._write(journey.insert(), _numbered(entries, last))

    async def of(self, transfer_id: bytes) -> tuple[JourneyEntry, ...]:
        """The transfer's journey from its beginning."""
        c = journey.c
        query = select(c.transfer_id, c.at_ms, c.stage, c.note, c.txid, c.chain).where(c.transfer_id == transfer_id)
        return await self._rows(JourneyEntry, query.order_by(c.seq))


def _of_chain(table: Table[Any], chain: bytes | None) -> Select[*tuple[Any, ...]]:
    query = select(table)
    return query if chain is None else query.where(table.c.chain == chain)


def _numbered(entries: Iterable[JourneyEntry], last: dict[bytes, int]) -> list[dict[str, object]]:
    rows = []
    for entry in entries:
        last[entry.transfer_id] = seq = last.get(entry.transfer_id, -1) + 1
        rows.append({**values(entry), "seq": seq})
    return rows


def _check_versions(table: str, read: Mapping[bytes, int], stored: Mapping[bytes, int]) -> None:
    for key, version in read.items():
        if stored.get(key, 0) != version:
            raise LostUpdate(table, key, version, stored.get(key, 0))
