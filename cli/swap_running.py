"""Running a trader's swaps from a command: the engine, a board for letters, and a view until all is done."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.board.app import Quoter
from api.board.service import serve_board
from api.board.tables import SCHEMA as BOARD_SCHEMA
from cli.logs import log_file
from cli.output import short
from cli.swap_view import Viewer
from foundation.database import Database
from foundation.errors import BadInput, CausewayError
from foundation.signals import cancelled_by
from settlement.swap.engine.own_offers import open_offers, take_down, withdraw
from settlement.swap.engine.runtime import Engine, open_engine
from settlement.swap.engine.takings import give_up
from settlement.swap.store.store import OfferState

if TYPE_CHECKING:
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.offers import Offer
    from settlement.swap.store.store import OwnOffer, SwapRow
    from settlement.swap.wallet.secrets import TraderKeys

BOARD_DATABASE: Final = "board.db"
LOG_NAME: Final = "swap.log"
_LOOK_SECONDS: Final = 0.5
_TAKE_DOWN_SECONDS: Final = 5.0
"""For so long a board is waited for when an offer is taken off it: a withdrawn offer binds nobody wherever it hangs."""


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
    keeps: bool = False,
    taking: bytes | None = None,
    accepts: Callable[[Offer], None] | None = None,
    quoter: Quoter | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Running]:
    """The engine, running until the block ends; SIGTERM and SIGHUP cancel it, as Ctrl-C does.

    Args:
        settings: of the folder.
        keys: of the mnemonic.
        listens: whether letters have to come to this machine; where open swaps wait for letters here, they do anyway.
        keeps: whether own offers that an earlier command left open may be taken yet. Without, they are withdrawn:
            nobody takes an offer that its owner does not see any more, at a price of then. What a maker that answers
            by itself left open always is: whoever took it now would be held to none of its limits.
            And whether others' offers that an earlier command took are asked for yet. Without, they are given up:
            nobody swaps by an offer that it has turned away from.
        taking: the offer (its id) that the command is about to take, which is not given up.
        accepts: a maker's limits.
        quoter: answers takers, where letters come to this machine.
        note: is told what a person should know.

    Raises:
        WalletBusy, OtherWallet, BadInput: see `open_engine`.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(cancelled_by(signal.SIGTERM, signal.SIGHUP))
        # What happens inside, for whoever looks for a cause; the screen shows what happens to swaps.
        stack.enter_context(log_file(settings.folder / LOG_NAME))
        engine = await stack.enter_async_context(open_engine(settings, keys, accepts=accepts))
        await _withdraw_left(engine, keeps, note)
        for one in () if keeps else await give_up(engine.office, taking):
            note(f"offer {short(one.offer_id)}, which you took earlier, is given up: its maker had not answered")
        place = ""
        if listens or await _is_awaited(engine, settings):
            try:
                place = await stack.enter_async_context(_listening(engine, settings, quoter))
            except BadInput as error:
                if listens:
                    raise
                note(f"letters cannot come to this machine now: {error}")
        task = asyncio.create_task(engine.run(), name="the engine")
        try:
            yield Running(engine, place, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _withdraw_left(engine: Engine, keeps: bool, note: Callable[[str], None]) -> None:
    """Withdraw what earlier commands left open; where `keeps`, what makers did that answer by themselves."""
    left = [own for own in await open_offers(engine.office) if not keeps or own.state is OfferState.SERVED]
    for own in left:
        await withdraw_offer(engine, own, note)
    if count := sum(own.signed.offer.valid_until > time.time() for own in left):
        one = "1 offer that an earlier command left open is"
        note(f"{one if count == 1 else f'{count} offers that earlier commands left open are'} withdrawn")


async def withdraw_offer(engine: Engine, own: OwnOffer, note: Callable[[str], None]) -> bool:
    """Withdraw an own offer, and take it off its board; False where somebody took it before."""
    is_withdrawn = await withdraw(engine.office, own.offer_id)
    if own.signed.offer.valid_until <= time.time():
        return is_withdrawn
    try:
        async with asyncio.timeout(_TAKE_DOWN_SECONDS):
            await take_down(engine.letters, engine.keys, own)
    except (CausewayError, TimeoutError) as error:
        told = str(error) or "it does not answer"
        note(f"offer {own.offer_id.hex()[:8]} stays on the board until it ends, and cannot be taken: {told}")
    return is_withdrawn


async def follow(
    running: Running, viewer: Viewer, is_over: Callable[[Sequence[SwapRow]], Awaitable[bool]]
) -> list[SwapRow]:
    """Show all swaps that are open, or become so, until `is_over` says so of all rows; those that were shown."""
    office = running.engine.office
    shown: dict[bytes, SwapRow] = {}

    async def look() -> bool:
        rows = await office.swaps()
        shown.update((row.swap_id, row) for row in rows if row.is_open or row.swap_id in shown)
        done = await is_over(rows)
        await viewer.show([*shown.values()], running.engine)
        return done

    with viewer:
        await running.until(look)
    return [*shown.values()]


@asynccontextmanager
async def _listening(engine: Engine, settings: TraderSettings, quoter: Quoter | None) -> AsyncIterator[str]:
    """A board on this machine; gives the URL under which others reach it. Raises `BadInput`: it cannot listen."""
    url = f"sqlite:///{settings.folder / BOARD_DATABASE}"
    async with await Database.open(url, BOARD_SCHEMA) as board:
        host, port = await _place(engine, settings)
        names = frozenset({_authority(settings.name)}) if settings.name else frozenset()
        async with serve_board(board, host, port, names=names, quoter=quoter) as served:
            await engine.desk.set_cursor("listens", served.encode())
            yield settings.name or served


async def _place(engine: Engine, settings: TraderSettings) -> tuple[str, int]:
    """Where to listen: as before, so that those who know the place find it again."""
    host, port = settings.listen
    kept = (await engine.desk.cursor("listens")).decode()
    if not port and kept:
        port = int(kept.rsplit(":", 1)[1])
    return host, port


async def _is_awaited(engine: Engine, settings: TraderSettings) -> bool:
    """Whether letters of an open swap, or to an open offer, come to this machine."""
    kept = (await engine.desk.cursor("listens")).decode()
    own = {one for one in (kept, settings.name) if one}
    places = [row.peer.place for row in await engine.office.swaps(open_only=True)]
    places += [one.signed.offer.place for one in await open_offers(engine.office)]
    return not own.isdisjoint(places)


def _authority(url: str) -> str:
    return url.split("//", 1)[1].split("/", 1)[0]
