"""What happens, as a stream (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from api.desk import Desk, allowed, desk_of, problems
from api.principals import Principal, Scope
from api.problems import Problem
from api.webhooks.deliverer import event_body, event_type

router = APIRouter(tags=["events"])
_BATCH: Final = 200
_SILENCE_SECONDS: Final = 15.0
_STREAMS_MAX: Final = 64
_NUMBER = r"^[0-9]{1,18}$"


@router.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={200: {"description": "Events", "content": {"text/event-stream": {}}}, **problems(422)},
)
async def follow_events(
    request: Request,
    principal: Annotated[Principal, Depends(allowed(Scope.PAYMENTS_READ))],
    after: Annotated[int | None, Query(ge=0, le=2**53, description="Begin behind this number; else with now")] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID", pattern=_NUMBER)] = None,
) -> StreamingResponse:
    """Payments as they come to stand elsewhere. A stream that broke goes on by `Last-Event-ID`, and misses nothing."""
    desk = desk_of(request)
    if desk.streams >= _STREAMS_MAX:
        raise Problem("too-many-requests", "too many streams are open", headers={"Retry-After": "10"})
    start = int(last) if last is not None else after
    if start is None:
        start = await desk.gateway.last_event()
    return StreamingResponse(_stream(desk, start), media_type="text/event-stream")


async def _stream(desk: Desk, number: int) -> AsyncIterator[bytes]:
    awake = asyncio.Event()
    end = desk.gateway.on_commit(awake.set)
    desk.streams += 1
    try:
        yield b": causeway\n\n"
        while not desk.closing.is_set():
            awake.clear()
            for event in await desk.gateway.events(number, _BATCH):
                number = event.number
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (number, event_type(event).encode(), event_body(event))
                awake.set()
            if not await _woken(awake, desk.closing):
                yield b": still here\n\n"
    finally:
        desk.streams -= 1
        end()


async def _woken(awake: asyncio.Event, closing: asyncio.Event) -> bool:
    """Wait for news, the end of the server, or too long a silence; false for the last."""
    waits = [asyncio.create_task(awake.wait()), asyncio.create_task(closing.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=_SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
