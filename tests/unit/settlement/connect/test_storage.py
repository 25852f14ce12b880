"""Exchanges, decisions and personal data in a database, on both engines: sealed, kept while they may be, then gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, select, update

from foundation.database import Database
from foundation.database.schema import Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connect.acceptance import PaymentId
from settlement.connect.exchange_types import Phase, Reason, Record
from settlement.connect.store import Decisions, Exchanges
from settlement.connect.tables import METADATA, personal
from settlement.connect.vault import (
    PersonalRecords,
    RecordDamaged,
    RecordExists,
    RecordGone,
    RecordKind,
    Retention,
    VaultKey,
)
from settlement.quantities import PartyId
from tests.support.settlement_exchange import CLEAR, ENDS, NOW, PAYMENT, banks, talk

A, B = PartyId("bank-a"), PartyId("bank-b")
KEY = VaultKey(b"\x11" * 32)
OTHER = PaymentId(b"\x0f" * 32)
DAY = 24 * 3600 * 1000
TEXT = b"Maria Musterfrau"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with await Database.open(database_url, Schema((METADATA,))) as opened:
        yield opened


async def stored(database: Database, payment: PaymentId = PAYMENT) -> None:
    async with database.unit() as unit:
        await PersonalRecords(unit.connection, A, KEY).store(payment, RecordKind.THEIRS, TEXT, NOW)
        await unit.commit()


async def test_a_record_opens_with_the_vault_s_key_alone(database: Database) -> None:
    """What is stored can be read again, lies in no column as it is, and opens with no other key or party."""
    await stored(database)
    await stored(database)
    async with database.view() as view:
        assert await PersonalRecords(view.connection, A, KEY).read(PAYMENT, RecordKind.THEIRS) == TEXT
        row = (await view.connection.execute(select(personal))).one()
        assert TEXT not in b"".join(value for value in row if isinstance(value, bytes))
        with pytest.raises(RecordDamaged):
            await PersonalRecords(view.connection, A, VaultKey(bytes(32))).read(PAYMENT, RecordKind.THEIRS)
        with pytest.raises(RecordGone):
            await PersonalRecords(view.connection, B, KEY).read(PAYMENT, RecordKind.THEIRS)
        with pytest.raises(RecordGone):
            await PersonalRecords(view.connection, A, KEY).read(PAYMENT, RecordKind.OWN)


async def test_a_record_cannot_be_replaced_or_moved(database: Database) -> None:
    """Another text in a record's place is refused, and one that was copied to another payment does not open."""
    await stored(database)
    async with database.unit() as unit:
        records = PersonalRecords(unit.connection, A, KEY)
        with pytest.raises(RecordExists):
            await records.store(PAYMENT, RecordKind.THEIRS, b"somebody else", NOW)
        row = (await unit.connection.execute(select(personal))).one()
        await unit.connection.execute(insert(personal).values({**row._mapping, "payment_id": OTHER}))
        with pytest.raises(RecordDamaged):
            await records.read(OTHER, RecordKind.THEIRS)


async def test_retention_forgets_after_the_end(database: Database) -> None:
    """A record lives for its days after the payment's end, and then neither its text nor its key is in the database."""
    await stored(database)
    retention = Retention(days=30)
    async with database.unit() as unit:
        records = PersonalRecords(unit.connection, A, KEY)
        await records.end(PAYMENT, UnixMs(NOW + DAY))
        await records.end(PAYMENT, UnixMs(NOW + 20 * DAY))
        assert await records.purge(retention, UnixMs(NOW + 31 * DAY - 1)) == 0
        assert await records.purge(retention, UnixMs(NOW + 31 * DAY)) == 1
        assert await records.purge(retention, UnixMs(NOW + 31 * DAY)) == 0
        row = (await unit.connection.execute(select(personal.c.sealed, personal.c.wrapped_key))).one()
        assert tuple(row) == (None, None)
        with pytest.raises(RecordGone):
            await records.read(PAYMENT, RecordKind.THEIRS)
        with pytest.raises(RecordExists):
            await records.store(PAYMENT, RecordKind.THEIRS, TEXT, NOW)


