"""Strangers at the letter box: known as such before their bodies are read, and turned away when they come often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

import aiohttp
import pytest

from foundation.quantities import UnixMs
from settlement.gateway.http import PATH, HttpLetterBoxes, LetterBoxServer
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.letter_box import LetterBoxDesk
from settlement.gateway.peer_courier import PeerUnavailable
from settlement.gateway.stamps import HEADER, LIFETIME_MS, Stamps, StrangerRefused, Strangers
from settlement.quantities import PartyId

A, B, C, STRANGER = (PartyId(name) for name in ("bank-a", "bank-b", "bank-c", "stranger"))
NOW = UnixMs(1_795_000_000_000)
SECRETS = {party: Secrets.derive(party, party.encode().ljust(32, b"-")) for party in (A, B, C, STRANGER)}


class Time:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> UnixMs:
        return self.now


@cache
def _directory(url: str = "http://127.0.0.1:1") -> Directory:
    return Directory({party: SECRETS[party].card(url, UnixMs(NOW - 1)) for party in (A, B, C)}, NOW)


def _stamps(party: PartyId, clock: Time) -> Stamps:
    return Stamps(SECRETS[party].letters, _directory(), clock)


def test_a_stamp_names_its_sender_and_body_once() -> None:
    """Who is stamped by is known without the body; the same stamp again is refused."""
    clock = Time()
    stamp, at_b = _stamps(A, clock).stamp(B, PATH, b"body"), _stamps(B, clock)
    sender, digest = at_b.admit(PATH, stamp)
    assert (sender, len(digest)) == (A, 32)
    with pytest.raises(StrangerRefused, match="came before"):
        at_b.admit(PATH, stamp)


@pytest.mark.parametrize(
    ("place", "text"),
    [(0, "2"), (1, "bank-c"), (1, "bank-b"), (1, "stranger"), (2, str(NOW + 1)), (3, "00" * 32), (4, "00" * 32)],
)
def test_a_stamp_that_was_changed_is_nobodys(place: int, text: str) -> None:
    """Release, sender, moment, body and MAC all count: with another one the stamp is not genuine."""
    clock = Time()
    parts = _stamps(A, clock).stamp(B, PATH, b"body").split(" ")
    parts[place] = text
    with pytest.raises(StrangerRefused):
        _stamps(B, clock).admit(PATH, " ".join(parts))


@pytest.mark.parametrize(
    "stamp", ["", "1", "1 a b c d", "1 bank-a 1795000000000 zz zz", "1 bank-a ٣ 00 00", "x" * 9_999]
)
def test_what_is_no_stamp_is_refused(stamp: str) -> None:
    """Anything else in the header is refused, and raises nothing that was not foreseen."""
    with pytest.raises(StrangerRefused):
        _stamps(B, Time()).admit(PATH, stamp)


def test_a_stamp_is_for_its_receiver_and_path() -> None:
    """What was stamped for one party or path opens no other, and a stranger's own stamp none at all."""
    clock = Time()
    stamp = _stamps(A, clock).stamp(B, PATH, b"body")
    for party, path in ((C, PATH), (B, "/hold-notices")):
        with pytest.raises(StrangerRefused):
            _stamps(party, clock).admit(path, stamp)
    with pytest.raises(StrangerRefused):
        _stamps(B, clock).admit(PATH, _stamps(STRANGER, clock).stamp(B, PATH, b"body"))


@pytest.mark.parametrize(
    ("later", "is_taken"), [(LIFETIME_MS, True), (LIFETIME_MS + 5_000, False), (-5_000, True), (-5_001, False)]
)
def test_a_stamp_is_of_the_last_minute(later: int, is_taken: bool) -> None:
    """A stamp counts for its minute and the skew of clocks, to the millisecond."""
    clock = Time()
    stamp, at_b = _stamps(A, clock).stamp(B, PATH, b"body"), _stamps(B, clock)
    clock.now = UnixMs(NOW + later)
    if is_taken:
        assert at_b.admit(PATH, stamp)[0] == A
    else:
        with pytest.raises(StrangerRefused):
            at_b.admit(PATH, stamp)


