"""Recomputing the books from their entries, receipts and batches: what is kept beside them has to agree.

A check goes on from a mark, so that one each minute costs what was posted in that minute; a check from the beginning
reads everything, and finds what somebody has changed in old entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import BadInput, Fatal
from settlement.books.accounts import Account
from settlement.books.batch_store import BatchStore
from settlement.books.batches import NO_ROOT, Batch
from settlement.books.journal import FIRST_LINK, entry_digest, entry_link
from settlement.books.merkle import root_of
from settlement.books.receipt_store import ReceiptStore
from settlement.books.receipts import receipt_link
from settlement.books.store import PAGE, Books, RawEntry
from settlement.books.tables import accounts, entries, lines
from settlement.books.tree import differences, equations, tree
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind
from settlement.quantities import PartyId

FAULTS_MAX: Final = 100


class Monitor(StrEnum):
    """What is watched."""

    JOURNAL = "journal"  # numbers without gaps, links, entries that sum to zero
    EQUATION = "equation"  # assets = liabilities + equity, and balances = sums of lines, at each level
    LEDGER = "ledger"  # balances = what the ledger says
    RECEIPTS = "receipts"  # the chain of receipts
    ACTS = "acts"  # what people did with entries, and the states that came of it
    ANCHORS = "anchors"  # batches, their roots and signatures, and what the chain has


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it has to be. Fields: monitor; subject (what it is about); detail (for people)."""

    monitor: Monitor
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class JournalMark:
    """How far the journal was checked. Fields: number; link; sums (of all lines up to there, by account)."""

    number: int = 0
    link: bytes = FIRST_LINK
    sums: Mapping[Account, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReceiptMark:
    """How far the receipts were checked."""

    sequence: int = 0
    link: bytes = FIRST_LINK


@dataclass(frozen=True, slots=True)
class BatchMark:
    """How far the batches were checked. Fields: number; last (receipt covered); root."""

    number: int = 0
    last: int = 0
    root: bytes = NO_ROOT


async def verify_journal(
    connection: AsyncConnection, entity: PartyId, mark: JournalMark | None = None
) -> tuple[JournalMark, tuple[Finding, ...]]:
    """Check entries and balances, on a view's connection.

    Args:
        connection: sees one moment.
        entity: whose books.
        mark: where to go on; None: at the beginning.
    """
    books, mark = Books(connection), mark or JournalMark()
    number, link, sums = mark.number, mark.link, dict(mark.sums)
    found: list[Finding] = []
    while page := await books.raw(number):
        for raw in page:
            number += 1
            fault, link = _entry_fault(raw, number, link)
            if fault and len(found) < FAULTS_MAX:
                found.append(Finding(Monitor.JOURNAL, f"entry {raw.row.number}", fault))
            number = raw.row.number
            for line in raw.lines:
                sums[line.account] = sums.get(line.account, 0) + line.change
        if len(page) < PAGE:
            break
    found.extend(await _strays(connection, mark.number))
    found.extend(await _balance_faults(books, entity, sums))
    return JournalMark(number, link, sums), tuple(found)


async def verify_receipts(
    connection: AsyncConnection, mark: ReceiptMark | None = None
) -> tuple[ReceiptMark, tuple[Finding, ...]]:
    """Check the chain of receipts: numbers, digests and links. Signatures were verified before they were kept."""
    mark = mark or ReceiptMark()
    found: list[Finding] = []
    sequence, link = mark.sequence, mark.link
    async for kept in ReceiptStore(connection).chain(sequence):
        sequence += 1
        digest = kept.receipt.digest
        link = receipt_link(link, sequence, digest)
        if (kept.sequence, kept.digest, kept.link) != (sequence, digest, link) and len(found) < FAULTS_MAX:
            detail = f"it is not the receipt that was kept as number {sequence}"
            found.append(Finding(Monitor.RECEIPTS, f"receipt {kept.sequence}", detail))
        sequence, link = kept.sequence, kept.link
    return ReceiptMark(sequence, link), tuple(found)


async def verify_batches(
    connection: AsyncConnection, keeper: PartyId, keys: KeyRegistry, mark: BatchMark | None = None
) -> tuple[BatchMark, tuple[Batch, ...], tuple[Finding, ...]]:
    """Check batches: that each follows the one before, has the root of its receipts, and is signed by the keeper.

    Returns:
        How far they were checked; those that were; what is wrong.
    """
    mark = mark or BatchMark()
    found: list[Finding] = []
    seen: list[Batch] = []
    store, receipts = BatchStore(connection), ReceiptStore(connection)
    while page := await store.all(mark.number):
        for batch in page:
            text, subject = batch.text, f"batch {batch.text.number}"
            after = (text.number, text.first, text.previous)
            if after != (mark.number + 1, mark.last + 1, mark.root):
                found.append(Finding(Monitor.ANCHORS, subject, f"it does not follow batch {mark.number}"))
            links = await receipts.links(text.first, text.last)
            if len(links) != text.size or root_of(links) != text.root:
                found.append(Finding(Monitor.ANCHORS, subject, "its root is not that of its receipts"))
            try:
                keys.verify(Kind.ANCHOR, text.digest, batch.signature, text.made_at, [keeper])
            except Fatal as problem:
                found.append(Finding(Monitor.ANCHORS, subject, str(problem)))
            mark = BatchMark(text.number, text.last, text.root)
            seen.append(batch)
    return mark, tuple(seen), tuple(found[:FAULTS_MAX])


def _entry_fault(raw: RawEntry, number: int, previous: bytes) -> tuple[str, bytes]:
    """What is wrong with an entry, and the link that the next one has to name."""
    stored = bytes(raw.row.link)
    if raw.row.number != number:
        return f"it comes where entry {number} has to be", stored
    try:
        posted = raw.posted(None)
    except BadInput as problem:
        return str(problem), stored
    digest = entry_digest(posted.entry, posted.sealed)
    if digest != posted.digest:
        return "its content is not what was posted", stored
    if entry_link(previous, number, posted.at, digest) != posted.link:
        return "it does not follow the entry before", stored
    return "", stored


async def _strays(connection: AsyncConnection, after: int) -> list[Finding]:
    """Lines of no entry, or on no account: sums over entries would pass them over."""
    query = (
        select(lines.c.number, lines.c.account)
        .outerjoin(entries, entries.c.number == lines.c.number)
        .outerjoin(accounts, accounts.c.name == lines.c.account)
        .where(lines.c.number > after, or_(entries.c.number.is_(None), accounts.c.name.is_(None)))
        .limit(FAULTS_MAX)
    )
    return [
        Finding(Monitor.JOURNAL, f"line of entry {number}", f"on {account}: the entry or the account is not there")
        for number, account in await connection.execute(query)
    ]


async def _balance_faults(books: Books, entity: PartyId, sums: Mapping[Account, int]) -> list[Finding]:
    kept = await books.balances()
    top, derived = tree(entity, kept), tree(entity, sums)
    found = [
        Finding(
            Monitor.EQUATION,
            f"{name} in {asset.code}/{asset.scale}",
            f"{asset.text(ours)} is kept, the lines sum to {asset.text(lines)}",
        )
        for name, asset, ours, lines in differences(top, derived)
    ]
    for equation in equations(top):
        if equation.difference:
            show = equation.asset.text
            detail = (
                f"assets {show(equation.assets)}, liabilities {show(equation.liabilities)}, "
                f"equity {show(equation.equity)}: {show(equation.difference)} apart"
            )
            found.append(Finding(Monitor.EQUATION, f"equation in {equation.asset.code}/{equation.asset.scale}", detail))
    return found[:FAULTS_MAX]
