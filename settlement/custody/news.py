"""What comes in to a party's engine, and what the engine asks of its party."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import CoSignature
from settlement.cosign.statements import Statement
from settlement.custody import changes as c
from settlement.custody.states import State
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId


@dataclass(frozen=True, slots=True)
class Acted:
    """What something that was done in a transaction leads to: changes of payments, and effects for the outbox."""

    changes: tuple[tuple[PaymentId, c.AnyChange], ...] = ()
    effects: tuple[tuple[PaymentId, c.AnyEffect], ...] = ()


Run: TypeAlias = Callable[[AsyncConnection, "State | None", UnixMs], Awaitable[Acted]]


Signed: TypeAlias = tuple[Statement, CoSignature]
"""What is to be verified: a statement, and the signature that is on it if all is well."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something done in the transaction for one payment, with its state as it is then.

    Fields: payment; run (reads and writes tables of its own, and is called again if the commit fails; a Fatal error
    that it raises, before it has written anything, ends this act alone); signed (what `run` will want to be verified).
    """

    payment: PaymentId
    run: Run
    signed: Signed | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """A payment begins at this party.

    Fields: payment; begun (the first state and its effects); again (what happens instead where it has begun before).
    """

    payment: PaymentId
    begun: tuple[State, c.Effects]
    again: c.AnyChange | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What came in together and is committed together.

    Fields: begins (payments that begin here); changes (payment and change); acts (what is done in the transaction after
    them); done (numbers of effects that were carried out); cursors (ledger, cursor).
    """

    acts: tuple[Act, ...] = ()
    changes: tuple[tuple[PaymentId, c.AnyChange], ...] = ()
    begins: tuple[Begin, ...] = ()
    done: tuple[int, ...] = ()
    cursors: tuple[tuple[str, str], ...] = ()


class Office(Protocol):
    """What the engine's party does with payments beside stepping them."""

    def prepare(self, acts: Sequence[Act]) -> None:
        """Verify at once what the acts will want to be verified."""

    def admit(
        self, changes: Sequence[tuple[PaymentId, c.AnyChange]], states: Mapping[PaymentId, State]
    ) -> list[tuple[PaymentId, c.AnyChange]]:
        """The changes whose signatures hold, all verified at once; of a hold whose do, it is said.

        Each payment has one change at most, and `states` are those that the changes meet.
        """

    def begun(self, payments: Sequence[PaymentId]) -> None:
        """These payments are about to begin: nothing is stored of them yet."""

    async def within(
        self, connection: AsyncConnection, payment: PaymentId, effect: c.AnyEffect, state: State, now: UnixMs
    ) -> Acted | None:
        """Carry out what belongs into the transaction (rules, books, alarms). None: the effect is for the outbox."""

    async def moved(
        self, connection: AsyncConnection, payment: PaymentId, before: State | None, after: State, now: UnixMs
    ) -> None:
        """A payment came to stand elsewhere; in the same transaction."""

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Write what was gathered in this transaction, before its commit."""

    def committed(self, ended: Sequence[PaymentId]) -> None:
        """The transaction took effect. `ended`: payments of which nothing has to be remembered any more."""

    def forget(self) -> None:
        """The transaction did not take effect, or it is not known: what was remembered from it is not so."""

    def destination(self, payment: PaymentId, effect: c.AnyEffect, state: State | None) -> str:
        """Who carries out an effect of the outbox: `ledger:<id>` or `party:<id>`."""

    def resumed(self, payment: PaymentId, state: State) -> c.Effects:
        """After a start: what has to be done again of an open payment, because it was in memory alone."""

    def deliver(self, due: Sequence[Due]) -> None:
        """Effects to be carried out, after the commit; does not wait, and does not raise."""
