"""One side lies about a leg, a time-out, a secret or a signature: the other loses nothing, and needs no person."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from adapters.evm.escrow.deploy import deploy_escrow
from settlement.swap.bitcoin.output import output_of
from settlement.swap.engine.hands.desk import Desk
from settlement.swap.evm.terms import lock_terms
from settlement.swap.machine.effects import (
    BroadcastFunding,
    ClaimBitcoinByRung,
    ClaimBitcoinByScript,
    CosignClaim,
    PlaceLock,
    RefundBitcoin,
    RevealByLetter,
)
from settlement.swap.machine.facts import SpendKind
from settlement.swap.machine.messages import GiveBack
from settlement.swap.machine.states import Outcome, Why
from settlement.swap.store.store import SwapRow
from settlement.swap.terms import Mode
from tests.support.patience import PATIENCE_S
from tests.support.swap_cases import ENDS_WELL, NOTHING, SATOSHI, OpenCase, as_follower, as_initiator
from tests.support.swap_lies import (
    after,
    bad_signature,
    besides,
    lock,
    lock_of_the_other_kind,
    not_before,
    once,
    pay,
    wrong_secrets,
)

pytestmark = pytest.mark.integration
modes = pytest.mark.parametrize("mode", Mode)
Act = Callable[[Desk, SwapRow], Awaitable[object]]


def other(**fields: Any) -> Act:
    """A lock with other fields."""

    async def act(desk: Desk, row: SwapRow) -> None:
        await lock(desk, row, **fields)

    return act


async def early(desk: Desk, row: SwapRow) -> None:
    """A lock that can be refunded while the follower's bitcoin can still be claimed."""
    await lock(desk, row, expires_at=row.state.terms.bitcoin.expires_at)


LOCKS = {
    "wrong amount": (other(amount=1), Mode.HASH),
    "wrong amount, private": (other(amount=1), Mode.POINT),
    "other condition": (other(condition=hashlib.sha256(b"another secret").digest()), Mode.HASH),
    "other point": (other(point=b"\x11" * 20), Mode.POINT),
    "early time-out": (early, Mode.HASH),
    "other kind": (lock_of_the_other_kind, Mode.HASH),
}
"""Locks under the agreed id that are for the follower, and are not what was agreed."""


@pytest.mark.parametrize("name", LOCKS)
async def test_lock_is_not_what_was_agreed(case: OpenCase, name: str) -> None:
    """The follower funds nothing, and gives the lock back at once: there is nothing to wait for."""
    act, mode = LOCKS[name]
    async with case(mode) as swap:
        swap.initiator.hands[PlaceLock] = once(act)
        await swap.agree()
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        assert as_follower((await swap.follower.row()).state).never_fund is Why.WRONG_LOCK
        assert await swap.gains() == (NOTHING, NOTHING)


async def test_lock_is_for_somebody_else(case: OpenCase) -> None:
    """The follower funds nothing; only time brings such a lock back."""
    async with case() as swap:
        swap.initiator.hands[PlaceLock] = once(other(beneficiary=b"\x22" * 20))
        await swap.agree()
        state = await swap.follower.state(lambda state: state.never_fund is not None)
        assert as_follower(state).never_fund is Why.WRONG_LOCK
        await swap.pass_t1()
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        assert await swap.gains() == (NOTHING, NOTHING)


async def test_lock_is_at_another_escrow(case: OpenCase) -> None:
    """A lock with exactly the agreed terms, on a contract with the same code at another address, counts for nothing."""
    async with case() as swap:
        world = swap.chains.evm
        address, start = await deploy_escrow(world.banker, key="another Escrow")

        async def elsewhere(desk: Desk, row: SwapRow) -> None:
            await lock(desk, row, site=replace(desk.evm.site, escrow=address, start=start))

        swap.initiator.hands[PlaceLock] = once(elsewhere)
        await swap.agree()
        await swap.initiator.state(lambda state: state.locking)
        await swap.chains.pass_time((await swap.follower.row()).state.gates.last_fund)
        assert await swap.follower.ended() is Outcome.NOTHING_MOVED
        assert await swap.follower.gained() == NOTHING


@pytest.mark.parametrize(("mode", "difference"), [(Mode.HASH, 1), (Mode.POINT, -1)])
async def test_funding_is_of_another_amount(case: OpenCase, mode: Mode, difference: int) -> None:
    """The initiator shows no secret for it; the follower has it back after T2, and the other its lock."""

    async def pays(desk: Desk, row: SwapRow) -> None:
        await pay(desk, row, SATOSHI + difference)

    async with case(mode) as swap:
        swap.follower.hands[BroadcastFunding] = once(pays)
        await swap.agree()
        await swap.initiator.state(lambda state: any(out.confirmations for out in state.outputs), "it is seen")
        await swap.pass_t2()
        await swap.follower.state(lambda state: any(out.spend for out in state.outputs), "it is refunded")
        await swap.pass_t1()
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.RETURNED)
        assert not as_initiator((await swap.initiator.row()).state).revealed_at
        assert await swap.gains() == (NOTHING, NOTHING)


