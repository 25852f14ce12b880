"""One bank's side of a channel: its state, what can change it, and what it asks the shell to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from foundation.quantities import UnixMs
from settlement.channels.judge import Case, CloseAgreed
from settlement.channels.messages import Message
from settlement.channels.ops import Op
from settlement.channels.signing import channel_id
from settlement.channels.terms import ChannelId, Lock, LockId, Sheet, Side, SignedSheet, Terms, first_sheet
from settlement.quantities import Condition, Preimage


class Phase(StrEnum):
    """How far a side has come. It signs sheets in OPEN alone."""

    OPENING = "opening"  # the deposits are not all in
    OPEN = "open"
    LEAVING = "leaving"  # it has signed the end
    CLOSING = "closing"  # a bank has closed by itself, or this side is about to
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Policy:
    """A bank's margins, in milliseconds.

    Fields: resend_ms (how long an answer may take before the message is sent again); accept_ms (a conditional payment
    with less time left is not taken); reveal_ms (with less time left than this, a preimage is shown to the adjudicator
    and the channel closed); patience_ms (how long after its end a conditional payment, or a farewell, may stay without
    an answer before the channel is closed).
    """

    resend_ms: int = 5_000
    accept_ms: int = 60_000
    reveal_ms: int = 30_000
    patience_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """What this side proposed and the other has not answered. `refused`: it said no, and may still sign it."""

    sheet: Sheet
    ops: tuple[Op, ...]
    signature: bytes
    sent_at: UnixMs
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """One side's state. Stored whole, before anything that it signed leaves.

    Fields: newest (the newest sheet with both signatures); acknowledged (the other's signature that it holds `newest`,
    or empty); proposal (under way); voided (refused before it; the other may still sign them, until the next sheet has
    both signatures); last_number (the highest that this side has used in a proposal); refused_upto (the highest number
    of the other's that this side refused, and will never sign); queue (what to propose at the next turn); memos (of
    open conditional payments); preimages (known, of open conditional payments); revealed (when the adjudicator first
    saw a preimage, by its clock); declined (whose end the other bank did not agree to); given_back (that the payee will
    not claim); leaving (this side wants to end); leaving_since; submitted (the number this side closed or answered
    with, −1 for none); asked_at (when the turn was last asked for); shown (conditions that the adjudicator is being
    shown); case (the ledger's view, once it was seen); announced_at (when this side last said that it wants the
    channel; 0: never); agreed (the other's signature that it does, or empty).
    """

    terms: Terms
    channel: ChannelId
    side: Side
    policy: Policy
    phase: Phase
    newest: SignedSheet
    acknowledged: bytes = b""
    proposal: Proposal | None = None
    voided: tuple[Proposal, ...] = ()
    last_number: int = 0
    refused_upto: int = 0
    queue: tuple[Op, ...] = ()
    memos: dict[LockId, bytes] = field(default_factory=dict)
    preimages: dict[Condition, Preimage] = field(default_factory=dict)
    revealed: dict[Condition, UnixMs] = field(default_factory=dict)
    declined: tuple[LockId, ...] = ()
    given_back: tuple[LockId, ...] = ()
    leaving: bool = False
    leaving_since: UnixMs = UnixMs(0)
    submitted: int = -1
    asked_at: UnixMs = UnixMs(0)
    shown: tuple[Condition, ...] = ()
    case: Case | None = None
    announced_at: UnixMs = UnixMs(0)
    agreed: bytes = b""

    @property
    def sheet(self) -> Sheet:
        """The balances that both have signed."""
        return self.newest.sheet

    @property
    def is_my_turn(self) -> bool:
        """Whether this side proposes next."""
        return self.terms.proposer(self.sheet.sequence + 1) is self.side


def new_channel(terms: Terms, side: Side, policy: Policy) -> Channel:
    """A side's state before the deposits are in."""
    channel = channel_id(terms)
    return Channel(terms, channel, side, policy, Phase.OPENING, first_sheet(terms, channel))


# --- What can change it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Want:
    """Somebody here wants these operations made, in this order, as soon as the turn comes."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A preimage became known here: from the payee, from another channel, or from the adjudicator's register."""

    preimage: Preimage


@dataclass(frozen=True, slots=True)
class Received:
    """The other bank's message, whose sender the transport has authenticated."""

    message: Message


@dataclass(frozen=True, slots=True)
class Registered:
    """The adjudicator's register has a preimage. Fields: at (when it was first shown, by the adjudicator's clock)."""

    preimage: Preimage
    at: UnixMs


@dataclass(frozen=True, slots=True)
class Ruled:
    """The adjudicator's view of the channel, final on its ledger. Fields: reveals (of the sheet's conditions)."""

    case: Case
    reveals: tuple[Registered, ...] = ()


@dataclass(frozen=True, slots=True)
class Announce:
    """This bank wants the channel: tell the other."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the channel, together if the other bank agrees."""


@dataclass(frozen=True, slots=True)
class CloseNow:
    """End the channel without the other bank."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Change: TypeAlias = Announce | Want | Learnt | Received | Ruled | Registered | Leave | CloseNow | Tick


# --- What it asks for -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Tell the other bank. At least once is harmless."""

    message: Message


@dataclass(frozen=True, slots=True)
class SubmitClose:
    """Close on the ledger with this sheet."""

    sheet: SignedSheet


@dataclass(frozen=True, slots=True)
class SubmitChallenge:
    """Answer a close with this sheet. `held`: the other's acknowledgement of it, or empty."""

    sheet: SignedSheet
    held: bytes


@dataclass(frozen=True, slots=True)
class SubmitCloseAgreed:
    """End on the ledger as both agreed."""

    command: CloseAgreed


@dataclass(frozen=True, slots=True)
class SubmitReveal:
    """Show a preimage to the adjudicator, which must see it before `before`."""

    preimage: Preimage
    before: UnixMs


@dataclass(frozen=True, slots=True)
class SubmitSettle:
    """Have the adjudicator pay out."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Both signed: the other bank set money aside for this one."""

    lock: Lock
    memo: bytes


@dataclass(frozen=True, slots=True)
class Paid:
    """Both signed, or the ledger paid out: this is final. Fields: amount; reference; incoming (to this side)."""

    amount: int
    reference: bytes
    incoming: bool


@dataclass(frozen=True, slots=True)
class PreimageSeen:
    """The payee of what this side set aside has shown the preimage, to this side or to the adjudicator."""

    lock: Lock
    preimage: Preimage


@dataclass(frozen=True, slots=True)
class LockEnded:
    """A conditional payment has ended for good. `preimage` is there if it was made, None if it went back."""

    lock: Lock
    preimage: Preimage | None


@dataclass(frozen=True, slots=True)
class NotDone:
    """An operation that was wanted here will not be made. Nothing of it can count any more."""

    op: Op
    reason: str


Effect: TypeAlias = (
    Send
    | SubmitClose
    | SubmitChallenge
    | SubmitCloseAgreed
    | SubmitReveal
    | SubmitSettle
    | Offered
    | Paid
    | PreimageSeen
    | LockEnded
    | NotDone
)

Step: TypeAlias = tuple[Channel, tuple[Effect, ...]]
"""The state after a change, and what the shell is asked to do once it is stored."""
