"""Who may see what of the books, and who may do what with an entry. Pure.

Source: seeds/002…, "Triple-entry bookkeeping": "if the auditor suspects a transaction, the transaction may be suspended
for confirmation by the accountant, and the CFO may decide to cancel the transaction altogether".

    posted ──auditor──→ suspended ──accountant──→ confirmed
      └──accountant──→ confirmed ──auditor──↗ └──CFO──→ cancelled (a reversal is posted; nothing is ever deleted)

Three offices, three persons: whoever suspended an entry neither confirms nor cancels it, and only what an auditor has
suspended can be cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final

from foundation.errors import BadInput, Fatal
from settlement.quantities import tagged_hash

ACTOR_CHARACTERS_MAX: Final = 64
WHY_CHARACTERS_MAX: Final = 500


class Role(StrEnum):
    """An office. A person may hold one in an entity."""

    ACCOUNTANT = "accountant"
    AUDITOR = "auditor"
    CFO = "cfo"
    OBSERVER = "observer"  # an investor or a supervisor: sees what the entity has and owes, and no entry


class Level(IntEnum):
    """How much is shown of the journal; each level shows what the lower ones do."""

    TOTALS = 0  # the entity, its assets, liabilities and equity
    SEALED = 1  # every account, entry and line, without narratives
    FULL = 2  # the narratives, too


@dataclass(frozen=True, slots=True)
class Clearance:
    """What a role may see. Fields: level; acts (who did what with entries, and why); receipts."""

    level: Level
    acts: bool
    receipts: bool


CLEARANCES: Final = {
    Role.ACCOUNTANT: Clearance(Level.FULL, acts=True, receipts=False),
    Role.AUDITOR: Clearance(Level.SEALED, acts=True, receipts=True),
    Role.CFO: Clearance(Level.FULL, acts=True, receipts=True),
    Role.OBSERVER: Clearance(Level.TOTALS, acts=False, receipts=False),
}


class Action(StrEnum):
    """What is done with an entry."""

    SUSPEND = "suspend"
    CONFIRM = "confirm"
    CANCEL = "cancel"


class ReviewState(StrEnum):
    """Where an entry stands."""

    POSTED = "posted"  # nobody has looked at it yet
    SUSPENDED = "suspended"  # in no confirmed balance
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"  # taken back by a reversal


@dataclass(frozen=True, slots=True)
class Review:
    """How an entry stands. Fields: number; state; suspended_by (empty: nobody has); reversal (its number)."""

    number: int
    state: ReviewState = ReviewState.POSTED
    suspended_by: str = ""
    reversal: int | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does with an entry. Fields: action; role and actor (who); why (for people).

    Raises:
        BadInput: nobody does it, for no reason, or the words are too long.
    """

    action: Action
    role: Role
    actor: str
    why: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.actor) <= ACTOR_CHARACTERS_MAX:
            raise BadInput("act.actor", "nobody is named, or too long", f"1 to {ACTOR_CHARACTERS_MAX} characters")
        if not 1 <= len(self.why.strip()) <= WHY_CHARACTERS_MAX:
            raise BadInput("act.why", "no reason, or too long a one", f"1 to {WHY_CHARACTERS_MAX} characters")

    def digest(self, entry_digest: bytes) -> bytes:
        """32 bytes: what the actor signs, where evidence is asked for: this act, on this entry."""
        words = (self.action, self.role, self.actor, self.why)
        return tagged_hash("books/act", entry_digest, *(word.encode() for word in words))


class NotPermitted(Fatal):
    """The role may not see or do this. Fields: role; wanted (for people)."""

    def __init__(self, role: Role, wanted: str) -> None:
        self.role = role
        self.wanted = wanted
        super().__init__(f"{role} may not {wanted}")


class SamePerson(Fatal):
    """Whoever suspended an entry does not decide on it, too. Fields: number; actor."""

    def __init__(self, number: int, actor: str) -> None:
        self.number = number
        self.actor = actor
        super().__init__(f"{actor} has suspended entry {number}: somebody else decides on it")


class WrongState(Fatal):
    """The entry does not stand where this can be done. Fields: number; state; action."""

    def __init__(self, number: int, state: ReviewState, action: Action) -> None:
        self.number = number
        self.state = state
        self.action = action
        super().__init__(f"entry {number} is {state}: it cannot be the object of {action!r}")


_MAY: Final = {Action.SUSPEND: Role.AUDITOR, Action.CONFIRM: Role.ACCOUNTANT, Action.CANCEL: Role.CFO}
_FROM: Final = {
    Action.SUSPEND: (ReviewState.POSTED, ReviewState.CONFIRMED),
    Action.CONFIRM: (ReviewState.POSTED, ReviewState.SUSPENDED),
    Action.CANCEL: (ReviewState.SUSPENDED,),
}
_TO: Final = {
    Action.SUSPEND: ReviewState.SUSPENDED,
    Action.CONFIRM: ReviewState.CONFIRMED,
    Action.CANCEL: ReviewState.CANCELLED,
}


def step(review: Review, act: Act, *, is_reversal: bool) -> Review:
    """How an entry stands after an act. Pure; the same again changes nothing (the same object is returned).

    Args:
        review: how it stands.
        act: what is done.
        is_reversal: the entry takes another back: it can be confirmed, and neither suspended nor cancelled.

    Raises:
        NotPermitted: the role does not do this.
        SamePerson: whoever suspended it would decide on it.
        WrongState: not from where it stands.
    """
    if _MAY[act.action] is not act.role:
        raise NotPermitted(act.role, f"{act.action} an entry")
    if review.state is _TO[act.action]:
        return review
    if review.state not in _FROM[act.action] or (is_reversal and act.action is not Action.CONFIRM):
        raise WrongState(review.number, review.state, act.action)
    if act.action is Action.SUSPEND:
        return replace(review, state=ReviewState.SUSPENDED, suspended_by=act.actor)
    if act.actor == review.suspended_by:
        raise SamePerson(review.number, act.actor)
    return replace(review, state=_TO[act.action])


def check_level(role: Role, level: Level, wanted: str) -> None:
    """Make sure that a role may see as much.

    Raises:
        NotPermitted: it may not.
    """
    if CLEARANCES[role].level < level:
        raise NotPermitted(role, wanted)
