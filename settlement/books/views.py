"""The books as one role sees them: what it may not see is left out before it leaves this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.journal import Line
from settlement.books.receipt_store import ReceiptStore
from settlement.books.receipts import KeptReceipt
from settlement.books.reviews import Recorded, Reviews
from settlement.books.roles import CLEARANCES, Level, NotPermitted, Review, Role, check_level
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tree import Node, tree
from settlement.quantities import PartyId

PAGE_MAX = 500


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as a role sees it. Fields as `Posted` and `Review`; narrative (None: not for this role)."""

    number: int
    at: UnixMs
    event: str
    payment_id: bytes | None
    reverses: int | None
    lines: tuple[Line, ...]
    narrative: str | None
    review: Review


class BooksView:
    """The books of an entity for one role, on a view's connection."""

    def __init__(self, connection: AsyncConnection, entity: PartyId, role: Role, key: NarrativeKey) -> None:
        self._role = role
        self._clearance = CLEARANCES[role]
        self._entity = entity
        is_full = self._clearance.level >= Level.FULL
        self._books = Books(connection, key if is_full else None)
        self._reviews = Reviews(connection, key)
        self._receipts = ReceiptStore(connection)

    async def balances(self, *, confirmed: bool = False) -> Node:
        """The tree of balances: to its accounts, or to its roots for a role that sees totals.

        Args:
            confirmed: without what is suspended.
        """
        kept: Mapping[Account, int] = (
            await self._reviews.confirmed_balances() if confirmed else await self._books.balances()
        )
        top = tree(self._entity, kept)
        if self._clearance.level > Level.TOTALS:
            return top
        return Node(top.name, top.sums, tuple(Node(child.name, child.sums) for child in top.children))

    async def entries(self, after: int = 0, limit: int = PAGE_MAX) -> tuple[ShownEntry, ...]:
        """Entries in order, with numbers above `after`, at most `limit` and 500.

        Raises:
            NotPermitted: the role sees no entries.
        """
        check_level(self._role, Level.SEALED, "see entries")
        is_full = self._clearance.level >= Level.FULL
        page = await self._books.page(after, min(limit, PAGE_MAX))
        if not page:
            return ()
        stand = await self._reviews.of(page[0].number, page[-1].number)
        return tuple(
            ShownEntry(
                posted.number,
                posted.at,
                posted.entry.event,
                posted.entry.payment_id,
                posted.entry.reverses,
                posted.entry.lines,
                posted.entry.narrative if is_full else None,
                stand.get(posted.number, Review(posted.number)),
            )
            for posted in page
        )

    async def acts(self, number: int | None = None) -> tuple[Recorded, ...]:
        """Who did what with an entry, or with all.

        Raises:
            NotPermitted: the role does not see this.
        """
        if not self._clearance.acts:
            raise NotPermitted(self._role, "see what others did")
        return tuple([recorded async for recorded in self._reviews.acts(number)])

    async def receipt(self, payment_id: bytes) -> KeptReceipt | None:
        """The receipt of a payment, if it is closed.

        Raises:
            NotPermitted: the role does not see receipts.
        """
        if not self._clearance.receipts:
            raise NotPermitted(self._role, "see receipts")
        return await self._receipts.of_payment(payment_id)
