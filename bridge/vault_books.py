"""What the database says of vaults on EVM chains, in the terms in which the signing policy asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import Payment, return_number
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit
from bridge.directory import Directory, EvmOrigin
from bridge.intake.common import epoch_fact, supply_fact
from bridge.intake.releases import token_of
from bridge.payouts import Payout, PayoutStage, Withdrawal
from bridge.refusals import Insolvent, NotYet
from bridge.storage import PayoutRow, ReleaseOutcome, TransferKind, View
from foundation.quantities import TokenUnits
from registry.assets import AssetPolicy

LIMIT_BITS: Final = 112
"""A vault's contract keeps its limits in so many bits; higher ones are none."""
_LIVE: Final = (PayoutStage.RESERVED, PayoutStage.CONFIRMING, PayoutStage.PAID)


async def epoch(view: View, chain: bytes) -> int:
    """The epoch of the key that a chain's vault obeys, as far as this node has read."""
    return int(await view.node_meta.get(epoch_fact(chain)) or b"0")


async def messages(view: View, origin: EvmOrigin) -> Messages:
    """What a group signs for a vault now."""
    return Messages(origin.chain_number, origin.vault.lockbox, await epoch(view, origin.chain.id))


async def supply(view: View, asset: bytes) -> TokenUnits:
    """The supply of an EVM asset's mapping token at the native cursor, locked tokens included."""
    return TokenUnits(int(await view.node_meta.get(supply_fact(asset)) or b"0"))


@dataclass(frozen=True, slots=True)
class VaultBalance:
    """One asset at its vault, at this node's two cursors. Amounts in base units.

    Fields: held (what backs tokens); set_aside (for payees whose payment failed, and is theirs to claim); unsettled
    (what has left the vault, or is set aside, for withdrawals whose tokens are not burnt yet); supply (of the token).
    """

    held: TokenUnits
    set_aside: TokenUnits
    unsettled: TokenUnits
    supply: TokenUnits

    @property
    def surplus(self) -> int:
        """What is there beyond what is owed; negative where something is missing."""
        return self.held + self.unsettled - self.supply

    def check(self) -> None:
        """Raises `Insolvent` if the tokens are not backed."""
        if self.surplus < 0:
            raise Insolvent(TokenUnits(self.held + self.unsettled), self.supply)


async def balance(view: View, directory: Directory, asset: bytes) -> VaultBalance:
    """What the vault of a registered EVM asset holds against what it owes."""
    chain = directory.assets[asset].chain
    token = token_of(directory, asset)
    row = await view.vault_assets.get(chain, token)
    failed = [r for r in await view.releases.by_outcome(chain, ReleaseOutcome.FAILED) if r.asset == token]
    return VaultBalance(
        TokenUnits(0 if row is None else row.held),
        TokenUnits(sum(release.amount for release in failed)),
        await _unsettled(view, chain, asset),
        await supply(view, asset),
    )


async def _unsettled(view: View, chain: bytes, asset: bytes) -> TokenUnits:
    total = 0
    for payout in [p for p in await live_payouts(view, chain) if p.asset == asset]:
        withdrawals = await withdrawals_of(view, payout)
        found = await view.releases.get_many(chain, [withdrawal.number for withdrawal in withdrawals])
        total += sum(release.amount + release.fee for release in found.values())
    return TokenUnits(total)


async def live_payouts(view: View, chain: bytes, *stages: PayoutStage) -> list[Payout]:
    """A chain's payouts that are not settled, or those in `stages`, oldest first."""
    rows: tuple[PayoutRow, ...] = await view.payouts.by_stage(*(stages or _LIVE), chain=chain)
    return [decode_payout(row) for row in rows]


async def withdrawals_of(view: View, payout: Payout) -> list[Withdrawal]:
    """A payout's withdrawals, in its order. Raises `NotYet` where one is unknown here."""
    rows = await view.transfers.get_many(payout.withdrawals)
    if len(rows) != len(payout.withdrawals):
        raise NotYet("a withdrawal of the payout")
    return [decode_withdrawal(rows[id_]) for id_ in payout.withdrawals]


def payment_of(withdrawal: Withdrawal, token: bytes) -> Payment:
    """How a vault pays a withdrawal: what its owner offers the carrier goes to the carrier, the rest to the payee."""
    rest = TokenUnits(withdrawal.amount - withdrawal.max_fee)
    return Payment(withdrawal.number, token, withdrawal.destination, rest, withdrawal.max_fee)


async def release_of(view: View, directory: Directory, payout: Payout) -> tuple[Payment, ...]:
    """The release that pays a payout, in its order: the same on every node, and for anyone who reads the Hub.

    Numbers that are consumed already stay in it; the contract passes them over.
    """
    token = token_of(directory, payout.asset)
    return tuple(payment_of(withdrawal, token) for withdrawal in await withdrawals_of(view, payout))


def return_of(deposit: Deposit) -> tuple[Payment, ...]:
    """The release that sends a refused deposit back, whole, to who locked it."""
    assert deposit.lock is not None, "only a lock is sent back by a vault"
    lock = deposit.lock
    return (Payment(return_number(lock.number), lock.token, lock.sender, deposit.amount, TokenUnits(0)),)


async def withdrawal_by_id(view: View, withdrawal: bytes) -> Withdrawal:
    """A withdrawal. Raises `NotYet` where it is unknown here."""
    row = await view.transfers.get(withdrawal)
    if row is None or row.kind is not TransferKind.WITHDRAWAL:
        raise NotYet("a withdrawal of the proposal")
    return decode_withdrawal(row)


async def locked(view: View, chain: bytes, stage: str) -> list[Deposit]:
    """A chain's locked deposits in a stage, oldest first."""
    rows = await view.transfers.by_stage(TransferKind.DEPOSIT, stage, chain=chain)
    return [deposit for deposit in map(decode_deposit, rows) if deposit.lock is not None]


def wanted_limits(policy: AssetPolicy) -> tuple[TokenUnits, TokenUnits, bool]:
    """What a vault is to be told of an asset: its limits for deposits and withdrawals, and whether it is denied."""

    def fitting(limit: int) -> TokenUnits:
        return TokenUnits(limit if limit < 1 << LIMIT_BITS else 0)

    return fitting(policy.deposit_limit), fitting(policy.withdrawal_limit), policy.denied
