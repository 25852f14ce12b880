"""Offers on a board: only those that can be taken here, whatever else strangers publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import swap_board
from cli.swap_board import board_offers
from foundation.errors import BadInput
from registry.caip import ChainId
from settlement.swap.offers import SignedOffer
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import TOKEN, settings_in

NOW = 1_900_000_000
SECRET = b"\x07" * 32
BOARD = "http://127.0.0.1:1"


def published(**other: Any) -> SignedOffer:
    """An offer that differs from a common one."""
    return SignedOffer.sign(replace(an_offer(NOW).offer, **other), SECRET)


class Board:
    """Filters by assets as a board does, the newest first; so many at a time as are asked for."""

    there: Sequence[SignedOffer] = ()

    def __init__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Board:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def offers(self, gives: str = "", wants: str = "", most: int = 100) -> list[SignedOffer]:
        """See `Post.offers`."""
        fits = [one for one in reversed(self.there) if (str(one.offer.gives), str(one.offer.wants)) == (gives, wants)]
        return fits[:most]


async def test_offers_that_cannot_be_taken_here_hide_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of unknown tokens, other chains or Escrows: not shown, however many are newer."""
    settings = settings_in(tmp_path, board=BOARD)
    older = published()
    newer = published(made_at=NOW + 1, gives_bitcoin=False, asset=TOKEN)
    spam = [an_offer(NOW + 2, salt=number) for number in range(1, 4)]
    others: list[dict[str, Any]] = [
        {"asset": b"\x66" * 20},
        {"escrow": b"\x67" * 20},
        {"evm_chain": ChainId("eip155", "1")},
        {"bitcoin_chain": ChainId("bip122", "000000000019d6689c085ae165831e93")},
    ]
    strange = [SignedOffer.sign(replace(one.offer, **other), SECRET) for one in spam for other in others]
    monkeypatch.setattr(Board, "there", [older, newer, *strange * 30])
    monkeypatch.setattr(swap_board, "Post", Board)
    assert await board_offers(settings, "", "", "") == [newer, older]
    assert await board_offers(settings, BOARD, "BTC", "") == [older]
    assert await board_offers(settings, BOARD, "usdc", "BTC") == [newer]
    assert await board_offers(settings, BOARD, "", "USDC") == []
    for give, want in (("BTC", "BTC"), ("ETH", "USDC")):
        with pytest.raises(BadInput, match="--want"):
            await board_offers(settings, BOARD, give, want)
