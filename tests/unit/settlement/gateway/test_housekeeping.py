"""A gateway forgets personal data when their time is over, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.connect.vault import PersonalRecords, RecordGone, RecordKind, Retention
from settlement.custody.terms import PaymentId
from settlement.gateway.dossiers import Dossier, Dossiers
from settlement.gateway.housekeeping import DAY_MS, forget
from settlement.gateway.keys import Secrets
from settlement.gateway.runtime import SCHEMA
from settlement.quantities import PartyId

SECRETS = Secrets.derive(PartyId("bank-a"), bytes(range(32)))
PAYMENT, OTHER = PaymentId(b"p" * 32), PaymentId(b"o" * 32)
BEGAN = UnixMs(1_700_000_000_000)
RETENTION = Retention(days=30, days_unended=90)


async def stored(database: Database) -> None:
    """Two payments' data; the first has ended."""
    async with database.unit() as unit:
        records = PersonalRecords(unit.connection, SECRETS.party, SECRETS.vault)
        dossiers = Dossiers(unit.connection, SECRETS.state_key)
        for payment in (PAYMENT, OTHER):
            await records.store(payment, RecordKind.OWN, b"a name", BEGAN)
            await dossiers.put(payment, Dossier(own="an account"))
        await records.end(PAYMENT, BEGAN)
        await dossiers.end(PAYMENT, BEGAN)
        await unit.commit()


async def kept(database: Database, payment: PaymentId) -> tuple[bool, bool]:
    """Whether a payment's record and its dossier are there."""
    async with database.view() as view:
        try:
            await PersonalRecords(view.connection, SECRETS.party, SECRETS.vault).read(payment, RecordKind.OWN)
            has_record = True
        except RecordGone:
            has_record = False
        return has_record, await Dossiers(view.connection, SECRETS.state_key).get(payment) is not None


@pytest.mark.parametrize(("days", "is_kept"), [(29, True), (31, False)])
async def test_the_data_of_an_ended_payment_are_forgotten_after_their_days(
    tmp_path: Path, days: int, is_kept: bool
) -> None:
    """Record and dossier of the payment that has ended go together; the other payment's stay."""
    async with await Database.open(f"sqlite:///{tmp_path / 'gateway.db'}", SCHEMA) as database:
        await stored(database)
        await forget(database, SECRETS, RETENTION, UnixMs(BEGAN + days * DAY_MS))
        assert await kept(database, PAYMENT) == (is_kept, is_kept)
        assert await kept(database, OTHER) == (True, True)


async def test_nothing_is_forgotten_under_legal_hold(tmp_path: Path) -> None:
    """A record under legal hold outlives its days."""
    async with await Database.open(f"sqlite:///{tmp_path / 'gateway.db'}", SCHEMA) as database:
        await stored(database)
        async with database.unit() as unit:
            await PersonalRecords(unit.connection, SECRETS.party, SECRETS.vault).hold(PAYMENT, True)
            await unit.commit()
        await forget(database, SECRETS, RETENTION, UnixMs(BEGAN + 1_000 * DAY_MS))
        assert (await kept(database, PAYMENT))[0]
