"""A withdrawal's journey that a vault on an EVM chain pays: who signs, who carries, and what became of the payment."""

from __future__ import annotations

from typing import Final

from bridge.codec import decode_payout
from bridge.journey_locks import of_release
from bridge.journey_parts import (
    FeeState,
    Journey,
    Mover,
    Surroundings,
    TransactionRef,
    Unit,
    Waiting,
    in_a_slot,
    with_told,
)
from bridge.messages import RELEASE
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.storage import ReleaseOutcome, ReleaseRow, TransferRow, View
from foundation.quantities import TokenUnits

_ACCOUNT_BYTES: Final = 20
_DONE: Final = frozenset({PayoutStage.CONFIRMING, PayoutStage.PAID})


def is_release(withdrawal: Withdrawal) -> bool:
    """Whether a vault on an EVM chain pays it: to an account, where bitcoin pays to a script."""
    return len(withdrawal.destination) == _ACCOUNT_BYTES


async def release_journey(view: View, row: TransferRow, withdrawal: Withdrawal, around: Surroundings) -> Journey:
    """The journey of a withdrawal to an EVM chain whose row this is."""
    steps = await view.journey.of(row.id)
    payouts = [decode_payout(one) for one in await view.payouts.of_withdrawal(row.id)]
    payout = payouts[-1] if payouts else None
    done = await view.releases.get(row.chain, withdrawal.number)
    is_signed = payout is not None and await _is_signed(view, payout)
    unit = around.unit(withdrawal.asset, is_bitcoin=False)
    return Journey(
        id=row.id,
        kind=row.kind,
        stage=_stage(withdrawal, payout),
        amount=withdrawal.amount,
        party=withdrawal.owner,
        destination=withdrawal.destination,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        payout=None if payout is None else payout.payout_id,
        transactions=with_told(_transactions(withdrawal, done, unit), steps),
        depth=None,
        waiting=_waiting(withdrawal, payout, done, is_signed, unit, around),
        fee=_fee(withdrawal, done, unit),
        reclaim=None,
        steps=steps,
        arrives=_arrives(withdrawal, payout, done),
        unit=unit,
        asset=withdrawal.asset,
    )


async def _is_signed(view: View, payout: Payout) -> bool:
    return any(row.kind == RELEASE for row in await view.vault_signatures.of_subject(payout.payout_id))


def _stage(withdrawal: Withdrawal, payout: Payout | None) -> str:
    """The withdrawal's stage on the Hub; between reservation and settlement the payout's, which says more."""
    if withdrawal.stage is WithdrawalStage.RESERVED and payout is not None:
        return str(payout.stage)
    return str(withdrawal.stage)


def _transactions(withdrawal: Withdrawal, done: ReleaseRow | None, unit: Unit) -> list[TransactionRef]:
    found = [TransactionRef("request", "native", withdrawal.request_transaction, withdrawal.requested_at)]
    return found if done is None else [*found, *of_release(done, unit.chain or "evm", "release")]


def _arrives(withdrawal: Withdrawal, payout: Payout | None, done: ReleaseRow | None) -> TokenUnits | None:
    """What the payee has got, or will; nothing where the payment was cancelled."""
    if done is not None:
        return None if done.outcome is ReleaseOutcome.CANCELLED else TokenUnits(done.amount)
    return None if payout is None else TokenUnits(withdrawal.amount - withdrawal.max_fee)


def _fee(withdrawal: Withdrawal, done: ReleaseRow | None, unit: Unit) -> FeeState:
    """The carrier's; there is nothing to compare it with here."""
    if done is None:
        return FeeState(f"its carrier gets {unit.show(withdrawal.max_fee)}", None)
    return FeeState(f"its carrier got {unit.show(done.fee)}", None)


def _waiting(
    withdrawal: Withdrawal,
    payout: Payout | None,
    done: ReleaseRow | None,
    is_signed: bool,
    unit: Unit,
    around: Surroundings,
) -> Waiting:
    if done is not None and done.outcome is ReleaseOutcome.FAILED:
        command = f"causeway relay claim {withdrawal.number} --chain {unit.chain or 'CHAIN'} --to ADDRESS"
        return Waiting(f"its payee takes the payment, which failed, from the vault: {command}", Mover.PAYEE)
    match withdrawal.stage:
        case WithdrawalStage.SETTLED if done is not None and done.outcome is ReleaseOutcome.CANCELLED:
            what = "the vouchers attest that the vault will never pay it: the Hub gives the tokens back"
            return Waiting(what, Mover.VOUCHERS, in_a_slot(around))
        case WithdrawalStage.SETTLED:
            return Waiting("nothing: it is paid and the tokens are burnt", Mover.NOBODY)
        case WithdrawalStage.CANCELLED:
            return Waiting("nothing: it was cancelled and the tokens are back", Mover.NOBODY)
        case WithdrawalStage.RESTORED:
            return Waiting("nothing: it could not be paid, and the tokens are back", Mover.NOBODY)
        case WithdrawalStage.REQUESTED:
            return Waiting("the storemen reserve it on the Hub", Mover.STOREMEN, in_a_slot(around))
        case WithdrawalStage.RESERVED:
            return _reserved(withdrawal, payout, done, is_signed, unit, around)


def _reserved(
    withdrawal: Withdrawal,
    payout: Payout | None,
    done: ReleaseRow | None,
    is_signed: bool,
    unit: Unit,
    around: Surroundings,
) -> Waiting:
    soon = in_a_slot(around)
    if payout is None:
        return Waiting("this node to learn of the payout that the Hub names", Mover.NOBODY)
    if payout.stage in _DONE:
        what = "more than two thirds of the vouchers attest the payment; one settles it and burns the tokens"
        return Waiting(what, Mover.VOUCHERS, soon)
    if payout.stage is PayoutStage.SETTLED:
        return Waiting("the Hub's settlement to be final on the native chain", Mover.NOBODY)
    if done is not None:
        return Waiting("the other payments of its payout, which are settled together", Mover.CARRIER, soon)
    if not is_signed:
        return Waiting("the storemen sign the release", Mover.STOREMEN, soon)
    chain = unit.chain or "CHAIN"
    command = f"causeway relay {withdrawal.withdrawal_id.hex()[:12]} --chain {chain}"
    return Waiting(f"the signed release is carried to the vault on {chain}: {command}", Mover.CARRIER, soon)
