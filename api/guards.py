"""Around all paths: a bound on what is read, and an answer whatever happens."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, problem_of

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Guards:
    """ASGI middleware; see the module. `body_bytes_max`: of one request."""

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def sending(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _HEADERS if one[0] not in present)]
            await send(message)

        try:
            _check_length(scope, self._body_bytes_max)
            await self._app(scope, _bounded(receive, self._body_bytes_max), sending)
        except Exception as error:  # noqa: BLE001 - told to the log with all details, and to the caller without any
            found = problem_of(error)
            if is_started:
                raise
            await found.response()(scope, receive, sending)


def _check_length(scope: MutableMapping[str, Any], most: int) -> None:
    for name, text in scope["headers"]:
        if name == b"content-length" and text.isdigit() and int(text) > most:
            raise _too_large(most)


def _bounded(receive: Receive, most: int) -> Receive:
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise _too_large(most)
        return message

    return receiving


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"a request has at most {most} bytes", "body")
