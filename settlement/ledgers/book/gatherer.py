"""Puts what is asked at the same time into one request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from settlement.ledgers.book.http import BookHttp
from settlement.ledgers.book.wire import OutcomeOut

_REQUESTS_MAX: Final = 2
_ITEMS_MAX: Final = 500
_MEMO_BYTES_MAX: Final = 2 << 20


class Sent(Protocol):
    """An item of a batch."""

    @property
    def id(self) -> str:
        """The transfer's id in hex."""


Item = TypeVar("Item", bound=Sent)


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Item]):
    item: Item
    outcome: asyncio.Future[OutcomeOut]


class Gatherer(Generic[Item]):
    """One of the book's doors for batches. Two requests are under way at most; what comes meanwhile goes together."""

    def __init__(self, http: BookHttp, path: str) -> None:
        self._http = http
        self._path = path
        self._waiting: deque[_Asked[Item]] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._woken = False

    async def ask(self, items: Sequence[Item]) -> list[OutcomeOut]:
        """The outcome of each item, in order.

        Raises:
            LedgerUnavailable: what was asked may or may not have been done.
            LedgerMismatch: the book refuses the request as a whole, or answers something else.
        """
        loop = asyncio.get_running_loop()
        asked = [_Asked(item, loop.create_future()) for item in items]
        self._waiting.extend(asked)
        if not self._woken:
            self._woken = True
            loop.call_soon(self._send)  # after all that runs in this turn of the loop has asked
        outcomes = await asyncio.gather(*(one.outcome for one in asked), return_exceptions=True)
        found = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            found.append(outcome)
        return found

    def _send(self) -> None:
        self._woken = False
        while self._waiting and len(self._requests) < _REQUESTS_MAX:
            task = asyncio.create_task(self._request(self._next()))
            self._requests.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._send()

    def _next(self) -> list[_Asked[Item]]:
        taken: list[_Asked[Item]] = []
        size = 0
        while self._waiting and len(taken) < _ITEMS_MAX and size < _MEMO_BYTES_MAX:
            taken.append(self._waiting.popleft())
            size += len(getattr(taken[-1].item, "memo", b""))
        return taken

    async def _request(self, asked: list[_Asked[Item]]) -> None:
        try:
            outcomes: list[OutcomeOut] = await self._http.post(
                self._path, [one.item for one in asked], list[OutcomeOut]
            )
            if [outcome.id for outcome in outcomes] != [one.item.id for one in asked]:
                raise self._http.mismatch("answer", "one outcome for each item, in order", "others")
        except asyncio.CancelledError:
            for one in asked:
                one.outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            for one in asked:
                if not one.outcome.done():
                    one.outcome.set_exception(error)
            return
        for one, outcome in zip(asked, outcomes, strict=True):
            if not one.outcome.done():
                one.outcome.set_result(outcome)
