"""An offer that is taken at its last moment is swapped: nobody is told that nothing has begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import swap_making, swap_resuming
from cli.swap_making import make_offer
from cli.swap_outcomes import NotTaken
from cli.swap_resuming import resume_all
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import OfferState, OwnOffer, SwapStore
from settlement.swap.store.tables import SCHEMA
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import settings_in
from tests.support.swap_told import Told

KEYS = TraderKeys("test " * 11 + "junk")
OWN = OwnOffer(3, an_offer(1_000), OfferState.OPEN, "http://127.0.0.1:1", UnixMs(1_000_000))
SWAP: Any = SimpleNamespace(
    index=3, swap_id=b"s" * 32, is_open=False, state=SimpleNamespace(outcome=Outcome.SWAPPED, outputs=())
)


class Late:
    """Commands' surroundings, in which somebody takes the offer after its time was found to be over, if at all."""

    def __init__(self, database: Database, settings: Any, *, is_taken: bool) -> None:
        self.database = database
        self.is_taken = is_taken
        self.withdrawn = 0
        self.rows: list[Any] = []
        trading = SimpleNamespace(check_able=self._nothing, offer=self._offered)
        office = SimpleNamespace(database=database)
        watchers = SimpleNamespace(has_looked=True)
        engine = SimpleNamespace(office=office, trading=trading, settings=settings, watchers=watchers)
        self.running = SimpleNamespace(engine=engine, place="http://127.0.0.1:1")

    async def _nothing(self, *_: Any) -> None: ...

    async def _offered(self, *_: Any) -> OwnOffer:
        return OWN

    @asynccontextmanager
    async def at_work(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """See `swap_running`."""
        yield self.running

    async def follow(self, running: Any, viewer: Any, is_over: Callable[[Sequence[Any]], Awaitable[bool]]) -> list[Any]:
        """As above."""
        assert await is_over(self.rows), "nothing is open"
        return self.rows

    async def withdraw(self, engine: Any, own: OwnOffer, note: Any) -> bool:
        """As above."""
        self.withdrawn += 1
        if self.is_taken and not self.rows:
            self.rows = [SWAP]
            async with self.database.unit() as unit:
                taken = OwnOffer(own.index, own.signed, OfferState.TAKEN, own.board, own.made_at)
                await SwapStore(unit.connection).put_offer(taken)
                await unit.commit()
        return not self.is_taken


@pytest.fixture(params=[True, False], ids=["taken", "untaken"])
async def late(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Late]:
    """Both, as the commands see them."""
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            store = SwapStore(unit.connection)
            await store.claim(KEYS.wallet_id)
            await store.put_offer(OWN)
            await unit.commit()
        made = Late(database, settings_in(tmp_path), is_taken=request.param)
        for module in (swap_making, swap_resuming):
            for name, with_what in (("at_work", made.at_work), ("follow", made.follow)):
                monkeypatch.setattr(module, name, with_what)
            monkeypatch.setattr(module, "withdraw_offer", made.withdraw)
        yield made


async def test_offer_follows_a_swap_that_begins_when_it_withdraws(
    late: Late, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an offer that nobody took before it was withdrawn is one that nobody took."""
    told = Told()
    ended: list[Any] = []

    async def tell(running: Any, row: Any, output: Any) -> None:
        ended.append(row)

    monkeypatch.setattr(swap_making, "tell_end", tell)
    form = (settings_in(tmp_path), KEYS, told, "1BTC", "20ETH", "1m", False, False, "")
    if late.is_taken:
        await make_offer(*form, show_qr=False)
        assert ended == [SWAP]
        assert any(note.startswith("Taken: swap") for note in told.notes)
    else:
        with pytest.raises(NotTaken):
            await make_offer(*form, show_qr=False)
    assert late.withdrawn == 1


async def test_resume_follows_a_swap_that_begins_when_it_withdraws(
    late: Late, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `offer` does."""

    async def found(running: Any, output: Any) -> Any:
        return swap_resuming._Resumed((), [], [OWN])

    monkeypatch.setattr(swap_resuming, "_found", found)
    told = Told()
    if late.is_taken:
        await resume_all(settings_in(tmp_path), KEYS, told)
        assert [one["swap"] for one in told.document] == [SWAP.swap_id.hex()]
    else:
        with pytest.raises(NotTaken):
            await resume_all(settings_in(tmp_path), KEYS, told)
        assert told.document == [{"offer": OWN.offer_id.hex(), "refused": "nobody took it"}]
