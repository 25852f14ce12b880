"""Proof of reserves: what is counted, from the database and from the contracts' events, and where the two differ."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import BlockRef, OutPoint, hash_text
from adapters.bitcoin.scripts import vault_script
from adapters.evm.types import BlockRef as EvmBlock
from adapters.native.deployment import Deployment
from adapters.native.events import DepositMinted, GroupActivated, NativeEvent, PayoutReserved, PayoutSettled, Position
from adapters.native.types import Outpoint, WithdrawalRecord, WithdrawalStatus
from bridge.codec import encode
from bridge.deposits import Purpose, Spend, Stage
from bridge.intake.common import BITCOIN_CURSOR, SUPPLY
from bridge.payouts import Confirmed, Payout, PayoutStage, WithdrawalStage
from bridge.reserves import Reserves, differences, observed, recorded
from bridge.storage import CoinKind, CoinRow, PayoutRow, TransferKind, TransferRow, UnitOfWork
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, UnixMs
from tests.support.receipts import receipt
from tests.support.vault_coins import GROUP_KEY
from tests.unit.bridge.views.test_journeys import DEPOSIT, PAYOUT, WITHDRAWAL

NOW = UnixMs(0)
ASSET = receipt().terms.asset
CHAIN = b"\x0c" * 32
HERE = OutPoint(b"\x01" * 32, 0)
THERE = OutPoint(b"\x02" * 32, 1)


def reserves(
    vault: dict[OutPoint, int] | None = None,
    deposits: dict[OutPoint, int] | None = None,
    unsettled: int = 0,
    supply: int = 0,
    height: int = 5,
) -> Reserves:
    as_satoshi = [{o: Satoshi(v) for o, v in (coins or {}).items()} for coins in (vault, deposits)]
    return Reserves(*as_satoshi, Satoshi(unsettled), TokenUnits(supply), BlockHeight(height))


@given(vault=st.integers(0, 10**15), deposit=st.integers(0, 10**15), unsettled=st.integers(0, 10**15))
def test_tokens_are_covered_up_to_what_is_held_and_paid(vault: int, deposit: int, unsettled: int) -> None:
    """Supply may be as large as coins and unsettled payments together, and not one unit larger."""
    total = vault + deposit + unsettled
    exact = reserves({HERE: vault}, {THERE: deposit}, unsettled, total)
    assert exact.covered
    assert exact.surplus == 0
    over = replace(exact, supply=TokenUnits(total + 1))
    assert not over.covered
    assert "NOT COVERED" in over.line()
    assert "NOT COVERED" not in exact.line()


def test_the_line_tells_what_backs_the_supply() -> None:
    """One line has vault, unswept deposits, payments that are not burnt, supply and surplus."""
    line = reserves({HERE: 40_000_000}, {THERE: 10_000_000}, 5_000_000, 54_999_000).line()
    for part in ("0.4 BTC (1 coin)", "unswept deposits 0.1", "not burnt yet 0.05", "≥ supply 0.54999", "1,000 sat"):
        assert part in line


async def _saved(unit: UnitOfWork, kind: TransferKind, id_: bytes, state: Any) -> None:
    await unit.transfers.save(TransferRow(id_, kind, state.stage, encode(state), NOW, NOW))


async def test_a_database_is_counted(unit: UnitOfWork) -> None:
    """Vault coins in the chain, unspent coins of minted deposits and payments not burnt yet count; others do not."""
    script = vault_script(GROUP_KEY)
    kept = CoinRow(HERE.txid, HERE.vout, script, Satoshi(700), CoinKind.VAULT, BlockHeight(3), b"b" * 32)
    lost = replace(kept, vout=9, height=None, block_hash=None)
    await unit.coins.receive(kept, lost)
    minted = replace(DEPOSIT, stage=Stage.MINTED, minted=TokenUnits(1), mint_transaction=b"m")
    swept = replace(minted, deposit_id=b"2" * 32, spend=Spend(b"s" * 32, BlockHeight(9), Purpose.SWEEP))
    await _saved(unit, TransferKind.DEPOSIT, minted.deposit_id, minted)
    await _saved(unit, TransferKind.DEPOSIT, swept.deposit_id, swept)
    await _saved(unit, TransferKind.DEPOSIT, b"3" * 32, replace(DEPOSIT, deposit_id=b"3" * 32))
    paid = replace(PAYOUT, stage=PayoutStage.PAID, confirmed=Confirmed(b"p" * 32, BlockHeight(9), Satoshi(1)))
    await _saved(
        unit, TransferKind.WITHDRAWAL, WITHDRAWAL.withdrawal_id, replace(WITHDRAWAL, stage=WithdrawalStage.RESERVED)
    )
    await _payout(unit, paid)
    await unit.node_meta.put(SUPPLY, b"12345")
    await unit.cursors.put(BITCOIN_CURSOR, Tail.start(BlockRef(BlockHeight(9), b"t" * 32)).encode())
    found = await recorded(unit)
    assert found.vault == {HERE: 700}
    assert found.deposits == {OutPoint(DEPOSIT.txid, DEPOSIT.vout): DEPOSIT.amount}
    assert found.unsettled == WITHDRAWAL.amount
    assert (found.supply, found.height) == (12_345, 9)


async def _payout(unit: UnitOfWork, payout: Payout) -> None:
    await unit.payouts.save(PayoutRow(payout.payout_id, payout.stage, encode(payout), NOW, NOW))
    await unit.payouts.link(payout.payout_id, payout.withdrawals)


class Chains:
    """Both chains, as `observed` asks them: unspent coins by outpoint, and the contracts' events."""

    deployment = Deployment(b"r" * 20, b"b" * 20, b"h" * 20, b"t" * 20, 31337, BlockHeight(1), bytes(32))

    def __init__(self, vault: dict[OutPoint, int], kept: set[OutPoint], events: list[NativeEvent]) -> None:
        self._vault = vault
        self._kept = kept
        self._events = events

    async def call(self, method: str, *params: Any) -> Any:
        """`scantxoutset`: the vault's coins."""
        assert method == "scantxoutset"
        assert params == ("start", [f"raw({vault_script(GROUP_KEY).hex()})"])
        unspents = [
            {
                "txid": hash_text(o.txid),
                "vout": o.vout,
                "scriptPubKey": vault_script(GROUP_KEY).hex(),
                "amount": Decimal(value).scaleb(-8),
                "height": 4,
            }
            for o, value in self._vault.items()
        ]
        return {"success": True, "unspents": unspents, "height": 8, "bestblock": "00" * 32}

    async def batch(self, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """`gettxout`: whether coins are unspent."""
        kept = {(hash_text(o.txid), o.vout) for o in self._kept}
        return [{} if params[:2] in kept else None for _, params in calls]

    async def finalized_block(self) -> Any:
        class Block:
            number = BlockHeight(77)

        return Block

    async def events(self, first: int, last: int) -> list[NativeEvent]:
        assert (first, last) == (1, 77)
        return self._events

    async def supply(self, asset: bytes, at: int) -> int:
        assert at == 77
        return 500

    async def withdrawals(self, ids: list[bytes], at: int) -> list[WithdrawalRecord]:
        fee, amount = TokenUnits(1), TokenUnits(300)
        return [WithdrawalRecord(i, ASSET, b"", amount, fee, b"", WithdrawalStatus.RESERVED, None) for i in ids]


AT = Position(EvmBlock(BlockHeight(2), b"b" * 32), 0, b"t" * 32)


def _reserved(id_: bytes, anchor: OutPoint, version: int = 1, *, asset: bytes = ASSET) -> PayoutReserved:
    inputs = (Outpoint(anchor.txid, anchor.vout),)
    return PayoutReserved(AT, id_, b"g" * 32, asset, version, (id_,), inputs)


def _minted(outpoint: OutPoint, asset: bytes = ASSET) -> DepositMinted:
    units = TokenUnits(400)
    return DepositMinted(AT, b"d" * 32, asset, b"", units, units, outpoint.txid, outpoint.vout, b"g" * 32)


async def test_the_chains_are_counted_without_any_node_of_ours() -> None:
    """Minted deposits that are unspent count, and live payouts whose anchor is spent; settled ones do not."""
    spent = OutPoint(b"\x05" * 32, 0)
    events: list[NativeEvent] = [
        GroupActivated(AT, b"g" * 32, CHAIN, 0, GROUP_KEY),
        GroupActivated(AT, b"o" * 32, b"other chain" + bytes(21), 0, b"k" * 32),
        _minted(THERE),
        _minted(spent),
        _minted(HERE, asset=b"other asset" + bytes(21)),
        _reserved(b"1" * 32, spent),
        _reserved(b"2" * 32, spent),
        _reserved(b"3" * 32, HERE),
        PayoutSettled(AT, b"1" * 32, b"p" * 32, TokenUnits(1), TokenUnits(300)),
    ]
    chains: Any = Chains({HERE: 1_000}, {HERE, THERE}, events)
    found = await observed(chains, chains, CHAIN, ASSET)
    assert found.vault == {HERE: 1_000}
    assert found.deposits == {THERE: 400}
    assert found.unsettled == 300
    assert (found.supply, found.height, found.block) == (500, 8, 77)


def test_each_difference_is_named() -> None:
    """Coins that one of the two does not know, other values, another supply: each gets a line of its own."""
    book = reserves({HERE: 5, THERE: 7}, {}, 0, 10)
    chains = reserves({HERE: 6}, {THERE: 7}, 1, 11)
    lines = differences(book, chains)
    assert len(lines) == 5
    for part in (f"vault coin {HERE}", f"vault coin {THERE}", f"deposit coin {THERE}", "supply", "not burnt"):
        assert any(part in line for line in lines), part
    assert differences(book, replace(book, height=BlockHeight(99))) == ()


@pytest.mark.parametrize("height", [5, 6])
def test_a_difference_at_another_height_asks_to_look_again(height: int) -> None:
    """A database that is a block behind is no proof of anything."""
    lines = differences(reserves(supply=1), reserves(supply=2, height=height))
    assert any("look again" in line for line in lines) is (height != 5)
