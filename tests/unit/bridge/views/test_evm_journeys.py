"""`transfers show` of transfers from and to EVM chains: what they wait for, whose move it is, and in which units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.lockbox.types import return_number
from bridge.codec import encode_state
from bridge.deposits import Deposit, Lock, Purpose, Spend, Stage
from bridge.journey_parts import Journey, Mover, Surroundings
from bridge.journeys import find, journey
from bridge.messages import RELEASE
from bridge.payouts import Confirmed, Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.settings import PolicySection
from bridge.storage import (
    PayoutRow,
    ReleaseOutcome,
    ReleaseRow,
    TransferKind,
    TransferRow,
    UnitOfWork,
    VaultSignatureRow,
)
from foundation.quantities import BlockHeight, TokenUnits, UnixMs
from registry.assets import Asset, AssetPolicy
from registry.caip import ChainId, evm_coin
from registry.ids import deposit_id, lock_id

NOW = UnixMs(1_000_000_000)
CHAIN = ChainId("eip155", "5001")
ETHER = 10**18
COIN = Asset.named(evm_coin(CHAIN), "Ether", "ETH", 18, AssetPolicy(TokenUnits(10), TokenUnits(0), TokenUnits(10)))
LOCK = Lock(7, b"\x03" * 20, bytes(20), b"\x05" * 32, str(CHAIN))
LOCK_ID = lock_id(5001, b"\x10" * 20, 7)
DEPOSIT = Deposit(
    deposit_id=deposit_id(COIN.id, LOCK_ID, 0),
    asset=COIN.id,
    group=b"\x09" * 32,
    txid=LOCK_ID,
    vout=0,
    amount=TokenUnits(10 * ETHER),
    recipient=b"\x04" * 20,
    script=b"\x10" * 20,
    delay=0,
    height=BlockHeight(9),
    lock=LOCK,
)
WITHDRAWAL = Withdrawal(
    withdrawal_id=b"\xab" * 32,
    asset=COIN.id,
    owner=b"\x0a" * 20,
    amount=TokenUnits(2 * ETHER),
    max_fee=TokenUnits(ETHER // 100),
    destination=b"\x0f" * 20,
    request_transaction=b"\x0b" * 32,
    requested_at=BlockHeight(7),
    number=12,
)
PAYOUT = Payout(b"\x0c" * 32, b"\x09" * 32, COIN.id, (WITHDRAWAL.withdrawal_id,), (), 1)
RESERVED: dict[str, Any] = {"stage": WithdrawalStage.RESERVED, "payout": PAYOUT.payout_id}


async def told(unit: UnitOfWork, state: Deposit | Withdrawal, *, known: bool = True) -> Journey:
    """The journey of this state alone."""
    kind, id_ = (
        (TransferKind.DEPOSIT, state.deposit_id)
        if isinstance(state, Deposit)
        else (TransferKind.WITHDRAWAL, state.withdrawal_id)
    )
    await unit.transfers.save(TransferRow(id_, kind, state.stage, encode_state(state), NOW, NOW, chain=CHAIN.id))
    other = replace(COIN, id=b"\x01" * 32)
    assets = {COIN.id: COIN} if known else {other.id: other}
    found = await journey(unit, id_, Surroundings(PolicySection(), 31_337, b"\x02" * 20, {}, None, NOW, assets))
    assert found is not None
    return found


async def reserved(unit: UnitOfWork, **changes: Any) -> None:
    """A payout of the withdrawal."""
    payout = replace(PAYOUT, **changes)
    row = PayoutRow(payout.payout_id, payout.stage, encode_state(payout), NOW, NOW, chain=CHAIN.id)
    await unit.payouts.save(row)
    await unit.payouts.link(payout.payout_id, payout.withdrawals)


def done(number: int, outcome: ReleaseOutcome, later: bytes = b"\x0d" * 32) -> ReleaseRow:
    """What the vault did with a number."""
    amount, fee = 199 * ETHER // 100, ETHER // 100
    first = b"\x0d" * 32
    at = BlockHeight(20)
    return ReleaseRow(CHAIN.id, number, outcome, bytes(20), b"\x0f" * 20, amount, fee, first, at, 0, later, at)


def signature(subject: bytes, kind: str = RELEASE) -> VaultSignatureRow:
    """What the group signed."""
    word = b"\x01" * 32
    return VaultSignatureRow(subject, CHAIN.id, 0, kind, subject, b"", word, word, word, NOW)


@pytest.mark.parametrize(
    ("changes", "mover", "words"),
    [
        ({"stage": Stage.CONFIRMING}, Mover.NOBODY, "this node"),
        ({"stage": Stage.FINAL}, Mover.VOUCHERS, "two thirds"),
        ({"stage": Stage.REFUSED}, Mover.STOREMEN, "bar the mint"),
        ({"stage": Stage.HELD, "mint_transaction": b"m" * 32}, Mover.NOBODY, "minted"),
        ({"stage": Stage.RETURNING, "return_transaction": b"r" * 32}, Mover.STOREMEN, "sign the return"),
        ({"stage": Stage.RETURNED, "return_transaction": b"r" * 32}, Mover.NOBODY, "went back"),
        ({"stage": Stage.MISSING, "height": None}, Mover.NOBODY, "find the lock"),
    ],
)
async def test_a_lock_waits_for_somebody(unit: UnitOfWork, changes: dict[str, Any], mover: Mover, words: str) -> None:
    """Each stage names whose move it is; nothing speaks of bitcoin, confirmations or a reclaim."""
    found = await told(unit, replace(DEPOSIT, **changes))
    assert found.waiting.mover is mover
    assert words in found.waiting.what
    assert (found.depth, found.reclaim, found.fee) == (None, None, None)
    assert (found.unit.show(found.amount), found.unit.chain) == ("10 ETH", "eip155:5001")
    assert not found.is_bitcoin
    assert ("lock", "eip155:5001", LOCK.transaction) in {(t.role, t.chain, t.txid) for t in found.transactions}


async def test_a_new_asset_is_introduced_first(unit: UnitOfWork) -> None:
    """While the Registry does not know the asset its amount is told in base units, and the vouchers move."""
    found = await told(unit, DEPOSIT, known=False)
    assert found.waiting.mover is Mover.VOUCHERS
    assert "introduce" in found.waiting.what
    assert found.unit.show(found.amount).endswith(" units")


async def test_a_return_is_carried_and_may_have_to_be_claimed(unit: UnitOfWork) -> None:
    """Signed, anyone carries it; where the sender refused the coin, the sender claims it."""
    going = replace(DEPOSIT, stage=Stage.RETURNING, return_transaction=b"r" * 32)
    await unit.vault_signatures.add(signature(DEPOSIT.deposit_id))
    assert (await told(unit, going)).waiting.mover is Mover.CARRIER
    await unit.releases.put(done(return_number(7), ReleaseOutcome.FAILED))
    spend = Spend(b"\x0d" * 32, BlockHeight(20), Purpose.RETURN)
    await unit.transfers.save()
    row = await unit.transfers.get(DEPOSIT.deposit_id)
    assert row is not None
    gone = replace(going, stage=Stage.RETURNED, spend=spend)
    await unit.transfers.save(replace(row, stage=gone.stage, state=encode_state(gone)))
    around = Surroundings(PolicySection(), 31_337, b"\x02" * 20, {}, None, NOW, {COIN.id: COIN})
    found = await journey(unit, DEPOSIT.deposit_id, around)
    assert found is not None
    assert found.waiting.mover is Mover.PAYEE
    assert f"relay claim {return_number(7)}" in found.waiting.what


async def test_a_request_waits_for_the_storemen(unit: UnitOfWork) -> None:
    """Its carrier's fee is told in the asset; nothing of a bitcoin fee rate."""
    found = await told(unit, WITHDRAWAL)
    assert found.waiting.mover is Mover.STOREMEN
    assert found.fee is not None
    assert (found.fee.text, found.fee.cure, found.fee.rate) == ("its carrier gets 0.01 ETH", "", None)


