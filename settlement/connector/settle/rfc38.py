"""RFC 38 over HTTP, as the side that calls: a connector calls its engine, an engine its connector. The two speak alike.

Source: RFC 38 (draft 3), "Settlement Engine HTTP API" and "Accounting System HTTP API".
"""

from __future__ import annotations

from typing import Final, Self
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from foundation.errors import BadInput, Retryable
from settlement.connector.settle.quantity import Quantity

MESSAGE_BYTES_MAX: Final = 32_000
"""A message between engines travels in one packet, whose data have 32,767 bytes."""
KEY_HEADER: Final = "Idempotency-Key"
_MESSAGE_TYPE: Final = "application/octet-stream"


class OtherSideFailed(Retryable):
    """The engine, or the connector, did not do what was asked; it is asked again with the same key.

    Fields: call (what was asked); status (HTTP, 0 where there was no answer); problem; body (of the answer, at most
    `MESSAGE_BYTES_MAX` bytes).
    """

    def __init__(self, call: str, status: int, problem: str, body: bytes = b"") -> None:
        self.call = call
        self.status = status
        self.problem = problem
        self.body = body
        super().__init__(f"{call}: {status or 'no answer'} {problem}".rstrip())


class Rfc38Client:
    """Calls one engine or one connector. Every method raises `OtherSideFailed`. An asynchronous context manager."""

    def __init__(self, url: str, *, token: str = "", timeout_seconds: float = 10) -> None:
        """Describe the other side; nothing is opened yet.

        Args:
            url: what `/accounts` is added to.
            token: sent as a bearer token where it is not empty. RFC 38 asks for none: both sides are of one operator.
            timeout_seconds: for a whole request.

        Raises:
            BadInput: no http or https address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("settlement_engine.url", "is no http address", "http://127.0.0.1:3000")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def create_account(self, account: str) -> None:
        """Tell an engine of an account. Repeating it is harmless."""
        body = msgspec.json.encode({"id": account})
        await self._call("POST", "/accounts", body, {"Content-Type": "application/json"})

    async def delete_account(self, account: str) -> None:
        """Tell an engine that an account is gone."""
        await self._call("DELETE", f"/accounts/{quote(account, safe='')}", b"", {})

    async def settle(self, account: str, quantity: Quantity, key: str) -> None:
        """Ask an engine to pay, or tell a connector what was paid: once for a key, however often it is asked."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", KEY_HEADER: key}
        await self._call("POST", f"/accounts/{quote(account, safe='')}/settlements", quantity.json(), headers)

    async def message(self, account: str, message: bytes) -> bytes:
        """Pass a message on towards the peer's engine (asked of a connector) or from it (asked of an engine)."""
        headers = {"Content-Type": _MESSAGE_TYPE, "Accept": _MESSAGE_TYPE}
        return await self._call("POST", f"/accounts/{quote(account, safe='')}/messages", message, headers)

    async def _call(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        call = f"{method} {path}"
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        try:
            async with self._session.request(
                method, self._url + path, data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await _at_most(answer, MESSAGE_BYTES_MAX)
                if answer.status // 100 != 2:
                    raise OtherSideFailed(call, answer.status, answer.reason or "refused", content or b"")
                if content is None:
                    raise OtherSideFailed(call, answer.status, "the answer is too long")
                return content
        except (aiohttp.ClientError, OSError) as error:  # time-outs are OSErrors
            raise OtherSideFailed(call, 0, str(error) or type(error).__name__) from error


async def _at_most(answer: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body of an answer; None where it has more than `most` bytes."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > most:
            return None
    return bytes(content)
