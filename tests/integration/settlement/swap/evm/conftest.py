"""An Escrow on the session's node, and one on a node that can be reorganised."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.anvil import Anvil
from tests.support.swap_locks import SwapWorld, swap_world


@pytest.fixture(scope="module")
async def world(_shared_anvil: Anvil) -> AsyncIterator[SwapWorld]:
    """New contracts and people on the session's node, for one module."""
    async with swap_world(await _shared_anvil.start()) as made:
        yield made


@pytest.fixture
async def own_world(fresh_anvil: Anvil) -> AsyncIterator[SwapWorld]:
    """New contracts and people on a node of the test's own: to reorganise it, and to let its time pass."""
    async with swap_world(fresh_anvil) as made:
        yield made
