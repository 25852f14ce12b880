"""What an engine needs of a rail (a chain, a ledger), and the messages by which two engines find each other's accounts.

The messages are JSON objects; RFC 38 leaves them to the engines of a settlement system.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec

from foundation.errors import BadInput, Retryable
from foundation.unreadable import UNREADABLE
from settlement.connector.settle.engines.core import Payment


class Question(msgspec.Struct, omit_defaults=True):
    """What one engine asks the other.

    Fields: type (`payTo`: where am I to pay; `payFrom`: I shall pay from there, and here is the proof; `condition`:
    under which condition am I to hold this transfer); asset (what is paid, as the rail names it); address, proof,
    transfer (as the type needs them; bytes in hex).
    """

    type: str
    asset: str
    address: str = ""
    proof: str = ""
    transfer: str = ""


class Answer(msgspec.Struct, omit_defaults=True):
    """What the other engine answers. Fields: address; condition (in hex)."""

    address: str = ""
    condition: str = ""


Ask: TypeAlias = Callable[[str, Question], Awaitable[Answer]]
"""Asks the engine of an account's peer. Raises `Retryable`."""


class Verdict(Enum):
    """What became of a payment that a rail was asked to make."""

    PAID = "paid"
    """Final."""
    UNDERWAY = "underway"
    """Looked at again soon."""
    WITHOUT_EFFECT = "without effect"
    """This attempt has moved nothing, and never will."""
    STUCK = "stuck"
    """Nobody can tell; nothing more is sent until a person has looked."""


@dataclass(frozen=True, slots=True)
class RailTerms:
    """What a rail can pay. Fields: asset (its name in messages); scale; least (the smallest payment, base units)."""

    asset: str
    scale: int
    least: int = 1


class Rail(Protocol):
    """One settlement system, with our account on it."""

    @property
    def terms(self) -> RailTerms:
        """What it can pay."""

    async def meet(self, account: str, ask: Ask) -> str:
        """Find out whom to pay for an account; returns the target for `pay`. May be called often.

        Raises:
            Retryable: the peer does not say yet.
        """

    async def answer(self, account: str, question: Question) -> Answer:
        """Answer the engine of an account's peer.

        Raises:
            BadInput: the question is none, or claims what is not so.
        """

    async def pay(self, payment: Payment, ask: Ask) -> Verdict:
        """Bring a payment forward. However often it is called for an attempt, and whatever crashes: paid once at most.

        Raises:
            Retryable: looked at again later.
        """

    async def watch(self, changed: Callable[[], None]) -> None:
        """Write down what comes in, until cancelled; `changed` is called after each commit that may concern others.

        Raises:
            Retryable: it is called again after a while.
        """


class PeerUnclear(Retryable):
    """The peer's engine said nothing that can be used. Fields: account; problem."""

    def __init__(self, account: str, problem: str) -> None:
        self.account = account
        self.problem = problem
        super().__init__(f"the engine of {account} is unclear: {problem}")


def read_question(message: bytes) -> Question:
    """A message of the peer's engine. Raises `BadInput`."""
    try:
        return msgspec.json.decode(message, type=Question)
    except UNREADABLE as error:
        raise BadInput("message", str(error)) from error


def check_asset(question: Question, terms: RailTerms) -> None:
    """Raises `BadInput` where the peer means another asset than we."""
    if question.asset != terms.asset:
        raise BadInput("asset", f"{question.asset[:100]!r} is not settled here", terms.asset)
