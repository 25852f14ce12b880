"""What happened, for readers who follow: from memory for those who keep up, from the journal for those who do not.

Entries are numbered under the lock of the units of work, so a reader who has seen number n has seen all before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from foundation.database import Database
from foundation.errors import BadInput
from settlement.ledgers.book.core import Changes
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import EntryKind, Transfer, TransferState
from settlement.ledgers.book.wire import TransferOut, encode
from settlement.ledgers.protocol import HoldView, LedgerAccount

PAGE_EVENTS: Final = 64
_RECENT_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """A hold came to stand so. Fields: number (of the journal's entry); payer; payee; body (`TransferOut` in JSON)."""

    number: int
    payer: LedgerAccount
    payee: LedgerAccount
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and the number after which to go on."""

    events: tuple[Event, ...]
    after: int


class Feed:
    """The newest events in memory, as far as this process wrote all of them, and the readers who wait for more."""

    def __init__(self, database: Database, recent_bytes: int = _RECENT_BYTES) -> None:
        self._database = database
        self._recent_max = recent_bytes
        self._recent: deque[Event] = deque()
        self.recent_bytes = 0
        """What the events in memory take."""
        self._since = -1
        """Every event after this entry, up to the head, is in memory; none is as long as the head is unknown."""
        self._head = -1
        self._readers: dict[LedgerAccount, set[asyncio.Event]] = {}

    def committed(self, changes: Changes) -> None:
        """Take in what this process has just committed."""
        if not changes.entries:
            return
        first, last = changes.entries[0].number, changes.entries[-1].number
        if first != self._head + 1:  # another process wrote in between, or the tick saw these entries first
            self._forget(max(self._head, last))
            self._wake_all()
            return
        self._head = last
        ended = {transfer.transfer_id: transfer for transfer in (*changes.made, *changes.moved)}
        for entry in changes.entries:
            if entry.kind is not EntryKind.PAYMENT:
                view = as_of(ended[entry.transfer_id], entry.kind)
                self._remember(Event(entry.number, entry.payer, entry.payee, encode(TransferOut.of(view))))
        for account in {name for entry in changes.entries for name in (entry.payer, entry.payee)}:
            self._wake(account)

    def noticed(self, number: int) -> None:
        """The journal's newest entry has this number, whoever wrote it."""
        if number > self._head:
            self._forget(number)
            self._wake_all()

    @contextmanager
    def reader(self, account: LedgerAccount) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be something new for `account`."""
        changed = asyncio.Event()
        self._readers.setdefault(account, set()).add(changed)
        try:
            yield changed
        finally:
            self._readers[account].discard(changed)
            if not self._readers[account]:
                del self._readers[account]

    async def page(self, account: LedgerAccount, after: int) -> Page:
        """What happened to holds from or for `account` after the entry numbered `after`; at most `PAGE_EVENTS` events.

        Raises:
            BadInput: there is no such entry yet: the reader has read of another ledger, or this one has lost some.
            DatabaseUnavailable: it cannot be told now.
        """
        if 0 <= self._since <= after <= self._head:
            newer = takewhile(lambda event: event.number > after, reversed(self._recent))
            found = [event for event in newer if account in (event.payer, event.payee)][: -PAGE_EVENTS - 1 : -1]
            return Page(tuple(found), found[-1].number if len(found) == PAGE_EVENTS else self._head)
        async with self._database.view() as view:
            store = BookStore(view.connection)
            last, _ = await store.last_entry()
            if not 0 <= after <= last:
                raise BadInput("after", f"the journal ends at {last}", "read from the start: leave `after` out")
            rows = await store.history(account, after, PAGE_EVENTS)
        events = tuple(
            Event(number, t.payer, t.payee, encode(TransferOut.of(as_of(t, kind)))) for number, kind, t in rows
        )
        return Page(events, events[-1].number if len(events) == PAGE_EVENTS else last)

    def _remember(self, event: Event) -> None:
        self._recent.append(event)
        self.recent_bytes += len(event.body)
        while self.recent_bytes > self._recent_max:
            gone = self._recent.popleft()
            self.recent_bytes -= len(gone.body)
            self._since = gone.number

    def _forget(self, head: int) -> None:
        self._recent.clear()
        self.recent_bytes = 0
        self._since = self._head = head

    def _wake(self, account: LedgerAccount) -> None:
        for changed in self._readers.get(account, ()):
            changed.set()

    def _wake_all(self) -> None:
        for account in self._readers:
            self._wake(account)


def as_of(transfer: Transfer, kind: EntryKind) -> HoldView:
    """How a hold stood right after its entry of this kind."""
    if kind is EntryKind.HOLD:
        transfer = replace(transfer, state=TransferState.HELD, preimage=None, decided_at=None)
    view = transfer.view
    assert view is not None, "only holds have such entries"
    return view
