"""What the chain tells of watched locks: proved against blocks on which all endpoints agree, and taken back by a reorg.

The watch reads the Escrow's events up to the newest agreed block. It keeps a few blocks that it has read as anchors;
where the newest is no longer in the chain it goes back to the last one that is, forgets what came after it, and reads
anew. The oldest anchor is the cursor to store: it lies before every lock that is still watched, so that a watch which
begins there knows all that one which never ended knows. Nothing else of it has to be kept.

A claim's secret is public from the moment in which its transaction is in a mempool. Nobody waits for it here: on this
chain the secret is only used after bitcoin's showed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.evm.errors import CursorReorged
from adapters.evm.escrow.contract import EscrowContract
from adapters.evm.escrow.events import Owed
from adapters.evm.escrow.follower import EscrowFollower
from adapters.evm.escrow.types import AnyTerms
from adapters.evm.follower import MAX_RANGE
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.opening import Views
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.terms import view_of
from settlement.swap.evm.tracks import LockKey, Track, Tracks
from settlement.swap.machine.changes import Change, LockSeen, SecretSeen
from settlement.swap.machine.facts import LockStatus

DEPTH: Final = 64
"""Blocks below the newest one up to which a reorganisation is followed: two epochs of Ethereum."""

_BATCHES: Final = 8
"""Ranges of blocks in one `read`, so that it ends."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LockFact:
    """A lock as it stands now.

    Fields: terms; memo (as its payer told it, empty: none); status; secret (of a claim, 32 bytes; else empty);
    block (of the newest change); confirmations (of that block, itself counted, up to the watch's depth); finalized
    (that block is final by the chain's rule).
    """

    terms: AnyTerms
    memo: bytes
    status: LockStatus
    secret: bytes
    block: BlockRef
    confirmations: int
    finalized: bool

    @property
    def key(self) -> LockKey:
        """What names it."""
        return self.terms.payer, self.terms.id

    def is_final(self, asked: int) -> bool:
        """Whether the change has the confirmations that a swap asks for; 0: whether the chain calls it final."""
        return self.confirmations >= asked if asked else self.finalized

    def is_settled(self, depth: int) -> bool:
        """Whether it has ended, final by the chain's rule and `depth` blocks below the newest."""
        return self.status is not LockStatus.OPEN and self.finalized and self.confirmations >= depth

    def changes(self, site: EscrowSite, asked: int, *, memo_holds: bool = True) -> tuple[Change, ...]:
        """What a swap's machine is told of it. `asked`: the terms' confirmations."""
        seen = LockSeen(view_of(site, self.terms), self.status, self.confirmations, self.is_final(asked), memo_holds)
        return (seen, SecretSeen(self.secret)) if self.secret else (seen,)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is new. Fields: head (newest agreed block); time (its timestamp, seconds); caught_up (all up to the head is
    read; until then nothing is told of locks); facts (locks that stand otherwise than they were told of last); gone
    (locks that were told of and are not on the chain any more); owed (assets in which the account has something to
    withdraw); cursor (to store once all this is stored)."""

    head: BlockRef
    time: int
    caught_up: bool
    facts: tuple[LockFact, ...]
    gone: tuple[LockKey, ...]
    owed: tuple[bytes, ...]
    cursor: BlockRef


class EscrowWatch:
    """The locks of one account's swaps. One task at a time reads."""

    def __init__(
        self,
        site: EscrowSite,
        views: Views,
        account: bytes,
        cursor: BlockRef | None = None,
        *,
        told: Iterable[LockKey] = (),
        depth: int = DEPTH,
        max_range: int = MAX_RANGE,
    ) -> None:
        """Describe it; nothing is asked yet. What is wanted should be said (`want`) before the first `read`.

        Args:
            site: the Escrow.
            views: the chain's endpoints.
            account: whose money may be owed, 20 bytes.
            cursor: that of the last `Reading` that was stored; None: from the Escrow's first block on.
            told: locks of which facts were stored before, so that it can be said if they are gone.
            depth: see `DEPTH`; more where a swap asks for more confirmations.
            max_range: blocks that are read at once.
        """
        self._site = site
        self._views = views
        self._account = account
        self._follower = EscrowFollower(views.heads, site.escrow, site.start, max_range=max_range)
        self._contract = EscrowContract(views.heads, site.escrow)
        self._anchors: list[BlockRef] = [] if cursor is None else [cursor]
        self._tracks = Tracks()
        self._depth = depth
        self._owed: set[bytes] = set()
        self._told: dict[LockKey, LockFact | None] = dict.fromkeys(told)
        self._head: BlockRef | None = None
        self._buried = -1

    def want(self, terms: AnyTerms, confirmations: int = 0) -> None:
        """Watch a swap's lock, and every other one of its payer for its beneficiary.

        The newest blocks are read again, for the other side may have been faster.

        Args:
            terms: those that were agreed.
            confirmations: that are asked; the watch follows reorganisations as deep.
        """
        self._depth = max(self._depth, confirmations)
        key = (terms.payer, terms.id)
        if key not in self._tracks.wanted:
            self._tracks.wanted[key] = terms.beneficiary
            # What another swap of the same two was told of is news for this one.
            self._told |= {other: None for other in self._told if other[0] == terms.payer}
            deep = [place for place, one in enumerate(self._anchors) if one.number <= self._buried]
            self._go_back(self._anchors[: max(deep, default=0) + 1])

    def forget(self, terms: AnyTerms) -> None:
        """Want a swap's locks no more; those that are known stay until they end."""
        self._tracks.wanted.pop((terms.payer, terms.id), None)

    async def read(self) -> Reading | None:
        """What is new since the last one; None where no block is.

        Raises:
            CursorReorged: the chain was replaced from below the cursor: begin anew, without one.
            As `EscrowFollower.read` besides; a `Retryable` passes.
        """
        caught_up = False
        for _ in range(_BATCHES):
            if caught_up := not await self._advance():
                break
        if not self._anchors:
            return None
        tip = self._anchors[-1]
        if caught_up and tip == self._head:
            return None
        (header,) = await self._views.heads.headers([tip.number])
        if header.hash != tip.hash:
            return None  # it was replaced just now: the next reading goes back
        if not caught_up:
            return Reading(tip, header.timestamp, False, (), (), (), self._prune(tip))
        facts, gone = await self._news(tip)
        self._head = tip
        owed, self._owed = tuple(sorted(self._owed)), set()
        self._drop_ended()
        return Reading(tip, header.timestamp, True, facts, gone, owed, self._prune(tip))

    async def follow(self, poll_seconds: float = 1.0) -> AsyncIterator[Reading]:
        """Read for ever. Raises as `read`; after a `Retryable` call it again."""
        while True:
            reading = await self.read()
            if reading is not None:
                yield reading
            if reading is None or reading.caught_up:
                await asyncio.sleep(poll_seconds)

    async def _advance(self) -> bool:
        """Read the next blocks, or go back where the chain was replaced; whether there may be more."""
        if not self._anchors and not await self._begin():
            return False
        tip = self._anchors[-1]
        try:
            batch = await self._follower.read(tip)
        except CursorReorged:
            await self._find_fork()
            return True
        if batch is None:
            return False
        self._tracks.apply(batch.events)
        self._owed |= {one.asset for one in batch.events if isinstance(one, Owed) and one.owner == self._account}
        if (below := batch.last.number - self._depth) > tip.number:
            # So that a reorganisation of the newest blocks does not have the whole range read again.
            self._anchors += [header.ref for header in await self._views.heads.headers([BlockHeight(below)])]
        self._anchors.append(batch.last)
        return True

    async def _begin(self) -> bool:
        """Stand on the block before the Escrow's first; whether there is one already."""
        before = BlockHeight(max(self._site.start - 1, 0))
        head = await self._views.heads.final()
        if head is None or head.number < before:
            return False
        self._anchors = [header.ref for header in await self._views.heads.headers([before])]
        return True

    async def _find_fork(self) -> None:
        """Go back to the newest anchor that is still in the chain. Raises `CursorReorged`: none is."""
        numbers = [anchor.number for anchor in self._anchors]
        now = await self._views.heads.headers(numbers)
        kept = [anchor for anchor, header in zip(self._anchors, now, strict=True) if anchor.hash == header.hash]
        if not kept:
            raise CursorReorged(numbers[0], self._anchors[0].hash, now[0].hash)
        _log.info("the chain was replaced", escrow=self._site.escrow.hex(), block=kept[-1].number, read=numbers[-1])
        self._go_back(kept)

    def _go_back(self, anchors: list[BlockRef]) -> None:
        self._anchors = anchors
        self._head = None
        self._tracks.unwind(anchors[-1].number if anchors else BlockHeight(-1))

    async def _news(self, head: BlockRef) -> tuple[tuple[LockFact, ...], tuple[LockKey, ...]]:
        """What stands otherwise than it was told last."""
        final = await self._views.finals.final()
        last_final = -1 if final is None else final.number
        facts = [self._fact(track, head.number, last_final) for track in self._tracks.locks.values()]
        news = tuple(fact for fact in facts if self._told.get(fact.key) != fact)
        missing = [key for key in self._told if key not in self._tracks.locks]
        gone = tuple([key for key in missing if await self._is_gone(key, head.number)])
        for key in missing:
            # What is there, and yet not followed, ended before the cursor: nothing more will come of it.
            del self._told[key]
        self._told |= {fact.key: fact for fact in news}
        return news, gone

    async def _is_gone(self, key: LockKey, at: BlockHeight) -> bool:
        """Whether the contract itself knows of no such lock. Asked of all endpoints: others act on it."""
        return not any(await self._contract.slot(*key, at))

    def _fact(self, track: Track, head: BlockHeight, last_final: int) -> LockFact:
        step = track.newest
        number = step.at.block.number
        confirmations = min(head - number + 1, self._depth)
        return LockFact(
            track.terms, track.memo, step.status, step.secret, step.at.block, confirmations, number <= last_final
        )

    def _drop_ended(self) -> None:
        """Forget locks whose end is so deep, and final, that nothing more can be told of them."""
        for key, told in list(self._told.items()):
            if told is not None and told.is_settled(self._depth):
                del self._told[key], self._tracks.locks[key]

    def _prune(self, tip: BlockRef) -> BlockRef:
        """Keep the anchors that a reorganisation may need, and one before all watched locks, which is returned."""
        first, self._buried = self._tracks.oldest(), tip.number - self._depth
        needed = self._buried if first is None else min(self._buried, first - 1)
        while len(self._anchors) > 1 and self._anchors[1].number <= needed:
            del self._anchors[0]
        while len(self._anchors) > 2 and self._anchors[2].number <= self._buried:
            del self._anchors[1]
        return self._anchors[0]
