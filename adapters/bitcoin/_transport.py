"""JSON-RPC over HTTP: requests and replies matched by id, credentials, repetition of what is safe to repeat."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx
import msgspec

from adapters.bitcoin.answers import Reply, decode
from adapters.bitcoin.errors import AccessDenied, BadAnswer, NodeUnavailable, RpcRefused
from foundation.errors import BadInput

Call = tuple[str, Sequence[object]]

_BATCH_CALLS: Final = 100
"""Calls in one HTTP request: more would keep one of the node's few worker threads busy for long."""

_IDLE_S: Final = 20.0
"""We close an idle connection before the node does, after 30 s (bitcoind, -rpcservertimeout)."""

_IN_WARMUP: Final = -28

_REPEATABLE: Final = frozenset(
    {
        "estimatesmartfee",
        "getbestblockhash",
        "getbalances",
        "getblock",
        "getblockchaininfo",
        "getblockcount",
        "getblockhash",
        "getblockheader",
        "getindexinfo",
        "getmempoolentry",
        "getmempoolinfo",
        "getnetworkinfo",
        "getrawtransaction",
        "gettxout",
        "gettxspendingprevout",
        "listunspent",
        "testmempoolaccept",
        # Not a read, but the same when done twice: one that is in the mempool already is answered like the first time.
        "sendrawtransaction",
    }
)
"""What may be sent again where the connection was lost and nobody knows whether the node had heard it."""


class Credentials(Protocol):
    """Where user and password come from. Both methods raise `NodeUnavailable` naming `method`."""

    def current(self, method: str) -> tuple[str, str]:
        """For the next request."""

    def renewed(self, method: str) -> tuple[str, str]:
        """After a refusal: looked up again."""


@dataclass(frozen=True, slots=True)
class Password:
    """Set by the operator."""

    user: str
    password: str

    def current(self, method: str) -> tuple[str, str]:
        return self.user, self.password

    def renewed(self, method: str) -> tuple[str, str]:
        return self.user, self.password


@dataclass(slots=True)
class Cookie:
    """Written by the node at each start, removed when it stops. Fields: path; found (what was read last)."""

    path: Path
    found: tuple[str, str] | None = None

    def current(self, method: str) -> tuple[str, str]:
        return self.found or self.renewed(method)

    def renewed(self, method: str) -> tuple[str, str]:
        try:
            user, _, password = self.path.read_text().strip().partition(":")
        except (OSError, UnicodeDecodeError) as error:
            raise NodeUnavailable(method, f"its cookie file cannot be read: {error}") from error
        self.found = (user, password)
        return self.found


class _Request(msgspec.Struct, frozen=True):
    id: int
    method: str
    params: Sequence[object]
    jsonrpc: str = "2.0"


