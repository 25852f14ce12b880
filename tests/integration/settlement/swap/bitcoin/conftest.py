"""A bitcoin node of these tests' own: they reorganise its chain and move its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.bitcoin.rpc import BitcoinRpc
from infra.bitcoind import Bitcoind
from tests.support.swap_bitcoin import SwapNode


@pytest.fixture(scope="package")
async def _shared_chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SwapNode]:
    """A node with a miner that has money."""
    async with (
        Bitcoind(tmp_path_factory.mktemp("swap-bitcoind")) as node,
        BitcoinRpc(node.url, node.user, node.password) as rpc,
    ):
        await node.open_wallet("miner")
        await node.mine(110)
        yield SwapNode(node, rpc)


@pytest.fixture
def chain(_shared_chain: SwapNode) -> Iterator[SwapNode]:
    """The node; others have used its chain and its wallets."""
    yield _shared_chain
    _shared_chain.reset()
