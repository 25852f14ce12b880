"""Being told of new blocks by the node (ZeroMQ), or looking again after a while."""

from __future__ import annotations

import asyncio
from typing import Final

import zmq
import zmq.asyncio

from foundation.errors import BadInput

_TOPIC: Final = b"hashblock"
_KEPT: Final = 16
"""Notices that are kept between two calls: one would do, as it only says "look now"."""

_HEARTBEAT_MS: Final = 10_000
_SILENCE_MS: Final = 30_000
"""A connection that died without a word is given up after so long, and made anew."""


class BlockNotices:
    """Wakes a follower when the node's chain changes; without notices, at regular intervals.

    ZeroMQ connects by itself, again and again, so the node may stop and start; from the first wait on it subscribes
    again as well. Notices are lost while there is no connection: whoever waits sets a `timeout_s` after which to look
    anyway. For one waiter at a time.
    """

    def __init__(self, zmq_endpoint: str | None, poll_s: float = 1.0) -> None:
        """Subscribe.

        Args:
            zmq_endpoint: the node's setting `zmqpubhashblock`, such as `tcp://127.0.0.1:28332`; None to poll.
            poll_s: the interval where there is no endpoint.

        Raises:
            BadInput: `zmq_endpoint` is no ZeroMQ address.
        """
        self._poll_s = poll_s
        self._socket: zmq.asyncio.Socket | None = None
        if zmq_endpoint is not None:
            self._socket = _subscribed(zmq_endpoint)

    async def wait(self, timeout_s: float) -> bool:
        """True when it is time to look: a notice came since the last call, or the interval is over. False: neither.

        Returns after `timeout_s` at the latest. May be cancelled; no notice is lost by it.
        """
        if self._socket is None:
            await asyncio.sleep(min(self._poll_s, timeout_s))
            return self._poll_s <= timeout_s
        if not await self._socket.poll(max(0, round(timeout_s * 1000))):
            return False
        await self._drain(self._socket)
        return True

    async def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close(linger=0)

    async def _drain(self, socket: zmq.asyncio.Socket) -> None:
        """Many blocks at once are one reason to look."""
        try:
            while True:
                await socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return


def _subscribed(endpoint: str) -> zmq.asyncio.Socket:
    socket = zmq.asyncio.Context.instance().socket(zmq.SUB)
    socket.set(zmq.RCVHWM, _KEPT)
    socket.set(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    socket.set(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
    socket.set(zmq.SUBSCRIBE, _TOPIC)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise BadInput("zmq_endpoint", f"{endpoint!r} is no ZeroMQ address", "tcp://host:port") from error
    return socket
