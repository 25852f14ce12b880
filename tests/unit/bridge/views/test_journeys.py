"""`transfers show`: what a transfer waits for, whose move it is, whether its fee is enough, and the way back."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import BlockRef, OutPoint, TxOut
from adapters.bitcoin.scripts import deposit_script, return_script
from adapters.bitcoin.transactions import SEQUENCE, serialize
from bridge.codec import encode
from bridge.deposits import Deposit, Purpose, Refusal, Spend, Stage
from bridge.intake.common import BITCOIN_CURSOR
from bridge.journey_parts import Journey, Mover, Surroundings
from bridge.journeys import INTERVAL, find, group_keys, journey
from bridge.payouts import Confirmed, Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.settings import PolicySection
from bridge.status import STATUS
from bridge.storage import (
    BitcoinTransactionRow,
    DepositTermsRow,
    JourneyEntry,
    PayoutRow,
    TransactionPurpose,
    TransferKind,
    TransferRow,
    UnitOfWork,
)
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits, UnixMs
from registry.ids import deposit_id
from tests.support.receipts import receipt
from tests.support.vault_coins import GROUP_KEY, P2WPKH, RECLAIM_KEY

NOW = UnixMs(1_000_000_000)
MINUTE = 60_000
TIP = 110
RECEIPT = receipt(delay=144)
TERMS = RECEIPT.terms
TXID = b"\x07" * 32
DEPOSIT = Deposit(
    deposit_id=deposit_id(TERMS.asset, TXID, 1),
    asset=TERMS.asset,
    group=TERMS.group_id,
    txid=TXID,
    vout=1,
    amount=Satoshi(50_000_000),
    recipient=TERMS.recipient,
    script=deposit_script(TERMS).script,
    delay=144,
    height=BlockHeight(108),
)
WITHDRAWAL = Withdrawal(
    withdrawal_id=b"\xaa" * 32,
    asset=TERMS.asset,
    owner=b"\x0a" * 20,
    amount=TokenUnits(1_000_000),
    max_fee=Satoshi(2_000),
    destination=P2WPKH,
    request_transaction=b"\x0b" * 32,
    requested_at=BlockHeight(7),
)
PAYOUT = Payout(
    payout_id=b"\x0c" * 32,
    group=TERMS.group_id,
    asset=TERMS.asset,
    withdrawals=(WITHDRAWAL.withdrawal_id,),
    inputs=(OutPoint(b"\x0d" * 32, 0),),
    version=1,
)
RESERVED: dict[str, Any] = {"stage": WithdrawalStage.RESERVED, "payout": PAYOUT.payout_id}
SPENDER = b"\x0e" * 32


def around(estimate: int | None = 2_000, **policy: Any) -> Surroundings:
    keys = {TERMS.group_id: GROUP_KEY}
    rate = None if estimate is None else SatPerKvB(estimate)
    return Surroundings(PolicySection(**policy), TERMS.hub_chain_id, TERMS.hub_address, keys, rate, NOW)


async def tell(unit: UnitOfWork, id_: bytes, surroundings: Surroundings | None = None) -> Journey:
    tail = Tail.start(BlockRef(BlockHeight(TIP), b"t" * 32))
    await unit.cursors.put(BITCOIN_CURSOR, tail.encode())
    found = await journey(unit, id_, surroundings or around())
    assert found is not None
    return found


async def of_deposit(unit: UnitOfWork, surroundings: Surroundings | None = None, **changes: Any) -> Journey:
    deposit = replace(DEPOSIT, **changes)
    t = TERMS
    await unit.deposit_terms.add(
        DepositTermsRow(
            deposit.script or b"s",
            RECEIPT.announcement_id,
            t.asset,
            t.group_id,
            t.recipient,
            t.reclaim_key,
            t.delay,
            t.salt,
            BlockHeight(100),
        )
    )
    row = TransferRow(
        deposit.deposit_id, TransferKind.DEPOSIT, deposit.stage, encode(deposit), NOW, NOW, deposit.height
    )
    await unit.transfers.save(row)
    return await tell(unit, deposit.deposit_id, surroundings)


async def of_withdrawal(
    unit: UnitOfWork, surroundings: Surroundings | None = None, payout: Payout | None = None, **changes: Any
) -> Journey:
    reserved = {} if payout is None or payout.stage is PayoutStage.VOIDED else RESERVED
    withdrawal = replace(WITHDRAWAL, **{**reserved, **changes})
    row = TransferRow(withdrawal.withdrawal_id, TransferKind.WITHDRAWAL, withdrawal.stage, encode(withdrawal), NOW, NOW)
    await unit.transfers.save(row)
    if payout is not None:
        await unit.payouts.save(PayoutRow(payout.payout_id, payout.stage, encode(payout), NOW, NOW))
        await unit.payouts.link(payout.payout_id, payout.withdrawals)
    return await tell(unit, withdrawal.withdrawal_id, surroundings)


def signed(purpose: TransactionPurpose, subject: bytes, fee: int, txid: bytes = SPENDER) -> BitcoinTransactionRow:
    paid = TxOut(Satoshi(WITHDRAWAL.amount - fee), WITHDRAWAL.destination)
    raw = serialize([(PAYOUT.anchor, SEQUENCE)], [paid], [(bytes(64),)])
    return BitcoinTransactionRow(txid, purpose, subject, raw, Satoshi(fee), 150)


async def test_a_confirming_deposit_waits_for_miners(unit: UnitOfWork) -> None:
    """Confirmations had and asked are told, and when the last one is expected."""
    told = await of_deposit(unit)
    assert told.depth is not None
    assert (told.depth.have, told.depth.asked) == (3, 6)
    assert told.waiting.mover is Mover.MINERS
    assert told.waiting.next_at_ms == NOW + 3 * 10 * MINUTE


async def test_the_measured_interval_of_blocks_is_used(unit: UnitOfWork) -> None:
    """Where the node has measured how far apart blocks are, times follow that."""
    await unit.node_meta.put(INTERVAL, b"1000")
    assert (await of_deposit(unit)).waiting.next_at_ms == NOW + 3_000


@pytest.mark.parametrize(
    ("changes", "mover"),
    [
        ({"stage": Stage.FINAL}, Mover.VOUCHERS),
        ({"stage": Stage.REFUSED, "refusal": Refusal.BELOW_MINIMUM}, Mover.STOREMEN),
        ({"stage": Stage.MINTED, "minted": TokenUnits(1), "mint_transaction": b"m" * 32}, Mover.STOREMEN),
        ({"stage": Stage.RETURNING, "return_transaction": b"m" * 32}, Mover.STOREMEN),
        ({"stage": Stage.MISSING, "height": None}, Mover.DEPOSITOR),
        ({"stage": Stage.MISSING, "height": None, "script": b""}, Mover.NOBODY),
        (
            {
                "stage": Stage.SWEEPING,
                "spend": Spend(SPENDER, BlockHeight(110), Purpose.SWEEP),
                "mint_transaction": b"m",
            },
            Mover.MINERS,
        ),
        ({"stage": Stage.RECLAIMED, "spend": Spend(SPENDER, BlockHeight(109), Purpose.RECLAIM)}, Mover.NOBODY),
        ({"stage": Stage.RETURNED, "spend": Spend(SPENDER, BlockHeight(109), Purpose.RETURN)}, Mover.NOBODY),
    ],
)
async def test_each_stage_of_a_deposit_says_whose_move_it_is(
    unit: UnitOfWork, changes: dict[str, Any], mover: Mover
) -> None:
    """Nobody has to guess who keeps a deposit waiting."""
    assert (await of_deposit(unit, **changes)).waiting.mover is mover


async def test_the_way_back_is_ready_to_be_signed(unit: UnitOfWork) -> None:
    """While the coin is the depositor's, its journey has the reclaim as a PSBT and from when it is valid."""
    reclaim = (await of_deposit(unit)).reclaim
    assert reclaim is not None
    assert reclaim.valid_from == 108 + 144
    assert reclaim.blocks_left == 108 + 144 - (TIP + 1)
    assert reclaim.destination == return_script(RECLAIM_KEY)
    raw = base64.b64decode(reclaim.psbt)
    assert raw.startswith(b"psbt\xff")
    assert TXID in raw