@pytest.mark.parametrize("lie", ["other key", "early time-out", "other condition"])
async def test_funding_is_of_another_script(case: OpenCase, lie: str) -> None:
    """An output that is not the agreed one to the bit is none: no secret is shown, and the lock goes back after T1."""
    lies: dict[str, dict[str, Any]] = {
        "other key": {"refunder": b"\x02" * 31 + b"\x05"},
        "early time-out": {"expires_at": 1_700_000_000},
        "other condition": {"condition": bytes(32)},
    }

    async def pays(desk: Desk, row: SwapRow) -> None:
        made = output_of(row.state.terms)
        known = {field.name: getattr(made, field.name) for field in fields(made)}
        await pay(desk, row, SATOSHI, type(made)(**known | lies[lie]))

    async with case() as swap:
        swap.follower.hands[BroadcastFunding] = once(pays)
        await swap.agree()
        await swap.follower.state(lambda state: state.funding, "it pays")
        await swap.pass_t1()
        assert await swap.initiator.ended() is Outcome.RETURNED
        assert not as_initiator((await swap.initiator.row()).state).revealed_at
        assert await swap.initiator.gained() == NOTHING


async def test_secret_in_the_letter_is_none(case: OpenCase) -> None:
    """Secrets that are too short, too long or wrong teach the follower nothing and make it sign nothing."""
    async with case() as swap:
        swap.initiator.hands[RevealByLetter] = wrong_secrets()
        claims = swap.initiator.vanishes_at(ClaimBitcoinByScript)
        await swap.agree()
        await claims.wait()
        state = as_follower((await swap.follower.row()).state)
        assert not state.secret
        assert "CosignClaim" not in state.orders
        await swap.initiator.vanish()
        await swap.initiator.return_()  # an honest one, whose claim shows the true one
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


async def test_signature_under_the_claim_is_none(case: OpenCase) -> None:
    """The initiator sees that it does not hold, and claims by script at once."""
    async with case(patience_s=PATIENCE_S) as swap:  # it does not claim by script before the answer comes
        swap.follower.hands[CosignClaim] = bad_signature()
        await swap.agree()
        await swap.initiator.state(lambda state: state.answer_bad, "the initiator sees that it does not hold")
        assert await swap.outcomes() == ENDS_WELL
        state = as_initiator((await swap.initiator.row()).state)
        assert any(key.startswith("ClaimBitcoinByScript") for key in state.orders)
        await swap.all_got()


async def test_follower_gives_the_lock_back_and_funds(case: OpenCase) -> None:
    """The initiator takes the word, shows no secret from then on, and has its lock; the other its bitcoin after T2."""

    async def gives_back(desk: Desk, row: SwapRow) -> None:
        terms = lock_terms(row.state.terms)
        await desk.say(row, GiveBack(terms.id, desk.evm.sign_give_back(terms)))

    async with case() as swap:
        swap.follower.hands[BroadcastFunding] = besides(BroadcastFunding, gives_back)
        swap.chains.mining = False
        await swap.agree()
        assert await swap.initiator.ended() is Outcome.RETURNED
        swap.chains.mining = True
        await swap.pass_t2()
        assert await swap.follower.ended() is Outcome.RETURNED
        assert await swap.gains() == (NOTHING, NOTHING)


@modes
async def test_secret_is_shown_at_the_last_moment(case: OpenCase, mode: Mode) -> None:
    """The initiator claims when the follower's refund is under way: the follower claims the lock all the same."""
    kind = ClaimBitcoinByScript if mode is Mode.HASH else ClaimBitcoinByRung
    async with case(mode) as swap:
        swap.initiator.hands[RevealByLetter] = once(other_nothing)
        swap.initiator.hands[kind] = not_before(kind, lambda row: row.state.terms.bitcoin.expires_at)
        seen = asyncio.Event()
        swap.follower.hands[RefundBitcoin] = after(seen, RefundBitcoin)
        await swap.agree()
        await swap.initiator.state(lambda state: state.shown, "it shows the secret, as far as its machine knows")
        swap.chains.mining = False
        await swap.pass_t2()
        await swap.follower.state(lambda state: state.secret, "the mempool shows the secret")
        seen.set()
        swap.chains.mining = True
        outcomes = await swap.outcomes()
        paid = [out.spend.kind for out in (await swap.initiator.row()).state.outputs if out.spend is not None]
        if paid == [SpendKind.CLAIM]:
            assert outcomes == ENDS_WELL
            await swap.all_got()
        else:
            # Its own lateness may cost the liar both; the follower has its bitcoin, and the lock as well. It ends as
            # soon as the lock is its own, which may be before its refund is in a block.
            assert (await swap.follower.gained())[0] == 0
            assert outcomes[1] in (Outcome.WINDFALL, Outcome.RETURNED, Outcome.SWAPPED)


async def other_nothing(desk: Desk, row: SwapRow) -> None:
    """Not even a letter."""
