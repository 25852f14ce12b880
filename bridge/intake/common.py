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
from bridge.payouts import Payout, Withdrawal
from bridge.settings import PolicySection
from bridge.storage import DepositTermsRow, IncidentKind, UnitOfWork
from bridge.tiers import Tier, Tiers
from foundation.quantities import Satoshi, UnixMs
from registry.caip import ChainId
from registry.ids import withdrawal_id

Clock: TypeAlias = Callable[[], UnixMs]

BITCOIN_CURSOR: Final = "bitcoin"
NATIVE_CURSOR: Final = "native"
SUPPLY: Final = "supply"
"""Node fact: the supply of bitcoin's mapping token at the native cursor, in decimal."""
PENDING: Final = "pending"
"""Node fact: the service fees in bitcoin that the Hub has noted and not minted yet, in decimal."""
EVERYTHING: Final = bytes(32)
"""In the place of an asset's id: all of them."""
GROUPS: Final = "groups"
"""Node fact: the ids of all groups that were ever proposed, 32 bytes each, in order."""
_TAPROOT_ANNEX: Final = 0x50
_ONE_BLOCK: Final = Tiers((Tier(None, 1),))


def evm_cursor(chain: bytes) -> str:
    """The name of the cursor of an EVM chain's follower."""
    return f"evm:{chain.hex()}"


def epoch_fact(chain: bytes) -> str:
    """Node fact: the epoch of the key that an EVM chain's vault obeys, in decimal; none before the first rotation."""
    return f"epoch:{chain.hex()}"


def failed_fact(chain: bytes, number: int) -> str:
    """Node fact: when this node saw that a vault's payment failed, in milliseconds since 1970, in decimal."""
    return f"failed:{chain.hex()}:{number}"


def supply_fact(asset: bytes) -> str:
    """As `SUPPLY`, of an asset of an EVM chain."""
    return f"supply:{asset.hex()}"


def halt_fact(asset: bytes) -> str:
    """Node fact: until when the vouchers have halted an asset, or `EVERYTHING`; seconds since 1970, in decimal."""
    return f"halted:{asset.hex()}"


def pending_fact(asset: bytes) -> str:
    """As `PENDING`, of an asset of an EVM chain."""
    return f"pending:{asset.hex()}"


def described_fact(asset: bytes) -> str:
    """Node fact: what an asset that is not registered says of itself, as the `AssetSeen` that this node attests."""
    return f"described:{asset.hex()}"


WANTED_HALTS: Final = "wanted-halts"
"""Node fact: the halts that this voucher wants, asset to seconds since 1970; see `bridge.halts`."""
WANTED_ENDS: Final = "wanted-ends"
"""Node fact: the halts that this voucher wants to end, in the same form."""


def latest_halt_fact(asset: bytes) -> str:
    """Node fact: the latest end that a halt of an asset, or of `EVERYTHING`, ever had, in the same form."""
    return f"latest-halt:{asset.hex()}"


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
        return Steps(uow, self.clock(), self.chain_of, p.confirmations, p.mint_margin, p.settled_depth)

    def chain_of(self, state: Deposit | Withdrawal | Payout) -> bytes:
        """The origin chain of a transfer or a payout, 32 bytes; a lock says it itself, registered or not."""
        lock = state.lock if isinstance(state, Deposit) else None
        if lock is not None:
            return ChainId.parse(lock.chain).id
        return self.directory.chain_of(state.asset) or self.directory.chain

    def terms(self) -> Terms:
        """What decides now whether a final deposit of bitcoin is minted."""
        asset, own = self.directory.policy, self.policy
        return Terms(
            own.confirmations,
            asset.minimum_deposit,
            asset.paused,
            own.mint_margin,
            own.settled_depth,
            asset.denied,
            asset.deposit_limit,
        )

    def evm_terms(self, asset: bytes) -> Terms:
        """What decides now whether a deposit that was locked on an EVM chain is minted; it is final when it is seen."""
        policy = self.directory.policy_of(asset)
        nobody = frozenset({self.deployment.hub, bytes(20)})
        known = asset in self.directory.assets
        minimum, limit = policy.minimum_deposit, policy.deposit_limit
        return Terms(_ONE_BLOCK, minimum, policy.paused, 0, 1, policy.denied, limit, nobody, known)

    def withdrawal_id(self, number: int) -> bytes:
        """The id of the Hub's withdrawal with this number, 32 bytes."""
        return withdrawal_id(self.deployment.chain_id, self.deployment.hub, number)

    async def alarm(self, uow: UnitOfWork, subject: bytes, text: str) -> None:
        """Keep something that operators must look at."""
        fields = {"text": text}
        await uow.incidents.record(IncidentKind.ALARM, "Alarm", self.clock(), subject=subject, fields=fields)

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
    return replace(deposit, script=row.script, delay=row.delay, amount=amount, recipient=row.recipient)


def placeholder(
    deposit_id: bytes, asset: bytes, group: bytes, txid: bytes, vout: int, amount: int, recipient: bytes
) -> Deposit:
    """A deposit that the Hub speaks of before this node has seen its coin."""
    return Deposit(
        deposit_id, asset, group, txid, vout, Satoshi(amount), recipient, script=b"", delay=0, stage=Stage.MISSING
    )
