"""What the database says of vaults on EVM chains, in the terms in which the signing policy asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import Payment, return_number
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit, Stage
from bridge.directory import Directory, EvmOrigin
from bridge.intake.common import epoch_fact, pending_fact, supply_fact
from bridge.intake.releases import contradiction, token_of
from bridge.payouts import Payout, PayoutStage, Withdrawal
from bridge.refusals import Insolvent, NotYet
from bridge.storage import PayoutRow, ReleaseOutcome, TransferKind, View
from foundation.quantities import TokenUnits
from registry.assets import AssetPolicy

LIMIT_BITS: Final = 112
"""A vault's contract keeps its limits in so many bits; higher ones are none."""
_LIVE: Final = (PayoutStage.RESERVED, PayoutStage.CONFIRMING, PayoutStage.PAID)
_WAITING: Final = (Stage.FINAL, Stage.REFUSED, Stage.RETURNING)


async def epoch(view: View, chain: bytes) -> int:
    """The epoch of the key that a chain's vault obeys, as far as this node has read."""
    return int(await view.node_meta.get(epoch_fact(chain)) or b"0")


async def messages(view: View, origin: EvmOrigin) -> Messages:
    """What a group signs for a vault now."""
    return Messages(origin.chain_number, origin.vault.lockbox, await epoch(view, origin.chain.id))


async def supply(view: View, asset: bytes) -> TokenUnits:
    """The supply of an EVM asset's mapping token at the native cursor, locked tokens included."""
    return TokenUnits(int(await view.node_meta.get(supply_fact(asset)) or b"0"))


async def pending(view: View, asset: bytes) -> TokenUnits:
    """The service fees of an asset that the Hub will mint, at the native cursor: reserves have to cover them too."""
    return TokenUnits(int(await view.node_meta.get(pending_fact(asset)) or b"0"))


@dataclass(frozen=True, slots=True)
class VaultBalance:
    """One asset at its vault, at this node's two cursors. Amounts in base units.

    Fields: held (what is in the vault for the bridge); set_aside (for payees whose payment failed, and is theirs to
    claim); unsettled (what has left the vault, or is set aside, as it was asked for, for withdrawals whose tokens are
    not burnt yet); waiting (what was locked and is neither minted nor sent back); supply (of the token); pending
    (service fees that the Hub will mint).
    """

    held: TokenUnits
    set_aside: TokenUnits
    unsettled: TokenUnits
    waiting: TokenUnits
    supply: TokenUnits
    pending: TokenUnits = TokenUnits(0)

    @property
    def backing(self) -> int:
        """What backs tokens, in base units. A deposit that waits backs none: its tokens would come on top."""
        return self.held + self.unsettled - self.waiting

    @property
    def surplus(self) -> int:
        """What is there beyond what is owed; negative where something is missing."""
        return self.backing - self.supply - self.pending

    def check(self) -> None:
        """Raises `Insolvent` if the tokens are not backed."""
        if self.surplus < 0:
            raise Insolvent(TokenUnits(self.backing), TokenUnits(self.supply + self.pending))


async def balance(view: View, directory: Directory, asset: bytes) -> VaultBalance:
    """What the vault of a registered EVM asset holds against what it owes."""
    chain = directory.assets[asset].chain
    token = token_of(directory, asset)
    row = await view.vault_assets.get(chain, token)
    failed = [r for r in await view.releases.by_outcome(chain, ReleaseOutcome.FAILED) if r.asset == token]
    return VaultBalance(
        TokenUnits(0 if row is None else row.held),
        TokenUnits(sum(release.amount for release in failed)),
        await _unsettled(view, chain, asset, token),
        await _waiting(view, chain, asset),
        await supply(view, asset),
        await pending(view, asset),
    )


async def _unsettled(view: View, chain: bytes, asset: bytes, token: bytes) -> TokenUnits:
    """What was paid otherwise than it was asked for is in nobody's place: its tokens will never be burnt for it."""
    total = 0
    for payout in [p for p in await live_payouts(view, chain) if p.asset == asset]:
        withdrawals = await withdrawals_of(view, payout)
        found = await view.releases.get_many(chain, [withdrawal.number for withdrawal in withdrawals])
        for withdrawal in withdrawals:
            release = found.get(withdrawal.number)
            if release is None or contradiction(withdrawal, release, token) is not None:
                continue
            # What was tried and cancelled is in the vault again, but for what its carrier got.
            is_back = release.outcome is ReleaseOutcome.CANCELLED
            total += release.fee if is_back else release.amount + release.fee
    return TokenUnits(total)


async def _waiting(view: View, chain: bytes, asset: bytes) -> TokenUnits:
    rows = await view.transfers.by_stage(TransferKind.DEPOSIT, *_WAITING, chain=chain)
    deposits = [decode_deposit(row) for row in rows]
    return TokenUnits(sum(d.amount for d in deposits if d.asset == asset and d.lock is not None and d.spend is None))


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


def is_out_of_reach(withdrawal: Withdrawal, policy: AssetPolicy) -> bool:
    """Whether a vault will not pay a withdrawal as things stand: its asset is denied, or it is above a whole window's
    limit, which was higher when it was asked for.
    """
    _, limit, denied = wanted_limits(policy)
    return denied or 0 < limit < withdrawal.amount


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
