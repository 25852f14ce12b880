"""What may be signed for a vault, one rule at a time; see test_vault_authorizer.py for all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.lockbox.types import NATIVE_COIN, RETURN, Payment
from bridge.deposits import Deposit, Lock, Purpose, Spend, Stage
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.refusals import NotCancellable, NotPayable, PayoutClosed, UnaskedPayment, WrongConfiguration
from bridge.storage import ReleaseOutcome, ReleaseRow, VaultAssetRow
from bridge.vault_books import LIMIT_BITS, wanted_limits
from bridge.vault_policy import check_cancellation, check_configuration, check_payment, check_return
from foundation.quantities import BlockHeight, TokenUnits
from registry.assets import AssetPolicy

BIG = 2**256 - 1
PAYEE, STRANGER, TOKEN = b"y" * 20, b"x" * 20, b"T" * 20
POLICY = AssetPolicy(TokenUnits(10), TokenUnits(0), TokenUnits(10))
DENIED = replace(POLICY, denied=True)
WITHDRAWAL = Withdrawal(
    *(b"w" * 32, b"a" * 32, b"o" * 20, TokenUnits(BIG), TokenUnits(1_000), PAYEE, b"q" * 32, BlockHeight(1)),
    stage=WithdrawalStage.RESERVED,
    payout=b"p" * 32,
    number=5,
)
PAYOUT = Payout(b"p" * 32, b"g" * 32, b"a" * 32, (b"w" * 32,), (), 1)
PAYMENT = Payment(5, NATIVE_COIN, PAYEE, TokenUnits(BIG - 1_000), TokenUnits(1_000))
LOCKED = Deposit(
    *(b"d" * 32, b"a" * 32, b"g" * 32, b"l" * 32, 0, TokenUnits(77), b"r" * 20),
    script=b"v" * 20,
    delay=0,
    stage=Stage.RETURNING,
    height=BlockHeight(7),
    return_transaction=b"n" * 32,
    lock=Lock(3, b"s" * 20, TOKEN, b"t" * 32, "eip155:1"),
)
GOES_BACK = Payment(RETURN | 3, TOKEN, b"s" * 20, TokenUnits(77), TokenUnits(0))
FAILED = ReleaseRow(
    *(b"c" * 32, 5, ReleaseOutcome.FAILED, NATIVE_COIN, PAYEE, BIG - 1_000, 1_000),
    *(b"t" * 32, BlockHeight(9), 0, b"t" * 32, BlockHeight(9)),
)
PATIENCE_MS = 1_000


def test_what_was_asked_for_is_paid() -> None:
    """The payee gets the amount less what its owner offers the carrier, of any size."""
    check_payment(PAYMENT, WITHDRAWAL, PAYOUT, NATIVE_COIN, POLICY)
    for stage in (PayoutStage.CONFIRMING, PayoutStage.PAID):
        check_payment(PAYMENT, WITHDRAWAL, replace(PAYOUT, stage=stage), NATIVE_COIN, POLICY)


@pytest.mark.parametrize(
    "changes",
    [
        {"payee": STRANGER},
        {"asset": TOKEN},
        {"amount": TokenUnits(BIG - 1_001)},
        {"amount": TokenUnits(BIG - 2_000), "fee": TokenUnits(2_000)},
        {"amount": TokenUnits(0)},
        {"fee": TokenUnits(0)},
        {"number": 6},
        {"number": RETURN | 5},
    ],
)
def test_a_payment_that_differs_in_one_field_is_refused(changes: dict[str, Any]) -> None:
    """To whom, with what, how much, to the carrier how much, and for which withdrawal: each is the owner's word."""
    with pytest.raises(UnaskedPayment):
        check_payment(replace(PAYMENT, **changes), WITHDRAWAL, PAYOUT, NATIVE_COIN, POLICY)


@pytest.mark.parametrize("stage", [s for s in WithdrawalStage if s is not WithdrawalStage.RESERVED])
def test_what_is_not_bound_is_not_paid(stage: WithdrawalStage) -> None:
    """Its owner could cancel it yet, or has the tokens back, or it is burnt: paid now, it could be paid twice."""
    with pytest.raises(NotPayable) as refusal:
        check_payment(PAYMENT, replace(WITHDRAWAL, stage=stage), PAYOUT, NATIVE_COIN, POLICY)
    assert refusal.value.stage == stage


