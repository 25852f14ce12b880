"""What can change a side of a swap: facts, each harmless when it is repeated or late.

When an engine starts, it tells everything anew, and also what the state holds and is not there any more (`LockGone`,
`OutputGone`, `SpendGone`): a transaction may have been replaced while it was down.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from settlement.swap.machine.facts import LockStatus, LockView, SpendKind
from settlement.swap.machine.messages import Message


class Wish(StrEnum):
    """What an owner may ask for at any time. None of it overrides a gate."""

    CANCEL = "cancel"
    """End it without trading, as far as that is still possible."""
    REDEEM = "redeem"
    """Claim at once, without waiting for the other side's signature."""
    REFUND = "refund"
    """Take the own money back as soon as the chain allows, and do not trade."""


class _Change(Struct, frozen=True, tag=True):
    """All changes are immutable."""


class PeerAgreed(_Change, frozen=True):
    """The other side's signature of the terms' hash has come, and holds."""


class BlockTimes(_Change, frozen=True):
    """The newest blocks: bitcoin's median time past and height, the EVM chain's time and height. Seconds."""

    mtp: int
    bitcoin_height: int
    evm_time: int
    evm_height: int


class LockSeen(_Change, frozen=True):
    """A lock is on the contract, or in the mempool (`confirmations` 0). `final`: with the terms' confirmations, and
    proved. The engine tells of locks that this swap's payer made for its beneficiary, or under its lock id.
    `memo_holds`: to a follower, that the memo beside its lock brings the swap back from its words alone."""

    view: LockView
    status: LockStatus
    confirmations: int
    final: bool
    memo_holds: bool = True


class LockGone(_Change, frozen=True):
    """A lock that was seen is not there any more."""

    lock_id: bytes


class OutputSeen(_Change, frozen=True):
    """An output pays to the swap's script. Fields: outpoint (36 bytes); value (satoshi); confirmations."""

    outpoint: bytes
    value: int
    confirmations: int


class OutputGone(_Change, frozen=True):
    """An output that was seen is neither in a block nor in the mempool any more."""

    outpoint: bytes


class SpendSeen(_Change, frozen=True):
    """An output of the swap is spent. What the witness of a claim shows is a change of its own: `SecretSeen`."""

    outpoint: bytes
    kind: SpendKind
    txid: bytes
    confirmations: int


class SpendGone(_Change, frozen=True):
    """A spend that was seen is neither in a block nor in the mempool any more."""

    outpoint: bytes


class SecretSeen(_Change, frozen=True):
    """A chain, or a mempool, has shown the secret (32 bytes). One that does not fit the terms is passed over."""

    secret: bytes


class LetterCame(_Change, frozen=True):
    """The other side's letter, whose writer the engine has checked."""

    message: Message


class FundingPrepared(_Change, frozen=True):
    """Follower, point mode: the funding transaction is signed and saved, its coins are reserved, and it was not sent.

    Fields: round; outpoint (36 bytes); nonces (public, 66 bytes, one a rung; the secret ones live in the engine's
    memory alone).
    """

    round: int
    outpoint: bytes
    nonces: tuple[bytes, ...]


class RungsOffered(_Change, frozen=True):
    """Initiator, point mode: it made nonces and partial signatures of a round, and forgot the secret nonces."""

    round: int
    nonces: tuple[bytes, ...]
    partials: tuple[bytes, ...]


class RungsSigned(_Change, frozen=True):
    """Follower, point mode: the other's partial signatures hold; these are the pre-signatures that both make, and this
    side's partial signatures, and the secret nonces are forgotten."""

    round: int
    presignatures: tuple[bytes, ...]
    partials: tuple[bytes, ...]


class RungsComplete(_Change, frozen=True):
    """Initiator, point mode: the other's partial signatures hold; these are the pre-signatures."""

    round: int
    presignatures: tuple[bytes, ...]


class RoundFailed(_Change, frozen=True):
    """Point mode: a round cannot be finished, because nonces were lost in a crash, or what came does not hold."""

    round: int


class CosignFailed(_Change, frozen=True):
    """The other side's part of a signature for this key-path spend does not hold, or the own nonce was lost."""

    outpoint: bytes


class Showing(_Change, frozen=True):
    """Initiator: the engine is about to carry out the first order that shows the secret (`effects.SHOWING`). Where it
    is too late by now, the decision to show it is taken back, and nothing may be shown."""


class Sent(_Change, frozen=True):
    """An order's transaction was broadcast. Fields: key (`Effect.key`); txid (32 bytes)."""

    key: str
    txid: bytes


class Failed(_Change, frozen=True):
    """An order can never be carried out, and nothing of it has left or will. Fields: key; reason (for people)."""

    key: str
    reason: str


class WrittenOff(_Change, frozen=True):
    """An output is worth less than it costs to move it. One of more than `facts.LARGEST_WRITE_OFF` is tried again."""

    outpoint: bytes


class FundingAbandoned(_Change, frozen=True):
    """Follower: its funding transaction can never confirm: it never left, or a transaction that spends its inputs
    otherwise is final. Its coins are free."""


class OwnerAsked(_Change, frozen=True):
    """The owner's word."""

    wish: Wish


class Tick(_Change, frozen=True):
    """Time has passed."""


Change: TypeAlias = (
    PeerAgreed
    | BlockTimes
    | LockSeen
    | LockGone
    | OutputSeen
    | OutputGone
    | SpendSeen
    | SpendGone
    | SecretSeen
    | LetterCame
    | FundingPrepared
    | RungsOffered
    | RungsSigned
    | RungsComplete
    | RoundFailed
    | CosignFailed
    | Showing
    | Sent
    | Failed
    | WrittenOff
    | FundingAbandoned
    | OwnerAsked
    | Tick
)
