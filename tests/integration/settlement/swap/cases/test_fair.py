"""Both follow the protocol: what they get, whoever asked first and whatever the EVM leg is of."""

from __future__ import annotations

import pytest

from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Mode, Role
from tests.support.swap_cases import SATOSHI, TOKENS, OpenCase

pytestmark = pytest.mark.integration
BOTH = (Outcome.SWAPPED, Outcome.SWAPPED)


@pytest.mark.parametrize("mode", Mode)
async def test_tokens_are_swapped(case: OpenCase, mode: Mode) -> None:
    """An ERC-20 on the EVM leg: exactly its amount moves, and nothing of it stays allowed."""
    async with case(mode, with_token=True) as swap:
        await swap.agree(Role.INITIATOR)
        assert await swap.outcomes() == BOTH
        (got, _, paid), (gave, _, received) = await swap.gains()
        assert (paid, received) == (-TOKENS, TOKENS)
        assert 0 < SATOSHI - got < 10_000
        assert 0 <= -gave - SATOSHI < 10_000
