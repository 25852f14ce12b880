"""The rows that repositories take and give. Their fields are the tables' columns, in the tables' order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from foundation.quantities import BlockHeight, Satoshi, UnixMs


class CoinKind(StrEnum):
    """Whose script a coin lies on."""

    VAULT = "vault"
    DEPOSIT = "deposit"


class TransferKind(StrEnum):
    """Which way a transfer goes."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class TransactionPurpose(StrEnum):
    """What a bitcoin transaction of the group is for."""

    PAYOUT = "payout"
    SWEEP = "sweep"
    RETURN = "return"
    CPFP = "cpfp"


class ReleaseOutcome(StrEnum):
    """What became of a number at a Lockbox. Only FAILED changes again: into CLAIMED or CANCELLED."""

    PAID = "paid"
    FAILED = "failed"
    """The payee could not be paid: the amount waits for its claim."""
    CLAIMED = "claimed"
    """It had failed, and the payee has fetched the amount."""
    CANCELLED = "cancelled"
    """The group gave the number up: nobody was paid, and nobody can be."""


class IncidentKind(StrEnum):
    """How bad an incident is: refused and harmless, a party's provable fault, or something operators must look at."""

    REFUSAL = "refusal"
    FAULT = "fault"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class DepositTermsRow:
    """The terms of one deposit address, as they were announced on the native chain."""

    script: bytes  # scriptPubKey, 34 bytes
    announcement_id: bytes  # 32 bytes
    asset: bytes  # 32 bytes
    group_id: bytes  # 32 bytes
    recipient: bytes  # 20 bytes
    reclaim_key: bytes  # x-only, 32 bytes
    delay: int  # blocks
    salt: bytes  # 32 bytes
    birthday: BlockHeight  # no coin is older


@dataclass(frozen=True, slots=True)
class CoinRow:
    """A coin on a watched script. `height` is None while its block is not in the chain; `spent_by` while it is
    unspent in the chain (what waits in a mempool spends nothing here).
    """

    txid: bytes  # 32 bytes, wire order
    vout: int
    script: bytes
    value: Satoshi
    kind: CoinKind
    height: BlockHeight | None
    block_hash: bytes | None  # 32 bytes
    spent_by: bytes | None = None  # txid
    spent_height: BlockHeight | None = None
    spent_block_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class CoinSpend:
    """A transaction in the chain spends a coin."""

    txid: bytes  # of the coin
    vout: int
    spent_by: bytes  # the spender's txid
    height: BlockHeight
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class TransferRow:
    """A deposit or a withdrawal. `version` is that of the row as it was read, 0 for a new one."""

    id: bytes  # 32 bytes
    kind: TransferKind
    stage: str
    state: bytes  # the state machine's state, see bridge.codec
    created_at_ms: UnixMs
    updated_at_ms: UnixMs
    height: BlockHeight | None = None  # the block that it lies in, on its origin chain
    next_height: BlockHeight | None = None  # from which the next step is due; None: it waits for no block
    version: int = 0
    chain: bytes = b""  # id of its origin chain, 32 bytes; it never changes


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """A payout. `version` is that of the row as it was read, 0 for a new one."""

    id: bytes  # 32 bytes
    stage: str
    state: bytes  # see bridge.codec
    created_at_ms: UnixMs
    updated_at_ms: UnixMs
    version: int = 0
    chain: bytes = b""  # id of the origin chain that it pays on, 32 bytes; it never changes


@dataclass(frozen=True, slots=True)
class JourneyEntry:
    """One line of a transfer's history."""

    transfer_id: bytes
    at_ms: UnixMs
    stage: str
    note: str
    txid: bytes | None = None  # a transaction on `chain`
    chain: str = ""


@dataclass(frozen=True, slots=True)
class BitcoinTransactionRow:
    """A transaction that the group signed. Times are None until it is first broadcast."""

    txid: bytes  # 32 bytes, wire order
    purpose: TransactionPurpose
    subject: bytes  # payout id, deposit id, or what the purpose says
    raw: bytes
    fee: Satoshi
    vsize: int  # virtual bytes
    first_broadcast_at_ms: UnixMs | None = None
    last_broadcast_at_ms: UnixMs | None = None
    height: BlockHeight | None = None  # None: not in the chain
    block_hash: bytes | None = None
    replaced_by: bytes | None = None  # txid of the fee bump


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A signature that this node has checked: an attestation or a co-signature."""

    digest: bytes  # 32 bytes
    signer: bytes  # account, 20 bytes
    subject: bytes  # what it is about: deposit id, payout id
    kind: str
    signature: bytes  # 65 bytes
    created_at_ms: UnixMs


@dataclass(frozen=True, slots=True)
class PromiseRow:
    """What this node signed for a slot."""

    kind: str
    key: bytes  # the slot
    digest: bytes  # 32 bytes
    body: bytes
    created_at_ms: UnixMs


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An effect that waits for delivery."""

    id: int
    key: str
    kind: str
    body: bytes
    created_at_ms: UnixMs
    attempts: int
    not_before_ms: UnixMs
    delivered_at_ms: UnixMs | None


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """Something that a party did wrong, or that operators must look at; `count` times until `at_ms`."""

    id: int
    first_at_ms: UnixMs
    at_ms: UnixMs
    party: bytes  # host key (33 bytes), account (20 bytes) or empty
    kind: IncidentKind
    error: str  # name of the error's type
    subject: bytes
    fields: str  # JSON, of the last time
    count: int


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """What became of one number at a Lockbox. Amounts in the asset's base units."""

    chain: bytes  # 32 bytes
    number: int  # of a withdrawal on the Hub, or 2**255 with the number of a refused lock
    outcome: ReleaseOutcome
    asset: bytes  # 20 bytes; zero: the chain's coin
    payee: bytes  # 20 bytes; empty where a number was cancelled before anything was paid
    amount: int
    fee: int  # paid to whoever carried the release
    transaction: bytes  # 32 bytes: it consumed the number
    height: BlockHeight
    log_index: int
    changed_by: bytes  # 32 bytes: the transaction of the newest outcome
    changed_height: BlockHeight


@dataclass(frozen=True, slots=True)
class VaultSignatureRow:
    """A message to a Lockbox with the group's signature, which anyone may carry."""

    message: bytes  # 32 bytes: what was signed
    chain: bytes  # 32 bytes
    epoch: int  # of the Lockbox's key
    kind: str  # release, cancel, configure …
    subject: bytes  # 32 bytes: what it is about, such as the payout
    body: bytes  # what the call says, so that it can be made
    rx: bytes  # 32 bytes
    s: bytes  # 32 bytes
    ry: bytes  # 32 bytes
    created_at_ms: UnixMs
    published_at_ms: UnixMs | None = None  # when the native chain had it
    done_at_ms: UnixMs | None = None  # when nothing of it was left to carry


@dataclass(frozen=True, slots=True)
class VaultAssetRow:
    """One asset at one Lockbox, by the Lockbox's events up to the chain's cursor. Amounts in base units."""

    chain: bytes  # 32 bytes
    asset: bytes  # 20 bytes; zero: the chain's coin
    held: int = 0  # what the vault holds for the bridge
    deposit_limit: int = 0  # a window; 0: no limit
    withdrawal_limit: int = 0  # a window; 0: no limit
    denied: bool = False
    nonce: int = 0  # of the newest configuration
