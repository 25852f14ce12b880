"""A payout's machine: versions, strangers and reorgs; and how a version is told from a stranger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.primitives import OutPoint, TxOut
from bridge.deposits import Alarm, Effect
from bridge.payouts import (
    AnchorChanged,
    AnchorTaken,
    Change,
    Confirmed,
    InChain,
    OutOfChain,
    Payout,
    PayoutStage,
    Replaced,
    Settled,
    SettledAndVoided,
    Tip,
    Voided,
    Withdrawal,
    is_version,
    step,
)
from foundation.quantities import BlockHeight, Satoshi, TokenUnits

DEPTH = 3
VAULT = b"\x51\x20" + b"v" * 32
A, B, STRANGER = b"a" * 32, b"b" * 32, b"x" * 32


def coin(number: int) -> OutPoint:
    return OutPoint(bytes([number]) * 32, number)


def withdrawal(number: int, amount: int, max_fee: int) -> Withdrawal:
    return Withdrawal(
        withdrawal_id=bytes([number]) * 32,
        asset=b"a" * 32,
        owner=b"o" * 20,
        amount=TokenUnits(amount),
        max_fee=Satoshi(max_fee),
        destination=b"\x00\x14" + bytes([number]) * 20,
        request_transaction=b"r" * 32,
        requested_at=BlockHeight(1),
    )


WITHDRAWALS = (withdrawal(1, 50_000, 300), withdrawal(2, 70_000, 200))
PAYOUT = Payout(
    payout_id=b"p" * 32,
    group=b"g" * 32,
    asset=b"a" * 32,
    withdrawals=tuple(w.withdrawal_id for w in WITHDRAWALS),
    inputs=(coin(1), coin(2)),
    version=1,
)
SETTLED = Settled(A, b"settle")
VOIDED = Voided(b"void")


def in_chain(txid: bytes, height: int = 10) -> InChain:
    return InChain(Confirmed(txid, BlockHeight(height), Satoshi(400)))


def tip(height: int) -> Tip:
    return Tip(BlockHeight(height), DEPTH)


def run(*changes: Change, start: Payout = PAYOUT) -> tuple[Payout, list[Effect]]:
    """The payout after all changes, each given twice: the second time nothing may happen."""
    state, effects = start, list[Effect]()
    for change in changes:
        state, new = step(state, change)
        effects += new
        assert step(state, change) == (state, ()), f"{change} is not harmless again"
    return state, effects


def stage(*changes: Change) -> PayoutStage:
    return run(*changes)[0].stage


def alarms(*changes: Change) -> list[str]:
    return [effect.text for effect in run(*changes)[1] if isinstance(effect, Alarm)]


def test_a_payout_goes_from_its_reservation_to_the_burn() -> None:
    """Reserved, confirming, paid once it is deep enough, settled; with one note for each."""
    assert stage(tip(20)) is PayoutStage.RESERVED
    assert stage(in_chain(A), tip(11)) is PayoutStage.CONFIRMING
    assert stage(in_chain(A), tip(12)) is PayoutStage.PAID
    state, effects = run(in_chain(A), tip(12), SETTLED)
    assert (state.stage, state.settled) == (PayoutStage.SETTLED, A)
    assert [effect.text for effect in effects] == [
        "payout in block 10, fee 400 sat",
        "payout final with 3 of 3 confirmations",
        "settled: the locked tokens are burnt",
    ]


def test_after_a_reorg_another_version_may_confirm() -> None:
    """What was paid is reserved again, and the version that confirms then is the one that counts."""
    state, _ = run(in_chain(A), tip(12), OutOfChain())
    assert (state.stage, state.confirmed) == (PayoutStage.RESERVED, None)
    state, _ = run(in_chain(A), tip(12), OutOfChain(), in_chain(B, 11), tip(12))
    assert state.stage is PayoutStage.CONFIRMING
    assert state.confirmed is not None
    assert state.confirmed.txid == B


@pytest.mark.parametrize("moved", [in_chain(A, 12), in_chain(B, 12)])
def test_a_payment_that_moves_to_another_block_is_final_no_more(moved: InChain) -> None:
    """Its depth is counted anew, even where nobody said that the first block is gone."""
    assert stage(in_chain(A), tip(12), moved) is PayoutStage.CONFIRMING
    assert stage(in_chain(A), tip(12), moved, tip(13)) is PayoutStage.CONFIRMING
    assert stage(in_chain(A), tip(12), moved, tip(14)) is PayoutStage.PAID


def test_a_tip_that_falls_back_takes_finality_away() -> None:
    """Vouchers attest what is final in the chain as it is now."""
    assert stage(in_chain(A), tip(12), tip(11)) is PayoutStage.CONFIRMING


def test_the_hub_may_settle_before_this_node_has_seen_the_payment() -> None:
    """A node that lags behind on bitcoin settles without a payment, and the payment joins it without alarm."""
    state, effects = run(SETTLED, in_chain(A), tip(12))
    assert state.stage is PayoutStage.SETTLED
    assert state.confirmed is not None
    assert not any(isinstance(effect, Alarm) for effect in effects)


def test_settled_with_another_transaction_is_an_alarm_in_either_order() -> None:
    """The Hub burnt for a transaction that is not the one in the chain: operators must look."""
    for order in ((in_chain(B), SETTLED), (SETTLED, in_chain(B))):
        told = alarms(*order)
        assert len(told) == 1
        assert "settled with another transaction" in told[0]


@pytest.mark.parametrize("change", [OutOfChain(), AnchorTaken(STRANGER)])
def test_a_settled_payment_that_leaves_the_chain_is_an_alarm(change: Change) -> None:
    """The tokens are burnt: the payout stays settled, and somebody has to see that it is paid again."""
    state, effects = run(in_chain(A), tip(12), SETTLED, change)
    assert (state.stage, state.confirmed) == (PayoutStage.SETTLED, None)
    assert any(isinstance(effect, Alarm) and "left the chain" in effect.text for effect in effects)


def test_a_stranger_that_spends_the_anchor_is_an_alarm_and_may_be_undone() -> None:
    """Only the group can sign for the anchor; if a reorg takes the stranger away, the payout is as it was."""
    state, _ = run(AnchorTaken(STRANGER))
    assert (state.stage, state.stranger) == (PayoutStage.RESERVED, STRANGER)
    assert len(alarms(AnchorTaken(STRANGER))) == 1
    assert run(AnchorTaken(STRANGER), OutOfChain())[0] == PAYOUT
    assert stage(AnchorTaken(STRANGER), OutOfChain(), in_chain(A), tip(12)) is PayoutStage.PAID


def test_a_stranger_takes_the_place_of_a_version() -> None:
    """One transaction spends the anchor: where it is a stranger, the payment is gone, and the other way round."""
    state, _ = run(in_chain(A), tip(12), AnchorTaken(STRANGER))
    assert (state.stage, state.confirmed, state.stranger) == (PayoutStage.RESERVED, None, STRANGER)
    state, _ = run(AnchorTaken(STRANGER), in_chain(A))
    assert (state.stage, state.stranger) == (PayoutStage.CONFIRMING, None)


@pytest.mark.parametrize(
    "change",
    [in_chain(A), OutOfChain(), AnchorTaken(STRANGER), tip(30), Replaced((coin(1), coin(3)), 2)],
)
def test_a_voided_payout_stays_voided(change: Change) -> None:
    """The Hub has opened its withdrawals again: nothing on bitcoin brings the payout back."""
    assert stage(VOIDED, change) is PayoutStage.VOIDED
    assert stage(AnchorTaken(STRANGER), VOIDED, change) is PayoutStage.VOIDED
    assert stage(in_chain(A), VOIDED, change) is PayoutStage.VOIDED


def test_a_voided_payout_that_is_paid_is_an_alarm_in_either_order() -> None:
    """Its withdrawals could be paid twice: nothing is worse."""
    for order in ((in_chain(A), VOIDED), (VOIDED, in_chain(A))):
        told = alarms(*order)
        assert len(told) == 1
        assert "was voided, and" in told[0]


def test_a_stranger_that_the_hub_knows_of_already_is_no_news() -> None:
    """After the void the anchor's spend is what was to be expected."""
    assert alarms(VOIDED, AnchorTaken(STRANGER)) == []


