"""A maker that answers by itself keeps within its limits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.swap_serving import Maker, NoPrice, Side, rates_of
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from settlement.swap.engine.settings import AssetName
from settlement.swap.pricing import MakerLimits
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import settings_in


class Twenty(Maker):
    """One bitcoin is twenty ether."""

    @property
    def price(self) -> Fraction:
        return Fraction(20)


def test_offers_taken_within_a_moment_count_at_once():
    """No more swaps begin than may be open together, however fast they are taken; looking counts for none."""
    nobody: Any = SimpleNamespace()
    limits = MakerLimits(Satoshi(1), Satoshi(10**9), at_once=2)
    maker = Twenty(nobody, nobody, limits, Side(AssetName("ETH", 18, bytes(20)), True, True))
    offer = an_offer(1).offer
    for _ in range(3):
        maker.check(offer)
    maker.accepts(offer)
    maker.accepts(offer)
    with pytest.raises(BadInput, match="2 swaps are open"):
        maker.accepts(offer)
    maker.count(1)
    maker.accepts(offer)


async def test_prices_come_from_a_service(tmp_path: Path):
    """`--price-url`: the quotient of two prices in one money; without one of them there is none, with what to do."""
    answer = {"prices": {"BTC": "60000", "ETH": "3000"}}

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(answer)

    service = web.Application()
    service.router.add_get("/prices", tell)
    async with TestServer(service) as server:
        rates: Any = rates_of("", None, str(server.make_url("/prices")), ("ETH",))
        side = Side(AssetName("ETH", 18, bytes(20)), True, True)
        maker = Maker(settings_in(tmp_path), rates, MakerLimits(Satoshi(1), Satoshi(10**9)), side)
        await rates.start()
        try:
            maker.check_priced()
            assert maker.price == 20
            answer["prices"].pop("ETH")
            await rates.refresh()
            with pytest.raises(NoPrice) as refusal:
                maker.check_priced()
            assert "--price-url" in refusal.value.cure
        finally:
            await rates.close()


def test_what_is_no_address_of_prices_is_refused():
    """By the option."""
    for url in ("nonsense", "ftp://prices", "http://", "http://[::1"):
        with pytest.raises(BadInput, match="--price-url"):
            rates_of("", None, url, ("ETH",))
