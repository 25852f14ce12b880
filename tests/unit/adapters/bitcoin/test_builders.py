"""Payouts, sweeps, returns and children: who bears the fee, what is change, and what is refused."""

from __future__ import annotations

import pytest

from adapters.bitcoin.builders import (
    Payment,
    child_transaction,
    fee_at,
    payout_transaction,
    return_transaction,
    sweep_transaction,
)
from adapters.bitcoin.errors import FeeAboveLimit, InsufficientFunds, OutputBelowDust
from adapters.bitcoin.fees import replacement_fee
from adapters.bitcoin.primitives import Coin, TxOut
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from tests.support.vault_coins import P2PKH, P2WPKH, VAULT, coin, coins, deposit_coin

RATE = SatPerKvB(2_000)


def payment(amount: int, max_fee: int = 10_000, script: bytes = P2WPKH) -> Payment:
    """A withdrawal's payment."""
    return Payment(script, Satoshi(amount), Satoshi(max_fee))


def test_payments_share_the_fee_evenly() -> None:
    """Three payments bear a third of the fee each, the first one or two a satoshi more; the change is untouched."""
    unsigned = payout_transaction(coins(100_000), [payment(20_000)] * 3, VAULT, SatPerKvB(1_990))
    fee = unsigned.fee
    each, more = divmod(fee, 3)
    assert more, "the case is one that does not divide"
    assert [out.value for out in unsigned.outputs] == [20_000 - each - (i < more) for i in range(3)] + [40_000]
    assert unsigned.outputs[-1].script == VAULT
    assert fee == fee_at(SatPerKvB(1_990), unsigned.vsize)


def test_order_of_coins_and_payments_is_kept() -> None:
    """Inputs are in the given order, the anchor first; payments too, before the change."""
    spent = coins(10_000, 90_000, 20_000)[::-1]
    unsigned = payout_transaction(spent, [payment(30_000, script=P2PKH), payment(40_000)], VAULT, RATE)
    assert unsigned.inputs == spent
    assert [out.script for out in unsigned.outputs] == [P2PKH, P2WPKH, VAULT]


@pytest.mark.parametrize(("left_over", "changes"), [(0, 0), (1, 0), (329, 0), (330, 1), (331, 1)])
def test_change_below_dust_lightens_the_payments(left_over: int, changes: int) -> None:
    """From 330 satoshi on, change goes to the vault; less goes to the miner and is taken off what the payments bear."""
    unsigned = payout_transaction(coins(50_000 + left_over), [payment(50_000)], VAULT, SatPerKvB(5_000))
    assert len(unsigned.outputs) == 1 + changes
    assert unsigned.fee == fee_at(SatPerKvB(5_000), unsigned.vsize)
    borne = 50_000 - unsigned.outputs[0].value
    assert borne == unsigned.fee - (0 if changes else left_over)


def test_no_payment_gains_by_what_is_left_over() -> None:
    """Where dust left over exceeds the fee, the payments bear nothing; none is paid more than its amount."""
    unsigned = payout_transaction(coins(50_329), [payment(50_000)], VAULT, SatPerKvB(1_000))
    assert unsigned.outputs == (TxOut(Satoshi(50_000), P2WPKH),)
    assert unsigned.fee == 329 > fee_at(SatPerKvB(1_000), unsigned.vsize)


def test_a_replacement_pays_at_least_its_minimum() -> None:
    """`minimum_fee` lifts the fee where the rate alone would not replace the old version."""
    old = payout_transaction(coins(100_000), [payment(50_000)], VAULT, RATE)
    least = replacement_fee(old.fee, old.vsize, SatPerKvB(1_000))
    new = payout_transaction(coins(100_000), [payment(50_000)], VAULT, RATE, minimum_fee=least)
    assert new.fee == least > old.fee
    assert new.outputs[1] == old.outputs[1], "the payee bears it, not the vault"