async def test_the_way_back_is_valid_once_its_height_has_come(unit: UnitOfWork) -> None:
    """No blocks are left when the next block may contain the reclaim."""
    reclaim = (await of_deposit(unit, height=BlockHeight(TIP + 1 - 144))).reclaim
    assert reclaim is not None
    assert reclaim.blocks_left == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": Stage.MINTED, "minted": TokenUnits(1), "mint_transaction": b"m" * 32},
        {"stage": Stage.RECLAIMED, "spend": Spend(SPENDER, BlockHeight(109), Purpose.RECLAIM)},
        {"stage": Stage.MISSING, "height": None},
        {"amount": Satoshi(400)},
    ],
)
async def test_no_way_back_is_offered_that_does_not_exist(unit: UnitOfWork, changes: dict[str, Any]) -> None:
    """A coin that backs tokens, is spent, is in no block, or is worth less than the fee has no reclaim."""
    assert (await of_deposit(unit, **changes)).reclaim is None


async def test_a_signed_sweep_waits_for_a_block_and_tells_its_fee(unit: UnitOfWork) -> None:
    """Once the storemen have signed, miners are waited for; the fee is compared with the node's estimate."""
    await unit.bitcoin_transactions.add(signed(TransactionPurpose.SWEEP, TXID, 300), [(TXID, 1)])
    minted = {"stage": Stage.MINTED, "minted": TokenUnits(1), "mint_transaction": b"m" * 32}
    told = await of_deposit(unit, around(2_000), **minted)
    assert told.waiting.mover is Mover.MINERS
    assert told.fee is not None
    assert told.fee.enough is True
    low = await journey(unit, DEPOSIT.deposit_id, around(9_000))
    assert low is not None
    assert low.fee is not None
    assert low.fee.enough is False
    assert low.waiting.next_at_ms is None, "a fee that is too low makes the time unknown"
    unknown = await journey(unit, DEPOSIT.deposit_id, around(None))
    assert unknown is not None
    assert unknown.fee is not None
    assert unknown.fee.enough is None


