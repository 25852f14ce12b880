"""What final events make of the locks that we know. Pure: the same events on the same locks give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from adapters.evm.escrow.events import Claimed, EscrowEvent, Locked, Memo, Returned
from adapters.evm.escrow.types import Terms
from adapters.evm.lockbox.types import Position
from foundation.quantities import BlockHeight, UnixMs
from settlement.ledgers.evm.types import Lock, LockKey
from settlement.ledgers.protocol import HoldState


@dataclass(frozen=True, slots=True)
class News:
    """A lock came to stand as `state` says. Fields: block, index (of its log: the feed's cursor); key; state."""

    block: BlockHeight
    index: int
    key: LockKey
    state: HoldState


@dataclass(frozen=True, slots=True)
class Projection:
    """What a batch changed. Fields: locks (new and changed, as they are after it); news (in the chain's order)."""

    locks: tuple[Lock, ...]
    news: tuple[News, ...]


def keys_of(events: Iterable[EscrowEvent]) -> frozenset[LockKey]:
    """The locks that events name: what has to be known before they are projected."""
    return frozenset(
        (event.terms.payer, event.terms.id) if isinstance(event, Locked) else (event.payer, event.id)
        for event in events
        if isinstance(event, Locked | Memo | Claimed | Returned)
    )


def project(
    known: Mapping[LockKey, Lock],
    events: Iterable[EscrowEvent],
    time_of: Callable[[Position], UnixMs],
    is_ours: Callable[[Terms], bool],
) -> Projection:
    """Apply final events, in the chain's order, to the locks that they name.

    Args:
        known: the locks among those of `keys_of` that are kept already.
        events: proved and final.
        time_of: the time of an event's block.
        is_ours: whether a lock is of our asset, and from or for our account.
    """
    locks = dict(known)
    news: list[News] = []
    changed: dict[LockKey, None] = {}

    def tell(at: Position, lock: Lock) -> None:
        locks[lock.key] = lock
        changed[lock.key] = None
        news.append(News(at.block.number, at.index, lock.key, lock.state))

    for event in events:
        match event:
            case Locked(at=at, terms=terms) if is_ours(terms):
                assert (terms.payer, terms.id) not in locks, "a payer's id is used once for ever"
                tell(at, Lock(terms, b"", HoldState.HELD, None, time_of(at), None))
            case Memo(id=lock_id, payer=payer, memo=memo) if (payer, lock_id) in locks:
                locks[payer, lock_id] = replace(locks[payer, lock_id], memo=memo)
            case Claimed(at=at, preimage=preimage) if (lock := locks.get((event.payer, event.id))) is not None:
                assert lock.state is HoldState.HELD, "a lock ends once"
                tell(at, replace(lock, state=HoldState.FULFILLED, preimage=preimage, decided_at=time_of(at)))
            case Returned(at=at, is_early=is_early) if (lock := locks.get((event.payer, event.id))) is not None:
                assert lock.state is HoldState.HELD, "a lock ends once"
                end = HoldState.CANCELLED if is_early else HoldState.EXPIRED
                tell(at, replace(lock, state=end, decided_at=time_of(at)))
            case _:
                pass
    return Projection(tuple(locks[key] for key in changed), tuple(news))