async def test_a_legal_hold_keeps_what_is_due(database: Database) -> None:
    """Under legal hold nothing is forgotten; when it is lifted, what is due goes."""
    await stored(database)
    late = UnixMs(NOW + 400 * DAY)
    async with database.unit() as unit:
        records = PersonalRecords(unit.connection, A, KEY)
        await records.end(PAYMENT, NOW)
        await records.hold(PAYMENT, True)
        assert await records.purge(Retention(30), late) == 0
        assert await records.read(PAYMENT, RecordKind.THEIRS) == TEXT
        await records.hold(PAYMENT, False)
        assert await records.purge(Retention(30), late) == 1


async def test_what_never_ended_is_forgotten_at_last(database: Database) -> None:
    """A record of a payment whose end nobody told lives for the longer time; others' records are left alone."""
    await stored(database)
    async with database.unit() as unit:
        retention = Retention(days=0, days_unended=100)
        assert await PersonalRecords(unit.connection, B, KEY).purge(retention, UnixMs(NOW + 200 * DAY)) == 0
        records = PersonalRecords(unit.connection, A, KEY)
        assert await records.purge(retention, UnixMs(NOW + 100 * DAY - 1)) == 0
        assert await records.purge(retention, UnixMs(NOW + 100 * DAY)) == 1
    with pytest.raises(BadInput):
        Retention(-1)


async def test_the_vault_s_key_can_be_changed(database: Database) -> None:
    """After a rewrap the new key opens all, the old one nothing, and a forgotten record stays forgotten."""
    await stored(database)
    await stored(database, OTHER)
    new = VaultKey(b"\x22" * 32)
    async with database.unit() as unit:
        records = PersonalRecords(unit.connection, A, KEY)
        await records.end(OTHER, NOW)
        assert await records.purge(Retention(0), NOW) == 1
        with pytest.raises(RecordDamaged):
            await PersonalRecords(unit.connection, A, new).rewrap(KEY)
        assert await records.rewrap(new) == 1
        assert await records.read(PAYMENT, RecordKind.THEIRS) == TEXT
        with pytest.raises(RecordDamaged):
            await PersonalRecords(unit.connection, A, KEY).read(PAYMENT, RecordKind.THEIRS)
    assert "11" * 8 not in repr(KEY)
    with pytest.raises(BadInput):
        VaultKey(bytes(31))


async def test_a_changed_record_is_told(database: Database) -> None:
    """A sealed text with one bit changed does not open."""
    await stored(database)
    async with database.unit() as unit:
        sealed = (await unit.connection.execute(select(personal.c.sealed))).scalar_one()
        await unit.connection.execute(update(personal).values(sealed=sealed[:-1] + bytes([sealed[-1] ^ 1])))
        with pytest.raises(RecordDamaged):
            await PersonalRecords(unit.connection, A, KEY).read(PAYMENT, RecordKind.THEIRS)


async def test_an_exchange_goes_on_after_a_restart(database: Database) -> None:
    """A stored exchange is read as it was, is found as open until it ends, and is one party's own."""
    first, second = banks()
    async with database.unit() as unit:
        await Exchanges(unit.connection, A).save(first.state)
        await Exchanges(unit.connection, B).save(second.state)
        await unit.commit()
    talk(first, second)
    async with database.unit() as unit:
        store = Exchanges(unit.connection, A)
        assert [state.phase for state in await store.open()] == [Phase.PROPOSED]
        await store.save(first.state)
        assert await store.get(PAYMENT) == first.state
        assert await store.get(OTHER) is None
        assert await store.open() == ()
        assert len(await Exchanges(unit.connection, B).open()) == 1


async def test_decisions_are_kept_with_their_versions_and_reasons(database: Database) -> None:
    """An auditor reads why a payment was decided so: reason, field, verdicts, and the versions of policy and rules."""
    records = [
        Record(PAYMENT, Reason.REFERRED, "verdicts", "3", "7", CLEAR, NOW),
        Record(PAYMENT, Reason.ACCEPTED, "", "3", "", (), ENDS),
    ]
    async with database.unit() as unit:
        store = Decisions(unit.connection, A)
        await store.add(records)
        await store.add(())
        assert await store.of(PAYMENT) == tuple(records)
        assert await Decisions(unit.connection, B).of(PAYMENT) == ()
