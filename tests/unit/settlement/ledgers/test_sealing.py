"""Preimages lie open in no database before a block has shown them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from adapters.bitcoin.primitives import OutPoint
from adapters.evm.escrow.types import Terms as EvmTerms
from adapters.evm.journal import SignedTx
from adapters.evm.types import BlockRef
from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, UnixMs, Wei
from settlement.ledgers.bitcoin import tables as bitcoin
from settlement.ledgers.bitcoin.store import BitcoinLedgerStore, Version
from settlement.ledgers.bitcoin.types import Entry, Terms
from settlement.ledgers.evm import tables as evm
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.evm.projection import Projection
from settlement.ledgers.evm.store import EvmLedgerStore
from settlement.ledgers.evm.types import Lock
from settlement.ledgers.protocol import HoldState, LedgerId
from settlement.ledgers.sealing import OPEN, RowDamaged, RowSealer

LEDGER = LedgerId("chain")
PREIMAGE = b"\x5a" * 32
SEALER = RowSealer(b"\x01" * 32)
LOCK = Lock(
    EvmTerms(b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x02" * 20, bytes(20), 5, b"\x04" * 32, 1_800_000_000),
    b"",
    HoldState.HELD,
    None,
    UnixMs(1),
    None,
)
HELD = Entry(
    Terms(
        *(b"\x01" * 32, bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")),
        *(bytes.fromhex("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"), Satoshi(50_000)),
        *(b"\x04" * 32, 1_800_000_000, b""),
    ),
    BlockHeight(1),
    HoldState.HELD,
    PREIMAGE,
    OutPoint(b"\x09" * 32, 0),
    UnixMs(1),
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    schema = Schema((evm.METADATA, bitcoin.METADATA))
    async with await Database.open(f"sqlite:///{tmp_path / 'a.db'}", schema) as opened:
        yield opened


async def raw_bytes(database: Database) -> bytes:
    """All that is stored."""
    found = b""
    async with database.view() as view:
        for table in (evm.holds, evm.transactions, bitcoin.holds, bitcoin.transactions):
            for row in await view.connection.execute(select(table)):
                found += b"".join(value for value in row if isinstance(value, bytes))
    return found


async def test_a_preimage_on_its_way_to_a_contract_is_sealed(database: Database) -> None:
    """It is read back by who has the key, and lies open once a final block has shown it."""
    async with database.unit() as unit:
        store = EvmLedgerStore(unit.connection, LEDGER, SEALER)
        await store.keep(Projection((LOCK,), ()), BlockRef(BlockHeight(1), bytes(32)), UnixMs(1))
        await store.reveal(LOCK.key, PREIMAGE)
        await unit.commit()
    assert PREIMAGE not in await raw_bytes(database)
    async with database.unit() as unit:
        store = EvmLedgerStore(unit.connection, LEDGER, SEALER)
        (shown,) = await store.open_locks()
        assert shown.preimage == PREIMAGE
        await store.keep(Projection((shown,), ()), BlockRef(BlockHeight(2), bytes(32)), UnixMs(2))
        await unit.commit()
    assert PREIMAGE not in await raw_bytes(database)
    async with database.unit() as unit:
        store = EvmLedgerStore(unit.connection, LEDGER, SEALER)
        ended = replace(shown, state=HoldState.FULFILLED, decided_at=UnixMs(3))
        await store.keep(Projection((ended,), ()), BlockRef(BlockHeight(3), bytes(32)), UnixMs(3))
        await unit.commit()
    assert PREIMAGE in await raw_bytes(database)


async def test_signed_claims_are_sealed(database: Database) -> None:
    """Neither the call nor the signed transaction of a claim shows its preimage, and both come back as they were."""
    raw = b"\x02raw" + PREIMAGE
    claim = SignedTx(
        "key", b"\x01" * 20, 0, b"\x02" * 32, b"\x03" * 20, PREIMAGE, Wei(0), 1, Wei(1), Wei(1), raw, "claim"
    )
    journal = DatabaseJournal(database, "eip155:1", SEALER)
    await journal.record(claim)
    assert PREIMAGE not in await raw_bytes(database)
    assert await journal.pending(claim.account) == (claim,)


async def test_a_claim_on_bitcoin_is_sealed(database: Database) -> None:
    """Neither the hold nor the signed transaction shows the preimage before a final block does."""
    version = Version("claim:a", 1, HELD.key, b"raw" + PREIMAGE, Satoshi(1), BlockHeight(2), True)
    script = b"script"
    async with database.unit() as unit:
        store = BitcoinLedgerStore(unit.connection, LEDGER, script, SEALER)
        await store.put([HELD])
        await store.record(version)
        await unit.commit()
    assert PREIMAGE not in await raw_bytes(database)
    async with database.view() as view:
        store = BitcoinLedgerStore(view.connection, LEDGER, script, SEALER)
        assert await store.entry(HELD.key) == HELD
        assert await store.newest() == (version,)


async def test_what_an_earlier_release_kept_open_is_read(database: Database) -> None:
    """A row that was written without a key is as it is."""
    async with database.unit() as unit:
        await BitcoinLedgerStore(unit.connection, LEDGER, b"script").put([HELD])
        store = BitcoinLedgerStore(unit.connection, LEDGER, b"script", SEALER)
        assert await store.entry(HELD.key) == HELD


def test_what_was_moved_changed_or_sealed_by_another_does_not_open() -> None:
    """A sealed text opens in its own place alone, whole, and under its own key."""
    sealed = SEALER.seal("preimage", b"here", PREIMAGE)
    assert SEALER.open("preimage", b"here", sealed) == PREIMAGE
    assert SEALER.seal("preimage", b"here", PREIMAGE) != sealed
    for sealer, what, place, kept in (
        (SEALER, "preimage", b"there", sealed),
        (SEALER, "transaction", b"here", sealed),
        (SEALER, "preimage", b"here", sealed[:-1]),
        (SEALER, "preimage", b"here", sealed[:12]),
        (RowSealer(os.urandom(32)), "preimage", b"here", sealed),
        (OPEN, "preimage", b"here", sealed),
    ):
        with pytest.raises(RowDamaged):
            sealer.open(what, place, kept)
    with pytest.raises(BadInput):
        RowSealer(b"short")
    assert "01" * 4 not in repr(SEALER)
