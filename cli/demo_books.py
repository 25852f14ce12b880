"""What the demo reads in the nodes' databases: stages, and who signed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

from adapters.bitcoin.primitives import hash_text
from bridge.codec import decode_deposit, decode_payout
from bridge.deposits import Deposit
from bridge.payouts import Payout
from bridge.reserves import Reserves, recorded
from bridge.settings import Settings
from bridge.storage import Database, JourneyEntry
from cli.context import CONFIG
from cli.exits import TimedOut

T = TypeVar("T")
_LOOK_SECONDS = 0.1


class Books:
    """The databases of some nodes, the first of which is asked for stages. An asynchronous context manager."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._stack = AsyncExitStack()
        self._databases: list[Database] = []

    async def __aenter__(self) -> Self:
        for folder in self._folders:
            settings = await asyncio.to_thread(Settings.load, folder / CONFIG)
            database = await Database.open(settings.database_url)
            self._databases.append(await self._stack.enter_async_context(database))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def deposit(self, deposit_id: bytes) -> Deposit | None:
        """A deposit as the first node sees it."""
        async with self._databases[0].view() as view:
            row = await view.transfers.get(deposit_id)
        return None if row is None else decode_deposit(row)

    async def payout(self, withdrawal_id: bytes) -> Payout | None:
        """The payout of a withdrawal, as the first node sees it."""
        async with self._databases[0].view() as view:
            rows = await view.payouts.of_withdrawal(withdrawal_id)
        return decode_payout(rows[-1]) if rows else None

    async def told(self, transfer_id: bytes, words: str) -> JourneyEntry | None:
        """The first entry of a transfer's journey with these words, on any of the nodes."""
        for database in self._databases:
            async with database.view() as view:
                for entry in await view.journey.of(transfer_id):
                    if words in entry.note:
                        return entry
        return None

    async def reserves(self) -> Reserves:
        """As the first node counts."""
        async with self._databases[0].view() as view:
            return await recorded(view)


async def until(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = 60.0) -> T:
    """Look until there is something. Raises `TimedOut`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await look()
        if found is not None and found is not False:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise TimedOut(what, seconds, "the nodes' last log lines are above")
        await asyncio.sleep(_LOOK_SECONDS)


def who(entry: JourneyEntry) -> str:
    """Who signed, from a journey's note: from `signed by` or `attested by` on."""
    for words in ("signed by", "attested by"):
        _before, found, names = entry.note.partition(words)
        if found:
            return f"{words}{names}"
    return entry.note


def brief(txid: bytes | str, chain: str = "bitcoin") -> str:
    """The beginning of a transaction's id, as people see it."""
    text = txid if isinstance(txid, str) else hash_text(txid) if chain == "bitcoin" else "0x" + txid.hex()
    return f"{text[:14]}…" if text.startswith("0x") else f"{text[:12]}…"
