"""Nodes of these cases' own, which they reorganise and move in time: one pair for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from adapters.bitcoin.rpc import BitcoinRpc
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.engine import performer
from settlement.swap.terms import Mode
from tests.support.evm_escrow import escrow_world
from tests.support.swap_bitcoin import SwapNode
from tests.support.swap_cases import Case, Chains, Hands, OpenCase, genesis_of, open_case


@pytest.fixture(scope="package")
async def _shared_chains(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chains]:
    folder = tmp_path_factory.mktemp("swap-cases")
    async with (
        Bitcoind(folder / "bitcoind") as node,
        Anvil(folder / "anvil", block_seconds=100_000) as anvil,  # one for each transaction alone
        BitcoinRpc(node.url, node.user, node.password) as rpc,
        escrow_world(anvil, confirmations=1) as world,
    ):
        await node.open_wallet("miner")
        await node.mine(110)
        yield Chains(SwapNode(node, rpc), world, await genesis_of(world))


@pytest.fixture
def case(_shared_chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenCase:
    """Opens a case: `async with case(mode, …) as swap`."""
    hands = Hands()
    monkeypatch.setattr(performer, "HANDS", hands)
    _shared_chains.mining = True
    _shared_chains.bitcoin.reset()

    def opened(mode: Mode = Mode.HASH, **other: Any) -> AbstractAsyncContextManager[Case]:
        return open_case(_shared_chains, tmp_path, hands, mode, **other)

    return opened
