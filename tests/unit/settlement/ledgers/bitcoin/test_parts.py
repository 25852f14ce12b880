"""What final blocks make of bitcoin holds, how they are told of, and how they are kept."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from coincurve import PublicKeyXOnly

from adapters.bitcoin.addresses import REGTEST, SIGNET
from adapters.bitcoin.blocks import BlockMatches, Received, Spent
from adapters.bitcoin.follower import Connected, Tail
from adapters.bitcoin.htlc import htlc_spend
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.database.database import Database
from foundation.database.schema import Schema
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, UnixMs
from settlement.ledgers.bitcoin.notices import decode_notice, encode_notice
from settlement.ledgers.bitcoin.projection import News, Projection, project
from settlement.ledgers.bitcoin.store import BitcoinLedgerStore, Version
from settlement.ledgers.bitcoin.tables import METADATA
from settlement.ledgers.bitcoin.types import (
    BitcoinLedgerConfig,
    Entry,
    Terms,
    account_text,
    parse_account,
    terms_of,
)
from settlement.ledgers.protocol import HoldState, LedgerId
from settlement.quantities import Asset, Scale

PREIMAGE = hashlib.sha256(b"preimage").digest()
PAYEE, PAYER = (hashlib.sha256(name).digest() for name in (b"payee", b"payer"))
LEDGER = LedgerId("bitcoin")


def key_of(secret: bytes) -> bytes:
    """The x-only public key."""
    return bytes(PublicKeyXOnly.from_secret(secret).format())


TERMS = Terms(
    b"\x01" * 32,
    key_of(PAYER),
    key_of(PAYEE),
    Satoshi(100_000),
    hashlib.sha256(PREIMAGE).digest(),
    1_800_000_000,
    b"memo",
)
HTLC = TERMS.htlc(REGTEST)
WANTED = Entry(TERMS, BlockHeight(10))
POINT, STRAY = OutPoint(b"\x0a" * 32, 0), OutPoint(b"\x0b" * 32, 1)
HELD = replace(WANTED, state=HoldState.HELD, coin=POINT, held_at=UnixMs(11_000))
OWN = vault_script(TERMS.payee)


def block(*matches: Received | Spent, height: int = 11) -> Connected:
    """A block a second."""
    received = tuple(one for one in matches if isinstance(one, Received))
    spent = tuple(one for one in matches if isinstance(one, Spent))
    return Connected(BlockRef(BlockHeight(height), b"\x01" * 32), b"", height, BlockMatches(received, spent))


def paid(amount: int = 100_000, point: OutPoint = POINT) -> Received:
    """An output to the hold's script."""
    return Received(point, Satoshi(amount), HTLC.script)


def spend(preimage: bytes | None) -> Spent:
    """A claim or a refund of the hold's output."""
    coin = Coin(POINT, Satoshi(100_000), HTLC.script)
    signed = htlc_spend(HTLC, coin, OWN, SatPerKvB(1_000), preimage=preimage)
    parsed = parse_transaction(signed.signed_by(PAYER if preimage is None else PAYEE))
    return Spent(POINT, parsed.txid, 0, parsed.witnesses[0], parsed.outputs)


def projected(connected: Connected, *entries: Entry) -> Projection:
    """What a block makes of holds."""
    return project({entry.key: entry for entry in entries}, OWN, REGTEST, connected)


# --- Terms ------------------------------------------------------------------------------------------------------------


def test_output_commits_to_all_terms() -> None:
    """Whatever differs, memo, id and network included, the output is another."""
    others = [
        replace(TERMS, transfer_id=b"\x02" * 32),
        replace(TERMS, payer=key_of(b"\x05" * 32)),
        replace(TERMS, payee=key_of(b"\x06" * 32)),
        replace(TERMS, amount=Satoshi(100_001)),
        replace(TERMS, condition=bytes(32)),
        replace(TERMS, expires_at=1_800_000_001),
        replace(TERMS, memo=b""),
    ]
    scripts = {HTLC.script, TERMS.htlc(SIGNET).script, *(other.htlc(REGTEST).script for other in others)}
    assert len(scripts) == 9


