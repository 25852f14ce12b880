"""A bank's sides of its channels, and what its gateway has still to be told, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select

from foundation.database import Repository
from foundation.errors import Fatal
from settlement.channels.port import Notice
from settlement.channels.state import Channel, LockEnded, NotDone, Offered, Paid, Phase, PreimageSeen
from settlement.channels.tables import names, notices, sides
from settlement.channels.terms import ChannelId

_KINDS: Final[dict[str, Any]] = {kind.__name__: kind for kind in (Offered, Paid, LockEnded, NotDone, PreimageSeen)}


class UnknownChannel(Fatal):
    """This bank has no side of that channel. Fields: channel (32 bytes)."""

    def __init__(self, channel: bytes) -> None:
        self.channel = channel
        super().__init__(f"channel {channel.hex()[:16]} is not ours")


class ChannelStore(Repository):
    """One bank's channels."""

    async def get(self, channel: ChannelId) -> Channel:
        """This bank's side.

        Raises:
            UnknownChannel: there is none.
        """
        raw = await self._connection.scalar(select(sides.c.state).where(sides.c.channel == channel))
        if raw is None:
            raise UnknownChannel(channel)
        return decode_channel(raw)

    async def put(self, state: Channel) -> None:
        """Store the whole side, in place of what was there."""
        statement = self._insert(sides)
        change = {"phase": statement.excluded.phase, "state": statement.excluded.state}
        row = {"channel": state.channel, "phase": state.phase.value, "state": encode_channel(state)}
        await self._write(statement.on_conflict_do_update(index_elements=["channel"], set_=change), [row])

    async def living(self) -> tuple[ChannelId, ...]:
        """All channels that have not ended."""
        query = select(sides.c.channel).where(sides.c.phase != Phase.CLOSED.value).order_by(sides.c.channel)
        return tuple(ChannelId(channel) for channel in (await self._connection.scalars(query)).all())

    async def name(self, named: Mapping[str, ChannelId]) -> None:
        """What people call the channels from now on."""
        statement = self._insert(names)
        rows = [{"name": name, "channel": channel} for name, channel in named.items()]
        change = {"channel": statement.excluded.channel}
        await self._write(statement.on_conflict_do_update(index_elements=["name"], set_=change), rows)

    async def named(self, name: str) -> Channel | None:
        """The side that people call so; None where none was begun."""
        query = select(sides.c.state).join(names, names.c.channel == sides.c.channel).where(names.c.name == name)
        raw = await self._connection.scalar(query)
        return None if raw is None else decode_channel(raw)

    async def add_notices(self, channel: ChannelId, told: tuple[Notice, ...]) -> None:
        """What the gateway is to be told once this is committed."""
        rows = [
            {"channel": channel, "kind": type(notice).__name__, "content": msgspec.msgpack.encode(notice)}
            for notice in told
        ]
        await self._write(insert(notices), rows)

    async def notices(self, at_most: int = 100) -> tuple[tuple[int, ChannelId, Notice], ...]:
        """What has not been told, the oldest first."""
        c = notices.c
        query = select(c.number, c.channel, c.kind, c.content).order_by(c.number).limit(at_most)
        found: list[tuple[int, ChannelId, Notice]] = []
        for number, channel, kind, content in await self._connection.execute(query):
            notice: Notice = msgspec.msgpack.decode(content, type=_KINDS[kind])
            found.append((number, ChannelId(channel), notice))
        return tuple(found)

    async def told(self, number: int) -> bool:
        """The gateway has dealt with it; False where that was known."""
        return (await self._connection.execute(delete(notices).where(notices.c.number == number))).rowcount == 1


def encode_channel(state: Channel) -> bytes:
    """The side in MessagePack."""
    return msgspec.msgpack.encode(state)


def decode_channel(raw: bytes) -> Channel:
    """The side that `encode_channel` wrote."""
    return msgspec.msgpack.decode(raw, type=Channel)
