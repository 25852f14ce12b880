"""The wallet, its offers, and others' offers that it takes, on one connection."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, delete, func, select, update

from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.swap.offers import SignedOffer
from settlement.swap.store.rows import (
    OfferState,
    OtherWallet,
    OwnOffer,
    Taking,
    TakingState,
)
from settlement.swap.store.tables import offers, swaps, takings, wallet

_SPARE_LOOKS: Final = 64
"""Offers that are looked at for one that has ended."""


class TradeStore(Repository):
    """See the module."""

    # --- The wallet ---------------------------------------------------------------------------------------------------

    async def claim(self, wallet_id: bytes) -> None:
        """Make sure that the database is this mnemonic's; a new one becomes so. Raises `OtherWallet`."""
        row = {"place": 1, "wallet_id": wallet_id, "next_index": 0}
        await self._connection.execute(self._insert(wallet).values(row).on_conflict_do_nothing())
        found = (await self._connection.execute(select(wallet.c.wallet_id))).scalar_one()
        if bytes(found) != wallet_id:
            raise OtherWallet

    async def new_index(self) -> int:
        """An index that was never used."""
        number = int((await self._connection.execute(select(wallet.c.next_index))).scalar_one())
        await self._connection.execute(update(wallet).values(next_index=number + 1))
        return number

    async def next_index(self) -> int:
        """The index that will be given out next."""
        return int((await self._connection.execute(select(wallet.c.next_index))).scalar_one())

    async def spare_index(self, ended_before: int) -> int | None:
        """An index that an own offer used which came to nothing and ended before a time (seconds since 1970): the offer
        is forgotten. None where there is none. Offers show a public key of it, and nothing that swaps keep secret."""
        unused = (offers.c.state != OfferState.TAKEN.value, offers.c.index.not_in(select(swaps.c.index)))
        query = select(offers.c.offer_id, offers.c.index, offers.c.text).where(*unused)
        found = await self._connection.execute(query.order_by(offers.c.made_at, offers.c.index).limit(_SPARE_LOOKS))
        for offer_id, index, text in found:
            if SignedOffer.read(text).offer.valid_until < ended_before:
                await self._connection.execute(delete(offers).where(offers.c.offer_id == offer_id))
                return int(index)
        return None

    async def waiting_offers(self) -> int:
        """How many own offers came to nothing yet."""
        query = select(func.count()).select_from(offers).where(offers.c.state != OfferState.TAKEN.value)
        return int((await self._connection.execute(query)).scalar_one())

    async def skip_to(self, index: int) -> None:
        """Never use an index below this one again."""
        await self._connection.execute(update(wallet).where(wallet.c.next_index < index).values(next_index=index))

    # --- Offers -------------------------------------------------------------------------------------------------------

    async def put_offer(self, offer: OwnOffer) -> None:
        """Keep a new offer, or its new state."""
        row = {
            "offer_id": offer.offer_id,
            "index": offer.index,
            "text": offer.signed.text,
            "state": offer.state.value,
            "published_at": offer.board,
            "made_at": offer.made_at,
        }
        made = self._insert(offers).values(row)
        news = {"state": row["state"], "published_at": row["published_at"]}
        await self._connection.execute(made.on_conflict_do_update(index_elements=["offer_id"], set_=news))

    async def offer(self, offer_id: bytes) -> OwnOffer | None:
        """An own offer."""
        found = await self._offers(offers.c.offer_id == offer_id)
        return found[0] if found else None

    async def open_offers(self) -> tuple[OwnOffer, ...]:
        """Own offers that may be taken, the oldest first; some may have expired."""
        return await self._offers(offers.c.state.in_([state.value for state in OfferState if state.is_open]))

    async def offers(self) -> tuple[OwnOffer, ...]:
        """All own offers, the oldest first."""
        return await self._offers()

    async def _offers(self, *where: ColumnElement[bool]) -> tuple[OwnOffer, ...]:
        columns = (offers.c.index, offers.c.text, offers.c.state, offers.c.published_at, offers.c.made_at)
        query = select(*columns).where(*where).order_by(offers.c.made_at, offers.c.index)
        return tuple(
            OwnOffer(index, SignedOffer.read(text), OfferState(state), board, UnixMs(made_at))
            for index, text, state, board, made_at in await self._connection.execute(query)
        )

    # --- Offers of others ---------------------------------------------------------------------------------------------

    async def put_taking(self, taking: Taking) -> None:
        """Keep that an offer is taken, or how far."""
        row = {
            "offer_id": taking.offer_id,
            "index": taking.index,
            "offer": taking.signed.text,
            "state": taking.state.value,
            "problem": taking.problem[:500],
            "swap_id": taking.swap_id,
            "made_at": taking.made_at,
        }
        news = {name: row[name] for name in ("state", "problem", "swap_id")}
        made = self._insert(takings).values(row)
        await self._connection.execute(made.on_conflict_do_update(index_elements=["offer_id"], set_=news))

    async def taking(self, offer_id: bytes) -> Taking | None:
        """One of them."""
        found = await self._takings(takings.c.offer_id == offer_id)
        return found[0] if found else None

    async def open_takings(self) -> tuple[Taking, ...]:
        """Those that wait for an answer, the oldest first."""
        return await self._takings(takings.c.state == TakingState.ASKED.value)

    async def _takings(self, *where: ColumnElement[bool]) -> tuple[Taking, ...]:
        columns = (
            takings.c.index,
            takings.c.offer,
            takings.c.state,
            takings.c.problem,
            takings.c.swap_id,
            takings.c.made_at,
        )
        query = select(*columns).where(*where).order_by(takings.c.made_at, takings.c.index)
        return tuple(
            Taking(
                index,
                SignedOffer.read(text),
                TakingState(state),
                problem,
                None if swap_id is None else bytes(swap_id),
                UnixMs(made_at),
            )
            for index, text, state, problem, swap_id, made_at in await self._connection.execute(query)
        )
