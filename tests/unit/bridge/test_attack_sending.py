"""What takes nonces, pauses contracts or refuses transactions for a while bars no mint for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from adapters.evm.errors import Reverted, TransactionAbandoned
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.sender import TxSender
from bridge.agents.office import send_call
from tests.support.evm_chain import SECRET, FakeChain, call
from tests.support.patience import PATIENCE_S

POLICY = SenderPolicy(poll_seconds=0.0005, poll_seconds_most=0.0005, tend_seconds=0, resend_after_seconds=0)
MINT = cast(Any, call())


@pytest.fixture
def chain() -> FakeChain:
    """A chain that mines when it is told."""
    return FakeChain()


@pytest.fixture
async def sender(chain: FakeChain) -> AsyncIterator[TxSender]:
    """A voucher's sender."""
    with capture_logs():
        async with TxSender(chain, VolatileJournal(), SECRET, 31_337, POLICY) as running:
            yield running


async def settled(chain: FakeChain, sender: TxSender, work: Awaitable[Any]) -> Any:
    """The result of `work`, once nothing is on its way any more."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(PATIENCE_S):
        while not task.done() or sender.on_their_way:
            chain.mine()
            await asyncio.sleep(0.001)
    return await task


async def test_a_call_whose_nonce_was_taken_is_sent_again(chain: FakeChain, sender: TxSender) -> None:
    """A stranger, or a filler, takes the nonce of a mint: the same mint goes out with another one, once."""
    await settled(chain, sender, sender.send(call(7), "first"))
    chain.foreign(SECRET, 1)
    with pytest.raises(TransactionAbandoned):
        await settled(chain, sender, send_call(sender, "mint", b"s" * 32, MINT))
    for _ in range(2):
        await settled(chain, sender, send_call(sender, "mint", b"s" * 32, MINT))
    assert chain.effects[MINT.data] == 1


async def test_a_call_that_a_pause_met_on_its_way_is_sent_again(chain: FakeChain, sender: TxSender) -> None:
    """It was refused in its block; when the asset is open again, the same mint is tried again."""
    chain.refused_when_mined.add(MINT.data)
    with pytest.raises(Reverted):
        await settled(chain, sender, send_call(sender, "mint", b"s" * 32, MINT))
    chain.refused_when_mined.clear()
    for _ in range(2):
        await settled(chain, sender, send_call(sender, "mint", b"s" * 32, MINT))
    assert [tx.nonce for tx in chain.broadcasts] == [0, 1]
