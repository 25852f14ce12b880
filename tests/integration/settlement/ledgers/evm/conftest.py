"""A chain whose blocks, and so its finality, come quickly."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.anvil import Anvil
from tests.support.evm_escrow import EscrowWorld, escrow_world


@pytest.fixture(scope="session")
async def quick_anvil(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    """An EVM node with ten blocks a second, whose clock runs ahead: a block is a second later than the one before."""
    async with Anvil(tmp_path_factory.mktemp("quick"), block_seconds=0.1) as node:
        yield node


@pytest.fixture
async def world(quick_anvil: Anvil) -> AsyncIterator[EscrowWorld]:
    """New contracts on that chain."""
    async with escrow_world(quick_anvil) as made:
        yield made
