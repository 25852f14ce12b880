"""JSON-RPC to an EVM node over HTTP: one session, time limits, and typed errors. Source: EIP-1474, execution-apis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, Protocol, Self, TypeAlias, cast

import msgspec
from aiohttp import (
    ClientError,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
)

from adapters.evm.errors import AccessDenied, BadAnswer, NodeUnavailable, RpcRefused

Json: TypeAlias = Any
"""What a node answers, before it is checked: JSON of any form."""

Request: TypeAlias = tuple[str, list[Json]]
"""Method and parameters."""

_ACCESS_DENIED: Final = (401, 403)
_BATCH: Final = 100
"""Requests sent at once; providers commonly allow this many."""
_BUSY: Final = frozenset({-32001, -32002, -32005, -32603})
"""Error codes of EIP-1474 that pass by themselves: no such resource (yet), unavailable, over the limit, internal."""
_BUSY_WORDS: Final = ("rate limit", "too many requests", "request timed out", "timeout", "header not found", "syncing")


class NodeError(RpcRefused):
    """An error answer with the data that came with it. Fields: method; code; message; data (as the node gave it)."""

    def __init__(self, method: str, code: int, message: str, data: Json = None) -> None:
        super().__init__(method, code, message)
        self.data = data

    @property
    def passes_by(self) -> bool:
        """The node was busy, or has not got there yet: the same call may succeed soon."""
        return self.code in _BUSY and any(word in self.message.lower() for word in _BUSY_WORDS)


class RpcTransport(Protocol):
    """What speaks JSON-RPC to one endpoint; `Transport` does."""

    async def call(self, method: str, *params: Json) -> Json:
        """Call one method."""
        ...

    async def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Call several methods in one exchange; the results are in the order of `requests`."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Transport:
    """One endpoint. Connections are kept and opened anew where they broke, so a node may come and go."""

    def __init__(self, url: str, *, timeout_seconds: float = 10, connections: int = 16) -> None:
        """Describe the endpoint; nothing is opened yet.

        Args:
            url: where JSON-RPC is served over HTTP. It may hold credentials, so it is never put into messages.
            timeout_seconds: for one answer, or one batch of them.
            connections: at most so many at once; what exceeds them waits.
        """
        # Not web3's provider: it takes a lock of the whole process in a thread for each request, and a request that is
        # cancelled meanwhile never gives it back, so that no other request of the process ever ends (web3 7 and 8).
        self._timeout = ClientTimeout(total=timeout_seconds)
        self._url = url
        self._ids = itertools.count(1)
        self._connections = connections
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Close the connections. A later call would open them anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def call(self, method: str, *params: Json) -> Json:
        """Call one method.

        Raises:
            NodeUnavailable: no answer in time, or none that is JSON-RPC.
            AccessDenied: wrong credentials.
            NodeError: the node answered with an error.
        """
        return _result(method, await self._exchange(method, (method, list(params))))

    async def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Call several methods in one exchange; the results are in the order of `requests`.

        Raises:
            As `call`, for the first request that failed. The others may have had their effect.
        """
        results: list[Json] = []
        for start in range(0, len(requests), _BATCH):
            part = list(requests[start : start + _BATCH])
            answers = await self._exchange("batch", part)
            if not isinstance(answers, list):
                _result("batch", answers)  # an error for the whole batch
                raise BadAnswer("batch", "answer", "is no list")
            results += [_result(method, answer) for (method, _), answer in zip(part, answers, strict=True)]
        return results

    async def _exchange(self, name: str, request: Request | list[Request]) -> Json:
        """Send and receive once more where a kept connection turned out to be dead: all our calls bear repetition."""
        try:
            return await self._attempt(name, request)
        except _Disconnected:
            try:
                return await self._attempt(name, request)
            except _Disconnected as error:
                raise NodeUnavailable(name, "it closed the connection") from error

    async def _attempt(self, name: str, request: Request | list[Request]) -> Json:
        requests = request if isinstance(request, list) else [request]
        calls = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params} for method, params in requests
        ]
        try:
            async with self._open().post(self._url, json=calls if isinstance(request, list) else calls[0]) as response:
                answer = msgspec.json.decode(await response.read())
            if isinstance(request, list) and isinstance(answer, list):
                # A node may answer in any order.
                by_id = {single["id"]: single for single in answer}
                answer = [by_id[call["id"]] for call in calls]
            return answer
        except ServerDisconnectedError as error:
            raise _Disconnected from error
        except ClientResponseError as error:
            if error.status in _ACCESS_DENIED:
                raise AccessDenied(name, error.status) from error
            raise NodeUnavailable(name, f"HTTP status {error.status}") from error
        except TimeoutError as error:
            raise NodeUnavailable(name, "no answer in time") from error
        except (ClientError, OSError) as error:
            raise NodeUnavailable(name, type(error).__name__) from error
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError) as error:
            # What is not JSON (or nests too deep), or has not the form of JSON-RPC, is a proxy's page or a node that
            # is going down.
            raise NodeUnavailable(name, "the answer is not JSON-RPC") from error

    def _open(self) -> ClientSession:
        if self._session is None or self._session.closed:
            connector = TCPConnector(limit=self._connections)
            self._session = ClientSession(connector=connector, raise_for_status=True, timeout=self._timeout)
        return self._session


class _Disconnected(Exception):
    """The node had closed the connection before our request arrived."""


def _result(method: str, answer: Json) -> Json:
    if not isinstance(answer, dict):
        raise BadAnswer(method, "answer", "is no JSON object")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise BadAnswer(method, "error", "is no JSON object")
    refused = NodeError(method, _code(error), str(error.get("message", "")), cast(Json, error.get("data")))
    if refused.passes_by:
        raise NodeUnavailable(method, refused.message) from refused
    raise refused


def _code(error: dict[str, Json]) -> int:
    code = error.get("code", 0)
    return code if isinstance(code, int) else 0
