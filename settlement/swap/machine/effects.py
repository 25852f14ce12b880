"""What a side asks its engine to do once the state is stored.

An effect has a key. The engine keeps one order for each key of a swap: an effect with a key that it holds replaces
the order and makes it due again. Orders are delivered at least once, and each is harmless when it is repeated. An order
with `not_after` (seconds) is not begun later than that; the engine then says `Failed` with its key.

Orders that show the secret (`SHOWING`) are carried out only once `Initiator.shown` is stored: before the first of them
the engine says `Showing`, and leaves the order undone where the machine does not agree. So a machine that decided to
show the secret, and slept until it was too late, has shown nothing.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

from settlement.swap.machine.facts import LockView
from settlement.swap.machine.messages import Message

FUNDING: Final = "Funding"
"""The key that both orders about the funding transaction have."""


class _Effect(Struct, frozen=True, tag=True):
    """All effects are immutable."""

    @property
    def key(self) -> str:
        """Names the order in its swap; at most 128 characters."""
        return type(self).__name__


class Watch(_Effect, frozen=True):
    """Report this swap's locks, outputs and spends, and the newest blocks. The first order of every swap."""


class StopWatching(_Effect, frozen=True):
    """Nothing is left to do. A fact that comes yet, such as a late output, opens the swap again."""


class SignTerms(_Effect, frozen=True):
    """Sign the terms' hash and send it to the other side."""


class SendLetter(_Effect, frozen=True):
    """Send this to the other side."""

    message: Message

    @property
    def key(self) -> str:
        number = getattr(self.message, "round", None)
        return f"SendLetter:{type(self.message).__name__}" + ("" if number is None else f":{number}")


# --- The initiator's --------------------------------------------------------------------------------------------------


class SignRungs(_Effect, frozen=True):
    """Point mode: make nonces and partial signatures for each rung, forget the secret nonces, say `RungsOffered`."""

    round: int
    outpoint: bytes
    nonces: tuple[bytes, ...]

    @property
    def key(self) -> str:
        return f"SignRungs:{self.round}"


class CompleteRungs(_Effect, frozen=True):
    """Point mode: check the follower's partial signatures, and say `RungsComplete` or `RoundFailed`."""

    round: int
    partials: tuple[bytes, ...]

    @property
    def key(self) -> str:
        return f"CompleteRungs:{self.round}"


class PlaceLock(_Effect, frozen=True):
    """Make the lock of the terms, once for ever, with its memo."""

    not_after: int


class RevealByLetter(_Effect, frozen=True):
    """Send `Secret`. In hash mode with a fresh nonce and the claim of `outpoint`, asking for a signature."""

    outpoint: bytes
    attempt: int


class ClaimBitcoinByKey(_Effect, frozen=True):
    """Finish the claim that `RevealByLetter` asked for with the follower's answer, and broadcast it. Where it does not
    hold: `CosignFailed`."""

    outpoint: bytes
    answer: bytes

    @property
    def key(self) -> str:
        return f"ClaimBitcoinByKey:{self.outpoint.hex()}"


class ClaimBitcoinByScript(_Effect, frozen=True):
    """Claim by the preimage's leaf. Each attempt pays more than the one before and replaces it (RBF).

    Fields: attempt (0, 1, …); confirm_by (seconds: it should be final by then).
    """

    outpoint: bytes
    attempt: int
    confirm_by: int

    @property
    def key(self) -> str:
        return f"ClaimBitcoinByScript:{self.outpoint.hex()}"


class ClaimBitcoinByRung(_Effect, frozen=True):
    """Point mode: finish a pre-signature with the scalar and broadcast it: attempt 0 the first rung, and so on; beyond
    the last rung, a child pays for its parent (CPFP)."""

    outpoint: bytes
    attempt: int
    confirm_by: int

    @property
    def key(self) -> str:
        return f"ClaimBitcoinByRung:{self.outpoint.hex()}"


class SignRefundWith(_Effect, frozen=True):
    """Sign the follower's refund of `outpoint` with it, and send `RefundCosigned`. No secret is ever shown after."""

    outpoint: bytes
    request: bytes

    @property
    def key(self) -> str:
        return f"SignRefundWith:{self.outpoint.hex()}"


class SubmitGiveBack(_Effect, frozen=True):
    """Have the lock returned before T1 by the follower's signature."""

    view: LockView
    signature: bytes

    @property
    def key(self) -> str:
        return f"SubmitGiveBack:{self.view.lock_id.hex()}"


