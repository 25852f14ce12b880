"""An offer can be taken as long as its owner sees it, and not longer; a command tells how each swap has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.swap_board import board_offers
from cli.swap_making import make_offer
from cli.swap_outcomes import NotSwapped, NotTaken, TakeRefused
from cli.swap_resuming import resume_all
from cli.swap_taking import take_offer
from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits, UnixMs
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.engine import performer
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.engine.market import NotEnough
from settlement.swap.engine.runtime import open_store
from settlement.swap.engine.trading import Draft
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.effects import Effect, SignTerms
from settlement.swap.offers import SignedOffer
from settlement.swap.store.store import OfferState, OwnOffer, SwapRow, SwapStore, Taking, TakingState
from settlement.swap.terms import Mode
from tests.support.patience import eventually
from tests.support.swap_people import COIN, ETHER, Person, Town, template, town
from tests.support.swap_told import Told

pytestmark = pytest.mark.integration


def offering(
    who: Person,
    told: Told,
    give: str = "1BTC",
    valid: str = "10m",
    *,
    want: str = "20ETH",
    publish: bool = False,
    qr: bool = False,
) -> Any:
    """`causeway swap offer`, as a coroutine."""
    form = (who.settings, who.keys, told, give, want, valid, False, publish, "")
    return make_offer(*form, show_qr=qr)


@asynccontextmanager
async def command(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A command that goes on; interrupted at the end, as by Ctrl-C."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def mining(place: Town) -> AsyncIterator[None]:
    """Blocks come by themselves."""

    async def dig() -> None:
        while True:
            await place.mine()
            await asyncio.sleep(0.1)

    async with command(dig()):
        yield


async def own_offers(who: Person) -> list[OwnOffer]:
    """All that the folder's database knows."""
    async with open_store(who.folder) as database, database.view() as view:
        return [*await SwapStore(view.connection).offers()]


async def swaps(who: Person) -> list[SwapRow]:
    """As above."""
    async with open_store(who.folder) as database, database.view() as view:
        return [*await SwapStore(view.connection).swaps()]


async def left_open(who: Person, place: str, *, board: str = "", gives_bitcoin: bool = True) -> SignedOffer:
    """An offer whose command died."""
    moved = replace(who, place=place)
    async with moved.at_work(runs=False) as engine:
        signed = await moved.offer(engine, gives_bitcoin=gives_bitcoin)
        (own,) = [one for one in await own_offers(who) if one.signed == signed]
        await engine.trading.set_offer(replace(own, board=board))
    return signed