class Transport:
    """Carries calls to one node. See `BitcoinRpc` for the arguments and errors."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        timeout_s: float,
        pauses_s: Sequence[float],
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._url = _checked(url)
        self._credentials = credentials
        self._pauses_s = tuple(pauses_s)
        self._ids = itertools.count(1)
        # Not through a proxy from the environment: the node is ours, and the request carries its password.
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            limits=httpx.Limits(keepalive_expiry=_IDLE_S),
            transport=transport,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def results(self, calls: Sequence[Call]) -> list[msgspec.Raw]:
        """The results of all calls, undecoded, in order. Raises the first error."""
        results: list[msgspec.Raw] = []
        for start in range(0, len(calls), _BATCH_CALLS):
            results += await self._some(calls[start : start + _BATCH_CALLS])
        return results

    async def _some(self, calls: Sequence[Call]) -> list[msgspec.Raw]:
        requests = [_Request(next(self._ids), method, params) for method, params in calls]
        body = _encoded(requests[0] if len(requests) == 1 else requests)
        repeatable = all(method in _REPEATABLE for method, _ in calls)
        response = await self._answer(requests[0].method, body, repeatable)
        replies = _matched(requests, _replies(requests[0].method, response))
        for request, reply in zip(requests, replies, strict=True):
            if reply.error is not None and reply.error.code == _IN_WARMUP:
                raise NodeUnavailable(request.method, reply.error.message)
            if reply.error is not None:
                raise RpcRefused(request.method, reply.error.code, reply.error.message)
        return [reply.result for reply in replies]

    async def _answer(self, method: str, body: bytes, repeatable: bool) -> httpx.Response:
        """The HTTP response, with access granted."""
        credentials = self._credentials.current(method)
        response = await self._repeated(method, body, repeatable, credentials)
        if response.status_code == 401:
            renewed = self._credentials.renewed(method)
            if renewed != credentials:  # the node was started again
                response = await self._repeated(method, body, repeatable, renewed)
        if response.status_code in (401, 403):
            raise AccessDenied(method, response.status_code)
        if response.status_code in (502, 504):  # a proxy's words for a node that is down or slow
            raise NodeUnavailable(method, f"HTTP {response.status_code}")
        return response

    async def _repeated(
        self, method: str, body: bytes, repeatable: bool, credentials: tuple[str, str]
    ) -> httpx.Response:
        """Send until there is a response, as often as there are pauses; the last failure is raised."""
        for pause_s in self._pauses_s:
            try:
                return await self._sent(method, body, credentials)
            except Overloaded:  # refused before it was looked at
                pass
            except ConnectionLost as lost:
                if not (repeatable or lost.before_sending):
                    raise
            await asyncio.sleep(pause_s)
        return await self._sent(method, body, credentials)

    async def _sent(self, method: str, body: bytes, credentials: tuple[str, str]) -> httpx.Response:
        auth = httpx.BasicAuth(*credentials)
        headers = {"Content-Type": "application/json"}
        try:
            response = await self._client.post(self._url, content=body, headers=headers, auth=auth)
        except httpx.ConnectError as error:
            raise ConnectionLost(method, f"cannot be reached: {_words(error)}", before_sending=True) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise ConnectionLost(method, f"the connection was lost: {_words(error)}") from error
        except httpx.TimeoutException as error:
            # Not repeated: the caller has waited long enough.
            raise NodeUnavailable(method, f"did not answer in time ({_words(error)})") from error
        except httpx.HTTPError as error:
            raise BadAnswer(method, "body", f"is no HTTP that we understand: {_words(error)}") from error
        if response.status_code == 503:
            raise Overloaded(method, f"HTTP 503 {response.text[:200].strip()}".rstrip())
        return response


class ConnectionLost(NodeUnavailable):
    """The connection could not be made (`before_sending`), or broke before the whole answer came."""

    def __init__(self, method: str, problem: str, *, before_sending: bool = False) -> None:
        self.before_sending = before_sending
        super().__init__(method, problem)


class Overloaded(NodeUnavailable):
    """The node's queue is full ("Work queue depth exceeded"), or it is shutting down."""


def _checked(url: str) -> httpx.URL:
    cure = "http://host:port, without credentials"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadInput("url", "is no address", cure) from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise BadInput("url", "is not the address of an RPC interface", cure)
    return parsed


def _encoded(requests: _Request | list[_Request]) -> bytes:
    # Amounts go out as JSON numbers, digit for digit.
    return msgspec.json.Encoder(decimal_format="number").encode(requests)


def _replies(method: str, response: httpx.Response) -> list[Reply]:
    """Bitcoin Core answers errors with HTTP 400, 404 or 500, and a JSON-RPC body all the same."""
    body = response.content
    try:
        if body.lstrip()[:1] == b"[":
            return decode(method, body, list[Reply])
        return [decode(method, body, Reply)]
    except BadAnswer as error:
        if response.status_code != 200:
            raise BadAnswer(method, "status", f"HTTP {response.status_code} without a JSON-RPC answer") from error
        raise


def _matched(requests: Sequence[_Request], replies: Sequence[Reply]) -> list[Reply]:
    """The replies in the order of the requests."""
    method = requests[0].method
    if len(replies) == 1 and replies[0].id is None and replies[0].error is not None:
        return [replies[0]] * len(requests)  # the request as a whole was refused
    by_id = {reply.id: reply for reply in replies}
    if len(by_id) != len(replies) or by_id.keys() != {request.id for request in requests}:
        raise BadAnswer(method, "id", "the answers are not those to what was asked")
    return [by_id[request.id] for request in requests]


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