async def test_every_transaction_is_listed_once(unit: UnitOfWork) -> None:
    """Both chains' transactions are there, those that only the notes name too, and none twice."""
    await unit.bitcoin_transactions.add(signed(TransactionPurpose.SWEEP, TXID, 300), [(TXID, 1)])
    spend = Spend(SPENDER, BlockHeight(110), Purpose.SWEEP)
    changes = {"stage": Stage.SWEEPING, "spend": spend, "mint_transaction": b"m" * 32, "minted": TokenUnits(1)}
    await of_deposit(unit, **changes)
    note = JourneyEntry(DEPOSIT.deposit_id, NOW, "final", "sent to the Hub", b"h" * 32, "native")
    await unit.journey.append(note, replace(note, txid=SPENDER, chain="bitcoin"))
    told = await tell(unit, DEPOSIT.deposit_id)
    ids = [(ref.chain, ref.txid) for ref in told.transactions]
    assert sorted(ids) == sorted(
        [("bitcoin", TXID), ("native", b"m" * 32), ("bitcoin", SPENDER), ("native", b"h" * 32)]
    )
    assert len(told.steps) == 2


@pytest.mark.parametrize(("max_fee", "enough", "mover"), [(2_000, True, Mover.STOREMEN), (100, False, Mover.OWNER)])
async def test_a_request_tells_whether_its_fee_limit_suffices(
    unit: UnitOfWork, max_fee: int, enough: bool, mover: Mover
) -> None:
    """A limit below a payout's cost makes it the owner's move, and the command that helps is told."""
    told = await of_withdrawal(unit, max_fee=Satoshi(max_fee))
    assert told.fee is not None
    assert told.fee.enough is enough
    assert told.waiting.mover is mover
    assert ("raise-fee" in told.fee.cure) is not enough


@pytest.mark.parametrize(
    ("changes", "stage", "mover"),
    [
        ({}, "reserved", Mover.STOREMEN),
        ({"stranger": b"x" * 32}, "reserved", Mover.VOUCHERS),
        (
            {"stage": PayoutStage.CONFIRMING, "confirmed": Confirmed(SPENDER, BlockHeight(110), Satoshi(300))},
            "confirming",
            Mover.MINERS,
        ),
        (
            {"stage": PayoutStage.PAID, "confirmed": Confirmed(SPENDER, BlockHeight(104), Satoshi(300))},
            "paid",
            Mover.VOUCHERS,
        ),
    ],
)
async def test_each_stage_of_a_payout_says_whose_move_it_is(
    unit: UnitOfWork, changes: dict[str, Any], stage: str, mover: Mover
) -> None:
    """Between reservation and settlement the payout's stage is told, and who moves it on."""
    told = await of_withdrawal(unit, payout=replace(PAYOUT, **changes))
    assert (told.stage, told.waiting.mover) == (stage, mover)
    assert told.payout == PAYOUT.payout_id


