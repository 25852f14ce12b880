"""Letters and offers of a board, on one connection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from api.board.tables import letters, offers
from foundation.database import Repository
from settlement.swap.offers import SignedOffer


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A letter in a mailbox. Fields: number (rises); sealed."""

    number: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeptOffer:
    """A published offer. Fields: number (rises); offer_id, maker (32 bytes each); text (the link)."""

    number: int
    offer_id: bytes
    maker: bytes
    text: str


class BoardStore(Repository):
    """See the module."""

    async def put_letter(self, mailbox: bytes, sealed: bytes, now: int) -> tuple[int, bool]:
        """Keep a letter; its number, and whether it is new. The same bytes again are the same letter."""
        digest = hashlib.sha256(sealed).digest()
        row = {"mailbox": mailbox, "digest": digest, "sealed": sealed, "came_at": now}
        made = await self._connection.execute(self._insert(letters).values(row).on_conflict_do_nothing())
        same = (letters.c.mailbox == mailbox, letters.c.digest == digest)
        number = (await self._connection.execute(select(letters.c.number).where(*same))).scalar_one()
        return int(number), made.rowcount > 0

    async def letters_after(self, mailbox: bytes, after: int, most: int) -> tuple[KeptLetter, ...]:
        """The oldest letters of a mailbox that came after a number."""
        of = select(letters.c.number, letters.c.sealed).where(letters.c.mailbox == mailbox, letters.c.number > after)
        return await self._rows(KeptLetter, of.order_by(letters.c.number).limit(most))

    async def letters_in(self, mailbox: bytes) -> int:
        """How many a mailbox holds."""
        of = select(func.count()).select_from(letters).where(letters.c.mailbox == mailbox)
        return int((await self._connection.execute(of)).scalar_one())

    async def all_letters(self) -> int:
        """How many there are."""
        return int((await self._connection.execute(select(func.count()).select_from(letters))).scalar_one())

    async def forget_letters(self, mailbox: bytes, through: int) -> None:
        """Drop what was read."""
        await self._connection.execute(delete(letters).where(letters.c.mailbox == mailbox, letters.c.number <= through))

    async def put_offer(self, signed: SignedOffer, now: int) -> bool:
        """Publish an offer; whether it is new."""
        offer = signed.offer
        row = {
            "offer_id": offer.offer_id,
            "maker": offer.maker,
            "text": signed.text,
            "gives": str(offer.gives),
            "wants": str(offer.wants),
            "published_at": now,
            "valid_until": offer.valid_until,
        }
        made = await self._connection.execute(self._insert(offers).values(row).on_conflict_do_nothing())
        return made.rowcount > 0

    async def offer(self, offer_id: bytes) -> KeptOffer | None:
        """One offer."""
        return await self._row(KeptOffer, select(*_OFFER).where(offers.c.offer_id == offer_id))

    async def offers_of(self, maker: bytes) -> int:
        """How many a maker has published."""
        of = select(func.count()).select_from(offers).where(offers.c.maker == maker)
        return int((await self._connection.execute(of)).scalar_one())

    async def all_offers(self) -> int:
        """How many there are."""
        return int((await self._connection.execute(select(func.count()).select_from(offers))).scalar_one())

    async def newest_offers(
        self, now: int, gives: str | None, wants: str | None, before: int | None, most: int
    ) -> tuple[KeptOffer, ...]:
        """Valid offers, the newest first."""
        of = select(*_OFFER).where(offers.c.valid_until > now)
        if gives is not None:
            of = of.where(offers.c.gives == gives)
        if wants is not None:
            of = of.where(offers.c.wants == wants)
        if before is not None:
            of = of.where(offers.c.number < before)
        return await self._rows(KeptOffer, of.order_by(offers.c.number.desc()).limit(most))

    async def withdraw(self, offer_id: bytes) -> None:
        """Take an offer down."""
        await self._connection.execute(delete(offers).where(offers.c.offer_id == offer_id))

    async def sweep(self, now: int, letters_before: int) -> None:
        """Drop expired offers, and letters that came before a time."""
        await self._connection.execute(delete(offers).where(offers.c.valid_until <= now))
        await self._connection.execute(delete(letters).where(letters.c.came_at < letters_before))


_OFFER = (offers.c.number, offers.c.offer_id, offers.c.maker, offers.c.text)
