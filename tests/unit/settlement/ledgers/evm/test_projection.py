"""What final events make of locks, and how they are shown and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.evm.escrow.events import Claimed, EscrowEvent, Locked, Memo, Returned
from adapters.evm.escrow.types import Terms
from adapters.evm.journal import SignedTx, TxStatus
from adapters.evm.lockbox.types import Position
from adapters.evm.types import BlockRef
from foundation.database.database import Database
from foundation.database.schema import Schema
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs, Wei
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.evm.projection import News, Projection, keys_of, project
from settlement.ledgers.evm.store import EvmLedgerStore
from settlement.ledgers.evm.tables import METADATA
from settlement.ledgers.evm.types import EvmLedgerConfig, Lock, account_text, parse_account
from settlement.ledgers.protocol import HoldState, LedgerId
from settlement.quantities import MAX_UNITS, Asset, Scale

OWN, OTHER, TOKEN = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 20
LEDGER = LedgerId("euro")
TERMS = Terms(b"\x01" * 32, OTHER, OWN, OTHER, TOKEN, 12_345, b"\x06" * 32, 1_800_000_000)
KEY = (OTHER, TERMS.id)
CHAIN = Chain.named(evm_chain(5), b"\x01" * 32, 0)


def at(number: int, index: int = 0) -> Position:
    """A place."""
    return Position(BlockRef(BlockHeight(number), number.to_bytes(32, "big")), b"\x88" * 32, index)


def time_of(place: Position) -> UnixMs:
    """A block a second."""
    return UnixMs(place.block.number * 1_000)


def projected(*events: EscrowEvent, known: tuple[Lock, ...] = ()) -> Projection:
    """What events make of these locks, for OWN."""
    return project(
        {lock.key: lock for lock in known}, events, time_of, lambda terms: OWN in (terms.payer, terms.beneficiary)
    )


HELD = Lock(TERMS, b"memo", HoldState.HELD, None, UnixMs(5_000), None)
ENDED = replace(HELD, decided_at=UnixMs(6_000))
CLAIMED = Claimed(at(6), TERMS.id, OTHER, OWN, b"\x09" * 32)


# --- Projection -------------------------------------------------------------------------------------------------------


def test_lock_and_its_memo_become_a_hold() -> None:
    """A lock and the memo beside it are one hold, and one piece of news at the lock's place."""
    made = projected(Locked(at(5, 2), TERMS), Memo(at(5, 3), TERMS.id, OTHER, b"memo"))
    assert made == Projection((HELD,), (News(BlockHeight(5), 2, KEY, HoldState.HELD),))


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (CLAIMED, replace(ENDED, state=HoldState.FULFILLED, preimage=b"\x09" * 32)),
        (
            Returned(at(6), TERMS.id, OTHER, OWN, True),
            replace(HELD, state=HoldState.CANCELLED, decided_at=UnixMs(6_000)),
        ),
        (
            Returned(at(6), TERMS.id, OTHER, OWN, False),
            replace(HELD, state=HoldState.EXPIRED, decided_at=UnixMs(6_000)),
        ),
    ],
)
def test_ends_are_told_apart(event: EscrowEvent, end: Lock) -> None:
    """A claim, a return by the payee's word and one by the time-out are three ends, each with its time."""
    assert projected(event, known=(HELD,)) == Projection((end,), (News(BlockHeight(6), 0, KEY, end.state),))


def test_lock_that_ends_in_the_same_batch_is_told_of_twice() -> None:
    """Both pieces of news are there, and the lock as it is in the end."""
    made = projected(Locked(at(5), TERMS), CLAIMED)
    assert [one.state for one in made.news] == [HoldState.HELD, HoldState.FULFILLED]
    assert [lock.state for lock in made.locks] == [HoldState.FULFILLED]


def test_strangers_locks_are_passed_over() -> None:
    """Locks that are not ours, their memos and their ends change nothing."""
    foreign = replace(TERMS, beneficiary=OTHER)
    events = [Locked(at(5), foreign), Memo(at(5, 1), TERMS.id, OTHER, b"x"), CLAIMED]
    assert projected(*events) == Projection((), ())
    assert keys_of(events) == {KEY}


# --- Showing ----------------------------------------------------------------------------------------------------------


def test_view_counts_in_the_ledgers_units_and_milliseconds() -> None:
    """Amounts are rounded down to base units, capped at what a packet carries, and seconds become milliseconds."""
    view = HELD.view(100)
    assert (view.hold.amount, view.hold.expires_at) == (123, 1_800_000_000_000)
    assert (view.hold.payer, view.hold.payee, view.hold.memo) == (account_text(OTHER), account_text(OWN), b"memo")
    assert replace(HELD, terms=replace(TERMS, amount=2**200)).view(1).hold.amount == MAX_UNITS


def test_preimage_is_shown_only_once_it_has_paid() -> None:
    """A lock that we have begun to claim shows no preimage, and neither does the news of its beginning."""
    begun = replace(HELD, preimage=b"\x09" * 32)
    assert begun.view(1).preimage is None
    paid = replace(begun, state=HoldState.FULFILLED, decided_at=UnixMs(9_000))
    assert (paid.view(1).preimage, paid.view(1).decided_at) == (b"\x09" * 32, 9_000)
    assert (paid.view(1, HoldState.HELD).preimage, paid.view(1, HoldState.HELD).decided_at) == (None, None)


