"""The one right payout is always signed, and nothing that differs from it in any field ever is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage, is_version
from bridge.policy import Balance, check_payout, fee_of, fee_shares
from bridge.refusals import Refused
from foundation.quantities import Satoshi, TokenUnits
from tests.support.policy import LIMITS, STRANGER, VAULT, Proposal, payout, right_payment, vault_coin, withdrawal

Case = tuple[Proposal, Payout, tuple[Withdrawal, ...]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A payout of 1 to 6 withdrawals from 1 to 4 coins, with a fee between the floor and the cap."""
    amounts = draw(st.lists(st.integers(20_000, 10**9), min_size=1, max_size=6))
    withdrawals = tuple(withdrawal(n, amount, max_fee=10_000) for n, amount in enumerate(amounts))
    surplus = draw(st.one_of(st.integers(0, 400), st.integers(330, 10**6)))
    parts = draw(st.lists(st.integers(1, 19_999), max_size=3))
    values = [sum(amounts) + surplus - sum(parts[:-1]), *parts[:-1]]
    coins = tuple(vault_coin(100 + n, value) for n, value in enumerate(values))
    fee = draw(st.integers(200, 10_000 - 330))
    return right_payment(withdrawals, coins, fee), payout(withdrawals, coins), withdrawals


def sign(case: Case) -> None:
    spend, reserved, withdrawals = case
    rich = Balance(Satoshi(10**6), Satoshi(0), TokenUnits(10**6 - 400))
    check_payout(spend, reserved, withdrawals, VAULT, LIMITS, rich)


@given(case=cases())
def test_the_right_payout_is_always_signed_and_is_a_version(case: Case) -> None:
    """What policy lets a storeman sign, every node then takes for a payment, and agrees on the fee that is settled."""
    sign(case)
    spend, reserved, withdrawals = case
    borne = is_version(reserved, withdrawals, spend.outputs, VAULT)
    owed = sum(w.amount for w in withdrawals)
    assert borne == owed - sum(output.value for output in spend.outputs[: len(withdrawals)])
    assert fee_of(spend) - borne < 330


@settings(max_examples=200)
@given(case=cases(), data=st.data())
def test_a_payout_that_differs_in_one_field_is_never_signed(case: Case, data: st.DataObject) -> None:
    """Any single change, of the proposal or of what this node knows, ends in a typed refusal.

    Where no change goes back to the vault, a satoshi less for a withdrawal may be the right payment of a higher fee.
    """
    mutate = data.draw(st.sampled_from([mutate_output, mutate_outputs, mutate_input, mutate_inputs, mutate_state]))
    mutant = mutate(case, data)
    assert mutant != case
    assume(not right_for_another_fee(mutant))
    with pytest.raises(Refused):
        sign(mutant)


def right_for_another_fee(case: Case) -> bool:
    spend, reserved, withdrawals = case
    theirs = all((w.stage, w.payout) == (WithdrawalStage.RESERVED, reserved.payout_id) for w in withdrawals)
    ours = reserved.inputs == tuple(c.outpoint for c in spend.inputs) and all(c.script == VAULT for c in spend.inputs)
    if reserved.stage is not PayoutStage.RESERVED or not (theirs and ours):
        return False
    borne = is_version(reserved, withdrawals, spend.outputs, VAULT)
    return borne is not None and spend == right_payment(withdrawals, spend.inputs, borne)


def pick(data: st.DataObject, count: int) -> int:
    return data.draw(st.integers(0, count - 1))


def put(items: tuple[object, ...], at: int, *new: object) -> tuple[object, ...]:
    return (*items[:at], *new, *items[at + 1 :])


def mutate_output(case: Case, data: st.DataObject) -> Case:
    """Another amount, up or down, or another script."""
    spend, reserved, withdrawals = case
    outputs = tuple(spend.outputs)
    at = pick(data, len(outputs))
    output = outputs[at]
    by = data.draw(st.integers(-output.value, 10**6).filter(bool))
    changed = data.draw(
        st.sampled_from([replace(output, value=Satoshi(output.value + by)), replace(output, script=STRANGER)])
    )
    return replace(spend, outputs=put(outputs, at, changed)), reserved, withdrawals


def mutate_outputs(case: Case, data: st.DataObject) -> Case:
    """One more output, or one fewer."""
    spend, reserved, withdrawals = case
    outputs = tuple(spend.outputs)
    at = pick(data, len(outputs))
    if len(outputs) > 1 and data.draw(st.booleans()):
        return replace(spend, outputs=put(outputs, at)), reserved, withdrawals
    script = data.draw(st.sampled_from([VAULT, STRANGER, withdrawals[0].destination]))
    more = TxOut(Satoshi(data.draw(st.integers(0, 5_000))), script)
    return replace(spend, outputs=put(outputs, at, outputs[at], more)), reserved, withdrawals


def mutate_input(case: Case, data: st.DataObject) -> Case:
    """Another outpoint, another value, or another script."""
    spend, reserved, withdrawals = case
    coins = tuple(spend.inputs)
    at = pick(data, len(coins))
    coin = coins[at]
    changed = data.draw(
        st.sampled_from(
            [
                replace(coin, outpoint=OutPoint(coin.outpoint.txid, 7)),
                replace(coin, value=Satoshi(coin.value + 1)),
                replace(coin, value=Satoshi(coin.value - 1)),
                replace(coin, script=STRANGER),
            ]
        )
    )
    return replace(spend, inputs=put(coins, at, changed)), reserved, withdrawals


def mutate_inputs(case: Case, data: st.DataObject) -> Case:
    """A coin more, or none."""
    spend, reserved, withdrawals = case
    coins: tuple[Coin, ...] = tuple(spend.inputs)
    more = data.draw(st.sampled_from([(*coins, vault_coin(200, 1)), (vault_coin(200, 1), *coins), ()]))
    return replace(spend, inputs=more), reserved, withdrawals


def mutate_state(case: Case, data: st.DataObject) -> Case:
    """The payout is over, or one of its withdrawals is not its own, or its owner allows less."""
    spend, reserved, withdrawals = case
    at = pick(data, len(withdrawals))
    one = withdrawals[at]
    share = one.amount - spend.outputs[at].value
    options: list[Case] = [
        (spend, replace(reserved, stage=stage), withdrawals)
        for stage in (PayoutStage.PAID, PayoutStage.SETTLED, PayoutStage.VOIDED)
    ]
    options += [
        (spend, reserved, put(withdrawals, at, changed))  # type: ignore[misc]  # a tuple of withdrawals again
        for changed in (
            *(replace(one, stage=s) for s in WithdrawalStage if s is not WithdrawalStage.RESERVED),
            replace(one, payout=b"z" * 32),
            replace(one, destination=STRANGER),
            replace(one, amount=TokenUnits(one.amount + 1)),
            *([replace(one, max_fee=Satoshi(share - 1))] if share else []),
        )
    ]
    return data.draw(st.sampled_from(options))


@given(fee=st.integers(0, 10**9), count=st.integers(1, 32))
def test_shares_of_a_fee_add_up_and_differ_by_one_at_most(fee: int, count: int) -> None:
    """Nobody bears more than a satoshi more than anybody else, and the first ones bear it."""
    shares = fee_shares(Satoshi(fee), count)
    assert sum(shares) == fee
    assert max(shares) - min(shares) <= 1
    assert list(shares) == sorted(shares, reverse=True)
