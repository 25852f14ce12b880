"""The order board on a port of its own, on both databases."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp
import pytest
from coincurve import PublicKeyXOnly

from api.board.board import BoardRules
from api.board.service import now_seconds, serve_board
from api.board.tables import SCHEMA
from api.settings import ApiSettings, BoardSettings, load_settings
from foundation.database import Database
from foundation.errors import BadInput
from settlement.swap.letters.letter import Letter, Reader, seal
from settlement.swap.letters.post import PlaceUnavailable, Post
from tests.support.api_town import api_town
from tests.support.patience import PATIENCE_S
from tests.support.swap_offers import an_offer

pytestmark = pytest.mark.integration
ALICE, BOB = b"\x01" * 32, b"\x02" * 32


async def test_two_people_write_to_each_other_and_publish(database_url: str) -> None:
    """A letter that is posted while its reader waits is read; a board that is away is told from one that refuses."""
    alice, bob = (bytes(PublicKeyXOnly.from_secret(secret).format()) for secret in (ALICE, BOB))
    reader = Reader(bob, BOB)
    async with await Database.open(database_url, SCHEMA) as database:
        async with serve_board(database) as place, Post(place, now_seconds) as post:
            now = now_seconds()
            letter = Letter(bytes(32), alice, bob, "take", b"hello", now, now + 60)
            waiting = asyncio.create_task(post.letters(BOB, bob, 0, wait_seconds=20))
            await post.put(bob, seal(letter, reader.letters, ALICE))
            (found,) = await asyncio.wait_for(waiting, PATIENCE_S)
            assert reader.open(found.sealed, now) == letter
            await post.forget(BOB, bob, found.number)
            assert await post.letters(BOB, bob, 0) == []
            signed = an_offer(int(time.time()))
            await post.publish(signed)
            assert signed in await post.offers()
        async with Post(place, now_seconds) as post:
            with pytest.raises(PlaceUnavailable):
                await post.offers()


async def test_a_board_without_tls_listens_on_loopback_alone(database_url: str) -> None:
    """Who talks to whom is nobody else's business."""
    async with await Database.open(database_url, SCHEMA) as database:
        with pytest.raises(BadInput, match="TLS"):
            async with serve_board(database, "0.0.0.0"):
                pass


async def test_strangers_behind_a_proxy_have_limits_of_their_own(database_url: str) -> None:
    """The last address that the proxy wrote counts, an IPv6 network of 64 bits as one; what a stranger writes before
    it changes nothing."""
    box = "/v1/mailboxes/" + bytes(PublicKeyXOnly.from_secret(BOB).format()).hex() + "/letters"

    async def post(session: aiohttp.ClientSession, forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        async with session.post(box, data=os.urandom(40), headers=headers) as answer:
            return answer.status

    async with (
        await Database.open(database_url, SCHEMA) as database,
        serve_board(database, clock=lambda: 600, rules=BoardRules(posts_a_minute=2)) as place,
        aiohttp.ClientSession(place) as session,
    ):
        for one in ("192.0.2.1", "192.0.2.9, 192.0.2.1", "192.0.2.77, 192.0.2.1"):
            last = await post(session, one)
        assert last == 429
        assert await post(session, "192.0.2.1, 192.0.2.2") < 300
        for one in ("2001:db8::1", "2001:db8::2", "2001:db8::3"):
            last = await post(session, one)
        assert last == 429
        assert await post(session, "2001:db8:0:1::1") < 300
        assert await post(session, "") < 300


async def test_a_gateway_has_an_order_board_where_its_operator_wants_one(tmp_path: Path) -> None:
    """Under /board of its REST interface, in its own database; `api.toml` says so."""
    file = tmp_path / "api.toml"
    file.write_text('[board]\nnames = ["board.example:443"]\n')
    settings = load_settings(file)
    assert settings.board == BoardSettings(frozenset({"board.example:443"}))
    assert ApiSettings().board is None
    bob = bytes(PublicKeyXOnly.from_secret(BOB).format())
    async with api_town(tmp_path, settings) as town, Post(f"{town.serving.url}/board", now_seconds) as post:
        signed = an_offer(now_seconds())
        await post.publish(signed)
        assert list(await post.offers()) == [signed]
        number = await post.put(bob, b"sealed")
        assert [one.number for one in await post.letters(BOB, bob, 0)] == [number]
