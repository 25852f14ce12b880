"""A bridge whose native node stops in the middle: followers, readers and senders go on where they were."""

from __future__ import annotations

import asyncio

import pytest

from adapters.evm.errors import NodeUnavailable
from adapters.evm.types import BlockRef
from adapters.native import events as e
from adapters.native.types import Announcement
from infra.anvil import Anvil
from tests.support.native_bridge import ASSET, NativeBridge, native_bridge
from tests.support.patience import PATIENCE_S


def terms(bridge: NativeBridge, number: int) -> Announcement:
    """Terms that differ by their salt."""
    return Announcement(ASSET.id, bridge.group, b"\x01" * 20, b"\x02" * 32, 10, bytes([number]) * 32, number)


async def test_followers_and_senders_outlive_the_node(fresh_anvil: Anvil) -> None:
    """Events come once each, in order, over a restart of the node, and what was sent before is not sent again."""
    async with native_bridge(fresh_anvil) as bridge:
        await bridge.set_up()
        seen: list[e.NativeEvent] = []
        cursor: BlockRef | None = None
        outages = 0

        async def follow() -> None:
            nonlocal cursor, outages
            while True:
                try:
                    async for batch in bridge.chain.follow(cursor, poll_seconds=0.05):
                        assert cursor is None or batch.first == cursor.number + 1
                        seen.extend(batch.events)
                        cursor = batch.last
                except NodeUnavailable:
                    outages += 1
                    await asyncio.sleep(0.05)

        follower = asyncio.create_task(follow())
        try:
            for number in range(3):
                await bridge.send(bridge.chain.calls.announce_deposit(terms(bridge, number)))
            await fresh_anvil.stop()
            for read in (bridge.chain.finalized_block, bridge.chain.vouchers, bridge.chain.check):
                with pytest.raises(NodeUnavailable):
                    await read()
            with pytest.raises(NodeUnavailable):
                await bridge.chain.next_events(cursor)
            with pytest.raises(NodeUnavailable):
                await bridge.send(bridge.chain.calls.announce_deposit(terms(bridge, 3)))
            async with asyncio.timeout(PATIENCE_S):
                while not outages:
                    await asyncio.sleep(0.02)
            await fresh_anvil.start()
            await bridge.chain.check()
            assert (await bridge.chain.vouchers()).total_weight
            for number in range(3, 6):
                await bridge.send(bridge.chain.calls.announce_deposit(terms(bridge, number)))
            await bridge.finality()
            async with asyncio.timeout(PATIENCE_S):
                while sum(isinstance(event, e.DepositAnnounced) for event in seen) < 6:
                    await asyncio.sleep(0.02)
        finally:
            follower.cancel()
        announced = [event.terms.birthday for event in seen if isinstance(event, e.DepositAnnounced)]
        assert announced == list(range(6))
        assert seen == sorted(seen, key=lambda event: (event.at.block.number, event.at.index))
