"""What goes wrong with a request, as RFC 9457 has it, with the field and the cure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from foundation.errors import BadInput, Retryable
from settlement.ledgers.book.wire import ProblemOut, encode

_log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_RETRY_AFTER: Final = {"Retry-After": "1"}


class Refusal(Exception):  # noqa: N818
    """A request that is answered by a problem. Fields: status; detail; field; cure."""

    def __init__(self, status: HTTPStatus, detail: str, field: str = "", cure: str = "") -> None:
        self.status = status
        self.detail = detail
        self.field = field
        self.cure = cure
        super().__init__(detail)


def problem(status: HTTPStatus, detail: str, field: str = "", cure: str = "") -> web.Response:
    """The answer `application/problem+json`."""
    slug = status.phrase.lower().replace(" ", "-")
    body = ProblemOut(f"urn:causeway:book:{slug}", status.phrase, status.value, detail, field, cure)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="book"'
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.update(_RETRY_AFTER)
    return web.Response(body=encode(body), status=status, content_type="application/problem+json", headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what handlers raise into problems."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return problem(refusal.status, refusal.detail, refusal.field, refusal.cure)
    except BadInput as error:
        status = HTTPStatus.BAD_REQUEST if error.field == "body" else HTTPStatus.UNPROCESSABLE_ENTITY
        return problem(status, error.problem, error.field, error.cure)
    except Retryable as error:
        _log.warning("book: not available", error=str(error))
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the book cannot answer now; it may have done what was asked")
    except web.HTTPException as error:
        return _of_router(error)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - told to the log with all details, and to the caller without any
        _log.exception("book: a request failed", method=request.method, path=request.path)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the book has failed; it may have done what was asked")


def _of_router(error: web.HTTPException) -> web.Response:
    answer = problem(HTTPStatus(error.status), error.reason)
    if isinstance(error, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return answer
