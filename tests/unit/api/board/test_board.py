"""The order board: letters for their owner alone, offers for all, and bounds for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from coincurve import PublicKeyXOnly

from api.board.app import make_board_app
from api.board.board import Board, BoardRules, make_tables
from api.board.tables import SCHEMA
from foundation.database import Database
from foundation.quantities import Satoshi
from registry.caip import ChainId
from settlement.swap.letters.letter import SEALED_BYTES_MAX
from settlement.swap.letters.post import PlaceRefuses, PlaceUnavailable, Post
from settlement.swap.letters.proof import SKEW_SECONDS, Right, show
from settlement.swap.offers import Offer, SignedOffer
from settlement.swap.terms import Mode
from tests.support.patience import PATIENCE_S
from tests.support.swap_offers import an_offer

NOW = 1_800_000_000
PLACE = "http://board.test:80"
AUTHORITY = "board.test:80"
ALICE, EVE = b"\x01" * 32, b"\x02" * 32
BOX = bytes(PublicKeyXOnly.from_secret(ALICE).format())


class World:
    """A board, its clock, and clients of it."""

    def __init__(self, board: Board, transport: httpx.AsyncBaseTransport) -> None:
        self.board, self.transport = board, transport
        self.now = NOW

    def post(self, place: str = PLACE) -> Post:
        return Post(place, lambda: self.now, self.transport)


@asynccontextmanager
async def opened(folder: Path, rules: BoardRules | None = None) -> AsyncIterator[World]:
    """A board in a folder, without a network."""
    async with await Database.open(f"sqlite:///{folder / 'board.db'}", SCHEMA) as database:
        await make_tables(database)
        holder: list[World] = []
        board = Board(database, lambda: holder[0].now, rules)
        world = World(board, httpx.ASGITransport(make_board_app(board, frozenset({AUTHORITY}))))
        holder.append(world)
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A board with its usual rules."""
    async with opened(tmp_path) as made:
        yield made


async def test_letters_are_read_in_order_and_forgotten_when_their_owner_says_so(world: World) -> None:
    """After the last number that was read there is nothing but what came since."""
    async with world.post() as post:
        numbers = [await post.put(BOX, bytes([one]) * 100) for one in (1, 2, 3)]
        found = await post.letters(ALICE, BOX, 0)
        assert [one.number for one in found] == numbers == sorted(numbers)
        assert [one.sealed for one in found] == [bytes([one]) * 100 for one in (1, 2, 3)]
        assert await post.letters(ALICE, BOX, numbers[0]) == found[1:]
        await post.forget(ALICE, BOX, numbers[1])
        assert await post.letters(ALICE, BOX, 0) == found[2:]


async def test_a_letter_that_comes_twice_is_one(world: World) -> None:
    """A sender that does not know whether it was heard asks again."""
    async with world.post() as post:
        assert await post.put(BOX, b"same") == await post.put(BOX, b"same")
        assert len(await post.letters(ALICE, BOX, 0)) == 1


async def test_a_reader_that_waits_is_told_at_once(world: World) -> None:
    """The letter that comes while one waits ends the waiting."""
    async with world.post() as post:
        waiting = asyncio.create_task(post.letters(ALICE, BOX, 0, wait_seconds=20))
        while not world.board._waiting:
            await asyncio.sleep(0)
        await post.put(BOX, b"hello")
        assert [one.sealed for one in await asyncio.wait_for(waiting, PATIENCE_S)] == [b"hello"]
    assert not world.board._waiting


async def test_a_board_that_closes_lets_nobody_wait(world: World) -> None:
    """Its process ends at once."""
    async with world.post() as post:
        waiting = asyncio.create_task(post.letters(ALICE, BOX, 0, wait_seconds=20))
        while not world.board._waiting:
            await asyncio.sleep(0)
        world.board.closing.set()
        assert await asyncio.wait_for(waiting, PATIENCE_S) == []


async def test_nobody_else_reads_or_drops_letters(world: World) -> None:
    """Another key, another mailbox, another right, another number, another place, another time: refused."""
    async with world.post() as post:
        await post.put(BOX, b"hello")
        with pytest.raises(PlaceRefuses, match="401"):
            await post.letters(EVE, BOX, 0)
        with pytest.raises(PlaceRefuses, match="401"):
            await post.forget(EVE, BOX, 10)
    shown = [
        "",
        "Bearer x",
        "Causeway-Owner 1.00",
        show(ALICE, Right.FORGET, AUTHORITY, BOX, 0, NOW),
        show(ALICE, Right.READ, "other.test:80", BOX, 0, NOW),
        show(ALICE, Right.READ, AUTHORITY, bytes(32), 0, NOW),
        show(ALICE, Right.READ, AUTHORITY, BOX, 1, NOW),
        show(ALICE, Right.READ, AUTHORITY, BOX, 0, NOW - SKEW_SECONDS - 1),
        show(ALICE, Right.READ, AUTHORITY, BOX, 0, NOW + SKEW_SECONDS + 1),
    ]
    async with httpx.AsyncClient(transport=world.transport) as http:
        for header in shown:
            url = f"{PLACE}/v1/mailboxes/{BOX.hex()}/letters"
            answer = await http.get(url, headers={"Authorization": header})
            assert answer.status_code == 401, header


async def test_a_proof_for_one_board_serves_at_no_other(world: World) -> None:
    """A board that is shown a proof cannot drop one's letters elsewhere."""
    async with world.post("http://evil.test:80") as post:
        with pytest.raises(PlaceRefuses, match="401"):
            await post.letters(ALICE, BOX, 0)


@pytest.mark.parametrize("size", [0, SEALED_BYTES_MAX + 1])
async def test_letters_have_a_size(world: World, size: int) -> None:
    """Nobody fills the board with one letter."""
    async with world.post() as post:
        with pytest.raises(PlaceRefuses):
            await post.put(BOX, bytes(size))


