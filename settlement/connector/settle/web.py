"""What both servers of RFC 38 share: who may call, how large a body may be, and errors as problems (RFC 9457)."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from aiohttp import web

from foundation.errors import BadInput, Fatal, Retryable
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import KEY_HEADER, MESSAGE_BYTES_MAX, OtherSideFailed

BODY_BYTES_MAX: Final = 64_000
_KEY_CHARACTERS_MAX: Final = 1_000
_log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class UnknownAccount(Fatal):
    """No such account settles here. Fields: account."""

    def __init__(self, account: str) -> None:
        self.account = account
        super().__init__(f"there is no account {account[:80]!r}")


class OtherRequest(Fatal):
    """The idempotency key belongs to another request. Fields: account; key."""

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        super().__init__(f"the idempotency key {key[:80]!r} of {account} was used for another quantity")


def application(token: str) -> web.Application:
    """An application whose callers show `token` (none where it is empty), and whose errors are problems."""
    secret = token.encode()

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if secret and not hmac.compare_digest(bearer(request), secret):
            return problem(401, "the bearer token is missing or wrong")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return problem(error.status, error.reason)
        except UnknownAccount as error:
            return problem(404, str(error))
        except OtherRequest as error:
            return problem(422, str(error))
        except BadInput as error:
            return problem(400, str(error))
        except OtherSideFailed as error:
            return problem(502, str(error))
        except Retryable as error:
            return problem(503, str(error))
        except Exception:  # noqa: BLE001 - a caller gets an answer, whatever is broken here
            _log.exception("a settlement request failed")
            return problem(500, "an internal error")

    return web.Application(middlewares=[guarded], client_max_size=BODY_BYTES_MAX)


def bearer(request: web.Request) -> bytes:
    """The token that a request shows, whatever bytes it is; empty where there is none."""
    # Bytes that are no UTF-8 come as lone surrogates.
    return request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="surrogateescape")


def problem(status: int, detail: str) -> web.Response:
    """An error in the form of RFC 9457."""
    body = msgspec.json.encode({"type": "about:blank", "status": status, "detail": detail})
    return web.Response(status=status, body=body, content_type="application/problem+json")


async def settlement_of(request: web.Request) -> tuple[str, Quantity, str]:
    """Account, quantity and idempotency key of a settlement request. Raises `BadInput`."""
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= _KEY_CHARACTERS_MAX:
        raise BadInput(KEY_HEADER, "is missing or too long", f"1 to {_KEY_CHARACTERS_MAX:,} random characters")
    return request.match_info["account"], Quantity.parse(await request.read()), key


async def message_of(request: web.Request) -> tuple[str, bytes]:
    """Account and content of a message. Raises `BadInput`."""
    message = await request.read()
    if len(message) > MESSAGE_BYTES_MAX:
        raise BadInput("message", f"has {len(message):,} bytes", f"at most {MESSAGE_BYTES_MAX:,}")
    return request.match_info["account"], message


def settled(quantity: Quantity) -> web.Response:
    """The answer to a settlement that is (now, or since an earlier request) taken."""
    return web.Response(status=201, body=quantity.json(), content_type="application/json")


def answered(message: bytes) -> web.Response:
    """The answer to a message."""
    return web.Response(status=201, body=message, content_type="application/octet-stream")
