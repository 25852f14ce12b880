"""No rival of a transaction that is being signed, and no version that pays about the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.transactions import UnsignedTx
from bridge.policy import check_raised
from bridge.refusals import FeeNotRaised, NotYet
from bridge.storage import BitcoinTransactionRow, Database, TransactionPurpose
from bridge.sweep_claims import SweepClaims
from foundation.quantities import BlockHeight, Satoshi, UnixMs

SCRIPT = b"\x51\x20" + bytes([7]) * 32
NOW = UnixMs(1_000_000)


def sweep(*names: int, fee: int = 500) -> UnsignedTx:
    coins = tuple(Coin(OutPoint(bytes([n]) * 32, 0), Satoshi(100_000), SCRIPT, BlockHeight(9)) for n in names)
    return UnsignedTx(coins, (TxOut(Satoshi(100_000 * len(coins) - fee), SCRIPT),))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(f"sqlite:///{tmp_path / 'node.db'}") as opened:
        yield opened


async def test_a_sweep_that_shares_some_coins_with_one_being_signed_waits(database: Database) -> None:
    """Two coordinators in turn cannot get two sweeps signed that share a coin, until the first is given up."""
    claims = SweepClaims()
    async with database.view() as view:
        await claims.claim(view, sweep(1, 2), NOW)
        for rival in (sweep(2, 3), sweep(1), sweep(1, 2, 3)):
            with pytest.raises(NotYet):
                await claims.claim(view, rival, UnixMs(NOW + 19_999))
        await claims.claim(view, sweep(3, 4), NOW)
        await claims.claim(view, sweep(1, 2, 5), UnixMs(NOW + 20_000))


async def test_a_sweep_beside_one_that_waits_for_its_block_waits(database: Database) -> None:
    """A signed sweep that is in no block bars every other one of its coins, also after a restart."""
    signed = sweep(1, 2)
    row = BitcoinTransactionRow(signed.txid(), TransactionPurpose.SWEEP, bytes(32), b"raw", signed.fee, signed.vsize)
    async with database.unit() as uow:
        await uow.bitcoin_transactions.add(row, [(c.outpoint.txid, c.outpoint.vout) for c in signed.inputs])
        await uow.commit()
    async with database.view() as view:
        with pytest.raises(NotYet):
            await SweepClaims().claim(view, sweep(2), NOW)
        await SweepClaims().claim(view, signed, NOW)


async def test_a_version_pays_the_same_or_enough_more(database: Database) -> None:
    """A version that pays slightly more than one signed lately would only hide it: nodes do not replace for that."""
    claims = SweepClaims()
    size = sweep(1).vsize
    async with database.view() as view:
        await claims.claim(view, sweep(1, fee=500), NOW)
        await claims.claim(view, sweep(1, fee=500), NOW)
        for fee in (499, 501, 499 + size):
            with pytest.raises(NotYet):
                await claims.claim(view, sweep(1, fee=fee), NOW)
        await claims.claim(view, sweep(1, fee=500 + size), NOW)


def test_a_replacement_pays_for_its_own_relay() -> None:
    """The least raise is one satoshi for each virtual byte; the same fee again is the same transaction."""
    check_raised(Satoshi(300), None, 154)
    check_raised(Satoshi(300), Satoshi(300), 154)
    check_raised(Satoshi(454), Satoshi(300), 154)
    for fee in (299, 301, 453):
        with pytest.raises(FeeNotRaised):
            check_raised(Satoshi(fee), Satoshi(300), 154)
