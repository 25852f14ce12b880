"""Swaps, on one connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import ColumnElement, select, update

from foundation.database import Repository
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.swap.machine.states import Swap, decode_state, encode_state
from settlement.swap.store.rows import (
    Peer,
    SwapRow,
)
from settlement.swap.store.tables import swaps

_SWAP: Final = (
    swaps.c.swap_id,
    swaps.c.index,
    swaps.c.is_maker,
    swaps.c.offer,
    swaps.c.peer,
    swaps.c.peer_letters,
    swaps.c.place,
    swaps.c.peer_signature,
    swaps.c.state,
    swaps.c.version,
    swaps.c.created_at,
    swaps.c.updated_at,
)


class SwapsStore(Repository):
    """See the module."""

    async def add(self, row: SwapRow) -> bool:
        """Keep a new swap; False where it is there already."""
        new = {
            "swap_id": row.swap_id,
            "index": row.index,
            "is_maker": row.is_maker,
            "offer": row.offer,
            "peer": row.peer.identity,
            "peer_letters": row.peer.letters,
            "place": row.peer.place,
            "peer_signature": row.peer_signature,
            **_changing(row),
            "created_at": row.created_at,
        }
        made = await self._connection.execute(
            self._insert(swaps).values(new).on_conflict_do_nothing(index_elements=["swap_id"])
        )
        return made.rowcount > 0

    async def save(self, row: SwapRow, state: Swap, now: UnixMs) -> SwapRow:
        """Store a new state; the row as it is then."""
        newer = replace(row, state=state, version=row.version + 1, updated_at=now)
        await self._connection.execute(update(swaps).where(swaps.c.swap_id == row.swap_id).values(_changing(newer)))
        return newer

    async def sign(self, swap_id: bytes, signature: bytes) -> None:
        """Keep the other side's signature over the swap's id."""
        await self._connection.execute(update(swaps).where(swaps.c.swap_id == swap_id).values(peer_signature=signature))

    async def swap_of(self, index: int) -> SwapRow | None:
        """The swap that uses the keys of an index."""
        found = await self._swaps(swaps.c.index == index)
        return found[0] if found else None

    async def swap(self, swap_id: bytes) -> SwapRow | None:
        """One swap."""
        found = await self._swaps(swaps.c.swap_id == swap_id)
        return found[0] if found else None

    async def swaps(self, *, open_only: bool = False) -> tuple[SwapRow, ...]:
        """Swaps, the oldest first."""
        return await self._swaps(*((swaps.c.is_open.is_(True),) if open_only else ()))

    async def ended(self, since: UnixMs) -> tuple[SwapRow, ...]:
        """Swaps of which nothing is left to do, that have changed since then; the oldest first."""
        return await self._swaps(swaps.c.is_open.is_(False), swaps.c.updated_at >= since)

    async def named(self, prefix: str) -> SwapRow:
        """The swap whose id begins so (hexadecimal digits, at least four).

        Raises:
            BadInput: no such text, no swap, or several.
        """
        text = prefix.strip().lower().removeprefix("0x")
        if len(text) < 4 or not all(digit in "0123456789abcdef" for digit in text):
            raise BadInput("swap", f"{prefix[:80]!r} names none", "write at least four digits of its id")
        ids = (await self._connection.execute(select(swaps.c.swap_id))).scalars()
        found = [bytes(one) for one in ids if bytes(one).hex().startswith(text)]
        if len(found) != 1:
            problem = f"{text} names {len(found)} swaps" if found else f"no swap begins with {text}"
            raise BadInput("swap", problem, "`causeway swap list` shows them")
        row = await self.swap(found[0])
        assert row is not None, "it was there"
        return row

    async def _swaps(self, *where: ColumnElement[bool]) -> tuple[SwapRow, ...]:
        query = select(*_SWAP).where(*where).order_by(swaps.c.created_at, swaps.c.index)
        return tuple(
            SwapRow(
                bytes(swap_id),
                index,
                is_maker,
                offer,
                Peer(bytes(peer), bytes(letters), place),
                bytes(signature),
                decode_state(state),
                version,
                UnixMs(created_at),
                UnixMs(updated_at),
            )
            for (
                swap_id,
                index,
                is_maker,
                offer,
                peer,
                letters,
                place,
                signature,
                state,
                version,
                created_at,
                updated_at,
            ) in await self._connection.execute(query)
        )


def _changing(row: SwapRow) -> dict[str, object]:
    return {
        "state": encode_state(row.state),
        "is_open": row.is_open,
        "wake_at": row.state.wake_at,
        "version": row.version,
        "updated_at": row.updated_at,
    }