def test_settled_and_voided_is_fatal_in_either_order() -> None:
    """The Hub decides one way for ever."""
    for first, second in ((SETTLED, VOIDED), (VOIDED, SETTLED)):
        with pytest.raises(SettledAndVoided) as contradiction:
            run(first, second)
        assert contradiction.value.payout_id == PAYOUT.payout_id


def test_a_replacement_keeps_the_anchor_first_and_old_ones_change_nothing() -> None:
    """Inputs are those of the newest reservation; a replayed older one is passed over."""
    state, _ = run(Replaced((coin(3), coin(1)), 2))
    assert (state.inputs, state.version) == ((coin(1), coin(3)), 2)
    again, effects = step(state, Replaced((coin(1), coin(2)), 1))
    assert (again, effects) == (state, ())


def test_a_replacement_without_the_anchor_is_fatal() -> None:
    """The Hub forbids it, because both versions could confirm."""
    with pytest.raises(AnchorChanged) as change:
        step(PAYOUT, Replaced((coin(3),), 2))
    assert change.value.payout_id == PAYOUT.payout_id


def outputs(first: int, second: int, *changes: TxOut) -> tuple[TxOut, ...]:
    payments = zip((first, second), WITHDRAWALS, strict=True)
    return (*(TxOut(Satoshi(value), w.destination) for value, w in payments), *changes)


