"""Whatever is built of random coins and payments conserves the money and passes the checks that storemen make."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.bitcoin.builders import Payment, child_transaction, fee_at, payout_transaction, sweep_transaction
from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import FeeAboveLimit, OutputBelowDust
from adapters.bitcoin.fees import FeePolicy, replacement_fee
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.scripts import dust_threshold
from adapters.bitcoin.transactions import UnsignedTx
from bridge.payouts import Payout, Withdrawal, WithdrawalStage
from bridge.policy import Balance, Limits, check_child, check_fee, check_payout, fee_shares
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits
from tests.support.vault_coins import DESTINATIONS, VAULT, coin, coins

LIMITS = Limits(fee_floor=SatPerKvB(1_000), fee_cap=SatPerKvB(200_000), input_depth=1)
RATES = FeePolicy(LIMITS.fee_floor, LIMITS.fee_cap, SatPerKvB(5_000))
PLENTY = Balance(Satoshi(10**15), Satoshi(0), TokenUnits(0))
PAYOUT_ID = bytes(32)

rates = st.integers(4_000, 300_000).map(lambda estimate: RATES.rate(SatPerKvB(estimate), SatPerKvB(1_000)))
"""From 4 sat/vB on: below that, dust left over may exceed what the cap of a test would allow."""

surpluses = st.sampled_from([0, 1, 329, 330, 331]) | st.integers(0, 10**6)


@dataclass(frozen=True)
class Case:
    """A batch to pay, the coins to pay it from, and a fee rate."""

    payments: tuple[Payment, ...]
    coins: tuple[Coin, ...]
    rate: SatPerKvB


@st.composite
def cases(
    draw: st.DrawFn,
    surplus: st.SearchStrategy[int] = surpluses,
    rate: st.SearchStrategy[SatPerKvB] = rates,
) -> Case:
    """One to five payments, and coins that hold their amounts and a surplus, often just so."""
    amount = st.integers(60_000, 5_000_000)
    payments = tuple(
        Payment(script, Satoshi(draw(amount)), Satoshi(draw(st.sampled_from([50_000, 59_000]))))
        for script in draw(st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=5))
    )
    owed = sum(payment.amount for payment in payments)
    values = draw(st.lists(st.integers(1_000, 2_000_000), max_size=4))
    last = owed - sum(values) + draw(surplus)
    assume(last > 0)
    return Case(payments, coins(*values, last), draw(rate))


def withdrawals(payments: tuple[Payment, ...]) -> list[Withdrawal]:
    """What the Hub says of these payments."""
    return [
        Withdrawal(
            withdrawal_id=number.to_bytes(32, "big"),
            asset=bytes(32),
            owner=bytes(20),
            amount=TokenUnits(payment.amount),
            max_fee=payment.max_fee,
            destination=payment.script,
            request_transaction=bytes(32),
            requested_at=BlockHeight(1),
            stage=WithdrawalStage.RESERVED,
            payout=PAYOUT_ID,
        )
        for number, payment in enumerate(payments)
    ]


def check(unsigned: UnsignedTx, payments: tuple[Payment, ...], signed_before: Satoshi | None = None) -> None:
    """What a storeman does before it signs."""
    asked = withdrawals(payments)
    ids = tuple(withdrawal.withdrawal_id for withdrawal in asked)
    spent = tuple(coin.outpoint for coin in unsigned.inputs)
    payout = Payout(PAYOUT_ID, bytes(32), bytes(32), ids, spent, version=1)
    check_payout(unsigned, payout, asked, VAULT, LIMITS, PLENTY, signed_before)


def built(case: Case, minimum_fee: Satoshi = Satoshi(0)) -> UnsignedTx:
    """The payout of a case; cases whose fee a payment refuses to bear are left out."""
    try:
        return payout_transaction(case.coins, case.payments, VAULT, case.rate, minimum_fee=minimum_fee)
    except FeeAboveLimit:
        assume(False)
        raise


@given(cases())
def test_payouts_pass_the_storemens_checks(case: Case) -> None:
    """Any payout that is built is one that an honest storeman signs."""
    check(built(case), case.payments)


@given(cases())
def test_payouts_conserve_the_money(case: Case) -> None:
    """Inputs are outputs and fee; each payment bears its share; the vault gets all else, or loses less than dust."""
    unsigned = built(case)
    assert sum(c.value for c in unsigned.inputs) == sum(o.value for o in unsigned.outputs) + unsigned.fee
    paid = unsigned.outputs[: len(case.payments)]
    borne = [payment.amount - output.value for payment, output in zip(case.payments, paid, strict=True)]
    assert tuple(borne) == fee_shares(Satoshi(sum(borne)), len(borne))
    assert 0 <= unsigned.fee - sum(borne) < 330
    assert unsigned.fee >= fee_at(case.rate, unsigned.vsize)
    assert all(output.value >= dust_threshold(output.script) for output in unsigned.outputs)


@given(cases(), st.integers(1_000, 5_000))
def test_replacements_pass_the_storemens_checks(case: Case, incremental: int) -> None:
    """A version with the least fee of a replacement is accepted by storemen who signed the old one."""
    assume(case.rate <= LIMITS.fee_cap // 2)
    old = built(case)
    least = replacement_fee(old.fee, old.vsize, SatPerKvB(incremental))
    new = built(case, minimum_fee=least)
    assert new.fee >= least
    assert (new.inputs, new.vsize) == (old.inputs, old.vsize)
    check(new, case.payments, signed_before=old.fee)


@given(st.lists(st.integers(60_000, 10**7), min_size=1, max_size=30), rates)
def test_sweeps_conserve_the_money(values: list[int], rate: SatPerKvB) -> None:
    """A sweep has one output, to the vault, and a fee within the operators' limits."""
    unsigned = sweep_transaction(coins(*values), VAULT, rate)
    (output,) = unsigned.outputs
    assert (output.script, output.value) == (VAULT, sum(values) - unsigned.fee)
    assert check_fee(unsigned, LIMITS) == fee_at(rate, unsigned.vsize)


@given(cases(st.integers(330, 10**6), st.integers(4_000, 20_000).map(SatPerKvB)), rates)
def test_children_pass_the_storemens_checks(case: Case, rate: SatPerKvB) -> None:
    """A child lifts a parent that pays less to the wanted rate, and is one that an honest storeman signs."""
    parent = built(case)
    assume(parent.fee * 1000 < rate * parent.vsize)
    output = parent.outputs[-1]
    change = Coin(OutPoint(parent.txid(), len(parent.outputs) - 1), output.value, output.script)
    try:
        child = child_transaction(parent.vsize, parent.fee, change, VAULT, rate)
    except OutputBelowDust:
        return
    check_child(child, change, parent, VAULT, LIMITS, PLENTY)
    assert 0 <= child.fee + parent.fee - fee_at(rate, parent.vsize + child.vsize) <= 1


@given(cases(), st.integers(1, 10**6))
def test_selected_coins_can_be_paid_out(case: Case, extra: int) -> None:
    """A payout can be built of any selected coins, and never leaves change between dust and what policy demands."""
    owed = Satoshi(sum(payment.amount for payment in case.payments))
    chosen = select_coins((*case.coins, coin(extra, 99)), owed, case.rate)
    check(built(Case(case.payments, chosen, case.rate)), case.payments)
