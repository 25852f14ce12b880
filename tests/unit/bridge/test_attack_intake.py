"""What others may put on the two chains, and failures in between, do not mislead a node's books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.native import events as e
from bridge.ledger import balance
from foundation.quantities import TokenUnits
from registry.ids import deposit_id
from tests.support.bridge_intake import GROUP, Chains, pays

AMOUNT = 50_000
OTHER_ASSET = b"z" * 32


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    opened = await Chains.open(tmp_path)
    yield opened
    await opened.database.close()


async def test_another_assets_mints_returns_and_burns_are_not_counted(chains: Chains) -> None:
    """The Hub serves several assets: a second one's supply must not make this one look insolvent for ever."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    await chains.say(chains.minted(paid.GetTxid(), AMOUNT))
    at, units = chains.at(), TokenUnits(9_000_000)
    other, barred = deposit_id(OTHER_ASSET, b"x" * 32, 0), deposit_id(OTHER_ASSET, b"x" * 32, 1)
    await chains.say(
        e.DepositMinted(at, other, OTHER_ASSET, b"p" * 20, units, units, b"x" * 32, 0, GROUP),
        e.DepositReturned(at, barred, OTHER_ASSET, b"x" * 32, 1, units, GROUP, 1),
        e.PayoutSettled(at, b"q" * 32, b"y" * 32, TokenUnits(10), TokenUnits(700)),
    )
    async with chains.database.view() as view:
        held = await balance(view)
        stored = await view.transfers.get_many([other, barred])
    assert (held.reserves, held.supply) == (AMOUNT, AMOUNT - 2_000)
    assert not stored