async def test_an_interrupted_offer_is_withdrawn_and_taken_off_the_board(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """`offer --publish` puts it on the board, and takes it down whatever ends the command; its link is drawn, too."""
    async with town(tmp_path, bitcoind, anvil) as place:
        told = Told(as_json=False)

        async def published() -> bool:
            return bool(await board_offers(place.bob.settings, place.place, "BTC", "ETH"))

        async with command(offering(place.alice, told, publish=True, qr=True)):
            assert await eventually(published, "it is on the board")
            signed = await eventually(told.link, "the link")
            assert [one.board for one in await own_offers(place.alice)] == [place.place]
            (drawn,) = [note for note in told.notes if "█" in note]
            assert max(map(len, drawn.splitlines())) <= 100
        assert not await published()
        assert [(one.signed, one.state) for one in await own_offers(place.alice)] == [(signed, OfferState.WITHDRAWN)]


async def test_an_offer_that_cannot_be_kept_is_never_made(tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil) -> None:
    """Money or a node is missing: nothing is stored, and nothing listed; nobody in time: it is withdrawn."""
    async with town(tmp_path, bitcoind, anvil) as place:
        with pytest.raises(NotEnough):
            await offering(place.alice, Told(), "100BTC")
        assert await own_offers(place.alice) == []
        told = Told(as_json=False)
        with pytest.raises(NotTaken):
            await offering(place.alice, told, valid="1s")
        assert not [note for note in told.notes if "█" in note]
        assert [one.state for one in await own_offers(place.alice)] == [OfferState.WITHDRAWN]


async def test_older_offers_are_withdrawn_by_any_command_but_resume(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """An offer of a command that died can be taken no more, at its price of then, while a new one waits."""
    async with town(tmp_path, bitcoind, anvil) as place:
        older = await left_open(place.alice, place.place, board=place.place)
        told = Told()
        async with command(offering(place.alice, told, publish=True)):
            newer = await eventually(told.link, "the new offer")
            assert "1 offer that an earlier command left open is withdrawn" in told.notes
            assert [one.offer for one in await board_offers(place.bob.settings, place.place, "", "")] == [newer.offer]
            assert {one.signed: one.state for one in await own_offers(place.alice)} == {
                older: OfferState.WITHDRAWN,
                newer: OfferState.OPEN,
            }
        assert await swaps(place.alice) == []


async def test_resume_waits_for_offers_that_a_board_has_and_withdraws_others(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """What is on a board can be taken yet, and is swapped; to where no letters come from is withdrawn, and told."""
    async with town(tmp_path, bitcoind, anvil) as place:
        lost = await left_open(place.alice, "http://127.0.0.1:1")
        kept = await left_open(place.alice, place.place, board=place.place)
        told, taken = Told(), Told()
        async with command(resume_all(place.alice.settings, place.alice.keys, told)) as task, mining(place):
            await take_offer(place.bob.settings, place.bob.keys, taken, kept)
            await task
        assert any("is withdrawn: letters to http://127.0.0.1:1 do not come here" in one for one in told.notes)
        (row,) = await swaps(place.alice)
        assert told.document == [{"swap": row.swap_id.hex(), "outcome": "swapped", "paid_late": False}]
        assert taken.document["outcome"] == "swapped"
        assert taken.notes.index("Taken: the maker has agreed.") > 0
        states = {one.signed: one.state for one in await own_offers(place.alice)}
        assert states == {lost: OfferState.WITHDRAWN, kept: OfferState.TAKEN}


async def never(desk: Desk, row: SwapRow, order: Effect) -> Changes:
    """A machine that dies before it comes to that."""
    raise NotNow("it dies", 3_600)


async def test_resume_tells_what_came_to_nothing(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taking that came to nothing is told with the reason; a swap that ended without a trade is status 4."""
    async with town(tmp_path, bitcoind, anvil) as place:
        bob, alice = place.bob, place.alice
        draft = Draft(True, Satoshi(COIN), TokenUnits(20 * ETHER), Mode.HASH, 2, place.place)
        async with alice.at_work(runs=False) as engine:
            offer = (await engine.trading.offer(draft, template(alice.settings))).signed
        async with bob.at_work(runs=False) as engine, engine.office.database.unit() as unit:
            store = SwapStore(unit.connection)
            await store.put_taking(Taking(await store.new_index(), offer, TakingState.ASKED, "", None, UnixMs(1)))
            await unit.commit()
        told = Told()
        with pytest.raises(TakeRefused, match="did not answer in time"):
            await resume_all(bob.settings, bob.keys, told)
        assert told.document[0]["offer"] == offer.offer.offer_id.hex()
        assert "did not answer in time" in told.text

        other = Told()

        async def agreed() -> list[SwapRow]:
            return await swaps(bob)

        # The taker dies before it signs, so that the maker locks nothing: a lock would come back after T1 alone.
        hands: dict[type[Any], Any] = {**performer.HANDS, SignTerms: never}
        with monkeypatch.context() as dying:
            dying.setattr(performer, "HANDS", hands)
            async with command(offering(alice, other, "20ETH", want="1BTC", publish=True)):
                signed = await eventually(other.link, "the offer")
                async with command(take_offer(bob.settings, bob.keys, Told(), signed)):
                    (row,) = await eventually(agreed, "the swap has begun")
        async with open_store(bob.folder) as database, database.unit() as unit:
            await SwapStore(unit.connection).wish(row.swap_id, Wish.CANCEL)
            await unit.commit()
        told = Told()
        with pytest.raises(NotSwapped) as ended:
            await resume_all(bob.settings, bob.keys, told)
        assert ended.value.swap == row.swap_id.hex()
        assert "causeway swap show" in ended.value.cure
        assert told.document[0]["outcome"] == ended.value.outcome


async def test_published_offers_need_a_board(tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil) -> None:
    """What is no board is refused by the option's name, before anything is opened."""
    async with town(tmp_path, bitcoind, anvil) as place:
        settings = replace(place.alice.settings, board="")
        for board in ("", "nonsense"):
            with pytest.raises(BadInput) as refusal:
                await make_offer(
                    settings, place.alice.keys, Told(), "1BTC", "20ETH", "1m", False, True, board, show_qr=False
                )
            assert refusal.value.field == "--board"
        with pytest.raises(BadInput, match="--give"):
            await offering(place.alice, Told(), "99999999BTC")
