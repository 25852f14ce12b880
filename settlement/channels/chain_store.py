"""What a bank knows of a Channels contract by its final blocks, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.evm.types import BlockRef
from foundation.database import Repository
from foundation.quantities import BlockHeight, UnixMs
from settlement.channels.chain_cases import Projection
from settlement.channels.judge import Case, Status
from settlement.channels.state import Registered
from settlement.channels.tables import chain_cases, chain_cursors, chain_reveals
from settlement.channels.terms import ChannelId
from settlement.quantities import Condition, Preimage


class ChainStore(Repository):
    """One contract's channels of one bank."""

    def __init__(self, connection: AsyncConnection, domain: bytes) -> None:
        """`domain`: the contract's, 32 bytes."""
        super().__init__(connection)
        self._domain = domain

    async def cursor(self) -> BlockRef | None:
        """The last block that was read."""
        c = chain_cursors.c
        row = (await self._connection.execute(select(c.block, c.hash).where(c.domain == self._domain))).first()
        return None if row is None else BlockRef(BlockHeight(row[0]), row[1])

    async def cases(self, channels: Iterable[bytes]) -> dict[ChannelId, Case]:
        """Those of these channels that are ours."""
        c = chain_cases.c
        query = select(c.channel, c.state).where(c.domain == self._domain, c.channel.in_(sorted(set(channels))))
        rows = await self._connection.execute(query)
        return {ChannelId(channel): msgspec.msgpack.decode(state, type=Case) for channel, state in rows}

    async def ended(self) -> tuple[Case, ...]:
        """All channels that were paid out."""
        c = chain_cases.c
        query = select(c.state).where(c.domain == self._domain, c.status == Status.CLOSED.value)
        return tuple(msgspec.msgpack.decode(raw, type=Case) for raw in await self._connection.scalars(query))

    async def reveals(self, conditions: Iterable[bytes]) -> tuple[Registered, ...]:
        """What was shown of these conditions."""
        c = chain_reveals.c
        wanted = sorted(set(conditions))
        query = select(c.preimage, c.at).where(c.domain == self._domain, c.condition.in_(wanted)).order_by(c.condition)
        rows = await self._connection.execute(query)
        return tuple(Registered(Preimage(preimage), UnixMs(at)) for preimage, at in rows)

    async def is_shown(self, condition: Condition) -> bool:
        """Whether a final block registered this condition's preimage."""
        return bool(await self.reveals([condition]))

    async def keep(self, made: Projection, last: BlockRef) -> None:
        """Store what a batch changed, and where it ended."""
        own = {"domain": self._domain}
        cases = self._insert(chain_cases)
        change = {"status": cases.excluded.status, "state": cases.excluded.state}
        rows = [
            {**own, "channel": channel, "status": case.status.value, "state": msgspec.msgpack.encode(case)}
            for channel, case in made.cases.items()
        ]
        await self._write(cases.on_conflict_do_update(index_elements=["domain", "channel"], set_=change), rows)
        shown = [
            {**own, "condition": condition, "preimage": entry.preimage, "at": entry.at}
            for condition, entry in made.reveals.items()
        ]
        await self._write(self._insert(chain_reveals).on_conflict_do_nothing(), shown)
        cursor = self._insert(chain_cursors)
        moved = {"block": cursor.excluded.block, "hash": cursor.excluded.hash}
        place = [{**own, "block": last.number, "hash": last.hash}]
        await self._write(cursor.on_conflict_do_update(index_elements=["domain"], set_=moved), place)
