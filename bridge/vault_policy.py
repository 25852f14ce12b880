"""May this node sign that for a vault on an EVM chain? Pure checks against what it has seen of both chains itself.

Nothing that a coordinator says enters here except the proposal. A check returns nothing, or raises a typed refusal.
"""

from __future__ import annotations

from adapters.evm.lockbox.types import Payment
from bridge.deposits import Deposit, Stage
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.refusals import NotCancellable, NotPayable, PayoutClosed, UnaskedPayment, WrongConfiguration
from bridge.storage import ReleaseOutcome, ReleaseRow, VaultAssetRow
from bridge.vault_books import is_out_of_reach, payment_of, return_of, wanted_limits
from registry.assets import AssetPolicy


def check_payment(payment: Payment, withdrawal: Withdrawal, payout: Payout, token: bytes, policy: AssetPolicy) -> None:
    """May this payment of a release be signed? `token`: how the vault names the withdrawal's asset.

    To sign what the vault has paid already is harmless: it passes over the number.

    Raises:
        NotPayable, PayoutClosed: the Hub has not bound the withdrawal to this payout, or has ended it.
        UnaskedPayment: it pays otherwise than was asked for, or the asset is denied.
    """
    if withdrawal.stage is not WithdrawalStage.RESERVED or withdrawal.payout != payout.payout_id:
        raise NotPayable(withdrawal.withdrawal_id, withdrawal.stage)
    if payout.stage in {PayoutStage.SETTLED, PayoutStage.VOIDED}:
        raise PayoutClosed(payout.payout_id, payout.stage)
    if policy.denied:
        raise UnaskedPayment(payment.number, "its asset is denied: it is cancelled, and the tokens go back")
    _check_same(payment, payment_of(withdrawal, token))


def check_return(payment: Payment, deposit: Deposit) -> None:
    """May this payment, which sends a refused deposit back, be signed?

    Raises:
        UnaskedPayment: the Hub has not barred the deposit's mint, or it pays otherwise than it was locked.
    """
    if deposit.return_transaction is None or deposit.mint_transaction is not None:
        raise UnaskedPayment(payment.number, f"the deposit is {deposit.stage}: the Hub has not barred its mint")
    if deposit.stage not in {Stage.RETURNING, Stage.RETURNED} or deposit.height is None:
        raise UnaskedPayment(payment.number, f"the deposit is {deposit.stage}")
    (expected,) = return_of(deposit)
    _check_same(payment, expected)


def _check_same(payment: Payment, expected: Payment) -> None:
    for field in ("number", "asset", "payee", "amount", "fee"):
        proposed, asked = getattr(payment, field), getattr(expected, field)
        if proposed != asked:
            shown = [value.hex() if isinstance(value, bytes) else str(value) for value in (proposed, asked)]
            raise UnaskedPayment(payment.number, f"its {field} is {shown[0]}, asked for was {shown[1]}")


def check_cancellation(
    withdrawal: Withdrawal, release: ReleaseRow | None, policy: AssetPolicy, give_back_after_ms: int, failed_ms: int
) -> None:
    """May this node sign that the vault is never to pay this withdrawal? Its tokens then go back to its owner.

    `failed_ms`: for how long the payment has been failing, in milliseconds. Its payee can claim it meanwhile, also
    where the asset is denied: tokens of such an asset are worth less to its owner than the claim.

    Raises:
        NotCancellable: it may be paid still, or it was.
    """
    number = withdrawal.number
    if withdrawal.stage not in {WithdrawalStage.RESERVED, WithdrawalStage.SETTLED}:
        raise NotCancellable(number, f"the withdrawal is {withdrawal.stage}")
    if release is None:
        if not is_out_of_reach(withdrawal, policy):
            raise NotCancellable(number, "it was not tried, and nothing keeps the vault from paying it")
        if withdrawal.stage is WithdrawalStage.SETTLED:
            raise NotCancellable(number, "the vault has dealt with it, in a block that is not read here yet")
        return
    if release.outcome is not ReleaseOutcome.FAILED:
        raise NotCancellable(number, f"it is {release.outcome}")
    if failed_ms < give_back_after_ms:
        raise NotCancellable(number, "its payee has had too little time to claim it")


def check_configuration(policy: AssetPolicy, present: VaultAssetRow, limits: tuple[int, int, bool], nonce: int) -> None:
    """May this node sign an asset's limits, and whether it is denied, for the vault?

    Raises:
        WrongConfiguration: the Registry says otherwise, or the vault has been told already.
    """
    if tuple(limits) != wanted_limits(policy):
        raise WrongConfiguration(f"{limits} instead of {wanted_limits(policy)}")
    if tuple(limits) == (present.deposit_limit, present.withdrawal_limit, present.denied):
        raise WrongConfiguration("the vault keeps that already")
    if nonce != present.nonce + 1:
        raise WrongConfiguration(f"nonce {nonce} instead of {present.nonce + 1}")
