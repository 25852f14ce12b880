"""What a party has on its desk of each payment that is open: in memory, and written once in a transaction.

Whom it is for, disclosures, the state of the exchange, the other bank's part of the instruction. One process alone
works on a party's database, so what is in memory is what is stored; after a start, or a transaction that failed, it is
read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, Repository
from foundation.quantities import UnixMs
from settlement.connect.exchange_types import Exchange, Record
from settlement.connect.store import Decisions, Exchanges
from settlement.connect.vault import PersonalRecords, RecordExists, RecordGone, RecordKind
from settlement.custody.terms import PaymentId
from settlement.gateway.dossiers import Dossier, Dossiers
from settlement.gateway.keys import Secrets
from settlement.gateway.tables import instructions

_KEEP_PARTS = BulkInsert(instructions, ("payment_id",), ("part",))
_KINDS = (RecordKind.OWN, RecordKind.THEIRS)


@dataclass
class PaymentFile:
    """One payment. Fields: dossier; exchange; part (of the instruction's signature, the other bank's); records."""

    dossier: Dossier | None = None
    exchange: Exchange | None = None
    part: bytes = b""
    records: dict[RecordKind, bytes] = field(default_factory=dict, repr=False)


class Files:
    """See the module. `flush` before each commit; `forget` where a transaction did not take effect."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._files: dict[PaymentId, PaymentFile] = {}
        self._dossiers: dict[PaymentId, Dossier] = {}
        self._exchanges: dict[PaymentId, Exchange] = {}
        self._parts: dict[PaymentId, bytes] = {}
        self._records: dict[tuple[PaymentId, RecordKind], bytes] = {}
        self._decisions: list[Record] = []
        self._ended: set[PaymentId] = set()

    def fresh(self, payments: Iterable[PaymentId]) -> None:
        """Payments of which nothing is stored yet, so that nobody needs to look."""
        for payment in payments:
            self._files.setdefault(payment, PaymentFile())

    async def of(self, connection: AsyncConnection, payment: PaymentId) -> PaymentFile:
        """The file of a payment; read where it is not in memory."""
        found = self._files.get(payment)
        if found is None:
            found = self._files[payment] = await self._read(connection, payment)
        return found

    async def put_dossier(self, connection: AsyncConnection, payment: PaymentId, dossier: Dossier) -> None:
        """Keep a payment's dossier; the first one stays."""
        file = await self.of(connection, payment)
        if file.dossier is None:
            file.dossier = self._dossiers[payment] = dossier

    async def put_part(self, connection: AsyncConnection, payment: PaymentId, part: bytes) -> None:
        """Keep the other bank's part of the instruction; the last one counts."""
        file = await self.of(connection, payment)
        if file.part != part:
            file.part = self._parts[payment] = part

    async def put_exchange(self, connection: AsyncConnection, exchange: Exchange) -> None:
        """Keep the state of an exchange."""
        file = await self.of(connection, exchange.payment_id)
        if file.exchange is not exchange:
            file.exchange = self._exchanges[exchange.payment_id] = exchange

    async def put_record(self, connection: AsyncConnection, payment: PaymentId, kind: RecordKind, text: bytes) -> None:
        """Keep a disclosure; the same again changes nothing.

        Raises:
            RecordExists: another one is there.
        """
        file = await self.of(connection, payment)
        known = file.records.get(kind)
        if known is not None and known != text:
            raise RecordExists(payment, kind)
        if known is None:
            file.records[kind] = self._records[payment, kind] = text

    async def record(self, connection: AsyncConnection, payment: PaymentId, kind: RecordKind) -> bytes:
        """A disclosure. Raises RecordGone where there is none."""
        found = (await self.of(connection, payment)).records.get(kind)
        if found is None:
            raise RecordGone(payment, kind)
        return found

    def decided(self, record: Record) -> None:
        """Why a payment was accepted or refused."""
        self._decisions.append(record)

    def end(self, payment: PaymentId) -> None:
        """The payment is over: retention counts from this transaction."""
        self._ended.add(payment)

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Write what was gathered."""
        party, secrets = self._secrets.party, self._secrets
        dossiers = Dossiers(connection, secrets.state_key)
        personal = PersonalRecords(connection, party, secrets.vault)
        await dossiers.put_many(list(self._dossiers.items()))
        await Exchanges(connection, party).save_many(list(self._exchanges.values()))
        await _Instructions(connection).keep(self._parts)
        await personal.store_many([(payment, kind, text) for (payment, kind), text in self._records.items()], now)
        await Decisions(connection, party).add(self._decisions)
        ended = sorted(self._ended)
        await personal.end_many(ended, now)
        await dossiers.end_many(ended, now)
        self._written()

    def drop(self, payments: Sequence[PaymentId]) -> None:
        """These payments are over: nothing personal of them stays in memory."""
        for payment in payments:
            self._files.pop(payment, None)

    def forget(self) -> None:
        """The transaction did not take effect."""
        self._files.clear()
        self._written()

    def _written(self) -> None:
        for gathered in (self._dossiers, self._exchanges, self._parts, self._records, self._decisions, self._ended):
            gathered.clear()

    async def _read(self, connection: AsyncConnection, payment: PaymentId) -> PaymentFile:
        party, secrets = self._secrets.party, self._secrets
        personal = PersonalRecords(connection, party, secrets.vault)
        records = {kind: await personal.read_if_there(payment, kind) for kind in _KINDS}
        return PaymentFile(
            await Dossiers(connection, secrets.state_key).get(payment),
            await Exchanges(connection, party).get(payment),
            await _Instructions(connection).read(payment),
            {kind: text for kind, text in records.items() if text is not None},
        )


class _Instructions(Repository):
    async def keep(self, parts: dict[PaymentId, bytes]) -> None:
        rows = [{"payment_id": payment, "part": part} for payment, part in parts.items()]
        await _KEEP_PARTS.write(self._connection, rows)

    async def read(self, payment: PaymentId) -> bytes:
        query = select(instructions.c.part).where(instructions.c.payment_id == payment)
        return (await self._connection.execute(query)).scalar_one_or_none() or b""
