"""Running a trader's swaps from a command: the engine, a board for letters, and a view until all is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.board.app import Quoter
from api.board.service import serve_board
from api.board.tables import SCHEMA as BOARD_SCHEMA
from cli.logs import log_file
from cli.swap_view import Viewer
from foundation.database import Database
from settlement.swap.engine.runtime import Engine, open_engine

if TYPE_CHECKING:
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.offers import Offer
    from settlement.swap.store.store import SwapRow
    from settlement.swap.wallet.secrets import TraderKeys

BOARD_DATABASE: Final = "board.db"
LOG_NAME: Final = "swap.log"
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Running:
    """An engine at work. Fields: engine; place (URL where letters to this trader are brought; empty: none here)."""

    engine: Engine
    place: str
    task: asyncio.Task[None]

    async def until(self, done: Callable[[], Awaitable[bool]], seconds: float | None = None) -> bool:
        """Wait until `done` says so; False where the time is over first. Raises what ends the engine."""
        listener = self.engine.office.listen()
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        try:
            while not await done():
                listener.clear()
                if self.task.done():
                    await self.task
                if deadline is not None and asyncio.get_running_loop().time() > deadline:
                    return False
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await listener.wait()
                except TimeoutError:
                    continue
            return True
        finally:
            self.engine.office.unlisten(listener)


@asynccontextmanager
async def at_work(
    settings: TraderSettings,
    keys: TraderKeys,
    *,
    listens: bool = False,
    accepts: Callable[[Offer], None] | None = None,
    quoter: Quoter | None = None,
) -> AsyncIterator[Running]:
    """The engine, running until the block ends.

    Args:
        settings: of the folder.
        keys: of the mnemonic.
        listens: whether letters are to come to this machine; open swaps that wait for letters here need it, too.
        accepts: a maker's limits.
        quoter: answers takers, where letters come to this machine.

    Raises:
        WalletBusy, OtherWallet, BadInput: see `open_engine`.
    """
    async with AsyncExitStack() as stack:
        # What happens inside, for whoever looks for a cause; the screen shows what happens to swaps.
        stack.enter_context(log_file(settings.folder / LOG_NAME))
        engine = await stack.enter_async_context(open_engine(settings, keys, accepts=accepts))
        place = ""
        if listens or await _is_awaited(engine, settings):
            url = f"sqlite:///{settings.folder / BOARD_DATABASE}"
            board = await stack.enter_async_context(await Database.open(url, BOARD_SCHEMA))
            host, port = await _place(engine, settings)
            names = frozenset({_authority(settings.name)}) if settings.name else frozenset()
            served = await stack.enter_async_context(serve_board(board, host, port, names=names, quoter=quoter))
            place = settings.name or served
            await engine.desk.set_cursor("listens", served.encode())
        task = asyncio.create_task(engine.run(), name="the engine")
        try:
            yield Running(engine, place, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def follow(running: Running, swap_ids: Sequence[bytes], viewer: Viewer) -> list[SwapRow]:
    """Show swaps until nothing is left to do in any of them."""
    office = running.engine.office

    async def look() -> bool:
        rows = [row for row in await office.swaps() if row.swap_id in swap_ids]
        await viewer.show(rows, running.engine)
        return all(not row.is_open for row in rows)

    with viewer:
        await running.until(look)
    return [row for row in await office.swaps() if row.swap_id in swap_ids]


async def _place(engine: Engine, settings: TraderSettings) -> tuple[str, int]:
    """Where to listen: as before, so that those who know the place find it again."""
    host, port = settings.listen
    kept = (await engine.desk.cursor("listens")).decode()
    if not port and kept:
        port = int(kept.rsplit(":", 1)[1])
    return host, port


async def _is_awaited(engine: Engine, settings: TraderSettings) -> bool:
    """Whether an open swap's letters come to this machine."""
    kept = (await engine.desk.cursor("listens")).decode()
    own = {one for one in (kept, settings.name) if one}
    return any(row.peer.place in own for row in await engine.office.swaps(open_only=True))


def _authority(url: str) -> str:
    return url.split("//", 1)[1].split("/", 1)[0]