def test_a_share_above_the_limit_is_named() -> None:
    """A payment whose share exceeds what its owner allows is refused, with its index, its share and the limit."""
    with pytest.raises(FeeAboveLimit) as refusal:
        payout_transaction(coins(100_000), [payment(20_000), payment(20_000, max_fee=10)], VAULT, RATE)
    assert (refusal.value.index, refusal.value.limit) == (1, 10)
    assert refusal.value.share > 10


def test_a_payment_below_dust_is_named() -> None:
    """A payment that its share takes below its script's dust threshold is refused, with its index."""
    with pytest.raises(OutputBelowDust) as refusal:
        payout_transaction(coins(100_000), [payment(20_000), payment(600, script=P2PKH)], VAULT, RATE)
    assert (refusal.value.index, refusal.value.threshold) == (1, 546)


def test_coins_must_hold_the_amounts() -> None:
    """Coins that hold less than the amounts are refused; the fee need not be on top."""
    with pytest.raises(InsufficientFunds) as refusal:
        payout_transaction(coins(49_999), [payment(50_000)], VAULT, RATE)
    assert (refusal.value.needed, refusal.value.available) == (50_000, 49_999)
    assert payout_transaction(coins(50_000), [payment(50_000)], VAULT, RATE).fee > 0


def test_a_payout_needs_payments_and_a_vault() -> None:
    """No payments, or change to something that is no Taproot output, is refused."""
    with pytest.raises(BadInput, match="payments"):
        payout_transaction(coins(50_000), [], VAULT, RATE)
    with pytest.raises(BadInput, match="vault"):
        payout_transaction(coins(50_000), [payment(50_000)], P2PKH, RATE)


def test_a_batch_of_sweeps_costs_less_than_60_vb_a_coin() -> None:
    """A batch of 25 deposits, all of them in one output, takes at most 60 virtual bytes for each."""
    spent = [deposit_coin(10_000, number) for number in range(25)]
    unsigned = sweep_transaction(spent, VAULT, RATE)
    assert unsigned.outputs == (TxOut(Satoshi(250_000 - unsigned.fee), VAULT),)
    assert unsigned.vsize / 25 <= 60
    assert unsigned.fee == fee_at(RATE, unsigned.vsize)


def test_a_sweep_that_leaves_dust_is_refused() -> None:
    """Nothing is swept where the fee would eat it up, be it to less than nothing."""
    for value in (10, 300, 500):
        with pytest.raises(OutputBelowDust) as refusal:
            sweep_transaction([deposit_coin(value, 1)], VAULT, RATE)
        assert refusal.value.value < 330
    assert sweep_transaction([deposit_coin(1_000, 1)], VAULT, RATE, minimum_fee=Satoshi(670)).outputs[0].value == 330


def test_a_return_pays_all_but_the_fee() -> None:
    """A return spends the one coin to the one script, and bears its own fee."""
    unsigned = return_transaction(deposit_coin(9_000, 3), P2WPKH, RATE)
    assert unsigned.outputs == (TxOut(Satoshi(9_000 - fee_at(RATE, unsigned.vsize)), P2WPKH),)
    with pytest.raises(OutputBelowDust):
        return_transaction(deposit_coin(400, 3), P2WPKH, RATE)


def test_a_child_lifts_its_parent() -> None:
    """Parent and child together reach the package's rate, by no more than a satoshi."""
    parent = payout_transaction(coins(100_000), [payment(50_000)], VAULT, SatPerKvB(1_000))
    change = Coin(coin(0, 9).outpoint, parent.outputs[1].value, VAULT)
    child = child_transaction(parent.vsize, parent.fee, change, VAULT, SatPerKvB(10_000))
    package = fee_at(SatPerKvB(10_000), parent.vsize + child.vsize)
    assert parent.fee + child.fee == package
    assert child.inputs == (change,)
    assert child.outputs[0].script == VAULT


def test_a_child_pays_its_own_way() -> None:
    """Where the parent pays enough already, the child still pays the rate for itself."""
    child = child_transaction(200, Satoshi(100_000), coin(50_000), VAULT, SatPerKvB(10_000))
    assert child.fee == fee_at(SatPerKvB(10_000), child.vsize)
