"""Bringing swaps back into an empty database, from the words and the two nodes alone.

What was decided before is not on the chains: a swap that was found again signs nothing that could contradict it (see
`machine.states.new_swap`). It claims what it may still claim, and takes back what is its own. The other side cannot be
written to; nothing of that needs it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from adapters.bitcoin.rpc import BitcoinRpc
from foundation.quantities import BlockHeight, UnixMs
from settlement.swap.engine.office import steps
from settlement.swap.evm.search import FoundLock, search_locks
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Initiator, Swap, new_swap
from settlement.swap.planning.plan import recover_gates
from settlement.swap.recovery.reading import GAP, FoundSwap, KeySearch, Place, read_locks
from settlement.swap.store.rows import EVM_CURSOR
from settlement.swap.store.store import Peer, SwapRow, SwapStore

if TYPE_CHECKING:
    from settlement.swap.engine.runtime import Engine

SKIPPED_INDICES: Final = 1_000
"""After a recovery, indices are given out from so many beyond the highest one that was found: handshakes that came to
nothing have used some, and a secret must never be promised twice."""
_TIME_LEEWAY: Final = 4 * 3_600
"""A bitcoin block's time may be two hours off, and so may its neighbour's."""
_NOBODY: Final = Peer(b"", b"", "")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery has done. Fields: locks (that were looked at); swaps (that are in the database now, and were not
    before); next_index (that will be given out)."""

    locks: int
    swaps: tuple[SwapRow, ...]
    next_index: int


async def recover(engine: Engine, *, gap: int = GAP, since: BlockHeight | None = None) -> Recovered:
    """Find this mnemonic's swaps on the chains and put those that are unknown into the database. The engine must not
    run meanwhile; when it runs afterwards, it brings each to its end.

    Args:
        engine: opened, not running.
        gap: how many indices are tried beyond the highest that was found.
        since: the EVM chain's first block to look at; the Escrow's own where None.

    Raises:
        As `search_locks` and the bitcoin node.
    """
    settings = engine.settings
    found = await search_locks(engine.views, settings.site, engine.keys.account, since=since)
    search = KeySearch(engine.keys, gap)
    place = Place(settings.site, settings.bitcoin_chain, settings.conditions)
    swaps = await asyncio.to_thread(read_locks, found.locks, place, engine.keys, search)
    locks = {(lock.terms.payer, lock.terms.id): lock for lock in found.locks}
    heights = {}
    for one in swaps:
        lock = locks[one.terms.evm.payer, one.terms.evm.lock_id]
        heights[one.terms.swap_id] = await _height_before(engine, lock)
    rows = []
    async with engine.office.database.unit() as unit:
        store = SwapStore(unit.connection)
        known = {row.index for row in await store.swaps()}
        for one in swaps:
            if one.index in known:
                continue
            lock = locks[one.terms.evm.payer, one.terms.evm.lock_id]
            row, orders = _row(one, lock, engine, engine.office.clock())
            if await store.add(row):
                await store.give(row.swap_id, orders, row.created_at)
                await _remember(store, one, row, heights[one.terms.swap_id])
                rows.append(row)
        await store.skip_to(search.highest + 1 + SKIPPED_INDICES if search.highest >= 0 else 0)
        cursor = found.cursor.number.to_bytes(8, "big") + found.cursor.hash
        if rows and not b"" < await store.cursor(EVM_CURSOR) < cursor:  # the swaps that are known have theirs
            await store.set_cursor(EVM_CURSOR, cursor)
        next_index = await store.next_index()
        await unit.commit()
    return Recovered(len(found.locks), tuple(rows), next_index)


def _row(found: FoundSwap, lock: FoundLock, engine: Engine, now: UnixMs) -> tuple[SwapRow, list[Effect]]:
    """The swap as far as the search tells, and its first orders; the rest is told by the chains' watches."""
    gates = recover_gates(found.terms, engine.settings.conditions)
    state: Swap = new_swap(found.role, found.terms, gates, now, recovered=True)
    if found.claims:
        if isinstance(state, Initiator):
            state = replace(state, planned=found.planned, presignatures=found.claims)
        else:
            state = replace(state, prepared=found.planned, presignatures=(found.claims,))
    told = lock.changes(engine.settings.site) if lock.settled else ()
    state, orders = steps(state, told, now)
    return SwapRow(found.terms.swap_id, found.index, False, "", _NOBODY, b"", state, 1, now, now), orders


async def _remember(store: SwapStore, found: FoundSwap, row: SwapRow, height: BlockHeight) -> None:
    swap_id = row.swap_id
    await store.set_cursor(f"birth/{swap_id.hex()}", msgspec.msgpack.encode(int(height)))
    if found.payee and isinstance(row.state, Initiator):
        await store.set_cursor(f"destination/{swap_id.hex()}", found.payee)
    await store.note(swap_id, row.created_at, "found again on the chains")


async def _height_before(engine: Engine, lock: FoundLock) -> BlockHeight:
    """A bitcoin height before which the lock was not there, so that neither was the output."""
    (header,) = await engine.views.heads.headers([lock.block])
    return await height_at(engine.desk.rpc, header.timestamp - _TIME_LEEWAY)


async def height_at(rpc: BitcoinRpc, seconds: int) -> BlockHeight:
    """The height of the first block whose median time past is not before a time (seconds since 1970); the tip's where
    there is none. By halving: median times never go back."""
    low, high = 0, int((await rpc.tip()).height)
    while low < high:
        middle = (low + high) // 2
        header = await rpc.header(await rpc.block_hash(BlockHeight(middle)))
        if header.median_time < seconds:
            low = middle + 1
        else:
            high = middle
    return BlockHeight(low)