def test_stamps_that_are_over_are_forgotten() -> None:
    """What is remembered of stamps is of the last two minutes, however many come."""
    clock = Time()
    at_a, at_b = _stamps(A, clock), _stamps(B, clock)
    for _ in range(10):
        at_b.admit(PATH, at_a.stamp(B, PATH, b"body"))
        clock.now = UnixMs(clock.now + LIFETIME_MS)
    assert len(at_b._seen) <= 3


def test_an_address_is_refused_at_a_rate() -> None:
    """Twenty refusals at once, then one a second, each address by itself; what is remembered is bounded."""
    clock = Time()
    strangers = Strangers(clock)
    assert [strangers.may_fail("one") for _ in range(21)] == [True] * 20 + [False]
    assert strangers.may_fail("two")
    clock.now = UnixMs(NOW + 1_000)
    assert [strangers.may_fail("one") for _ in range(2)] == [True, False]
    for number in range(5_000):
        strangers.may_fail(str(number))
    assert len(strangers._left) <= 1_024


class FakeDesk:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, PartyId | None]] = []

    async def take(self, body: bytes, sender: PartyId | None = None) -> None:
        self.taken.append((body, sender))


@asynccontextmanager
async def _served(clock: Time) -> AsyncIterator[tuple[LetterBoxServer, FakeDesk]]:
    desk = FakeDesk()
    async with LetterBoxServer(cast(LetterBoxDesk, desk), _stamps(B, clock), "127.0.0.1", 0) as server:
        yield server, desk


async def test_a_known_party_is_heard_while_strangers_flood() -> None:
    """Strangers get 401, then 429, and nothing of theirs is read; a known party at the same address is served on."""
    clock = Time()
    async with _served(clock) as (server, desk), aiohttp.ClientSession() as http:
        statuses = []
        for number in range(40):
            headers = {HEADER: f"1 bank-a {NOW} {'00' * 32} {number:064x}"}
            async with http.post(server.url + PATH, data=b"flood", headers=headers) as answer:
                statuses.append(answer.status)
        assert statuses == [401] * 20 + [429] * 20
        assert desk.taken == []
        async with HttpLetterBoxes(_directory(server.url), _stamps(A, clock)) as boxes:
            await boxes.put(B, b"letters")
        assert desk.taken == [(b"letters", A)]


async def test_a_body_that_was_exchanged_is_refused() -> None:
    """A stamp with another body than the one that it was made for reaches nobody."""
    clock = Time()
    async with _served(clock) as (server, desk), aiohttp.ClientSession() as http:
        headers = {HEADER: _stamps(A, clock).stamp(B, PATH, b"body")}
        async with http.post(server.url + PATH, data=b"another", headers=headers) as answer:
            assert answer.status == 401
        assert desk.taken == []


async def test_a_stranger_is_answered_before_its_body_has_come() -> None:
    """The answer comes while the body is still being sent: it is not waited for."""
    clock = Time()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async with _served(clock) as (server, desk), aiohttp.ClientSession() as http, asyncio.timeout(30):
        try:
            async with http.post(server.url + PATH, data=endless()) as answer:
                assert answer.status == 401
        except aiohttp.ClientError:
            pass  # or the connection was closed under it
        assert desk.taken == []


async def test_who_is_refused_is_unavailable_to_the_courier() -> None:
    """A party that does not know us makes our courier wait, as one that does not answer."""
    clock = Time()
    async with _served(clock) as (server, _):
        stranger = Stamps(SECRETS[STRANGER].letters, _directory(), clock)
        async with HttpLetterBoxes(_directory(server.url), stranger) as boxes:
            with pytest.raises(PeerUnavailable, match="401"):
                await boxes.put(B, b"letters")


def test_keys_of_pairs_are_their_own() -> None:
    """Each two parties share a key that both compute, and that no third has."""
    clock = Time()
    made: dict[tuple[PartyId, PartyId], Any] = {
        (one, other): _stamps(one, clock)._key(other) for one in (A, B, C) for other in (A, B, C) if one != other
    }
    assert made[A, B] == made[B, A]
    assert len(set(made.values())) == 3
