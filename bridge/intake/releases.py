"""What vaults on EVM chains did with the numbers that they were to pay, held against what the Hub says of them.

The two chains are followed apart: a vault may have paid before this node has read who asked for it, so each number's
outcome is kept by itself, and a payout is looked at whenever one of the two sides has news of it.
"""

from __future__ import annotations

from adapters.evm.lockbox.types import NATIVE_COIN
from bridge import payouts
from bridge.directory import Directory
from bridge.intake.steps import Steps
from bridge.payouts import Confirmed, InChain, Payout, Withdrawal
from bridge.storage import ReleaseOutcome, ReleaseRow, View
from foundation.quantities import TokenUnits
from registry.caip import AssetType, lockbox_asset


def token_of(directory: Directory, asset: bytes) -> bytes:
    """How a vault names a registered asset: the token's contract, or zero for the chain's coin; 20 bytes."""
    return lockbox_asset(AssetType.parse(directory.assets[asset].caip19))


def contradiction(withdrawal: Withdrawal, row: ReleaseRow, token: bytes) -> str | None:
    """What is wrong with what a vault did with a withdrawal's number, for operators; None where all is right.

    The Hub fixes the carrier's fee with the reservation, so what it got is asked as exactly as what the payee got.
    """
    if row.outcome is ReleaseOutcome.CANCELLED and not row.payee:
        return None  # it was never tried, and never will be
    name = f"number {row.number}"
    if row.payee != withdrawal.destination:
        return f"{name} paid 0x{row.payee.hex()} instead of 0x{withdrawal.destination.hex()}"
    if row.asset != token:
        asset = "the chain's coin" if row.asset == NATIVE_COIN else f"the token 0x{row.asset.hex()}"
        return f"{name} paid with {asset}, which is another asset than the withdrawal's"
    if row.amount + row.fee != withdrawal.amount:
        return f"{name} paid {row.amount + row.fee} units instead of {withdrawal.amount}"
    if row.fee != withdrawal.max_fee:
        return f"{name} paid its carrier {row.fee} units instead of {withdrawal.max_fee}"
    return None


def given_back(withdrawal: Withdrawal, row: ReleaseRow) -> TokenUnits:
    """What a cancelled payment has left in the vault: all of it, or, where it was tried, all but the carrier's fee."""
    return TokenUnits(row.amount) if row.payee else withdrawal.amount


async def look_at_payout(view: View, steps: Steps, directory: Directory, payout: Payout) -> None:
    """Step a payout of an EVM chain as far as its vault has paid it; it is loaded, and its withdrawals are.

    It is in the chain once each of its numbers is consumed: paid, set aside for its payee, or cancelled.
    """
    chain = directory.chain_of(payout.asset)
    if chain is None or payout.is_bound:
        return
    withdrawals = [steps.withdrawals[id_] for id_ in payout.withdrawals]
    rows = await view.releases.get_many(chain, [withdrawal.number for withdrawal in withdrawals])
    token = token_of(directory, payout.asset)
    wrong = False
    for withdrawal in withdrawals:
        row = rows.get(withdrawal.number)
        problem = None if row is None else contradiction(withdrawal, row, token)
        if problem is not None:
            steps.alarm(withdrawal.withdrawal_id, problem)
            wrong = True
    if wrong or len(rows) < len(withdrawals):
        return
    last = max(rows.values(), key=lambda row: (row.height, row.log_index))
    fee = TokenUnits(sum(row.fee for row in rows.values()))
    text = directory.origins[chain].chain.caip2 if chain in directory.origins else ""
    confirmed = Confirmed(last.transaction, last.height, fee, directory.shown(payout.asset, fee), text)
    steps.step_payout(payout.payout_id, InChain(confirmed))
    steps.step_payout(payout.payout_id, payouts.Tip(last.height, 1))
