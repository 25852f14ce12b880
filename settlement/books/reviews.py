"""Suspended, confirmed and cancelled entries, and the record of who did it: in the database, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.journal import FIRST_LINK, EntryId, reversal
from settlement.books.roles import Act, Action, Review, ReviewState, Role, step
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tables import AMOUNT_BASE, acts, lines, reviews
from settlement.quantities import tagged_hash

Evidence: TypeAlias = Callable[[Act, bytes, bytes], None]
"""Checks an act's evidence, such as a signature by the actor: the act, its digest (32 bytes), the evidence. Raises
what it has against it; then nothing is done."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An act as it was recorded. Fields: sequence (from 1); number (of the entry); act; evidence; at; link (chain)."""

    sequence: int
    number: int
    act: Act
    evidence: bytes
    at: UnixMs
    link: bytes


class Reviews(Repository):
    """Acts on entries. `key` seals what people write; `evidence` checks that an act is the actor's own."""

    def __init__(self, connection: AsyncConnection, key: NarrativeKey, evidence: Evidence | None = None) -> None:
        super().__init__(connection)
        self._key = key
        self._evidence = evidence

    async def act(self, number: int, act: Act, now: UnixMs, evidence: bytes = b"") -> Review:
        """Do something with an entry, on a unit's connection; how it stands then. The same again changes nothing.

        Raises:
            UnknownEntry: there is none of this number.
            NotPermitted, SamePerson, WrongState: as `roles.step` says.
            What the check of the evidence raises.
        """
        books = Books(self._connection, self._key)
        posted, before = await books.entry(number), await self.review(number)
        digest = act.digest(posted.digest)
        if self._evidence is not None:
            self._evidence(act, digest, evidence)
        after = step(before, act, is_reversal=posted.entry.reverses is not None)
        if after is before:
            return before
        if act.action is Action.CANCEL:
            after = replace(after, reversal=await books.post(reversal(posted, act.why), now))
        row = {
            "number": number,
            "state": after.state.value,
            "suspended_by": after.suspended_by,
            "reversal": after.reversal,
        }
        kept = self._insert(reviews)
        changed = {name: kept.excluded[name] for name in ("state", "suspended_by", "reversal")}
        await self._write(kept.on_conflict_do_update(index_elements=["number"], set_=changed), [row])
        await self._record(number, act, digest, evidence, now)
        return after

    async def review(self, number: int) -> Review:
        """How an entry stands."""
        row = (await self._connection.execute(select(reviews).where(reviews.c.number == number))).one_or_none()
        return Review(number) if row is None else _review(row)

    async def of(self, first: int, last: int) -> dict[int, Review]:
        """How entries stand that somebody has looked at, with numbers from `first` to `last`, both included."""
        query = select(reviews).where(reviews.c.number.between(first, last))
        return {row.number: _review(row) for row in await self._connection.execute(query)}

    async def suspended(self) -> tuple[Review, ...]:
        """All entries that are suspended now."""
        query = select(reviews).where(reviews.c.state == ReviewState.SUSPENDED.value).order_by(reviews.c.number)
        return tuple(_review(row) for row in await self._connection.execute(query))

    async def confirmed_balances(self) -> dict[Account, int]:
        """The balances without what is suspended. They sum to zero too: entries are in them as a whole, or not."""
        balances = await Books(self._connection).balances()
        query = (
            select(lines.c.account, func.sum(lines.c.high), func.sum(lines.c.low))
            .join(reviews, reviews.c.number == lines.c.number)
            .where(reviews.c.state == ReviewState.SUSPENDED.value)
            .group_by(lines.c.account)
        )
        out = {name: int(high) * AMOUNT_BASE + int(low) for name, high, low in await self._connection.execute(query)}
        return {account: balance - out.get(account.name, 0) for account, balance in balances.items()}

    async def acts(self, number: int | None = None) -> AsyncIterator[Recorded]:
        """What was done, in order: with one entry, or with all."""
        query = select(acts).order_by(acts.c.sequence)
        if number is not None:
            query = query.where(acts.c.number == number)
        for row in (await self._connection.execute(query)).all():
            yield self._recorded(row)

    async def _record(self, number: int, act: Act, digest: bytes, evidence: bytes, now: UnixMs) -> None:
        query = select(acts.c.sequence, acts.c.link).order_by(acts.c.sequence.desc()).limit(1)
        head = (await self._connection.execute(query)).one_or_none()
        sequence, previous = (1, FIRST_LINK) if head is None else (int(head[0]) + 1, bytes(head[1]))
        row = {
            "sequence": sequence,
            "number": number,
            "action": act.action.value,
            "role": act.role.value,
            "actor": act.actor,
            "why": self._key.seal(_place(sequence), act.why),
            "evidence": evidence,
            "at": now,
            "link": act_link(previous, sequence, digest, evidence, now),
        }
        await self._connection.execute(insert(acts).values(**row))

    def _recorded(self, row: Any) -> Recorded:
        why = self._key.open(_place(row.sequence), bytes(row.why))
        act = Act(Action(row.action), Role(row.role), row.actor, why)
        return Recorded(row.sequence, row.number, act, bytes(row.evidence), UnixMs(row.at), bytes(row.link))


def act_link(previous: bytes, sequence: int, digest: bytes, evidence: bytes, at: UnixMs) -> bytes:
    """32 bytes that change if any act up to this one is changed or left out."""
    numbers = sequence.to_bytes(8, "big") + at.to_bytes(8, "big")
    return tagged_hash("books/act-link", previous, numbers, digest, evidence)


def _place(sequence: int) -> EntryId:
    """What an act's words are sealed under."""
    return EntryId(tagged_hash("books/act-place", sequence.to_bytes(8, "big")))


def _review(row: Any) -> Review:
    return Review(row.number, ReviewState(row.state), row.suspended_by, row.reversal)
