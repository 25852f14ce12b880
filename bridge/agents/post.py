"""Delivers the outbox: what a unit of work promised to tell a peer, told at least once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from bridge.agents.office import Office
from bridge.codec import decode, encode
from bridge.messages import ATTESTATIONS, MAX_BATCH, SIGNATURE, TRANSACTION, Attestation, Attestations, Taken
from bridge.storage import OutboxRow, UnitOfWork
from foundation.errors import BadInput, CausewayError
from foundation.quantities import UnixMs
from mpc.cluster_errors import PeerSilent

_LOG: Final = structlog.get_logger(__name__)
ATTESTATION: Final = "attestation"
SIGNED_TRANSACTION: Final = "transaction"
SIGNED_FOR_VAULT: Final = "signature"
_REQUESTS: Final = {SIGNED_TRANSACTION: TRANSACTION, SIGNED_FOR_VAULT: SIGNATURE}
"""What a kind of delivery asks the peer."""
_ANSWER_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 0.25
_FIRST_PAUSE_MS: Final = 100
_MOST_PAUSE_MS: Final = 30_000
_AT_ONCE: Final = 2000
_KEPT_MS: Final = 7 * 24 * 3600 * 1000


class ToPeer(Struct, frozen=True, forbid_unknown_fields=True):
    """A delivery. Fields: peer (host key); body (what is told)."""

    peer: bytes
    body: bytes


async def post(uow: UnitOfWork, kind: str, key: str, body: bytes, peers: Sequence[bytes], now: UnixMs) -> None:
    """Ask for a delivery of `body` to each of `peers` (host keys); the same key is the same delivery."""
    bodies = {f"{kind}:{key}:{peer.hex()}": encode(ToPeer(peer, body)) for peer in peers}
    await uow.outbox.add_many(kind, bodies, now)


class Post:
    """The duty that delivers. Each peer has its own delivery, so that one that is silent keeps nobody else waiting."""

    name = "post"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._busy: dict[bytes, asyncio.Task[None]] = {}

    async def run(self) -> bool:
        """Begin to deliver what is due to every peer that has no delivery under way."""
        now = self._office.clock()
        # However much waits for a peer that is being asked, it must not hide what there is for the others.
        busy = [peer.hex() for peer in self._busy]
        async with self._office.database.view() as view:
            due = await view.outbox.due(now, _AT_ONCE, but_endings=busy)
            next_due = await view.outbox.next_due()
        by_peer: dict[bytes, list[tuple[OutboxRow, bytes]]] = defaultdict(list)
        for row in due:
            to = decode(row.body, ToPeer, "outbox")
            by_peer[to.peer].append((row, to.body))
        for peer, items in by_peer.items():
            if peer not in self._busy:
                self._busy[peer] = asyncio.create_task(self._deliver(peer, items), name="delivery")
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=_PATIENCE_SECONDS)
        await self._ended()
        return next_due is not None

    async def _ended(self) -> None:
        """Forget the deliveries that have ended. Raises what one of them failed with."""
        ended = [peer for peer, task in self._busy.items() if task.done()]
        results = await asyncio.gather(*(self._busy.pop(peer) for peer in ended), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def close(self) -> None:
        """End all deliveries; what they leave is delivered after the next start."""
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._busy.clear()

    async def _deliver(self, peer: bytes, items: list[tuple[OutboxRow, bytes]]) -> None:
        """Deliver in order. When the peer is silent all the rest waits: to ask on would take a time-out for each."""
        attestations = [(row, body) for row, body in items if row.kind == ATTESTATION]
        left = {row.id: row for row, _ in items}
        try:
            for start in range(0, len(attestations), MAX_BATCH):
                batch = attestations[start : start + MAX_BATCH]
                await self._attest(peer, batch)
                for row, _ in batch:
                    del left[row.id]
            for row, body in items:
                if row.kind in _REQUESTS:
                    await self._done([row], [await self._ask(peer, _REQUESTS[row.kind], body) is not None])
                    del left[row.id]
        except PeerSilent as error:
            _LOG.debug("not delivered", peer=self._office.directory.name_of(peer), problem=str(error))
            await self._done(list(left.values()), [False] * len(left))

    async def _attest(self, peer: bytes, items: list[tuple[OutboxRow, bytes]]) -> None:
        message = Attestations([decode(body, Attestation, "outbox") for _, body in items])
        answer = await self._ask(peer, ATTESTATIONS, encode(message))
        kept = [False] * len(items)
        if answer is not None:
            try:
                kept = decode(answer, Taken, "answer").kept
            except BadInput as error:
                _LOG.warning("a malformed answer", peer=self._office.directory.name_of(peer), problem=str(error))
        if len(kept) != len(items):
            kept = [False] * len(items)
        await self._done([row for row, _ in items], kept)

    async def _ask(self, peer: bytes, kind: str, body: bytes) -> bytes | None:
        """The answer, None for a refusal. Raises `PeerSilent`."""
        try:
            return await self._office.peers.request(peer, kind, body, _ANSWER_SECONDS)
        except PeerSilent:
            raise
        except CausewayError as error:
            name = self._office.directory.name_of(peer)
            _LOG.debug("not delivered", peer=name, kind=kind, problem=str(error))
            return None

    async def _done(self, rows: Sequence[OutboxRow], kept: Sequence[bool]) -> None:
        now = self._office.clock()
        async with self._office.database.unit() as uow:
            await uow.outbox.delivered([row.id for row, ok in zip(rows, kept, strict=True) if ok], now)
            for row, ok in zip(rows, kept, strict=True):
                if not ok:
                    pause = min(_FIRST_PAUSE_MS << min(row.attempts, 20), _MOST_PAUSE_MS)
                    await uow.outbox.postpone(row.id, UnixMs(now + pause))
            await uow.outbox.forget(UnixMs(now - _KEPT_MS))
            await uow.commit()
