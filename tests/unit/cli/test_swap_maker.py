"""A maker that answers by itself keeps within its limits."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from cli.swap_serving import Maker, Side
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from settlement.swap.engine.settings import AssetName
from settlement.swap.pricing import MakerLimits
from tests.support.swap_offers import an_offer


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
