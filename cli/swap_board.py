"""Offers on an order board that this trader could take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cli.swap_making import board_of, template
from foundation.errors import BadInput, CausewayError
from settlement.swap.engine.market import check_known
from settlement.swap.letters.post import Post

if TYPE_CHECKING:
    from settlement.swap.engine.settings import AssetName, TraderSettings
    from settlement.swap.offers import Offer, SignedOffer

_LOOKED_AT: Final = 1_000
"""Offers of one pair. The board leaves out other pairs; what remains may be of other chains' Escrows."""


async def board_offers(settings: TraderSettings, board: str, give: str, want: str) -> Sequence[SignedOffer]:
    """Offers on a board that can be taken here, newest first. `give`, `want`: symbols, of the makers; empty: any."""
    place = board_of(settings, board)
    given = settings.asset(give, "--give") if give else None
    wanted = settings.asset(want, "--want") if want else None
    if given is not None and wanted is not None and (given.token is None) == (wanted.token is None):
        raise BadInput("--want", "one side has to be bitcoin, and the other not", "like --give BTC --want ETH")
    found: list[SignedOffer] = []
    async with Post(place, lambda: int(time.time())) as post:
        for gives, wants in _pairs(settings):
            if (given is None or given == gives) and (wanted is None or wanted == wants):
                there = await post.offers(_caip(settings, gives, wants), _caip(settings, wants, gives), _LOOKED_AT)
                found += [one for one in there if _is_known(settings, one.offer)]
    return sorted(found, key=lambda one: -one.offer.made_at)


def _pairs(settings: TraderSettings) -> list[tuple[AssetName, AssetName]]:
    """What makers may give, and want for it."""
    bitcoin, *others = settings.assets
    return [pair for other in others for pair in ((bitcoin, other), (other, bitcoin))]


def _caip(settings: TraderSettings, asset: AssetName, other: AssetName) -> str:
    """CAIP-19 of one of a pair."""
    token = other.token if asset.token is None else asset.token
    assert token is not None, "one of them is not bitcoin"
    some = template(settings, token, "http://127.0.0.1:1")
    return str(some.bitcoin_asset if asset.token is None else some.evm_asset)


def _is_known(settings: TraderSettings, offer: Offer) -> bool:
    try:
        check_known(settings, offer)
    except CausewayError:
        return False
    return True
