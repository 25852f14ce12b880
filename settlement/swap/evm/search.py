"""Finding locks again where nothing is left but a mnemonic: all that an account ever locked, and all that is for it.

The Escrow's history is asked of every endpoint, and all have to tell the same of the account. It is not proved block by
block: months of a chain take minutes so, not hours. Whoever acts on what was found lets an `EscrowWatch` read on from
before the oldest lock about which something may still change, which proves it; what is settled it takes from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import NodeUnavailable
from adapters.evm.escrow.bindings import Escrow
from adapters.evm.escrow.events import decode_event
from adapters.evm.escrow.types import AnyTerms
from adapters.evm.lockbox.types import check_address
from adapters.evm.types import BlockRef, Log
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from settlement.swap.evm.opening import Views
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.terms import view_of
from settlement.swap.evm.tracks import Track, Tracks
from settlement.swap.evm.watch import DEPTH
from settlement.swap.machine.changes import Change, LockSeen, SecretSeen
from settlement.swap.machine.facts import LockStatus

RANGE: Final = 10_000
"""Blocks that are compared at once."""

LOCKS_MAX: Final = 100_000
"""Locks of one search: strangers can make locks for anybody, at some 50,000 gas each."""

_PEOPLE: Final = slice(2, 4)
"""Topics of an event that name payer and beneficiary; a memo's names the payer alone."""


@dataclass(frozen=True, slots=True)
class FoundLock:
    """A lock of the account's, or for it.

    Fields: terms; memo (empty: none); status; secret (of a claim, 32 bytes; else empty); block (of the lock); settled
    (it has ended, so deep below the newest block, and final, that an `EscrowWatch` would forget it).
    """

    terms: AnyTerms
    memo: bytes
    status: LockStatus
    secret: bytes
    block: BlockHeight
    settled: bool = False

    def changes(self, site: EscrowSite) -> tuple[Change, ...]:
        """What a swap's machine is to be told of a lock that is settled: no watch tells of it any more."""
        seen = LockSeen(view_of(site, self.terms), self.status, DEPTH, final=True)
        return (seen, SecretSeen(self.secret)) if self.secret else (seen,)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. Fields: locks (oldest first); cursor (before the oldest that is not settled, for an
    `EscrowWatch`)."""

    locks: tuple[FoundLock, ...]
    cursor: BlockRef


async def search_locks(views: Views, site: EscrowSite, account: bytes, *, since: BlockHeight | None = None) -> Found:
    """Locks whose payer or beneficiary is an account (20 bytes), up to the newest block that all endpoints have.

    Whether a memo opens with one of many keys is the caller's to try (`memo.open_as_beneficiary`): one multiplication
    each, and only beside a lock for the account.

    Args:
        views: the chain's endpoints (`opening.views_of`).
        site: the Escrow.
        account: whose locks.
        since: the first block; the Escrow's own where None.

    Raises:
        BadInput: no account, or there are more than `LOCKS_MAX` locks: begin later.
        As `Endpoints.agreed`: `EndpointsDisagree` where one of them leaves a lock out, invents or alters one.
    """
    check_address(account, "account", zero_allowed=False)
    heads, final = views.heads, await views.finals.final()
    head = await heads.final()
    if head is None:
        raise NodeUnavailable("eth_getBlockByNumber", "the chain has no block yet")
    tracks = _AccountTracks(account)
    start = first = site.start if since is None else BlockHeight(max(since, site.start))
    while start <= head.number:
        end = BlockHeight(min(head.number, start + RANGE - 1))
        logs = await _agreed_logs(heads, site, account, start, end)
        tracks.apply(event for event in map(decode_event, logs) if event is not None)
        if len(tracks.locks) > LOCKS_MAX:
            raise BadInput("since", f"there are more than {LOCKS_MAX:,} locks", "begin at a later block")
        start = BlockHeight(end + 1)
    settled = -1 if final is None else min(int(final.number), head.number - DEPTH + 1)
    found = sorted((_found(track, settled) for track in tracks.locks.values()), key=lambda lock: lock.block)
    oldest = min((lock.block for lock in found if not lock.settled), default=BlockHeight(head.number + 1))
    before = BlockHeight(max(min(oldest, head.number + 1) - 1, first - 1, 0))
    (cursor,) = await heads.headers([before])
    return Found(tuple(found), cursor.ref)


def _found(track: Track, settled: int) -> FoundLock:
    newest = track.newest
    is_settled = newest.status is not LockStatus.OPEN and newest.at.block.number <= settled
    return FoundLock(track.terms, track.memo, newest.status, newest.secret, track.steps[0].at.block.number, is_settled)


class _AccountTracks(Tracks):
    """Keeps every lock of one account's, or for it."""

    def __init__(self, account: bytes) -> None:
        super().__init__()
        self._account = account

    def is_wanted(self, terms: AnyTerms) -> bool:
        return self._account in (terms.payer, terms.beneficiary)


async def _agreed_logs(
    heads: Endpoints, site: EscrowSite, account: bytes, first: BlockHeight, last: BlockHeight
) -> Sequence[Log]:
    """What all endpoints tell of the account in a range of blocks."""

    async def ask(endpoint: Endpoint) -> tuple[Log, ...]:
        return _of_account(await endpoint.claimed_logs(site.escrow, first, last), account)

    subject = f"events of 0x{site.escrow.hex()} in blocks {first:,} to {last:,}"
    return await heads.agreed(subject, ask, lambda logs: f"{len(logs)} events")


def _of_account(logs: Sequence[Log], account: bytes) -> tuple[Log, ...]:
    """The events of the account's locks and of those for it. A memo stands in the transaction of its lock."""
    topic = account.rjust(32, b"\0")
    memo = Escrow.Memo.topic
    named = {log.transaction for log in logs if log.topics[:1] != (memo,) and topic in log.topics[_PEOPLE]}
    return tuple(
        log for log in logs if (log.transaction in named if log.topics[:1] == (memo,) else topic in log.topics[_PEOPLE])
    )
