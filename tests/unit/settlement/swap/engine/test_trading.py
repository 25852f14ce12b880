"""From an offer to a swap: what a maker gives away before anything is agreed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundation.database import Database
from foundation.errors import BadInput, Retryable
from foundation.quantities import Satoshi, TokenUnits, UnixMs
from settlement.swap.engine import trading as engine_trading
from settlement.swap.engine.correspondence import Mailbox
from settlement.swap.engine.market import NotEnough
from settlement.swap.engine.office import Office
from settlement.swap.engine.own_offers import mark_taken, open_offers, withdraw
from settlement.swap.engine.promised import Promised
from settlement.swap.engine.settings import AssetName
from settlement.swap.engine.takings import give_up
from settlement.swap.engine.trading import SPARE_SECONDS, Draft, TooManyOffers, Trading
from settlement.swap.handshake import Part
from settlement.swap.letters.bodies import Accept, Refuse
from settlement.swap.letters.letter import Letter, LetterRefused, Reader
from settlement.swap.planning.conditions import conditions_for
from settlement.swap.store.store import OfferState, OwnOffer, SwapStore, TakingState
from settlement.swap.store.tables import SCHEMA
from settlement.swap.terms import Mode, Role
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_offers import an_offer
from tests.support.swap_terms import ANVIL, NOW, REGTEST

MAKER, TAKER = TraderKeys("test " * 11 + "junk"), TraderKeys("abandon " * 11 + "about")
PLACE = "http://127.0.0.1:8123"


class World:
    """A maker, its clock and its market."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.problem: Exception | None = None
        self.promised = Promised()
        self.said: list[Any] = []
        office = self.office = Office(database, lambda: UnixMs(self.now * 1000))
        self.database = database
        self.trading = Trading(office, MAKER, self, lambda: self.now)  # type: ignore[arg-type]
        self.trading.letters = self  # type: ignore[assignment]

    def check_known(self, offer: Any) -> None: ...

    def conditions(self, offer: Any) -> Any:
        return conditions_for(REGTEST, ANVIL)

    async def check_able(self, offer: Any, role: Role, promised: Promised) -> None:
        self.promised = promised
        if self.problem is not None:
            raise self.problem

    async def send(self, index: int, peer: Any, subject: bytes, body: Any) -> None:
        self.said.append(body)

    async def offer(self, valid_seconds: int = 60) -> OwnOffer:
        draft = Draft(True, Satoshi(10**8), TokenUnits(20 * 10**18), Mode.HASH, valid_seconds, PLACE)
        return await self.trading.offer(draft, an_offer(self.now).offer)

    async def take(self, own: OwnOffer) -> Any:
        """What the maker answers to somebody who takes an offer."""
        secrets = TAKER.swap(0)
        part = Part.of(secrets, TAKER.account, Role.INITIATOR, Mode.HASH)
        body = part.take(Reader(secrets.identity_key, secrets.letters).letters)
        letter = Letter(
            own.offer_id, secrets.identity_key, own.signed.offer.maker, "Take", b"", self.now, self.now + 60
        )
        await self.trading.receive(Mailbox(PLACE, own.index), letter, body)
        return self.said[-1]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(MAKER.wallet_id)
            await unit.commit()
        yield World(database)


async def test_keys_of_offers_that_came_to_nothing_serve_again(world):
    """A maker that is asked for prices all day uses up no more keys than offers wait at a time."""
    indices = set()
    for _ in range(40):
        indices.add((await world.offer()).index)
        world.now += 120
    assert indices == set(range(len(indices)))
    assert len(indices) <= (60 + SPARE_SECONDS) // 120 + 2


async def test_keys_of_an_offer_serve_no_other_before_it_is_long_over(world):
    """Two offers that can be taken at a time never have the same keys."""
    first = await world.offer()
    world.now += 60 + SPARE_SECONDS
    assert (await world.offer()).index != first.index
    world.now += 1
    assert (await world.offer()).index == first.index


@pytest.mark.parametrize("state", [OfferState.OPEN, OfferState.WITHDRAWN])
async def test_keys_of_a_swap_never_serve_again(world, state):
    """Whatever the offer's state says: the secret of a swap must not be promised twice."""
    own = await world.offer()
    assert not isinstance(await world.take(own), Refuse)
    await world.trading.set_offer(replace(own, state=state))
    world.now += 10 * SPARE_SECONDS
    assert (await world.offer()).index != own.index


async def test_money_of_a_swap_that_was_accepted_is_not_there_for_the_next(world):
    """A maker whose offers are taken at once by two promises the same coins to one of them alone."""
    offers = [await world.offer(), await world.offer()]
    for own, before in zip(offers, (0, 10**8), strict=True):
        await world.take(own)
        assert world.promised.satoshi == before


