"""Notices of new blocks, from a publisher of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import zmq
import zmq.asyncio

from adapters.bitcoin.notices import BlockNotices
from foundation.errors import BadInput
from tests.support.patience import PATIENCE_S


class Publisher:
    """A node's notices. An XPUB socket tells when somebody has subscribed, so that no test has to guess."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self._socket = zmq.asyncio.Context.instance().socket(zmq.XPUB)
        self._socket.bind(endpoint)
        self.endpoint = self._socket.get(zmq.LAST_ENDPOINT).decode()

    async def subscribed(self) -> bytes:
        return await asyncio.wait_for(self._socket.recv(), PATIENCE_S)

    async def notify(self, times: int = 1) -> None:
        for number in range(times):
            await self._socket.send_multipart([b"hashblock", bytes(32), number.to_bytes(4, "little")])

    def close(self) -> None:
        self._socket.close(linger=0)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A publisher on a free loopback port."""
    made = Publisher()
    yield made
    made.close()


async def test_notice_wakes(publisher: Publisher) -> None:
    """A notice ends the wait; there is one topic; with nothing new, the wait ends without a reason to look."""
    notices = BlockNotices(publisher.endpoint)
    assert await publisher.subscribed() == b"\x01hashblock"
    waiting = asyncio.create_task(notices.wait(PATIENCE_S))
    await publisher.notify()
    assert await waiting
    assert not await notices.wait(0)
    await notices.close()


async def test_notice_between_two_waits_is_kept(publisher: Publisher) -> None:
    """Notices that came while nobody waited end the next wait; thousands of them take no memory."""
    notices = BlockNotices(publisher.endpoint)
    await publisher.subscribed()
    await publisher.notify(2000)
    assert await notices.wait(PATIENCE_S)
    await notices.close()


async def test_cancelled_wait_loses_nothing(publisher: Publisher) -> None:
    """A wait that was given up leaves the notice for the next one."""
    notices = BlockNotices(publisher.endpoint)
    await publisher.subscribed()
    waiting = asyncio.create_task(notices.wait(PATIENCE_S))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await publisher.notify()
    assert await notices.wait(PATIENCE_S)
    await notices.close()


async def test_publisher_that_comes_back_is_heard() -> None:
    """A node that stopped and started again is subscribed to without any call, once there was a first wait."""
    first = Publisher()
    notices = BlockNotices(first.endpoint)
    await first.subscribed()
    assert not await notices.wait(0.001)
    first.close()
    second = await rebound(first.endpoint)
    await second.subscribed()
    await second.notify()
    assert await notices.wait(PATIENCE_S)
    second.close()
    await notices.close()


async def rebound(endpoint: str) -> Publisher:
    """A publisher at an address that another one has just left: its socket is closed in the background."""
    for _ in range(1000):
        try:
            return Publisher(endpoint)
        except zmq.ZMQError:
            await asyncio.sleep(0.005)
    raise TimeoutError(endpoint)


async def test_without_notices_time_is_the_reason() -> None:
    """Where nobody gives notice, the end of the interval is a reason to look; the end of the patience is none."""
    notices = BlockNotices(None, poll_s=0.001)
    assert await notices.wait(PATIENCE_S)
    assert not await BlockNotices(None, poll_s=PATIENCE_S).wait(0.001)
    await notices.close()


def test_malformed_endpoint_is_refused() -> None:
    """An address that is none is refused at once."""
    with pytest.raises(BadInput) as caught:
        BlockNotices("127.0.0.1:28332")
    assert caught.value.field == "zmq_endpoint"