def fee_of(*found: TxOut) -> int | None:
    return is_version(PAYOUT, WITHDRAWALS, found, VAULT)


CHANGE = TxOut(Satoshi(9_000), VAULT)


def test_a_version_pays_every_withdrawal_in_order_and_at_most_one_change() -> None:
    """Its fee is what the withdrawals bear, from nothing up to what each owner allows."""
    assert fee_of(*outputs(50_000, 70_000)) == 0
    assert fee_of(*outputs(49_900, 69_900)) == 200
    assert fee_of(*outputs(49_700, 69_800, CHANGE)) == 500


def test_a_version_of_an_older_reservation_is_a_version() -> None:
    """Which other coins it spends does not matter: its outputs pay the same people."""
    newer, _ = step(PAYOUT, Replaced((coin(1), coin(9)), 5))
    assert is_version(newer, WITHDRAWALS, outputs(49_900, 69_900, CHANGE), VAULT) == 200


def test_payment_that_bears_more_than_the_known_maximum_still_is_one() -> None:
    """The owner may have raised the maximum in a block not read yet: to call it a stranger's would pay it twice."""
    assert fee_of(*outputs(49_699, 69_800)) == 501


@pytest.mark.parametrize(
    "found",
    [
        outputs(50_001, 69_900),  # more than was asked for
        outputs(49_900, 69_900)[::-1],
        outputs(49_900, 69_900)[:1],
        outputs(49_900, 69_900, CHANGE, CHANGE),
        outputs(49_900, 69_900, TxOut(Satoshi(9_000), b"\x51\x20" + b"e" * 32)),
        (CHANGE, *outputs(49_900, 69_900)),
        (replace(outputs(49_900, 69_900)[0], script=VAULT), outputs(49_900, 69_900)[1]),
        (),
    ],
)
def test_anything_else_is_a_stranger(found: tuple[TxOut, ...]) -> None:
    """A wrong amount, order, destination or output: no withdrawal counts as paid by it."""
    assert fee_of(*found) is None
