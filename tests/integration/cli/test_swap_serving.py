"""A maker that answers by itself: quotes within its limits, offers on a board, and swaps without a person."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cli.output import Output
from cli.swap_asking import ask
from cli.swap_board import board_offers
from cli.swap_serving import Maker, Side, rates_of, serve
from foundation.quantities import Satoshi
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.engine.runtime import open_store
from settlement.swap.letters.post import PlaceRefuses
from settlement.swap.machine.states import Outcome
from settlement.swap.offers import SignedOffer
from settlement.swap.pricing import MakerLimits
from settlement.swap.store.store import SwapStore
from tests.support.patience import eventually
from tests.support.swap_people import COIN, ETHER, agreed, ended, town

pytestmark = pytest.mark.integration


async def test_a_maker_serves_quotes_and_keeps_offers_on_a_board(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, capsys: pytest.CaptureFixture[str]
) -> None:
    """A taker asks, takes, and both have what was quoted; amounts outside the limits are refused by name; a new price
    replaces the offers on the board; when the maker ends they are gone. Programs are told where it serves."""
    prices = tmp_path / "prices.toml"
    prices.write_text('[prices]\nBTC = "60000"\nETH = "3000"\n')
    async with town(tmp_path, bitcoind, anvil) as place, place.bob.at_work() as bob:
        alice, settings = place.alice, place.alice.settings
        rates = rates_of("", prices, "", ("ETH",))
        limits = MakerLimits(Satoshi(COIN // 100), Satoshi(COIN), spread_bp=100)
        maker = Maker(settings, rates, limits, Side(settings.assets[1], gives_bitcoin=True, gives_asset=False))
        shelf = [(True, Satoshi(COIN // 2))]
        task = asyncio.create_task(serve(settings, alice.keys, Output(True), maker, rates, shelf, place.place))
        try:

            async def published() -> SignedOffer | None:
                found = await board_offers(place.bob.settings, place.place, "BTC", "ETH")
                return found[0] if found else None

            first = await eventually(published, "an offer on the board")
            assert (first.offer.satoshi, first.offer.amount) == (COIN // 2, 10 * ETHER * 101 // 100)
            assert maker.running is not None
            where = maker.running.place
            serving = json.loads(capsys.readouterr().out.splitlines()[0])
            assert serving == {"serving": where, "asset": "ETH", "price": "20.0"}
            with pytest.raises(PlaceRefuses, match="1,000,000 to 100,000,000"):
                await ask(place.bob.settings, Output(True), where, "ETH", "2BTC", False)
            with pytest.raises(PlaceRefuses, match="does not trade that"):
                await ask(place.bob.settings, Output(True), where, "0.1BTC", "ETH", False)
            capsys.readouterr()
            await ask(place.bob.settings, Output(True), where, "ETH", "0.1BTC", True)
            document = json.loads(capsys.readouterr().out)
            quoted = SignedOffer.read(document["offer"])
            assert document["give"] == {"asset": str(quoted.offer.wants), "amount": str(quoted.offer.amount)}
            assert document["get"] == {"asset": str(quoted.offer.gives), "amount": str(quoted.offer.satoshi)}
            assert (quoted.offer.satoshi, quoted.offer.amount) == (COIN // 10, 2 * ETHER * 101 // 100)

            await bob.trading.take(quoted)
            swap_id = await agreed(bob, quoted)
            row = await ended(bob, swap_id, place.mine)
            assert row.state.outcome is Outcome.SWAPPED

            prices.write_text('[prices]\nBTC = "66000"\nETH = "3000"\n')

            async def dearer() -> bool:
                offer = await published()
                return offer is not None and offer.offer.amount == 11 * ETHER * 101 // 100

            await eventually(dearer, "an offer at the new price")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not await board_offers(place.bob.settings, place.place, "BTC", "ETH")
        async with open_store(alice.folder) as database, database.view() as view:
            assert await SwapStore(view.connection).open_offers() == ()