@pytest.mark.parametrize(
    "text", ["", "0" * 64, "A" * 64, key_of(PAYER).hex().upper(), key_of(PAYER).hex() + " ", "zz" * 32]
)
def test_what_is_no_account_is_refused(text: str) -> None:
    """An account is an x-only key in lower-case hex."""
    with pytest.raises(BadInput):
        parse_account(text)
    assert parse_account(account_text(TERMS.payer)) == TERMS.payer


def test_hold_becomes_terms_and_back() -> None:
    """Milliseconds are rounded down to seconds, and a hold that fees would eat up is refused."""
    view = HELD.view()
    assert view is not None
    assert terms_of(replace(view.hold, expires_at=UnixMs(view.hold.expires_at + 999)), 1_000) == TERMS
    with pytest.raises(BadInput):
        terms_of(view.hold, 100_001)
    assert WANTED.view() is None


def test_time_to_plan_with_covers_finality_and_the_claim() -> None:
    """A hold has to live until it is final, and so long after it that a claim is final as well."""
    config = BitcoinLedgerConfig(LEDGER, Asset("BTC", Scale(8)), REGTEST, BlockHeight(1), settle_ms=1_000, skew_ms=200)
    assert (config.facts.settle_ms, config.facts.hold_ms_min) == (1_000, 2_200)
    with pytest.raises(BadInput):
        replace(config, asset=Asset("BTC", Scale(7)))
    with pytest.raises(BadInput):
        replace(config, confirmations=0)


# --- Notices ----------------------------------------------------------------------------------------------------------


def test_notice_is_read_as_it_was_written() -> None:
    """A notice carries all terms, and the height after which to look."""
    assert decode_notice(encode_notice(TERMS, BlockHeight(10))) == (TERMS, 10)


@pytest.mark.parametrize("part", range(40))
def test_damaged_notice_is_refused_or_another(part: int) -> None:
    """A notice that was cut short is refused, and of a damaged one comes a refusal or another hold."""
    notice = encode_notice(TERMS, BlockHeight(10))
    position = part * len(notice) // 40
    with pytest.raises(BadInput):
        decode_notice(notice[:position])
    damaged = bytearray(notice)
    damaged[position] ^= 0xFF
    with contextlib.suppress(BadInput):
        assert decode_notice(bytes(damaged)) != (TERMS, 10)
    with pytest.raises(BadInput):
        decode_notice(notice + bytes(40_000))


# --- Projection -------------------------------------------------------------------------------------------------------


def test_exact_output_is_a_hold() -> None:
    """An output of the hold's script and amount makes it held; of another amount it makes nothing."""
    assert projected(block(paid()), WANTED) == Projection((HELD,), (News(HELD.key, HoldState.HELD),), (), ())
    assert projected(block(paid(99_999), paid(100_001, STRAY)), WANTED) == Projection((), (), (), ())


def test_second_output_is_nobodys() -> None:
    """Only the first output of a script is the hold, in its own block and in later ones."""
    assert projected(block(paid(), paid(point=STRAY)), WANTED).entries == (HELD,)
    assert projected(block(paid(point=STRAY), height=12), HELD) == Projection((), (), (), ())


@pytest.mark.parametrize(("preimage", "state"), [(PREIMAGE, HoldState.FULFILLED), (None, HoldState.EXPIRED)])
def test_ends_are_told_apart_by_the_witness(preimage: bytes | None, state: HoldState) -> None:
    """A claim's witness tells the preimage; any other spend is a return."""
    (end,) = projected(block(spend(preimage), height=12), HELD).entries
    assert (end.state, end.preimage, end.decided_at) == (state, preimage, 12_000)
    both = projected(block(paid(), spend(preimage)), WANTED)
    assert [one.state for one in both.news] == [HoldState.HELD, state]