class RefundEvm(_Effect, frozen=True):
    """Have the lock returned: its time-out has passed."""

    view: LockView
    attempt: int

    @property
    def key(self) -> str:
        return f"RefundEvm:{self.view.lock_id.hex()}"


# --- The follower's ---------------------------------------------------------------------------------------------------


class PrepareFunding(_Effect, frozen=True):
    """Point mode: sign and save the funding transaction and reserve its coins (where that is not done), make fresh
    nonces for this round, and say `FundingPrepared`. The transaction is not sent."""

    round: int

    @property
    def key(self) -> str:
        return f"PrepareFunding:{self.round}"


class CountersignRungs(_Effect, frozen=True):
    """Point mode: check the initiator's partial signatures, make the own ones, forget the secret nonces, and say
    `RungsSigned`, or `RoundFailed`. Nothing is sent yet: the pre-signatures have to be stored first."""

    round: int
    nonces: tuple[bytes, ...]
    partials: tuple[bytes, ...]

    @property
    def key(self) -> str:
        return f"CountersignRungs:{self.round}"


class BroadcastFunding(_Effect, frozen=True):
    """Pay the terms' amount to the swap's script, by one transaction for ever: a later attempt pays more for the same
    (hash mode: RBF with the same inputs; point mode: CPFP). `not_after` 0: no limit, for it has been sent already."""

    attempt: int
    not_after: int
    confirm_by: int

    @property
    def key(self) -> str:
        return FUNDING


class AbandonFunding(_Effect, frozen=True):
    """Free the coins: forget the funding transaction if it never left, else spend its inputs otherwise. Say
    `FundingAbandoned` when that is final. Takes the place of `BroadcastFunding`: one of them is under way at a time."""

    @property
    def key(self) -> str:
        return FUNDING


class ClaimEvm(_Effect, frozen=True):
    """Claim the lock by the secret. Fields: final_by (T1, seconds)."""

    view: LockView
    secret: bytes
    attempt: int
    final_by: int

    @property
    def key(self) -> str:
        return f"ClaimEvm:{self.view.lock_id.hex()}"


class CosignClaim(_Effect, frozen=True):
    """Sign the initiator's claim with it, with a fresh nonce for each delivery, and send `ClaimCosigned`. Only a
    transaction that spends an output of this swap and nothing else."""

    request: bytes


class AskRefund(_Effect, frozen=True):
    """Send `RefundAsked` with a fresh nonce."""

    outpoint: bytes

    @property
    def key(self) -> str:
        return f"AskRefund:{self.outpoint.hex()}"


class RefundBitcoinByKey(_Effect, frozen=True):
    """Finish the refund that `AskRefund` asked for, and broadcast it. Where it does not hold: `CosignFailed`."""

    outpoint: bytes
    answer: bytes

    @property
    def key(self) -> str:
        return f"RefundBitcoinByKey:{self.outpoint.hex()}"


class RefundBitcoin(_Effect, frozen=True):
    """Refund by the time-out's leaf. Each attempt pays more than the one before and replaces it (RBF). `WrittenOff`
    where that costs more than the output is worth."""

    outpoint: bytes
    attempt: int
    confirm_by: int

    @property
    def key(self) -> str:
        return f"RefundBitcoin:{self.outpoint.hex()}"


class SignGiveBack(_Effect, frozen=True):
    """Sign that the lock goes back (EIP-712) and send `GiveBack`. No funding is ever sent after."""

    view: LockView

    @property
    def key(self) -> str:
        return f"SignGiveBack:{self.view.lock_id.hex()}"


Effect: TypeAlias = (
    Watch
    | StopWatching
    | SignTerms
    | SendLetter
    | SignRungs
    | CompleteRungs
    | PlaceLock
    | RevealByLetter
    | ClaimBitcoinByKey
    | ClaimBitcoinByScript
    | ClaimBitcoinByRung
    | SignRefundWith
    | SubmitGiveBack
    | RefundEvm
    | PrepareFunding
    | CountersignRungs
    | BroadcastFunding
    | AbandonFunding
    | ClaimEvm
    | CosignClaim
    | AskRefund
    | RefundBitcoinByKey
    | RefundBitcoin
    | SignGiveBack
)

SHOWING: Final = (RevealByLetter, ClaimBitcoinByKey, ClaimBitcoinByScript, ClaimBitcoinByRung)
"""Kinds of orders that show the secret to somebody."""