async def test_a_release_is_signed_then_carried_then_attested(unit: UnitOfWork) -> None:
    """Storemen, then anyone, then the vouchers; what arrives is the amount less the carrier's fee."""
    await reserved(unit)
    withdrawal = replace(WITHDRAWAL, **RESERVED)
    found = await told(unit, withdrawal)
    assert (found.waiting.mover, found.stage) == (Mover.STOREMEN, "reserved")
    assert found.unit.show(found.arrives) == "1.99 ETH"
    await unit.vault_signatures.add(signature(PAYOUT.payout_id))
    row = await unit.transfers.get(WITHDRAWAL.withdrawal_id)
    assert row is not None
    around = Surroundings(PolicySection(), 31_337, b"\x02" * 20, {}, None, NOW, {COIN.id: COIN})

    async def again() -> Journey:
        found = await journey(unit, WITHDRAWAL.withdrawal_id, around)
        assert found is not None
        return found

    carried = (await again()).waiting
    assert carried.mover is Mover.CARRIER
    assert f"causeway relay {WITHDRAWAL.withdrawal_id.hex()[:12]} --chain eip155:5001" in carried.what
    await unit.releases.put(done(12, ReleaseOutcome.PAID))
    assert "other payments" in (await again()).waiting.what
    (stored,) = await unit.payouts.of_withdrawal(WITHDRAWAL.withdrawal_id)
    paid = replace(PAYOUT, stage=PayoutStage.PAID, confirmed=Confirmed(b"\x0d" * 32, BlockHeight(20), TokenUnits(1)))
    await unit.payouts.save(replace(stored, stage=paid.stage, state=encode_state(paid)))
    last = await again()
    assert (last.waiting.mover, last.stage) == (Mover.VOUCHERS, "paid")
    assert ("release", "eip155:5001") in {(ref.role, ref.chain) for ref in last.transactions}
    assert last.fee is not None
    assert last.fee.text == "its carrier got 0.01 ETH"


