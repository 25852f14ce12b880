"""A client's way to a book: one HTTP session, answers decoded, what goes wrong translated."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.ledgers.book.wire import ProblemOut, encode
from settlement.ledgers.protocol import LedgerId, LedgerMismatch, LedgerUnavailable

_SILENCE_SECONDS: Final = 30.0
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_CONNECTIONS: Final = 8
_problem: Final = msgspec.json.Decoder(ProblemOut)


class BookHttp:
    """Requests with one API key. Use as `async with`."""

    def __init__(
        self, ledger_id: LedgerId, url: str, api_key: str, timeout_seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        self._ledger_id = ledger_id
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to ask; connects at the first request."""
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=True if self._tls is None else self._tls)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        assert self._session is not None, "entered before"
        await self._session.close()

    async def get(self, path: str, answer: Any, params: Any = None) -> Any:
        """Read something, as the type `answer`. Raises as `_ask` does."""
        return await self._ask("GET", path, answer, params=params)

    async def post(self, path: str, body: object, answer: Any) -> Any:
        """Ask for something to be done. Raises as `_ask` does."""
        return await self._ask("POST", path, answer, data=encode(body))

    async def put(self, path: str, body: object, answer: Any) -> Any:
        """Set something. Raises as `_ask` does."""
        return await self._ask("PUT", path, answer, data=encode(body))

    async def delete(self, path: str) -> None:
        """Remove something. Raises as `_ask` does."""
        await self._ask("DELETE", path, None)

    async def stream(self, path: str, params: dict[str, str]) -> aiohttp.ClientResponse:
        """An open stream of events; close it at the end. Silence for half a minute breaks it off.

        Raises:
            LedgerUnavailable: the book did not answer.
            LedgerMismatch: the book refuses.
        """
        assert self._session is not None, "used inside its block"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total, sock_read=_SILENCE_SECONDS)
        try:
            response = await self._session.get(self._url + path, params=params, timeout=timeout)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.unavailable(error) from error
        if response.status != HTTPStatus.OK:
            try:
                raise self._refused(response.status, await response.read())
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self.unavailable(error) from error
            finally:
                response.close()
        return response

    def unavailable(self, error: BaseException) -> LedgerUnavailable:
        """The error of a book that did not answer."""
        return LedgerUnavailable(self._ledger_id, str(error) or type(error).__name__)

    def mismatch(self, field: str, expected: str, found: str) -> LedgerMismatch:
        """The error of a book that is another one, or breaks its own rules."""
        return LedgerMismatch(self._ledger_id, field, expected, found)

    async def _ask(self, method: str, path: str, answer: Any, **options: Any) -> Any:
        """One request.

        Raises:
            LedgerUnavailable: the book did not answer: what was asked may or may not have been done.
            LedgerMismatch: the book refuses the request as a whole, or its answer is none.
        """
        assert self._session is not None, "used inside its block"
        try:
            async with self._session.request(method, self._url + path, **options) as response:
                status, raw = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.unavailable(error) from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(status, raw)
        if answer is None:
            return None
        try:
            return msgspec.json.decode(raw, type=answer)
        except UNREADABLE as error:
            raise self.mismatch("answer", "a book's", str(error)) from error

    def _refused(self, status: int, raw: bytes) -> LedgerUnavailable | LedgerMismatch:
        try:
            found = _problem.decode(raw)
        except UNREADABLE:
            found = ProblemOut("", "", status, f"status {status}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
            return LedgerUnavailable(self._ledger_id, found.detail)
        return self.mismatch(found.field or "request", "accepted", f"refused ({status}): {found.detail}")


def client_tls(certificate: str) -> ssl.SSLContext | None:
    """TLS that trusts this PEM file alone; None, for an empty path, trusts what the system does.

    Raises:
        BadInput: the file is none that TLS can use.
    """
    if not certificate:
        return None
    try:
        return ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise BadInput("tls_certificate", f"cannot be used: {error}", "name a PEM file") from error
