"""The gas that is kept for a swap, against what the contract asks for on a real node."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from adapters.evm.errors import InsufficientBalance
from adapters.evm.escrow.calls import EscrowCalls
from adapters.evm.escrow.errors import typed_revert
from adapters.evm.escrow.types import AnyTerms, Terms
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import Call
from foundation.quantities import Wei
from settlement.swap.evm.gas import APPROVE, CLAIM, LOCK, RETURN, Least
from settlement.swap.evm.memo import seal_memo
from settlement.swap.evm.opening import open_leg
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_escrow import POLICY
from tests.support.swap_evm import bytes_of, sides_of
from tests.support.swap_locks import AMOUNT, SwapWorld

pytestmark = pytest.mark.integration

SECRET = bytes_of("secret")
kinds = pytest.mark.parametrize("is_hash", [True, False], ids=["hash", "point"])
assets = pytest.mark.parametrize("is_coin", [True, False], ids=["coin", "token"])


@pytest.fixture
async def rpc(own_world: SwapWorld) -> AsyncIterator[EvmRpc]:
    """The node, whose estimate of a call is the least gas with which it succeeds."""
    async with EvmRpc(own_world.node.url, reverted=typed_revert) as opened:
        yield opened


def claim_of(world: SwapWorld, terms: AnyTerms) -> Call:
    """The claim of a lock."""
    calls = EscrowCalls(world.site.escrow)
    return calls.claim(terms, SECRET) if isinstance(terms, Terms) else calls.claim_point(terms, SECRET)


def of(least: Least, is_coin: bool) -> int:
    """The figure for an asset."""
    return least.coin if is_coin else least.token


@kinds
@assets
async def test_a_claim_needs_what_is_kept_for_it(
    own_world: SwapWorld, rpc: EvmRpc, is_hash: bool, is_coin: bool
) -> None:
    """The figure is enough, and at most 4 % more than enough, also for a payee that had nothing."""
    terms = await own_world.placed(is_hash, is_coin=is_coin, beneficiary=secrets.token_bytes(20))
    needed = (await rpc.simulate(claim_of(own_world, terms), own_world.follower.account)).gas
    assert needed <= of(CLAIM, is_coin) <= needed * 104 // 100


@kinds
@assets
async def test_a_lock_and_its_return_need_at_most_what_is_kept(
    own_world: SwapWorld, rpc: EvmRpc, is_hash: bool, is_coin: bool
) -> None:
    """The approval, the lock with its memo, the return after the time-out, and the one by the follower's word, to an
    account that had nothing."""
    world, calls, sides = own_world, EscrowCalls(own_world.site.escrow), sides_of(secrets.token_hex(8))
    account, other = world.initiator.account, {"is_coin": is_coin, "refund_to": secrets.token_bytes(20)}
    terms = await world.terms(is_hash, sides, **other)
    if not is_coin:
        approval = await rpc.simulate(calls.approve(terms.asset, AMOUNT), account)
        assert approval.gas <= APPROVE.token
        await world.initiator.leg._allow(terms.id, terms.asset, AMOUNT)
    memo = seal_memo(world.site, terms, sides.memo(is_hash), sides.namer)
    assert (await rpc.simulate(calls.lock_noted(terms, memo), account)).gas <= of(LOCK, is_coin)
    placed = await world.placed(is_hash, **other)
    word = world.follower.leg.sign_give_back(placed)
    assert (await rpc.simulate(calls.give_back(placed, word), account)).gas <= of(RETURN, is_coin)
    await world.world.pass_time(placed.expires_at + 1)
    assert (await rpc.simulate(calls.refund(placed), account)).gas <= of(RETURN, is_coin)


@assets
async def test_a_claim_is_mined_with_what_a_block_takes_now(own_world: SwapWorld, rpc: EvmRpc, is_coin: bool) -> None:
    """An account that bears the base fee and the tip, and not a bid's cushion, claims; with too little it says so."""
    terms = await own_world.placed(is_coin=is_coin, beneficiary=own_world.follower.account)
    secret = secrets.token_bytes(32)
    async with open_leg(own_world.site, [own_world.node.url], secret, VolatileJournal(), POLICY) as opened:
        told = await rpc.simulate(claim_of(own_world, terms), opened.leg.account)
        thin = POLICY.gas_limit(told) * (told.block.base_fee * 5 // 4 + POLICY.fees.tip)
        assert thin < POLICY.gas_limit(told) * POLICY.fees.bid(told.block.base_fee).max_fee
        await own_world.node.faucet("0x" + opened.leg.account.hex(), Wei(thin // 4))
        with pytest.raises(InsufficientBalance):
            await opened.leg.claim(terms, SECRET)
        await own_world.node.faucet("0x" + opened.leg.account.hex(), Wei(thin - thin // 4))
        await opened.leg.claim(terms, SECRET)
    assert await own_world.follower.leg.status(terms) is LockStatus.CLAIMED