@pytest.mark.parametrize(
    ("stage", "outcome", "mover", "words"),
    [
        (WithdrawalStage.SETTLED, ReleaseOutcome.PAID, Mover.NOBODY, "paid"),
        (WithdrawalStage.SETTLED, ReleaseOutcome.FAILED, Mover.PAYEE, "causeway relay claim 12 --chain eip155:5001"),
        (WithdrawalStage.SETTLED, ReleaseOutcome.CANCELLED, Mover.VOUCHERS, "gives the tokens back"),
        (WithdrawalStage.RESTORED, ReleaseOutcome.CANCELLED, Mover.NOBODY, "tokens are back"),
        (WithdrawalStage.CANCELLED, None, Mover.NOBODY, "cancelled"),
    ],
)
async def test_the_end_of_a_release_is_told(
    unit: UnitOfWork, stage: WithdrawalStage, outcome: ReleaseOutcome | None, mover: Mover, words: str
) -> None:
    """Paid, refused and to be claimed, cancelled and on its way back, or given back."""
    if outcome is not None:
        await unit.releases.put(done(12, outcome))
    found = await told(unit, replace(WITHDRAWAL, stage=stage))
    assert found.waiting.mover is mover
    assert words in found.waiting.what


async def test_transfers_are_found_by_the_other_chains_transactions(unit: UnitOfWork) -> None:
    """By the transaction that locked, by the one that paid, and by the one in which a failed payment was claimed."""
    await told(unit, DEPOSIT)
    await told(unit, WITHDRAWAL)
    await unit.releases.put(done(12, ReleaseOutcome.CLAIMED, later=b"\x0e" * 32))
    for transaction, id_ in (
        (LOCK.transaction, DEPOSIT.deposit_id),
        (b"\x0d" * 32, WITHDRAWAL.withdrawal_id),
        (b"\x0e" * 32, WITHDRAWAL.withdrawal_id),
    ):
        found = await find(unit, "0x" + transaction.hex(), b"\x01" * 32)
        assert [row.id for row in found] == [id_]
