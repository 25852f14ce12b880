"""Replaying what people did with entries: the record is whole, and the entries stand as it makes them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import Fatal
from settlement.books.errors import NarrativeDamaged
from settlement.books.journal import FIRST_LINK
from settlement.books.reviews import Recorded, Reviews, act_link
from settlement.books.roles import Review, ReviewState, step
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tables import reviews
from settlement.books.verify import FAULTS_MAX, Finding, Monitor


async def verify_acts(connection: AsyncConnection, key: NarrativeKey) -> tuple[Finding, ...]:
    """Check all acts, on a view's connection: numbers, links, that each was allowed, and what came of them.

    Args:
        connection: sees one moment.
        key: opens the reasons, which the links cover.
    """
    store, books = Reviews(connection, key), Books(connection)
    found: list[Finding] = []
    states: dict[int, Review] = {}
    sequence, link = 0, FIRST_LINK
    try:
        async for recorded in store.acts():
            sequence += 1
            fault, states[recorded.number] = await _replayed(books, recorded, states, sequence, link)
            if fault:
                found.append(Finding(Monitor.ACTS, f"act {recorded.sequence}", fault))
            sequence, link = recorded.sequence, recorded.link
    except NarrativeDamaged as problem:
        found.append(Finding(Monitor.ACTS, f"act {sequence + 1}", str(problem)))
        return tuple(found)
    for row in await connection.execute(select(reviews.c.number, reviews.c.state)):
        derived = states.pop(row.number, Review(row.number)).state
        if row.state != derived:
            detail = f"it is {row.state}, its acts make it {derived}"
            found.append(Finding(Monitor.ACTS, f"review of entry {row.number}", detail))
    found.extend(
        Finding(Monitor.ACTS, f"review of entry {number}", f"it is missing, its acts make it {review.state}")
        for number, review in states.items()
        if review.state is not ReviewState.POSTED
    )
    return tuple(found[:FAULTS_MAX])


async def _replayed(
    books: Books, recorded: Recorded, states: dict[int, Review], sequence: int, previous: bytes
) -> tuple[str, Review]:
    """What is wrong with an act, and how its entry stands after it."""
    before = states.get(recorded.number, Review(recorded.number))
    try:
        posted = await books.entry(recorded.number)
        after = step(before, recorded.act, is_reversal=posted.entry.reverses is not None)
    except Fatal as problem:
        return str(problem), before
    digest = recorded.act.digest(posted.digest)
    wanted = (sequence, act_link(previous, sequence, digest, recorded.evidence, recorded.at))
    if (recorded.sequence, recorded.link) != wanted:
        return f"it is not what was recorded as act {sequence}", after
    return "", after
