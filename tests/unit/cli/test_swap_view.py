"""What swaps look like: the live picture, lines where there is no terminal, the list, one swap whole, and a QR code."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from cli.swap_making import qr_code
from cli.swap_view import Viewer, list_text, show_document, show_text
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.machine.changes import OwnerAsked, Wish
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.machine.outlook import outlook
from settlement.swap.store.store import Line, OfferState, OwnOffer, Peer, SwapRow, SwapStore
from settlement.swap.store.tables import SCHEMA
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import settings_in
from tests.support.swap_sides import follower, initiator

WIDTH = 100
_ANSI = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def settings(tmp_path: Path) -> TraderSettings:
    """A trader's."""
    return settings_in(tmp_path)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the time of day, seconds since 1970."""

    def set_to(seconds: int) -> None:
        monkeypatch.setattr("cli.swap_view.time.time", lambda: float(seconds))

    return set_to


def a_row(side: Any, number: int = 1) -> SwapRow:
    """A swap as a database has it."""
    peer = Peer(b"\x05" * 32, b"\x06" * 32, "http://127.0.0.1:1")
    state = side.state
    return SwapRow(bytes([number]) * 32, number, True, "", peer, b"", state, 1, UnixMs(side.now), UnixMs(side.now))


async def shown(settings: TraderSettings, folder: Path, row: SwapRow, *, terminal: bool, problem: str = "") -> str:
    """What a viewer writes of one swap, shown twice."""
    viewer, screen = Viewer(settings), io.StringIO()
    viewer._console = Console(file=screen, force_terminal=terminal, width=WIDTH, color_system=None)
    viewer._is_live = terminal
    viewer._live.console = viewer._console
    viewer._live._live_render.vertical_overflow = "visible"
    async with await Database.open(f"sqlite:///{folder / 'view.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            store = SwapStore(unit.connection)
            await store.add(row)
            await store.note(row.swap_id, row.created_at, "the terms are complete")
            await unit.commit()
        problems = {"bitcoin": problem} if problem else {}
        engine: Any = SimpleNamespace(
            office=SimpleNamespace(database=database), watchers=SimpleNamespace(problems=problems)
        )
        with viewer:
            await viewer.show([row], engine)
            if not terminal:
                await viewer.show([row], engine)
            picture = screen.getvalue()  # before the live display takes itself away
    return _ANSI.sub("", picture)


async def test_the_live_view_has_all_that_its_owner_needs(settings: TraderSettings, tmp_path: Path, at: Any) -> None:
    """State, confirmations, the time to each deadline, what happens next, and what to do should the machine die."""
    side = follower().funded()
    at(side.now // 1000)
    picture = await shown(settings, tmp_path, a_row(side), terminal=True)
    told = " ".join(picture.split())
    found = outlook(side.state, side.now)
    assert "you give 1 BTC, get 20 ETH" in told
    assert f"{found.phase.value} {found.now}" in told
    assert f"bitcoin {found.funding}" in told
    assert "EVM lock there, final" in told
    assert found.then in told
    assert len(found.deadlines) >= 3
    assert told.count(" (in ") == len(found.deadlines)
    for one in found.deadlines:
        assert one.what in told
    assert "if it dies" in told
    assert "causeway swap bundle" in told
    assert "the terms are complete" in told
    assert max(map(len, picture.splitlines())) <= WIDTH


async def test_a_deadline_of_another_day_has_its_date(settings: TraderSettings, tmp_path: Path, at: Any) -> None:
    """A later time of day never stands above an earlier one without it."""
    side = follower().funded()
    at(side.now // 1000)
    picture = await shown(settings, tmp_path, a_row(side), terminal=True)
    times = [line.split(" (in ")[0].split()[-2:] for line in picture.splitlines() if " (in " in line]
    days = {one[0] for one in times}
    assert any("-" in day for day in days), times


async def test_where_there_is_no_terminal_each_piece_of_news_is_a_line(
    settings: TraderSettings, tmp_path: Path, at: Any
) -> None:
    """Once, and what keeps a chain from being asked as well."""
    side = initiator().locked()
    at(side.now // 1000)
    told = await shown(settings, tmp_path, a_row(side), terminal=False, problem="it is down")
    assert told.count("the terms are complete") == 1
    assert told.count("bitcoin cannot be asked now: it is down") == 1


def test_the_list_tells_how_a_swap_has_ended_and_which_offers_wait(settings: TraderSettings, at: Any) -> None:
    """`over` alone says nothing; what has expired waits for nobody."""
    cancelled, under_way = initiator(), follower().funded()
    cancelled.tell(OwnerAsked(Wish.CANCEL))
    at(under_way.now // 1000)
    now = under_way.now // 1000
    offers = [
        OwnOffer(number, an_offer(made, salt=number), OfferState.OPEN, "", UnixMs(made * 1000))
        for number, made in enumerate((now, now - 4_000))
    ]
    told = list_text(settings, [a_row(cancelled, 1), a_row(under_way, 2)], offers)
    lines = [line.split() for line in told.splitlines()]
    assert lines[1][-2:] == ["nothing", "moved"]
    assert lines[2][-1] == "funding"
    assert told.count("30 min") == 1
    assert "over" not in told


def test_one_swap_whole_fits_the_screen(settings: TraderSettings, at: Any) -> None:
    """In every place of its life; ids are not broken. The document has the same for programs."""
    for side in (initiator(), initiator().locked(), follower().funded()):
        row = a_row(side)
        at(side.now // 1000)
        lines = [Line(UnixMs(side.now), "its owner asks, " * 12)]
        told = show_text(settings, row, lines, [], [])
        assert max(map(len, told.splitlines())) <= WIDTH
        assert row.swap_id.hex() in told
        document = show_document(row, lines, [], [])
        assert document["if_it_dies"]
        assert [one["at"] for one in document["deadlines"]] == sorted(one["at"] for one in document["deadlines"])
        assert {"now", "then", "history", "bitcoin", "evm"} <= document.keys()


def test_a_swap_that_is_claimed_says_so(settings: TraderSettings, at: Any) -> None:
    """What became of both legs."""
    side = follower().funded()
    side.spend(SpendKind.CLAIM, 2)
    side.lock(LockStatus.CLAIMED, final=False)
    at(side.now // 1000)
    told = show_text(settings, a_row(side), [], [], [])
    assert "claimed, 2 of 6 confirmations" in told
    assert "claimed, in a block, not final yet" in told


def test_a_qr_code_fits_a_terminal() -> None:
    """Two rows a line, so that it is no wider than 100 columns."""
    lines = qr_code(an_offer(1_900_000_000).text).splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= WIDTH