def test_own_coins_come_and_go() -> None:
    """Payments to the account are coins, a miner's reward is none, and what is spent goes."""
    coins = (Received(POINT, Satoshi(5), OWN), Received(STRAY, Satoshi(50), OWN, is_coinbase=True))
    gone = Spent(STRAY, b"\x09" * 32, 0, (), ())
    made = projected(block(*coins, gone))
    assert made.received == (Coin(POINT, Satoshi(5), OWN, BlockHeight(11)),)
    assert made.spent == (STRAY,)


# --- Keeping ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database."""
    async with await Database.open(database_url, Schema((METADATA,))) as opened:
        yield opened


async def test_holds_news_and_tail_are_kept(database: Database) -> None:
    """What blocks said comes back as it was stored, news in order and once, however often a block is stored."""
    first, second = projected(block(paid()), WANTED), projected(block(spend(PREIMAGE), height=12), HELD)
    tail = Tail.start(BlockRef(BlockHeight(12), b"\x01" * 32))
    async with database.unit() as unit:
        store = BitcoinLedgerStore(unit.connection, LEDGER, OWN)
        await store.put([WANTED])
        assert await store.open_entries() == (WANTED,)
        for one in (first, first, second):
            await store.keep(one)
        await store.move(tail)
        await unit.commit()
    async with database.view() as view:
        store = BitcoinLedgerStore(view.connection, LEDGER, OWN)
        assert await store.tail() == tail
        assert await store.named([TERMS.transfer_id]) == second.entries
        assert await store.entry(TERMS.key) == second.entries[0]
        assert await store.open_entries() == ()
        news = await store.news_after(0, 10)
        assert [state for _, _, state in news] == [HoldState.HELD, HoldState.FULFILLED]
        assert [state for _, _, state in await store.news_after(news[0][0], 10)] == [HoldState.FULFILLED]
        assert await BitcoinLedgerStore(view.connection, LedgerId("other"), OWN).news_after(0, 10) == []


async def test_promised_coins_are_not_free_until_they_are_forgotten(database: Database) -> None:
    """Coins of a payment that was never broadcast become free with it; of one that was, never."""
    coin = Coin(POINT, Satoshi(5), OWN, BlockHeight(11))
    name = f"fund:x:{TERMS.transfer_id.hex()}"
    async with database.unit() as unit:
        store = BitcoinLedgerStore(unit.connection, LEDGER, OWN)
        await store.keep(Projection((WANTED,), (), (coin,), ()))
        for is_open in (False, True):
            await store.put([WANTED])
            await store.promise([POINT], "fund:x")
            await store.record(Version(name, 1, TERMS.key, b"raw", Satoshi(1), BlockHeight(11), False))
            assert (await store.coins(is_free=True), await store.coins(is_free=False)) == ((), (coin,))
            assert await store.newest() == ()
            if is_open:
                await store.release(name)
                assert [one.raw for one in await store.newest()] == [b"raw"]
            assert await store.forget("fund:x") is not is_open
            assert (await store.coins(is_free=True) == (coin,)) is not is_open
        assert await store.keys_of("fund:", TERMS.key) == (name,)


async def test_decided_hold_needs_no_broadcast(database: Database) -> None:
    """Once a hold's beginning is final its payment is closed, and once its end is, all that spends it."""
    async with database.unit() as unit:
        store = BitcoinLedgerStore(unit.connection, LEDGER, OWN)
        for key, number in (("fund:x:1", 1), ("claim:a:b", 1), ("claim:a:b", 2)):
            await store.record(Version(key, number, TERMS.key, b"raw", Satoshi(1), BlockHeight(11), True))
        assert sorted((one.key, one.number) for one in await store.newest()) == [("claim:a:b", 2), ("fund:x:1", 1)]
        await store.keep(projected(block(paid()), WANTED))
        assert [(one.key, one.number) for one in await store.newest()] == [("claim:a:b", 2)]
        await store.keep(projected(block(spend(None), height=12), HELD))
        assert await store.newest() == ()