async def test_offers_that_wait_are_bounded(world, monkeypatch):
    """Where too many wait, no more keys are used up, and the maker says that it is for now."""
    monkeypatch.setattr(engine_trading, "OFFERS_MAX", 2)
    await world.offer()
    await world.offer()
    with pytest.raises(TooManyOffers):
        await world.offer()
    world.now += 61 + SPARE_SECONDS
    await world.offer()


@pytest.mark.parametrize(
    "problem",
    [
        NotEnough("the EVM account", 10**18, 7_654_321 * 10**18, AssetName("ETH", 18, bytes(20))),
        Retryable("http://user:secret@node does not serve"),
    ],
)
async def test_a_stranger_is_told_nothing_of_the_makers_money_and_nodes(world, problem):
    """A refusal names neither what the maker has nor where its nodes are."""
    own = await world.offer()
    world.problem = problem
    answer = await world.take(own)
    assert isinstance(answer, Refuse)
    assert "7654321" not in answer.problem.replace(",", "")
    assert "secret" not in answer.problem


async def test_a_stranger_is_told_what_is_wrong_with_the_offer(world):
    """That an offer has ended is no secret of the maker's."""
    own = await world.offer()
    world.now += 61
    answer = await world.take(own)
    assert isinstance(answer, Refuse)
    assert "expired" in answer.problem


async def test_an_offer_that_is_withdrawn_while_it_is_taken_begins_no_swap(world):
    """Its owner withdraws it when the maker's money is looked at already: the taker hears so, and nothing is stored."""
    own = await world.offer()
    look = world.check_able

    async def slowly(*asked: Any) -> None:
        await look(*asked)
        assert await withdraw(world.office, own.offer_id)

    world.check_able = slowly
    answer = await world.take(own)
    assert isinstance(answer, Refuse)
    assert "withdrawn" in answer.problem
    assert await world.office.swaps() == ()


async def test_an_offer_that_was_taken_cannot_be_withdrawn(world):
    """Whoever asks is told; the swap goes on."""
    own = await world.offer()
    await world.take(own)
    assert not await withdraw(world.office, own.offer_id)
    async with world.database.view() as view:
        found = await SwapStore(view.connection).offer(own.offer_id)
    assert found is not None
    assert found.state is OfferState.TAKEN


async def test_an_offer_whose_time_ends_while_it_is_taken_begins_no_swap(world):
    """The maker's nodes were slow: whoever made the offer may have been told already that nobody took it."""
    own = await world.offer(5)
    look = world.check_able

    async def slowly(*asked: Any) -> None:
        await look(*asked)
        world.now += 5

    world.check_able = slowly
    answer = await world.take(own)
    assert isinstance(answer, Refuse)
    assert "expired" in answer.problem
    assert await world.office.swaps() == ()
    assert await withdraw(world.office, own.offer_id)


async def test_an_offer_that_is_taken_by_two_at_once_is_told_as_taken(world):
    """The slower one hears what is so."""
    own = await world.offer()
    async with world.database.unit() as unit:
        store = SwapStore(unit.connection)
        await mark_taken(store, own, world.now)
        with pytest.raises(BadInput, match="is taken"):
            await mark_taken(store, own, world.now)


async def test_offers_of_a_maker_with_limits_are_known_as_such(world):
    """They can be taken and withdrawn as others; a command without the limits finds them among those that are open."""
    limited = Trading(world.office, MAKER, world, lambda: world.now, lambda offer: None)
    world.trading, limited.letters = limited, world
    offers = [await world.offer(), await world.offer()]
    assert {one.state for one in await open_offers(world.office)} == {OfferState.SERVED}
    assert not isinstance(await world.take(offers[0]), Refuse)
    assert await withdraw(world.office, offers[1].offer_id)
    assert await open_offers(world.office) == ()


async def test_a_taking_that_was_given_up_begins_no_swap(world):
    """Its maker is asked no more, and its acceptance comes too late; the offer can be taken again, by the same keys."""
    signed = an_offer(world.now)
    taking = await world.trading.take(signed)
    assert await give_up(world.office, signed.offer.offer_id) == ()
    assert await give_up(world.office) == (taking,)
    await world.trading.ask(0)
    assert world.said == []
    letter = Letter(signed.offer.offer_id, signed.offer.maker, bytes(32), "Accept", b"", world.now, world.now + 60)
    with pytest.raises(LetterRefused):
        await world.trading.receive(Mailbox(PLACE, taking.index), letter, Accept(b"", bytes(64)))
    assert await world.office.swaps() == ()
    again = await world.trading.take(signed)
    assert (again.index, again.state) == (taking.index, TakingState.ASKED)
    assert await world.trading.take(signed) == replace(again, made_at=taking.made_at)
    await world.trading.ask(0)
    assert len(world.said) == 1