async def test_a_bumped_payout_is_told_with_all_its_versions(unit: UnitOfWork) -> None:
    """The version that was replaced is marked; the fee is that of the newest."""
    anchor = [(PAYOUT.anchor.txid, PAYOUT.anchor.vout)]
    old = signed(TransactionPurpose.PAYOUT, PAYOUT.payout_id, 150, b"1" * 32)
    new = signed(TransactionPurpose.PAYOUT, PAYOUT.payout_id, 600, b"2" * 32)
    await unit.bitcoin_transactions.add(old, anchor)
    await unit.bitcoin_transactions.add(new, anchor)
    await unit.bitcoin_transactions.replace(old.txid, new.txid)
    told = await of_withdrawal(unit, payout=PAYOUT)
    assert {ref.txid: ref.replaced for ref in told.transactions if ref.chain == "bitcoin"} == {
        old.txid: True,
        new.txid: False,
    }
    assert told.fee is not None
    assert told.fee.rate == 4_000
    assert told.arrives == WITHDRAWAL.amount - 600
    assert told.waiting.mover is Mover.MINERS


@pytest.mark.parametrize("stage", [WithdrawalStage.SETTLED, WithdrawalStage.CANCELLED])
async def test_an_ended_withdrawal_waits_for_nobody(unit: UnitOfWork, stage: WithdrawalStage) -> None:
    """Nothing is left to do, and no fee is judged."""
    told = await of_withdrawal(unit, stage=stage)
    assert told.waiting.mover is Mover.NOBODY
    assert told.fee is None


async def test_a_voided_payout_leaves_the_withdrawal_requested(unit: UnitOfWork) -> None:
    """A payout that the Hub voided is not what the withdrawal waits in any more."""
    told = await of_withdrawal(unit, payout=replace(PAYOUT, stage=PayoutStage.VOIDED))
    assert told.payout is None
    assert told.stage == "requested"


async def test_a_transfer_is_found_by_any_of_its_ids(unit: UnitOfWork) -> None:
    """Its id's beginning, its bitcoin transactions as explorers show them, and native hashes all lead to it."""
    await of_deposit(unit, stage=Stage.MINTED, minted=TokenUnits(1), mint_transaction=b"m" * 32)
    await of_withdrawal(unit, payout=PAYOUT)
    anchor = [(PAYOUT.anchor.txid, PAYOUT.anchor.vout)]
    await unit.bitcoin_transactions.add(signed(TransactionPurpose.PAYOUT, PAYOUT.payout_id, 300, b"12" * 16), anchor)
    await unit.bitcoin_transactions.add(signed(TransactionPurpose.SWEEP, b"", 300, b"34" * 16), [(TXID, 1)])
    for text, expected in [
        (DEPOSIT.deposit_id.hex()[:9], DEPOSIT.deposit_id),
        ("0x" + WITHDRAWAL.withdrawal_id.hex(), WITHDRAWAL.withdrawal_id),
        (TXID[::-1].hex(), DEPOSIT.deposit_id),
        ((b"34" * 16)[::-1].hex(), DEPOSIT.deposit_id),
        ((b"12" * 16)[::-1].hex(), WITHDRAWAL.withdrawal_id),
        ("0x" + (b"m" * 32).hex(), DEPOSIT.deposit_id),
        (WITHDRAWAL.request_transaction.hex(), WITHDRAWAL.withdrawal_id),
    ]:
        assert [row.id for row in await find(unit, text, TERMS.asset)] == [expected], text
    assert await find(unit, "ab" * 32, TERMS.asset) == ()
    with pytest.raises(BadInput):
        await find(unit, "nonsense", TERMS.asset)


async def test_an_unknown_transfer_has_no_journey(unit: UnitOfWork) -> None:
    """The caller learns that this node does not know it."""
    assert await journey(unit, b"?" * 32, around()) is None


async def test_group_keys_come_from_what_the_node_last_said(unit: UnitOfWork) -> None:
    """A group without a key is passed over; a node that never ran knows none."""
    assert await group_keys(unit) == {}
    groups = [{"id": "11" * 32, "key": GROUP_KEY.hex()}, {"id": "22" * 32, "key": None}]
    await unit.node_meta.put(STATUS, json.dumps({"groups": groups}).encode())
    assert await group_keys(unit) == {b"\x11" * 32: GROUP_KEY}
