"""Chains that go back on what they said, and fees that rise while a transaction waits."""

from __future__ import annotations

import pytest

from adapters.bitcoin.addresses import REGTEST, address_text
from adapters.bitcoin.primitives import hash_text
from settlement.swap.machine.effects import CosignClaim
from settlement.swap.machine.facts import LockStatus
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import SwapStore
from settlement.swap.terms import Mode
from tests.support.patience import eventually
from tests.support.swap_cases import ENDS_WELL, NOTHING, SATOSHI, Case, OpenCase, Side, as_initiator

pytestmark = pytest.mark.integration
modes = pytest.mark.parametrize("mode", Mode)


async def fees_of(side: Side, key: str) -> list[int]:
    """Of the transactions that it signed for an order, the first one first."""
    assert side.engine is not None
    async with side.engine.office.database.view() as view:
        kept = await SwapStore(view.connection).kept(side.case.swap_id, key)
    return [int(one.fee) for one in kept]


async def spend_of(side: Side) -> bytes | None:
    """What spends the swap's output, as it was seen last."""
    spends = [out.spend for out in (await side.row()).state.outputs]
    return None if not spends or spends[0] is None else spends[0].txid


async def raised(side: Side) -> tuple[bytes, bytes]:
    """The spend that is there first, and another one that takes its place while blocks leave it out."""
    await side.state(lambda state: state.outputs and state.outputs[0].spend is not None, "it is spent")
    first = await spend_of(side)
    await side.case.chains.bitcoin.empty_blocks(1)
    state = await side.state(
        lambda state: state.outputs[0].spend is not None and state.outputs[0].spend.txid != first, "it pays more"
    )
    spend = state.outputs[0].spend
    assert first is not None
    assert spend is not None
    return first, spend.txid


# --- Reorganisations --------------------------------------------------------------------------------------------------


@modes
async def test_funding_is_taken_out_of_the_chain_before_it_counts(case: OpenCase, mode: Mode) -> None:
    """One confirmation of the two is gone again: no secret was shown yet; with two others the swap goes on."""
    async with case(mode, confirmations=2) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.initiator.state(lambda state: state.own_lock is not None, "the lock is there")
        await swap.chains.evm.node.mine(1)
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.chains.bitcoin.node.mine()
        await swap.initiator.state(lambda state: state.outputs and state.outputs[0].confirmations == 1)
        await swap.chains.bitcoin.drop(1)
        await swap.chains.bitcoin.empty_blocks(2)
        state = await swap.initiator.state(lambda state: state.outputs and not state.outputs[0].confirmations)
        assert not as_initiator(state).revealed_at
        swap.chains.mining = True
        await finish(swap)


@modes
async def test_both_claims_are_taken_out_of_their_chains(case: OpenCase, mode: Mode) -> None:
    """Before either has the confirmations that were agreed: the secret is out, so both are made good again."""
    async with case(mode, confirmations=2) as swap:
        bitcoin, evm = swap.chains.bitcoin, swap.chains.evm.node
        swap.chains.mining = False
        await swap.agree()
        await swap.initiator.state(lambda state: state.own_lock is not None, "the lock is there")
        await evm.mine(1)
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await bitcoin.node.mine(2)
        await swap.initiator.state(lambda state: state.outputs and state.outputs[0].spend is not None, "it is claimed")
        await bitcoin.node.mine()
        await swap.initiator.state(lambda state: state.outputs[0].spend.confirmations == 1)
        await swap.follower.state(lambda state: state.own_lock.status is LockStatus.CLAIMED, "the lock is claimed")
        await bitcoin.drop(1)
        await bitcoin.empty_blocks(2)
        await evm.rpc.call("anvil_reorg", 1, [])
        await swap.initiator.state(
            lambda state: state.outputs[0].spend is None or not state.outputs[0].spend.confirmations
        )
        assert not await swap.initiator.is_done()
        assert not await swap.follower.is_done()
        swap.chains.mining = True
        await finish(swap)


async def finish(swap: Case) -> None:
    """Blocks come on both chains, now and then, until both have what they wanted."""

    async def done() -> bool:
        await swap.chains.mine()
        return all([await side.is_done() for side in swap.sides.values()])

    await eventually(done, "both have what they wanted", pause_s=0.5)
    assert await swap.outcomes() == ENDS_WELL
    await swap.all_got()


