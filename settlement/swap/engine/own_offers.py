"""A trader's own offers after they are made: taken once, or withdrawn; never both."""

from __future__ import annotations

from dataclasses import replace

from foundation.errors import BadInput
from settlement.swap.engine.correspondence import Correspondence
from settlement.swap.engine.office import Office
from settlement.swap.store.store import OfferState, OwnOffer, SwapStore
from settlement.swap.wallet.secrets import TraderKeys


async def open_offers(office: Office) -> tuple[OwnOffer, ...]:
    """Those that are neither taken nor withdrawn, the oldest first; some may have expired."""
    async with office.database.view() as view:
        return await SwapStore(view.connection).open_offers()


async def withdraw(office: Office, offer_id: bytes) -> bool:
    """Have an own offer taken by nobody from now on; False where somebody took it before.

    On a board it stays until `take_down`: whoever takes it from there is not answered.
    """
    async with office.database.unit() as unit:
        store = SwapStore(unit.connection)
        own = await store.offer(offer_id)
        if own is not None and own.state.is_open:
            await store.put_offer(replace(own, state=OfferState.WITHDRAWN))
            await unit.commit()
    office.wake()
    return own is None or own.state is not OfferState.TAKEN


async def take_down(letters: Correspondence, keys: TraderKeys, own: OwnOffer) -> None:
    """Take an own offer off the board on which it is published, if any.

    Raises:
        PlaceUnavailable, PlaceRefuses: see `letters.post`.
    """
    if own.board:
        post = await letters.post(own.board)
        await post.withdraw(keys.swap(own.index).identity, own.offer_id)


async def mark_taken(store: SwapStore, own: OwnOffer, now: int) -> None:
    """Say that an own offer is taken, beside the swap that begins. `now`: seconds since 1970.

    Raises:
        BadInput: it was withdrawn, or taken, meanwhile; no swap begins.
        OfferExpired: its time is over; no swap begins.
    """
    found = await store.offer(own.offer_id)
    if found is None or not found.state.is_open:
        state = OfferState.WITHDRAWN if found is None else found.state
        raise BadInput("offer", f"is {state.value}", "ask its maker for another one")
    found.signed.check_time(now)
    await store.put_offer(replace(found, state=OfferState.TAKEN))
