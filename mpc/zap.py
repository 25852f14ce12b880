"""Admission of connections by their CURVE key, asked of the directory for each new one (ZeroMQ's ZAP, RFC 27)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import zmq
import zmq.asyncio

ENDPOINT: Final = "inproc://zeromq.zap.01"
DOMAIN: Final = b"causeway"
_VERSION: Final = b"1.0"


class Gatekeeper:
    """Answers libzmq's questions whether a key may connect. One for each ZeroMQ context; open it before the server."""

    def __init__(self, context: zmq.asyncio.Context, is_admitted: Callable[[bytes], bool]) -> None:
        """`is_admitted`: whether a transport key (32 bytes) may connect now."""
        self._is_admitted = is_admitted
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(ENDPOINT)
        self._task = asyncio.create_task(self._serve(), name="zap")
        self.refused: Counter[bytes] = Counter()

    async def _serve(self) -> None:
        while True:
            request = await self._socket.recv_multipart()
            await self._socket.send_multipart(self._answer(request))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """The reply to: version, request id, domain, address, identity, mechanism, credentials."""
        request_id = request[1] if len(request) > 1 else b""
        if len(request) == 7 and request[0] == _VERSION and request[2] == DOMAIN and request[5] == b"CURVE":
            key = request[6]
            if self._is_admitted(key):
                # The key becomes the property User-Id of all messages that come over the connection.
                return [_VERSION, request_id, b"200", b"OK", key.hex().encode(), b""]
            if len(self.refused) < 1000 or key in self.refused:
                self.refused[key] += 1
        # 300 is a temporary error: the client tries again, because it may be registered by then. 400 would end it.
        return [_VERSION, request_id, b"300", b"not registered", b"", b""]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()