@pytest.mark.parametrize(
    "text",
    ["", "0x", "0x" + "0" * 40, "0x" + "g" * 40, "0X" + "1" * 40, account_text(OWN).swapcase().replace("X", "x")],
)
def test_what_is_no_account_is_refused(text: str) -> None:
    """An account is an address with the right checksum."""
    with pytest.raises(BadInput):
        parse_account(text)


def test_accounts_are_read_as_they_are_written() -> None:
    """With the checksum, and in one case without it."""
    assert [parse_account(text) for text in (account_text(OWN), "0x" + OWN.hex(), "0x" + OWN.hex().upper())] == [
        OWN
    ] * 3


def test_time_to_plan_with_covers_finality_and_the_claim() -> None:
    """A hold has to live until it is final, and so long after it that a claim is final as well."""
    config = EvmLedgerConfig(
        LEDGER, Asset("EUR", Scale(2)), CHAIN, b"\x0e" * 20, BlockHeight(1), TOKEN, 6, settle_ms=1_000, skew_ms=200
    )
    assert (config.factor, config.reveal_ms) == (10_000, 1_200)
    assert (config.facts.settle_ms, config.facts.hold_ms_min) == (1_000, 2_200)
    with pytest.raises(BadInput):
        replace(config, decimals=1)


# --- Keeping ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database."""
    async with await Database.open(database_url, Schema((METADATA,))) as opened:
        yield opened


async def keep(database: Database, projection: Projection, number: int) -> None:
    """Store a batch."""
    async with database.unit() as unit:
        cursor = BlockRef(BlockHeight(number), b"\x01" * 32)
        await EvmLedgerStore(unit.connection, LEDGER).keep(projection, cursor, UnixMs(number * 1_000))
        await unit.commit()


async def test_batches_are_kept_with_their_cursor(database: Database) -> None:
    """Locks, news and cursor come back as they were stored; a batch that is stored again changes nothing."""
    first = projected(Locked(at(5, 2), TERMS), Memo(at(5, 3), TERMS.id, OTHER, b"memo"))
    second = projected(CLAIMED, known=first.locks)
    for batch, number in ((first, 5), (first, 5), (second, 6)):
        await keep(database, batch, number)
    async with database.view() as view:
        store = EvmLedgerStore(view.connection, LEDGER)
        assert await store.cursor() == (BlockRef(BlockHeight(6), b"\x01" * 32), 6_000)
        assert await store.locks([KEY]) == {KEY: second.locks[0]}
        assert await store.locks_named([TERMS.id, b"\x02" * 32]) == second.locks
        assert await store.open_locks() == ()
        news = await store.news_after((-1, -1), 10)
        assert [(place, state) for place, _, state in news] == [((5, 2), HoldState.HELD), ((6, 0), HoldState.FULFILLED)]
        assert [place for place, _, _ in await store.news_after((5, 2), 10)] == [(6, 0)]
        assert await EvmLedgerStore(view.connection, LedgerId("other")).cursor() is None


async def test_begun_claim_is_remembered_until_it_ends(database: Database) -> None:
    """A preimage that is noted stays with the open lock, and is never noted for one that has ended."""
    await keep(database, projected(Locked(at(5), TERMS)), 5)
    async with database.unit() as unit:
        store = EvmLedgerStore(unit.connection, LEDGER)
        await store.reveal(KEY, b"\x09" * 32)
        (lock,) = await store.open_locks()
        assert lock.preimage == b"\x09" * 32
        await unit.commit()
    returned = projected(Returned(at(6), TERMS.id, OTHER, OWN, False), known=(lock,))
    await keep(database, returned, 6)
    async with database.unit() as unit:
        store = EvmLedgerStore(unit.connection, LEDGER)
        await store.reveal(KEY, b"\x07" * 32)
        assert (await store.locks([KEY]))[KEY].preimage == b"\x09" * 32


async def test_journal_keeps_versions_in_the_order_of_signing(database: Database) -> None:
    """Versions of a nonce rise by fee as numbers do, and are settled together; accounts and chains do not meet."""
    journal = DatabaseJournal(database, "eip155:5")
    dear = SignedTx("k", OWN, 3, b"\x02" * 32, TOKEN, b"d", Wei(2**100), 21_000, Wei(10**19), Wei(2), b"raw", "label")
    cheap = replace(dear, hash=b"\x01" * 32, max_fee=Wei(9 * 10**18))
    for version in (dear, cheap, dear):
        await journal.record(version)
    assert await journal.by_key(OWN, "k") == (cheap, dear)
    assert await journal.pending(OWN) == await journal.by_nonce(OWN, 3) == (cheap, dear)
    assert (await journal.next_nonce(OWN), await journal.next_nonce(OTHER)) == (4, 0)
    assert await DatabaseJournal(database, "eip155:6").pending(OWN) == ()
    await journal.finish(OWN, 3, dear.hash, TxStatus.MINED)
    assert [one.status for one in await journal.by_nonce(OWN, 3)] == [TxStatus.REPLACED, TxStatus.MINED]
    await journal.finish(OWN, 3, None, TxStatus.LOST)
    assert {one.status for one in await journal.by_nonce(OWN, 3)} == {TxStatus.LOST}
