"""Nothing personal leaves an exchange but sealed: not to a log, a repr, an error, a plain column or the network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from foundation.database import Database
from foundation.database.schema import Schema
from foundation.quantities import UnixMs
from settlement.connect.acceptance import PaymentId
from settlement.connect.envelope import Form, SharedSecret, open_note, seal_note, write_header
from settlement.connect.store import Decisions, Exchanges
from settlement.connect.tables import METADATA
from settlement.connect.vault import PersonalRecords, RecordKind, VaultKey
from settlement.quantities import PartyId
from tests.support.settlement_connect import SECRETS
from tests.support.settlement_exchange import NOW, PAYMENT, Bank, banks

SECRET = SharedSecret(b"\x42" * 32)


def relay(sender: Bank, receiver: Bank, wire: list[bytes]) -> None:
    """Carry one message in a note, as the agents do."""
    header = write_header(Form.NOTE, PartyId(sender.name), PartyId(receiver.name), PAYMENT, NOW, UnixMs(NOW + 60_000))
    note = seal_note(SECRET, header, sender.outbox.pop(0))
    wire.append(note.encode() + repr(note).encode())
    receiver.receive(open_note(SECRET, PAYMENT, PartyId(sender.name), PartyId(receiver.name), note, NOW))


async def test_nothing_personal_leaves_an_exchange(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All logs at every level, all reprs, the database's files and the wire of an exchange hold no personal datum."""
    shown: list[str] = []
    wire: list[bytes] = []
    caplog.set_level(logging.DEBUG)
    log = structlog.wrap_logger(logging.getLogger("connect"), processors=[structlog.processors.KeyValueRenderer()])
    pair = banks()
    async with await Database.open(f"sqlite:///{tmp_path / 'bank.db'}", Schema((METADATA,))) as database:
        for _ in range(12):
            for sender, receiver in ((pair[0], pair[1]), (pair[1], pair[0])):
                if sender.outbox:
                    relay(sender, receiver, wire)
                for thing in (sender, sender.state, sender.stored, sender.records, sender.accepted, sender.payload):
                    note_all(log, shown, thing)
        assert pair[0].accepted
        assert pair[1].accepted
        for bank in pair:
            await keep(database, bank)
    shown.append(caplog.text)
    everything = b"".join([*wire, *(path.read_bytes() for path in tmp_path.iterdir()), *(s.encode() for s in shown)])
    assert b"hidden" in everything
    assert [secret for secret in SECRETS if secret.encode() in everything] == []
    assert SECRET.value not in everything


def note_all(log: Any, shown: list[str], thing: object) -> None:
    """Log a thing as a careless programmer would."""
    log.debug("state", thing=thing)
    shown.extend([repr(thing), str(thing), f"{thing!s:>5}"])


async def keep(database: Database, bank: Bank) -> None:
    """Store all that a bank keeps."""
    assert bank.stored is not None
    party = PartyId(bank.name)
    async with database.unit() as unit:
        await Exchanges(unit.connection, party).save(bank.state)
        await Decisions(unit.connection, party).add(bank.records)
        records = PersonalRecords(unit.connection, party, VaultKey(b"\x33" * 32))
        await records.store(PaymentId(PAYMENT), RecordKind.OWN, bank.stored.document, NOW)
        await records.store(PAYMENT, RecordKind.SECRET, SECRET.value, NOW)
        await unit.commit()
