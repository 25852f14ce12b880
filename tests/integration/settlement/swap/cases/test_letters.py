"""Letters that are lost, repeated, or late, and a board that is away: both sides end well."""

from __future__ import annotations

import random

import pytest

from settlement.swap.letters.post import PlaceUnavailable, Post
from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Mode
from tests.support.swap_cases import ENDS_WELL, NOTHING, OpenCase, as_follower

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mode", Mode)
async def test_letters_are_lost_repeated_and_late(case: OpenCase, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of all letters is lost, a third comes twice, and each brings an old one along: the swap goes on."""
    chance, old = random.Random(f"letters {mode}"), []
    put = Post.put

    async def unreliable(post: Post, mailbox: bytes, sealed: bytes) -> int:
        old.append((mailbox, sealed))
        luck = chance.random()
        if luck < 1 / 3:
            return 0
        number = await put(post, mailbox, sealed)
        if luck < 2 / 3:
            await put(post, mailbox, sealed)
        await put(post, *chance.choice(old))
        return number

    monkeypatch.setattr(Post, "put", unreliable)
    async with case(mode) as swap:
        await swap.agree()
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


async def test_board_is_away_from_the_lock_on(case: OpenCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """No letter passes once both have signed: the chains alone bring both to the end, by script."""
    async with case() as swap:
        await swap.agree()
        for side in swap.sides.values():
            await side.state(lambda state: state.peer_agreed, "both have signed")

        async def away(post: Post, *_: object) -> None:
            raise PlaceUnavailable(post.place, "it is away")

        monkeypatch.setattr(Post, "put", away)
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


async def test_board_is_away_from_the_answer_on(case: OpenCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The taker has the maker's word and locks; the maker never has the other's, and funds nothing."""
    put = Post.put
    letters = 0

    async def soon_away(post: Post, mailbox: bytes, sealed: bytes) -> int:
        nonlocal letters
        letters += 1
        if letters > 2:  # the taking, and its answer
            raise PlaceUnavailable(post.place, "it is away")
        return await put(post, mailbox, sealed)

    monkeypatch.setattr(Post, "put", soon_away)
    async with case() as swap:
        await swap.agree()
        await swap.initiator.state(lambda state: state.own_lock is not None, "the lock is there")
        await swap.pass_t1()
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        assert not as_follower((await swap.follower.row()).state).funding
        assert await swap.gains() == (NOTHING, NOTHING)
