"""Around all paths: a bound on what is read, and an answer whatever happens."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import Problem, problem_of

_log = structlog.get_logger(__name__)
_OPENED_MAX: Final = 500
"""Brackets in a body: Python's reader of JSON recurses for each, and a stack that overflows ends the process."""

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Guards:
    """ASGI middleware; see the module. `body_bytes_max`: of one request."""

    def __init__(self, app: ASGIApp, body_bytes_max: int, metrics: Metrics) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _HEADERS if one[0] not in present)]
            await send(message)

        try:
            _check_length(scope, self._body_bytes_max)
            await self._app(scope, _bounded(receive, self._body_bytes_max), sending)
        except Exception as error:  # noqa: BLE001 - told to the log with all details, and to the caller without any
            found = problem_of(error)
            if status:
                raise
            await found.response()(scope, receive, sending)
        finally:
            self._seen(scope, status, time.monotonic() - began)

    def _seen(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request, by its path as it is declared; one that is none of ours is not quoted."""
        path = getattr(scope.get("route"), "path", "")
        method = scope["method"] if path else "other"
        self._metrics.seen(method, path or "other", status, seconds)
        principal = scope.get("state", {}).get("principal", "")
        _log.info(
            "api request",
            method=method,
            path=scope["path"] if path else "other",
            status=status,
            principal=principal,
            ms=round(seconds * 1000, 1),
        )


def _check_length(scope: MutableMapping[str, Any], most: int) -> None:
    for name, text in scope["headers"]:
        if name == b"content-length" and text.isdigit() and int(text) > most:
            raise _too_large(most)


def _bounded(receive: Receive, most: int) -> Receive:
    taken = opened = 0

    async def receiving() -> Message:
        nonlocal taken, opened
        message = await receive()
        body = message.get("body", b"")
        taken += len(body)
        opened += body.count(b"[") + body.count(b"{")
        # Whoever reads the body lets this kind of error pass.
        if taken > most:
            raise HTTPException(413, f"a request has at most {most} bytes")
        if opened > _OPENED_MAX:
            raise HTTPException(400, "the body is nested too deeply, or has too many lists")
        return message

    return receiving


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"a request has at most {most} bytes", "body")
