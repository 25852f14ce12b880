"""Nodes of these tests' own, whose time passes T2 and T1 when they say so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.bitcoin.rpc import BitcoinRpc
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.swap_bitcoin import SwapNode
from tests.support.swap_locks import swap_world
from tests.support.swap_tower import TowerTown

DEEP = 30
"""Confirmations that are final on the EVM chain: deeper than any reorganisation of these tests, whatever a block a
second adds meanwhile."""


@pytest.fixture(scope="package")
async def _shared_town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TowerTown]:
    folder = tmp_path_factory.mktemp("tower")
    async with (
        Bitcoind(folder / "bitcoind") as node,
        Anvil(folder / "anvil") as anvil,
        BitcoinRpc(node.url, node.user, node.password) as rpc,
        swap_world(anvil, confirmations=DEEP) as world,
    ):
        await node.open_wallet("miner")
        await node.mine(110)
        yield TowerTown(SwapNode(node, rpc), world, folder, await world.world.person())


@pytest.fixture
def town(_shared_town: TowerTown, tmp_path: Path) -> Iterator[TowerTown]:
    """The chains; others have used them. A folder and news of the test's own."""
    _shared_town.folder = tmp_path
    _shared_town.news.clear()
    yield _shared_town
    _shared_town.chain.reset()