def test_a_withdrawal_of_another_payout_is_refused() -> None:
    """The Hub binds each to one."""
    with pytest.raises(NotPayable):
        check_payment(PAYMENT, replace(WITHDRAWAL, payout=b"z" * 32), PAYOUT, NATIVE_COIN, POLICY)


@pytest.mark.parametrize("stage", [PayoutStage.SETTLED, PayoutStage.VOIDED])
def test_a_payout_that_has_ended_is_not_paid(stage: PayoutStage) -> None:
    """Its tokens are burnt, or free again."""
    settled = b"t" * 32 if stage is PayoutStage.SETTLED else None
    with pytest.raises(PayoutClosed):
        check_payment(PAYMENT, WITHDRAWAL, replace(PAYOUT, stage=stage, settled=settled), NATIVE_COIN, POLICY)


def test_a_denied_asset_is_not_paid() -> None:
    """It is being cancelled: to sign both would let whoever carries them choose."""
    with pytest.raises(UnaskedPayment):
        check_payment(PAYMENT, WITHDRAWAL, PAYOUT, NATIVE_COIN, DENIED)


def test_a_barred_deposit_goes_back_whole_to_who_locked_it() -> None:
    """Also once more, when the vault has sent it already: it passes over the number."""
    check_return(GOES_BACK, LOCKED)
    spend = Spend(b"t" * 32, BlockHeight(9), Purpose.RETURN)
    check_return(GOES_BACK, replace(LOCKED, stage=Stage.RETURNED, spend=spend))


@pytest.mark.parametrize(
    "changes",
    [
        {"return_transaction": None},
        {"return_transaction": None, "mint_transaction": b"m" * 32, "minted": TokenUnits(77), "stage": Stage.HELD},
        {"mint_transaction": b"m" * 32},
        {"return_transaction": None, "stage": Stage.REFUSED},
        {"return_transaction": None, "stage": Stage.FINAL},
        {"stage": Stage.CONFIRMING},
        {"height": None},
    ],
)
def test_a_deposit_that_may_be_minted_is_not_sent_back(changes: dict[str, Any]) -> None:
    """Only the Hub's bar makes sure that it never is; and only what this node saw locked is there to be sent."""
    with pytest.raises(UnaskedPayment):
        check_return(GOES_BACK, replace(LOCKED, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"payee": STRANGER},
        {"payee": b"r" * 20},
        {"asset": NATIVE_COIN},
        {"amount": TokenUnits(78)},
        {"amount": TokenUnits(76), "fee": TokenUnits(1)},
        {"fee": TokenUnits(1)},
        {"number": 3},
        {"number": RETURN | 4},
    ],
)
def test_a_return_that_differs_in_one_field_is_refused(changes: dict[str, Any]) -> None:
    """Nothing of it is the carrier's, and its recipient on the native chain has no claim to it."""
    with pytest.raises(UnaskedPayment):
        check_return(replace(GOES_BACK, **changes), LOCKED)


def test_what_failed_for_long_is_given_back() -> None:
    """Also where the Hub has burnt the tokens already, and where the asset is denied."""
    for stage in (WithdrawalStage.RESERVED, WithdrawalStage.SETTLED):
        for policy in (POLICY, DENIED):
            check_cancellation(replace(WITHDRAWAL, stage=stage), FAILED, policy, PATIENCE_MS, PATIENCE_MS)


@pytest.mark.parametrize("policy", [POLICY, DENIED])
def test_its_payee_has_time_to_claim_it(policy: AssetPolicy) -> None:
    """Who was paid and could not take it is not robbed of the claim, whoever denies the asset meanwhile."""
    with pytest.raises(NotCancellable):
        check_cancellation(WITHDRAWAL, FAILED, policy, PATIENCE_MS, PATIENCE_MS - 1)