async def test_what_is_no_key_has_no_mailbox(world: World) -> None:
    """An address is a point's x coordinate."""
    async with world.post() as post:
        with pytest.raises(PlaceRefuses, match="422"):
            await post.put(bytes(32), b"hello")


async def test_a_full_mailbox_takes_letters_again_when_its_owner_has_read(tmp_path: Path) -> None:
    """Flooding one mailbox harms no other."""
    async with opened(tmp_path, BoardRules(letters_each=2)) as world, world.post() as post:
        for one in (b"1", b"2"):
            last = await post.put(BOX, one)
        with pytest.raises(PlaceUnavailable, match="full"):
            await post.put(BOX, b"3")
        await post.put(bytes(PublicKeyXOnly.from_secret(EVE).format()), b"3")
        await post.forget(ALICE, BOX, last)
        assert await post.put(BOX, b"3") > last


async def test_an_address_that_posts_too_much_waits_for_the_next_minute(tmp_path: Path) -> None:
    """And is told when."""
    async with opened(tmp_path, BoardRules(posts_a_minute=2)) as world, world.post() as post:
        await post.put(BOX, b"1")
        await post.put(BOX, b"2")
        with pytest.raises(PlaceUnavailable, match="429"):
            await post.put(BOX, b"3")
        world.now += 60
        await post.put(BOX, b"3")


async def test_old_letters_go(tmp_path: Path) -> None:
    """A mailbox whose owner never comes is empty after a week."""
    async with opened(tmp_path) as world, world.post() as post:
        await post.put(BOX, b"old")
        world.now += 8 * 86_400
        await post.put(BOX, b"new")
        assert [one.sealed for one in await post.letters(ALICE, BOX, 0)] == [b"new"]


async def test_offers_are_found_by_what_they_give_and_want(world: World) -> None:
    """The newest first, page by page, and none that has expired."""
    first, second = an_offer(NOW, salt=1), an_offer(NOW, salt=2, gives_bitcoin=False)
    async with world.post() as post:
        for signed in (first, second, first):
            await post.publish(signed)
        assert list(await post.offers()) == [second, first]
        assert list(await post.offers(gives=str(first.offer.gives))) == [first]
        assert list(await post.offers(wants=str(first.offer.gives))) == [second]
        world.now = first.offer.valid_until
        assert list(await post.offers()) == []


async def test_all_pages_of_offers_are_read(tmp_path: Path) -> None:
    """However few fit on one."""
    async with opened(tmp_path, BoardRules(page=2)) as world, world.post() as post:
        made = [an_offer(NOW, salt=one) for one in range(5)]
        for signed in made:
            await post.publish(signed)
        assert list(await post.offers()) == made[::-1]
        assert list(await post.offers(most=3)) == made[:1:-1]


async def test_only_true_offers_are_published(world: World) -> None:
    """Changed, forged or expired ones are refused."""
    signed = an_offer(NOW)
    forged = SignedOffer(replace(signed.offer, satoshi=Satoshi(1_000)), signed.signature)
    async with world.post() as post:
        with pytest.raises(PlaceRefuses, match="as its maker signed it"):
            await post.publish(forged)
        world.now = signed.offer.valid_until
        with pytest.raises(PlaceRefuses, match="expired"):
            await post.publish(signed)


async def test_only_its_maker_takes_an_offer_down(world: World) -> None:
    """And twice is as once."""
    signed = an_offer(NOW, secret=ALICE)
    async with world.post() as post:
        await post.publish(signed)
        with pytest.raises(PlaceRefuses, match="401"):
            await post.withdraw(EVE, signed.offer.offer_id)
        await post.withdraw(ALICE, signed.offer.offer_id)
        await post.withdraw(ALICE, signed.offer.offer_id)
        assert list(await post.offers()) == []


async def test_a_maker_has_so_many_offers(tmp_path: Path) -> None:
    """One maker does not fill the board."""
    async with opened(tmp_path, BoardRules(offers_each=2)) as world, world.post() as post:
        for one in range(2):
            await post.publish(an_offer(NOW, salt=one))
        with pytest.raises(PlaceUnavailable, match="at most"):
            await post.publish(an_offer(NOW, salt=3))


async def test_a_board_that_lies_is_not_believed() -> None:
    """Offers that no maker signed, and answers that are none, do not come in."""
    answers = {
        "/v1/offers": httpx.Response(200, json={"offers": [{"offer": "causeway-swap:aaaa"}], "before": None}),
        f"/v1/mailboxes/{BOX.hex()}/letters": httpx.Response(200, json={"letters": [{"number": 1, "sealed": "%%"}]}),
    }
    async with Post(PLACE, lambda: NOW, httpx.MockTransport(lambda request: answers[request.url.path])) as post:
        assert list(await post.offers()) == []
        with pytest.raises(PlaceUnavailable, match="no letter"):
            await post.letters(ALICE, BOX, 0)


def test_an_offer_names_its_assets_as_everybody_does() -> None:
    """CAIP-19: bitcoin of the test networks is SLIP-44's coin 1, a token its lower-case address."""
    offer: Offer = an_offer(NOW).offer
    assert offer.mode is Mode.HASH
    assert str(offer.gives) == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1"
    assert str(offer.wants) == "eip155:31337/slip44:60"
    token = replace(offer, asset=b"\xab" * 20, bitcoin_chain=ChainId("bip122", "000000000019d6689c085ae165831e93"))
    assert str(token.wants) == "eip155:31337/erc20:0x" + "ab" * 20
    assert str(token.gives) == "bip122:000000000019d6689c085ae165831e93/slip44:0"
