"""A chain whose blocks, and so its finality, come quickly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.anvil import Anvil
from tests.support.channels_chain import ChainTown, chain_town


@pytest.fixture(scope="session")
async def fast_chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    """An EVM node with ten blocks a second, whose clock runs ahead: a block is a second later than the one before."""
    async with Anvil(tmp_path_factory.mktemp("fast"), block_seconds=0.1) as node:
        yield node


@pytest.fixture
async def chain_banks(fast_chain: Anvil, tmp_path: Path) -> AsyncIterator[ChainTown]:
    """Two banks at a new contract."""
    async with chain_town(fast_chain, tmp_path) as town:
        yield town
