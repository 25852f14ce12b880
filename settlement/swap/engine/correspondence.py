"""Writing to the other side, and reading what comes: seals, opens, and hands on what is truly from whom it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeAlias

import structlog

from foundation.errors import Fatal, Retryable
from settlement.swap.letters.bodies import Body, decode_body, encode_body
from settlement.swap.letters.letter import Letter, LetterRefused, Reader, seal
from settlement.swap.letters.post import Post
from settlement.swap.store.store import Peer
from settlement.swap.wallet.secrets import SwapSecrets, TraderKeys

LIFETIME_SECONDS: Final = 7 * 86_400
_WAIT_SECONDS: Final = 20.0
_PAUSE_FIRST: Final = 0.2
_PAUSE_MOST: Final = 10.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where one reads. Fields: place (URL of the mailboxes); index (of the swap keys whose identity names it)."""

    place: str
    index: int


Receive: TypeAlias = Callable[[Mailbox, Letter, Body], Awaitable[None]]


class Correspondence:
    """Letters of one wallet. Use as `async with`; nothing is read until `watch` says where."""

    def __init__(self, keys: TraderKeys, receive: Receive, seconds: Callable[[], int]) -> None:
        """Describe it.

        Args:
            keys: the wallet's.
            receive: told of every letter, at least once; what it raises as `Retryable` is told again.
            seconds: the time since 1970.
        """
        self._keys = keys
        self._receive = receive
        self._seconds = seconds
        self._posts: dict[str, Post] = {}
        self._readers: dict[Mailbox, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Ready to send."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        for task in self._readers.values():
            task.cancel()
        await asyncio.gather(*self._readers.values(), return_exceptions=True)
        self._readers.clear()
        await self._stack.aclose()

    async def post(self, place: str) -> Post:
        """The client of a board. Raises `BadInput`: the place is none."""
        if place not in self._posts:
            self._posts[place] = await self._stack.enter_async_context(Post(place, self._seconds))
        return self._posts[place]

    async def send(self, index: int, peer: Peer, subject: bytes, body: Body) -> None:
        """Seal a letter and bring it to the other side's mailbox.

        Args:
            index: of this side's swap keys.
            peer: the other side.
            subject: the offer's id, or the swap's (32 bytes).
            body: what to say.

        Raises:
            PlaceUnavailable, PlaceRefuses: see `letters.post`.
        """
        secrets = self._keys.swap(index)
        now = self._seconds()
        letter = Letter(
            subject,
            secrets.identity_key,
            peer.identity,
            type(body).__name__,
            encode_body(body),
            now,
            now + LIFETIME_SECONDS,
        )
        post = await self.post(peer.place)
        await post.put(peer.identity, seal(letter, peer.letters, secrets.identity))

    def watch(self, wanted: Iterable[Mailbox]) -> None:
        """Read these mailboxes, and no others."""
        boxes = set(wanted)
        for box in [box for box in self._readers if box not in boxes or self._readers[box].done()]:
            self._readers.pop(box).cancel()
        for box in boxes - self._readers.keys():
            self._readers[box] = asyncio.create_task(self._read(box), name=f"mailbox of swap keys {box.index}")

    async def _read(self, box: Mailbox) -> None:
        """Read until cancelled. What was handled is dropped from the mailbox: letters that come again are harmless."""
        secrets = self._keys.swap(box.index)
        after, pause = 0, _PAUSE_FIRST
        while True:
            try:
                post = await self.post(box.place)
                found = await post.letters(secrets.identity, secrets.identity_key, after, _WAIT_SECONDS)
                for one in found:
                    await self._take(box, secrets, one.sealed)
                    after = max(after, one.number)
                if found:
                    await post.forget(secrets.identity, secrets.identity_key, after)
                pause = _PAUSE_FIRST
            except Retryable as error:
                _log.info("letters wait", place=box.place, problem=str(error))
            except Fatal as error:
                _log.warning("letters cannot be read", place=box.place, problem=str(error))
                pause = _PAUSE_MOST
            else:
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MOST)

    async def _take(self, box: Mailbox, secrets: SwapSecrets, sealed: bytes) -> None:
        try:
            letter = Reader(secrets.identity_key, secrets.letters).open(sealed, self._seconds())
            body = decode_body(letter.body)
            await self._receive(box, letter, body)
        except LetterRefused as refused:
            _log.info("a letter is dropped", reason=refused.reason)
        except Fatal as error:
            # It would be the same again; what has to be said again, its sender says again.
            _log.warning("a letter cannot be taken", problem=str(error))
        except Retryable:
            raise
        except Exception:  # noqa: BLE001 - a letter that we stumble over must not lie before all others for ever
            _log.exception("a letter came to a bad end")
