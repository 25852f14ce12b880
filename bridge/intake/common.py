"""What both intakes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.scripts import DepositTerms
from adapters.native.deployment import Deployment
from bridge.deposits import Deposit, Purpose, Stage, Terms
from bridge.directory import Directory
from bridge.intake.steps import Steps
from bridge.settings import PolicySection
from bridge.storage import DepositTermsRow, UnitOfWork
from foundation.quantities import Satoshi, UnixMs

Clock: TypeAlias = Callable[[], UnixMs]

BITCOIN_CURSOR: Final = "bitcoin"
NATIVE_CURSOR: Final = "native"
SUPPLY: Final = "supply"
"""Node fact: the mapping token's supply at the native cursor, in decimal."""
GROUPS: Final = "groups"
"""Node fact: the ids of all groups that were ever proposed, 32 bytes each, in order."""
_TAPROOT_ANNEX: Final = 0x50


def anchor_fact(outpoint: OutPoint) -> str:
    """Node fact: the payout whose anchor a coin is, its id. A coin is the anchor of one payout at most, for ever."""
    return f"anchor:{outpoint.txid.hex()}:{outpoint.vout}"


def maker_fact(txid: bytes) -> str:
    """Node fact: a coin of ours that a transaction with coins for the vault spends: txid (32 bytes) and vout (4)."""
    return f"maker:{txid.hex()}"


@dataclass(frozen=True, slots=True)
class Context:
    """What an intake needs besides the database."""

    deployment: Deployment
    directory: Directory
    policy: PolicySection
    clock: Clock

    def steps(self, uow: UnitOfWork) -> Steps:
        """The states that a unit of work touches."""
        p = self.policy
        return Steps(uow, self.clock(), p.confirmations, p.mint_margin, p.settled_depth)

    def terms(self) -> Terms:
        """What decides now whether a final deposit is minted."""
        asset, own = self.directory.policy, self.policy
        return Terms(
            own.confirmations, Satoshi(asset.minimum_deposit), asset.paused, own.mint_margin, own.settled_depth
        )

    def deposit_terms(self, row: DepositTermsRow) -> DepositTerms:
        """The terms behind a stored announcement. Raises `GroupUnknown`, `BadInput`."""
        return DepositTerms(
            hub_chain_id=self.deployment.chain_id,
            hub_address=self.deployment.hub,
            asset=row.asset,
            group_id=row.group_id,
            group_key=self.directory.key(row.group_id),
            recipient=row.recipient,
            reclaim_key=row.reclaim_key,
            delay=row.delay,
            salt=row.salt,
        )


def purpose_of(witness: tuple[bytes, ...], scripts: tuple[bytes, ...], vault: bytes) -> Purpose:
    """What a transaction does with a deposit's coin.

    `witness`: of the input that spends the coin; `scripts`: of the outputs. A spend through the leaf (BIP-341: more
    than one element besides an annex) is the depositor's; one by the key pays the vault, or sends the deposit back.
    """
    annex = len(witness) >= 2 and witness[-1][:1] == bytes([_TAPROOT_ANNEX])
    if len(witness) - annex > 1:
        return Purpose.RECLAIM
    return Purpose.SWEEP if vault in scripts else Purpose.RETURN


def is_placeholder(deposit: Deposit) -> bool:
    """Known from the Hub alone: this node has not seen its coin yet."""
    return not deposit.script


def completed(deposit: Deposit, row: DepositTermsRow, amount: Satoshi) -> Deposit:
    """A placeholder with what the coin and its terms say."""
    return replace(deposit, script=row.script, delay=row.delay, amount=amount)


def placeholder(
    deposit_id: bytes, asset: bytes, group: bytes, txid: bytes, vout: int, amount: int, recipient: bytes
) -> Deposit:
    """A deposit that the Hub speaks of before this node has seen its coin."""
    return Deposit(
        deposit_id, asset, group, txid, vout, Satoshi(amount), recipient, script=b"", delay=0, stage=Stage.MISSING
    )
