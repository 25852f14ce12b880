"""A board at work: its bounds, its clock, and those who wait for letters."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from api.board.store import BoardStore, KeptLetter, KeptOffer
from api.board.tables import SCHEMA
from foundation.database import Database
from foundation.errors import BadInput, Retryable
from settlement.swap.letters.letter import SEALED_BYTES_MAX
from settlement.swap.offers import SignedOffer

_SWEEP_SECONDS: Final = 60
_SOURCES: Final = 10_000


@dataclass(frozen=True, slots=True)
class BoardRules:
    """What a board takes. Fields: letters_each, letters_all (that wait); offers_each (of one maker), offers_all;
    letters_seconds (how long one waits); posts_a_minute (from one address); page (letters or offers in one answer)."""

    letters_each: int = 200
    letters_all: int = 200_000
    offers_each: int = 20
    offers_all: int = 20_000
    letters_seconds: int = 7 * 86_400
    posts_a_minute: int = 240
    page: int = 50


class BoardFull(Retryable):
    """There is no room now. Fields: what (is full); retry_seconds."""

    def __init__(self, what: str, retry_seconds: int) -> None:
        self.what = what
        self.retry_seconds = retry_seconds
        super().__init__(f"{what}; try again in {retry_seconds} s")


class Board:
    """See the module. One process for a database, or letters wait for the reader's next look."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], int],
        rules: BoardRules | None = None,
        closing: asyncio.Event | None = None,
    ) -> None:
        """A board over a database that has `tables.SCHEMA` (see `make_tables`).

        Args:
            database: where letters and offers wait.
            clock: seconds since 1970.
            rules: what it takes.
            closing: set when the server ends, so that who waits for letters is answered.
        """
        self.rules = rules or BoardRules()
        self._database = database
        self._clock = clock
        self._waiting: dict[bytes, set[asyncio.Event]] = {}
        self._posts: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._swept_at = 0
        self.closing = closing or asyncio.Event()

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return self._clock()

    def admit(self, source: str) -> None:
        """Count a post of an address. Raises `BoardFull`: too many in this minute."""
        minute = self.now // 60
        found, count = self._posts.pop(source, (minute, 0))
        count = count + 1 if found == minute else 1
        self._posts[source] = (minute, count)
        while len(self._posts) > _SOURCES:
            self._posts.popitem(last=False)
        if count > self.rules.posts_a_minute:
            raise BoardFull("too many letters and offers come from your address", 60 - self.now % 60)

    async def put_letter(self, mailbox: bytes, sealed: bytes) -> tuple[int, bool]:
        """Keep a letter for the owner of a mailbox (x-only key); its number, and whether it is new.

        Raises:
            BadInput: it is empty, or too long.
            BoardFull: the mailbox, or the board, has no room now.
        """
        if not 0 < len(sealed) <= SEALED_BYTES_MAX:
            raise BadInput("letter", f"has {len(sealed):,} bytes", f"1 to {SEALED_BYTES_MAX:,}")
        await self._sweep()
        async with self._database.unit() as unit:
            store = BoardStore(unit.connection)
            number, is_new = await store.put_letter(mailbox, sealed, self.now)
            if is_new and await store.letters_in(mailbox) > self.rules.letters_each:
                raise BoardFull("the mailbox is full until its owner reads", 60)
            if is_new and await store.all_letters() > self.rules.letters_all:
                raise BoardFull("the board is full", 600)
            await unit.commit()
        for event in self._waiting.get(mailbox, ()):
            event.set()
        return number, is_new

    async def letters(self, mailbox: bytes, after: int, wait_seconds: float) -> tuple[KeptLetter, ...]:
        """What came after a number; where there is nothing, what comes within the time given, if anything does."""
        event = asyncio.Event()
        self._waiting.setdefault(mailbox, set()).add(event)
        try:
            found = await self._after(mailbox, after)
            if found or wait_seconds <= 0:
                return found
            await self._first(event, wait_seconds)
            return await self._after(mailbox, after)
        finally:
            waiting = self._waiting[mailbox]
            waiting.discard(event)
            if not waiting:
                del self._waiting[mailbox]

    async def forget(self, mailbox: bytes, through: int) -> None:
        """Drop letters of a mailbox that its owner has read."""
        async with self._database.unit() as unit:
            await BoardStore(unit.connection).forget_letters(mailbox, through)
            await unit.commit()

    async def publish(self, signed: SignedOffer) -> bool:
        """Put an offer, which was verified, on the board; whether it is new.

        Raises:
            OfferExpired: it is not valid any more.
            BoardFull: its maker has as many as one may have, or the board is full.
        """
        signed.check_time(self.now)
        await self._sweep()
        async with self._database.unit() as unit:
            store = BoardStore(unit.connection)
            is_new = await store.put_offer(signed, self.now)
            if is_new and await store.offers_of(signed.offer.maker) > self.rules.offers_each:
                raise BoardFull(f"a maker has {self.rules.offers_each} offers at most", 600)
            if is_new and await store.all_offers() > self.rules.offers_all:
                raise BoardFull("the board is full", 600)
            await unit.commit()
        return is_new

    async def offers(self, gives: str | None, wants: str | None, before: int | None) -> tuple[KeptOffer, ...]:
        """A page of valid offers, the newest first. `gives`, `wants`: CAIP-19; `before`: the last one's number."""
        async with self._database.view() as view:
            store = BoardStore(view.connection)
            return await store.newest_offers(self.now, gives, wants, before, self.rules.page)

    async def offer(self, offer_id: bytes) -> KeptOffer | None:
        """One offer, valid or not."""
        async with self._database.view() as view:
            return await BoardStore(view.connection).offer(offer_id)

    async def withdraw(self, offer_id: bytes) -> None:
        """Take an offer down."""
        async with self._database.unit() as unit:
            await BoardStore(unit.connection).withdraw(offer_id)
            await unit.commit()

    async def _after(self, mailbox: bytes, after: int) -> tuple[KeptLetter, ...]:
        async with self._database.view() as view:
            return await BoardStore(view.connection).letters_after(mailbox, after, self.rules.page)

    async def _first(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for a letter, for the end of the board, or for the time to pass."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self.closing.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _sweep(self) -> None:
        if self.now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = self.now
        async with self._database.unit() as unit:
            await BoardStore(unit.connection).sweep(self.now, self.now - self.rules.letters_seconds)
            await unit.commit()


async def make_tables(database: Database) -> None:
    """Make the board's tables in a database, where they are not there yet."""
    async with database.unit() as unit:
        if not await unit.connection.run_sync(SCHEMA.is_current):
            await unit.connection.run_sync(SCHEMA.upgrade)
            await unit.commit()
