"""REST for those who follow: holds as they change, as Server-Sent Events (WHATWG HTML, "Server-sent events").

A stream is resumed by `after`, or by the header `Last-Event-ID` that such clients send by themselves. A reader who does
not read costs one page of memory and is hung up on; nothing is lost for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import Final

from aiohttp import web

from foundation.database import Database
from foundation.errors import BadInput, Retryable
from settlement.ledgers.book.access import authenticated, readable
from settlement.ledgers.book.feed import Feed, Page
from settlement.ledgers.book.keys import Doorkeeper
from settlement.ledgers.book.problems import Refusal
from settlement.ledgers.book.types import Holder
from settlement.ledgers.protocol import LedgerAccount

_STALLED_SECONDS: Final = 30.0
_HOLDERS_PART: Final = 4
"""One holder has at most a quarter of the streams: none can keep the others from their events."""
_DIGITS_MAX: Final = 18
_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
_HEARTBEAT: Final = b": alive\n\n"


class Streams:
    """The open streams of events."""

    def __init__(
        self, database: Database, feed: Feed, doors: Doorkeeper, streams_max: int, heartbeat_seconds: float
    ) -> None:
        self._database = database
        self._feed = feed
        self._doors = doors
        self._streams_max = streams_max
        self._heartbeat_seconds = heartbeat_seconds
        self._open: dict[asyncio.Task[object], Holder] = {}

    def routes(self) -> list[web.RouteDef]:
        """Where it is reached."""
        return [web.get("/events", self._events)]

    async def end(self, app: web.Application) -> None:
        """Hang up on all readers; they come again."""
        for task in list(self._open):
            task.cancel()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        caller = await authenticated(self._doors, request)
        account = (await readable(self._database, caller, request.query.get("account", ""))).name
        after = _number(request.query.get("after") or request.headers.get("Last-Event-ID") or "0")
        holder_max = max(1, self._streams_max // _HOLDERS_PART)
        if len(self._open) >= self._streams_max or list(self._open.values()).count(caller.holder) >= holder_max:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many readers of events")
        task = asyncio.current_task()
        assert task is not None, "handlers run in tasks"
        self._open[task] = caller.holder
        try:
            with self._feed.reader(account) as changed:
                page = await self._feed.page(account, after)  # a wrong cursor is refused before the stream begins
                response = web.StreamResponse(headers=_HEADERS)
                await response.prepare(request)
                # What breaks the stream off here needs no answer: its reader comes again.
                with contextlib.suppress(ConnectionError, TimeoutError, Retryable):
                    await self._follow(request, response, page, account, changed)
                return response
        finally:
            self._open.pop(task, None)

    async def _follow(
        self,
        request: web.Request,
        response: web.StreamResponse,
        page: Page,
        account: LedgerAccount,
        changed: asyncio.Event,
    ) -> None:
        """Write pages as they come, and a heartbeat where none comes."""
        await _write(response, _HEARTBEAT)
        loop = asyncio.get_running_loop()
        checked_at = loop.time()
        while True:
            if page.events:
                await _write(response, b"".join(_event(e.number, e.body) for e in page.events))
            else:
                try:
                    await asyncio.wait_for(changed.wait(), self._heartbeat_seconds)
                except TimeoutError:
                    await _write(response, _HEARTBEAT)
            if loop.time() - checked_at >= self._heartbeat_seconds:
                checked_at = loop.time()
                if await self._doors.caller(request.headers.get("Authorization", "")) is None:
                    return  # the key has been revoked
            changed.clear()
            page = await self._feed.page(account, page.after)


def _event(number: int, body: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (number, body)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError where the reader has stopped reading."""
    async with asyncio.timeout(_STALLED_SECONDS):
        await response.write(data)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise BadInput("after", f"{text[:80]!r} is no cursor", "what the last event's id said")
    return int(text)
