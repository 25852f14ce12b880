"""Errors as RFC 9457 has them: `application/problem+json` with a type, the field and the cure. Never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.ports import NoQuote, NotPossible, Unknown
from foundation.errors import BadInput, CausewayError, Retryable
from settlement.rules.errors import DecisionConflict, ForgedApproval

CONTENT_TYPE: Final = "application/problem+json"
_URN: Final = "urn:causeway:problem:"
_RETRY_SECONDS: Final = "2"
_log = structlog.get_logger(__name__)

TITLES: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    "bad-request": (HTTPStatus.BAD_REQUEST, "The request cannot be understood"),
    "key-missing": (HTTPStatus.BAD_REQUEST, "Idempotency-Key is missing"),
    "key-malformed": (HTTPStatus.BAD_REQUEST, "Idempotency-Key cannot be used"),
    "key-reused": (HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key was used with another request"),
    "in-flight": (HTTPStatus.CONFLICT, "The same request is being carried out"),
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "Nobody that we know is asking"),
    "forbidden": (HTTPStatus.FORBIDDEN, "This is not allowed to who is asking"),
    "not-found": (HTTPStatus.NOT_FOUND, "There is no such thing"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This method cannot be used here"),
    "not-acceptable": (HTTPStatus.NOT_ACCEPTABLE, "There is no such representation"),
    "not-possible": (HTTPStatus.CONFLICT, "It is too late, or too early, for this"),
    "too-large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large"),
    "unsupported-media-type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This form of content is not read here"),
    "invalid": (HTTPStatus.UNPROCESSABLE_ENTITY, "A field is not acceptable"),
    "quote-expired": (HTTPStatus.UNPROCESSABLE_ENTITY, "The quote has expired"),
    "quote-used": (HTTPStatus.CONFLICT, "Another payment goes by this quote"),
    "quote-differs": (HTTPStatus.UNPROCESSABLE_ENTITY, "The quote is of another payment"),
    "no-quote": (HTTPStatus.UNPROCESSABLE_ENTITY, "The clearing bank makes no such offer"),
    "above-limit": (HTTPStatus.UNPROCESSABLE_ENTITY, "The amount is above a limit"),
    "approval-refused": (HTTPStatus.FORBIDDEN, "The approval does not count"),
    "too-many-requests": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "Something that is needed does not answer"),
    "internal": (HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway has failed"),
}
"""All problems by their name: the last part of the type URN."""

_OF_STATUS: Final = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}


class Problem(Exception):  # noqa: N818
    """A request that is answered by a problem. Fields: name (of `TITLES`); detail; field; cure; headers."""

    def __init__(
        self, name: str, detail: str, field: str = "", cure: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.detail = detail
        self.field = field
        self.cure = cure
        self.headers = dict(headers or {})
        super().__init__(f"{name}: {detail}")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return TITLES[self.name][0].value

    def response(self) -> JSONResponse:
        """As it is answered."""
        status, title = TITLES[self.name]
        body: dict[str, Any] = {
            "type": _URN + self.name,
            "title": title,
            "status": status.value,
            "detail": self.detail,
        }
        body.update({key: text for key, text in (("field", self.field), ("cure", self.cure)) if text})
        headers = dict(self.headers)
        if status is HTTPStatus.UNAUTHORIZED:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="causeway"')
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", _RETRY_SECONDS)
        return JSONResponse(body, status.value, headers, CONTENT_TYPE)


def problem_of(error: Exception) -> Problem:
    """What an error of the gateway is to who asked; what nobody foresaw is logged, and told as such."""
    match error:
        case Problem():
            return error
        case BadInput():
            return Problem("invalid", error.problem, error.field, error.cure)
        case NoQuote():
            return Problem("no-quote", f"{error.code}: {error.detail}")
        case NotPossible():
            return Problem("not-possible", error.detail)
        case Unknown():
            return Problem("not-found", f"there is no such {error.what}")
        case ForgedApproval():
            return Problem("approval-refused", str(error))
        case DecisionConflict():
            return Problem("not-possible", "this payment was decided with other facts")
        case Retryable():
            _log.warning("api: not available", problem=str(error))
            return Problem("unavailable", _shown(error), cure="ask again later, with the same Idempotency-Key")
        case _:
            _log.error("api: a request failed", exc_info=error)
            return Problem("internal", "it may or may not have been done", cure="ask again with the same key")


def install(app: FastAPI) -> None:
    """Answer all errors by problems."""

    async def handled(request: Request, error: Exception) -> JSONResponse:
        return problem_of(error).response()

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError), "as installed"
        return _invalid(error.errors()).response()

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException), "as installed"
        found = Problem(_OF_STATUS.get(error.status_code, "bad-request"), str(error.detail), headers=error.headers)
        return found.response()

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Problem, handled)
    app.add_exception_handler(CausewayError, handled)


def _shown(error: Exception) -> str:
    return str(error)[:300]


_CURES: Final = {
    "string_type": 'write it as a string; an amount as digits with a decimal point, such as "10.00"',
    "extra_forbidden": "leave it out",
    "missing": "it is needed",
    "json_invalid": "send JSON, in UTF-8",
}


def _invalid(errors: Sequence[Any]) -> Problem:
    """The first thing that is wrong, by its path; nothing that was sent is quoted."""
    first = errors[0]
    place = [str(part) for part in first["loc"]]
    where, kind = (place[0], first["type"]) if place else ("body", first["type"])
    name = ".".join(place[1:]) or where
    if where == "header" and name.lower() == "idempotency-key":
        slug = "key-missing" if kind == "missing" else "key-malformed"
        return Problem(slug, "each POST carries a key of its own", "Idempotency-Key", "a fresh UUID is a good key")
    if kind == "json_invalid":
        return Problem("bad-request", "the body is no JSON", "body", _CURES[kind])
    return Problem("invalid", str(first["msg"])[:300], name, _CURES.get(kind, ""))
