"""A watchtower with the nodes of a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foundation.quantities import Wei
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.watchtower import opening
from settlement.swap.watchtower.shelf import Shelf
from tests.support.swap_settings import settings_in


async def test_a_tower_bids_up_to_the_cap_of_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that it makes for a trader may cost what the trader's own may; its nodes are down meanwhile."""
    legs: list[EscrowLeg] = []
    monkeypatch.setattr(opening, "Watchtower", lambda _shelf, _rpc, leg, *_, **__: legs.append(leg))
    settings = replace(settings_in(tmp_path), fee_cap=Wei(7 * 10**9))
    async with opening.open_tower(settings, Shelf([]), b"\x01" * 32, tmp_path / "tower", tell=print):
        assert legs[0].fees.cap == settings.fee_cap
