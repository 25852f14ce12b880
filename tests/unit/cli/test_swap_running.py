"""What an earlier command left open is settled before a command's engine runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cli.swap_running import at_work
from foundation.quantities import UnixMs
from settlement.swap.engine.runtime import open_store
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.offers import SignedOffer
from settlement.swap.store.store import OfferState, OwnOffer, SwapStore, Taking, TakingState
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> TraderSettings:
    """A trader's."""
    return settings_in(tmp_path)


@pytest.fixture
def keys(settings: TraderSettings) -> TraderKeys:
    """Of the same."""
    return TraderKeys("test " * 11 + "junk").at(settings.realm)


async def test_what_a_maker_by_itself_left_open_can_be_taken_no_more(
    settings: TraderSettings, keys: TraderKeys
) -> None:
    """`resume` goes on with an offer that a person made; a quote of `serve` would be held to none of its limits."""
    now = int(time.time())
    own = [
        OwnOffer(number, an_offer(now, salt=number), state, "", UnixMs(now * 1000))
        for number, state in enumerate((OfferState.OPEN, OfferState.SERVED))
    ]
    async with open_store(settings.folder, keys) as database:
        async with database.unit() as unit:
            for one in own:
                await SwapStore(unit.connection).put_offer(one)
            await unit.commit()

        async def states() -> list[OfferState]:
            async with database.view() as view:
                return [one.state for one in await SwapStore(view.connection).offers()]

        for keeps, left in ((True, OfferState.OPEN), (False, OfferState.WITHDRAWN)):
            notes: list[str] = []
            async with at_work(settings, keys, keeps=keeps, note=notes.append):
                assert await states() == [left, OfferState.WITHDRAWN]
            assert notes == ["1 offer that an earlier command left open is withdrawn"]


async def test_what_was_taken_earlier_is_asked_for_by_resume_alone(settings: TraderSettings, keys: TraderKeys) -> None:
    """Every other command gives it up, and says so: after another `take` nobody wants the first swap as well. An offer
    that is taken again goes on being asked for."""
    now = int(time.time())
    offers = [an_offer(now, salt=number) for number in range(2)]
    async with open_store(settings.folder, keys) as database:
        async with database.unit() as unit:
            for number, offer in enumerate(offers):
                taking = Taking(number, offer, TakingState.ASKED, "", None, UnixMs(number))
                await SwapStore(unit.connection).put_taking(taking)
            await unit.commit()

        async def asked() -> list[SignedOffer]:
            async with database.view() as view:
                return [one.signed for one in await SwapStore(view.connection).open_takings()]

        async with at_work(settings, keys, keeps=True):
            assert await asked() == offers
        notes: list[str] = []
        async with at_work(settings, keys, taking=offers[1].offer.offer_id, note=notes.append):
            assert await asked() == offers[1:]
        (note,) = notes
        assert note.startswith(f"offer {offers[0].offer.offer_id.hex()[:8]}")
        async with at_work(settings, keys, note=notes.append):
            assert await asked() == []
        assert len(notes) == 2
