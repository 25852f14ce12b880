"""One side stops for ever, or for a long time: the other ends well without a person."""

from __future__ import annotations

import pytest

from settlement.swap.machine.effects import (
    BroadcastFunding,
    ClaimBitcoinByKey,
    ClaimBitcoinByRung,
    ClaimBitcoinByScript,
    ClaimEvm,
    CosignClaim,
    CountersignRungs,
    PlaceLock,
    RevealByLetter,
    SignRungs,
    SignTerms,
)
from settlement.swap.machine.facts import SpendKind
from settlement.swap.machine.states import Outcome, Why
from settlement.swap.terms import Mode
from tests.support.swap_cases import ENDS_WELL, NOTHING, OpenCase

pytestmark = pytest.mark.integration
modes = pytest.mark.parametrize("mode", Mode)


async def test_taker_vanishes_before_it_signs(case: OpenCase) -> None:
    """The terms are complete and one signature is missing: no money moves, and the maker is free again."""
    async with case() as swap:
        reached = swap.initiator.vanishes_at(SignTerms)
        await swap.agree()
        await reached.wait()
        await swap.initiator.vanish()
        await swap.pass_t2()
        assert await swap.follower.ended() is Outcome.NOTHING_MOVED
        assert await swap.follower.gained() == NOTHING


@modes
async def test_initiator_vanishes_before_it_locks(case: OpenCase, mode: Mode) -> None:
    """The follower waits until it is too late to fund, funds nothing, and has its reserved coins free."""
    async with case(mode) as swap:
        reached = swap.initiator.vanishes_at(PlaceLock)
        await swap.agree()
        await reached.wait()
        await swap.initiator.vanish()
        gates = (await swap.follower.row()).state.gates
        await swap.chains.pass_time(gates.last_fund)
        assert await swap.follower.ended() is Outcome.NOTHING_MOVED
        assert await swap.follower.gained() == NOTHING
        assert not await swap.follower.owner.node_wallet.call("listlockunspent")


@modes
async def test_initiator_vanishes_after_its_lock(case: OpenCase, mode: Mode) -> None:
    """The follower has funded, and no secret comes: it has its bitcoin back after T2, and the other its lock."""
    async with case(mode) as swap:
        kinds = (RevealByLetter, ClaimBitcoinByKey, ClaimBitcoinByScript, ClaimBitcoinByRung)
        reached = [swap.initiator.vanishes_at(kind) for kind in kinds]
        swap.chains.mining = False  # the secret is not shown before the funding is in a block
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.initiator.vanish()
        assert not any(event.is_set() for event in reached)
        swap.chains.mining = True
        await swap.pass_t2()
        await swap.follower.state(lambda state: state.given_back, "the refund is confirmed")
        assert await swap.follower.gained() == NOTHING
        await swap.pass_t1()
        assert await swap.follower.ended() is Outcome.RETURNED
        await swap.initiator.return_()
        assert await swap.initiator.ended() is Outcome.RETURNED
        assert await swap.initiator.gained() == NOTHING


@modes
async def test_follower_vanishes_before_it_funds(case: OpenCase, mode: Mode) -> None:
    """The lock is there and nothing follows: the initiator never shows the secret, and has the lock back after T1."""
    async with case(mode) as swap:
        reached = swap.follower.vanishes_at(BroadcastFunding)
        await swap.agree()
        await reached.wait()
        await swap.follower.vanish()
        await swap.pass_t1()
        assert await swap.initiator.ended() is Outcome.RETURNED
        assert await swap.initiator.gained() == NOTHING
        assert not (await swap.initiator.row()).state.revealed_at


@modes
async def test_follower_vanishes_after_it_funded(case: OpenCase, mode: Mode) -> None:
    """The initiator claims alone; the follower reads the secret off the chain when it comes back, and claims too."""
    async with case(mode) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.follower.vanish()
        swap.chains.mining = True
        await swap.initiator.state(
            lambda state: any(out.spend is not None and out.spend.confirmations for out in state.outputs)
        )
        await swap.follower.return_()
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


async def test_initiator_vanishes_with_its_letter_sent(case: OpenCase) -> None:
    """The follower has the secret and no bitcoin transaction shows it: it claims the lock; the other claims later."""
    async with case() as swap:
        for kind in (ClaimBitcoinByKey, ClaimBitcoinByScript):
            swap.initiator.vanishes_at(kind)
        await swap.agree()
        await swap.follower.state(lambda state: state.secret, "the letter")
        await swap.initiator.vanish()
        assert await swap.follower.ended() is Outcome.SWAPPED
        await swap.initiator.return_()
        assert await swap.initiator.ended() is Outcome.SWAPPED
        await swap.all_got()


async def test_follower_does_not_answer_the_call_for_a_signature(case: OpenCase) -> None:
    """The initiator waits for a moment, and then claims by script."""
    async with case() as swap:
        reached = swap.follower.vanishes_at(CosignClaim)
        await swap.agree()
        await reached.wait()
        assert await swap.outcomes() == ENDS_WELL
        assert "ClaimBitcoinByKey" not in "".join((await swap.initiator.row()).state.orders)
        await swap.all_got()


@modes
async def test_follower_vanishes_with_the_secret(case: OpenCase, mode: Mode) -> None:
    """It was paid for and had not claimed yet: it claims when it comes back, before T1."""
    async with case(mode) as swap:
        reached = swap.follower.vanishes_at(ClaimEvm)
        await swap.agree()
        await reached.wait()
        await swap.follower.vanish()
        await swap.initiator.state(lambda state: any(out.spend is not None for out in state.outputs))
        await swap.follower.return_()
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


@pytest.mark.parametrize("kind", [SignRungs, CountersignRungs])
async def test_one_vanishes_in_the_rounds(case: OpenCase, kind: type) -> None:
    """Point mode's signatures in advance are not finished: no lock is made, and the reserved coins are free again."""
    async with case(Mode.POINT) as swap:
        gone, left = (swap.initiator, swap.follower) if kind is SignRungs else (swap.follower, swap.initiator)
        reached = gone.vanishes_at(kind)
        await swap.agree()
        await reached.wait()
        await gone.vanish()
        await swap.chains.pass_time((await left.row()).state.gates.last_fund)
        assert await left.ended() is Outcome.NOTHING_MOVED
        await gone.return_()
        assert await gone.ended() is Outcome.NOTHING_MOVED
        assert await swap.gains() == (NOTHING, NOTHING)
        assert not await swap.follower.owner.node_wallet.call("listlockunspent")


async def test_both_vanish_and_come_back_after_all_time_outs(case: OpenCase) -> None:
    """Neither did anything from the funding until after T1: each has its own money back."""
    async with case() as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.follower.vanish()
        await swap.pass_t1()
        await swap.initiator.vanish()
        swap.chains.mining = True
        for side in swap.sides.values():
            await side.return_()
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.RETURNED)
        assert (await swap.initiator.row()).state.quit is Why.LATE
        spends = [out.spend for out in (await swap.follower.row()).state.outputs]
        assert [one.kind for one in spends if one is not None] == [SpendKind.REFUND]
        assert await swap.gains() == (NOTHING, NOTHING)