async def test_funding_is_spent_otherwise_in_a_reorganisation(case: OpenCase) -> None:
    """The follower takes its funding back by a transaction of its wallet: no secret was shown, the lock goes back."""
    async with case(confirmations=2) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.initiator.state(lambda state: state.own_lock is not None, "the lock is there")
        await swap.chains.evm.node.mine(1)
        state = await swap.follower.state(lambda state: state.outputs, "the funding is there")
        funding = state.outputs[0].outpoint[:32]
        await swap.chains.bitcoin.node.mine()
        await swap.initiator.state(lambda state: state.outputs and state.outputs[0].confirmations == 1)
        await swap.follower.vanish()
        await replace_by_another(swap, funding)
        state = await swap.initiator.state(lambda state: not state.outputs, "the funding is gone")
        assert not as_initiator(state).revealed_at
        await swap.pass_t1()
        await swap.chains.evm.node.mine(1)
        await swap.initiator.state(lambda state: any(one.status is LockStatus.RETURNED for one in state.locks))
        await swap.chains.evm.node.mine(1)
        assert await swap.initiator.ended() is Outcome.RETURNED
        assert await swap.initiator.gained() == NOTHING


async def replace_by_another(swap: Case, txid: bytes) -> None:
    """Drop the newest block; others have a transaction that spends the same coin to the follower's wallet."""
    chain, wallet = swap.chains.bitcoin, swap.follower.owner.node_wallet
    shown = await chain.node.rpc.call("getrawtransaction", hash_text(txid), True)
    coin = shown["vin"][0]
    outpoint = {"txid": coin["txid"], "vout": coin["vout"]}
    (spent,) = [await chain.node.rpc.call("getrawtransaction", coin["txid"], True)]
    value = spent["vout"][coin["vout"]]["value"]
    raw = await chain.node.rpc.call(
        "createrawtransaction", [outpoint], {await wallet.address(): f"{value - 0.001:.8f}"}
    )
    known = {**outpoint, "scriptPubKey": spent["vout"][coin["vout"]]["scriptPubKey"]["hex"], "amount": f"{value:.8f}"}
    signed = await wallet.call("signrawtransactionwithwallet", raw, [known])
    await chain.drop(1)
    address = address_text(await chain.script(), REGTEST)
    await chain.node.rpc.call("generateblock", address, [signed["hex"]])
    await chain.empty_blocks(1)


# --- Fees -------------------------------------------------------------------------------------------------------------


async def test_claim_by_script_lingers(case: OpenCase) -> None:
    """Blocks leave the claim out: it is replaced by one that pays more, which is mined."""
    async with case() as swap:
        swap.follower.vanishes_at(CosignClaim)
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.chains.bitcoin.node.mine()
        await raised(swap.initiator)
        fees = await fees_of(swap.initiator, f"ClaimBitcoinByScript:{await outpoint_of(swap)}")
        assert len(fees) > 1
        assert fees == sorted(set(fees))
        swap.chains.mining = True
        assert await swap.outcomes() == ENDS_WELL
        await swap.all_got()


async def test_private_claim_lingers(case: OpenCase) -> None:
    """Blocks leave the claim out: the next one that was signed in advance, at a higher fee, takes its place."""
    async with case(Mode.POINT) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.chains.bitcoin.node.mine()
        await raised(swap.initiator)
        swap.chains.mining = True
        assert await swap.outcomes() == ENDS_WELL
        (got, _, _), (gave, _, _) = await swap.gains()
        assert 0 < SATOSHI - got < SATOSHI // 20
        assert 0 <= -gave - SATOSHI < 10_000


@modes
async def test_refund_lingers(case: OpenCase, mode: Mode) -> None:
    """Blocks leave the refund out: it is replaced by one that pays more, long before T1."""
    async with case(mode) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.initiator.vanish()
        await swap.chains.bitcoin.node.mine()
        await swap.pass_t2(blocks_are_empty=True)
        await raised(swap.follower)
        fees = await fees_of(swap.follower, f"RefundBitcoin:{await outpoint_of(swap)}")
        assert fees == sorted(set(fees))
        swap.chains.mining = True
        await swap.follower.state(lambda state: state.given_back, "the refund is confirmed")
        await swap.pass_t1()
        assert await swap.follower.ended() is Outcome.RETURNED
        assert await swap.follower.gained() == NOTHING


@modes
async def test_funding_lingers(case: OpenCase, mode: Mode) -> None:
    """Blocks leave the funding out: it pays more, by a replacement, or (its id must stay) by a child."""
    async with case(mode) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await swap.chains.bitcoin.empty_blocks(1)

        async def higher() -> bool:
            kept = await fees_of(swap.follower, "funding")
            children = await fees_of(swap.follower, "funding:child")
            return len(kept) > 1 if mode is Mode.HASH else bool(children)

        assert await eventually(higher, "a higher bid")
        swap.chains.mining = True
        assert await swap.outcomes() == ENDS_WELL


async def outpoint_of(swap: Case) -> str:
    """Of the swap's output, as keys of orders have it."""
    side = swap.initiator if swap.initiator.stack is not None else swap.follower
    return (await side.row()).state.outputs[0].outpoint.hex()