def test_what_was_not_tried_is_cancelled_only_where_its_asset_is_denied() -> None:
    """Otherwise it is simply to be paid."""
    check_cancellation(WITHDRAWAL, None, DENIED, PATIENCE_MS, 0)
    with pytest.raises(NotCancellable):
        check_cancellation(WITHDRAWAL, None, POLICY, PATIENCE_MS, 10**9)


def test_what_is_above_a_limit_that_was_lowered_is_given_back() -> None:
    """The vault would pass it over in every window; a limit that it fits into changes nothing."""
    asked = replace(WITHDRAWAL, amount=TokenUnits(1_001))
    check_cancellation(asked, None, replace(POLICY, withdrawal_limit=TokenUnits(1_000)), PATIENCE_MS, 0)
    for limit in (1_001, 0):
        with pytest.raises(NotCancellable):
            check_cancellation(asked, None, replace(POLICY, withdrawal_limit=TokenUnits(limit)), PATIENCE_MS, 0)


def test_what_is_settled_and_not_seen_here_is_not_cancelled() -> None:
    """The vault has dealt with it: this node does not know yet how, and might take a claim away."""
    with pytest.raises(NotCancellable):
        check_cancellation(replace(WITHDRAWAL, stage=WithdrawalStage.SETTLED), None, DENIED, PATIENCE_MS, 10**9)


@pytest.mark.parametrize("outcome", [o for o in ReleaseOutcome if o is not ReleaseOutcome.FAILED])
def test_what_was_paid_is_not_cancelled(outcome: ReleaseOutcome) -> None:
    """Not by the vault either; nor twice."""
    with pytest.raises(NotCancellable):
        check_cancellation(WITHDRAWAL, replace(FAILED, outcome=outcome), DENIED, PATIENCE_MS, 10**9)


@pytest.mark.parametrize("stage", [WithdrawalStage.REQUESTED, WithdrawalStage.CANCELLED, WithdrawalStage.RESTORED])
def test_what_is_not_being_paid_is_not_cancelled(stage: WithdrawalStage) -> None:
    """A number that is given up before it is bound could never be paid."""
    with pytest.raises(NotCancellable):
        check_cancellation(replace(WITHDRAWAL, stage=stage), FAILED, DENIED, PATIENCE_MS, 10**9)


LIMITED = replace(POLICY, deposit_limit=TokenUnits(50), withdrawal_limit=TokenUnits(40))
PRESENT = VaultAssetRow(b"c" * 32, TOKEN, 0, 50, 30, False, 4)


def test_a_vault_is_told_what_the_registry_says() -> None:
    """Limits that its contract has no place for are none."""
    check_configuration(LIMITED, PRESENT, (50, 40, False), 5)
    huge = replace(
        POLICY, deposit_limit=TokenUnits(1 << LIMIT_BITS), withdrawal_limit=TokenUnits((1 << LIMIT_BITS) - 1)
    )
    assert wanted_limits(huge) == (0, (1 << LIMIT_BITS) - 1, False)
    check_configuration(huge, PRESENT, wanted_limits(huge), 5)


@pytest.mark.parametrize("limits", [(51, 40, False), (50, 41, False), (50, 40, True), (0, 0, False), (40, 50, False)])
def test_other_limits_than_the_registrys_are_refused(limits: tuple[int, int, bool]) -> None:
    """Higher ones would let more out than its owner allows, lower ones would lock people in."""
    with pytest.raises(WrongConfiguration):
        check_configuration(LIMITED, PRESENT, limits, 5)


@pytest.mark.parametrize("nonce", [0, 4, 6])
def test_a_configuration_has_the_next_nonce(nonce: int) -> None:
    """One that is signed ahead would be carried when the Registry says something else."""
    with pytest.raises(WrongConfiguration):
        check_configuration(LIMITED, PRESENT, (50, 40, False), nonce)


def test_a_vault_is_not_told_what_it_keeps_already() -> None:
    """It would use up the nonce of what it is really to be told."""
    with pytest.raises(WrongConfiguration):
        check_configuration(LIMITED, replace(PRESENT, withdrawal_limit=40), (50, 40, False), 5)
