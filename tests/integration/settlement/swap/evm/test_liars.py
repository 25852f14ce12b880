"""Claims and refunds through several nodes, one of which stopped or lies: they are mined all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.evm.errors import EndpointsDisagree
from adapters.evm.escrow.errors import TooEarly
from adapters.evm.journal import VolatileJournal
from settlement.swap.evm.opening import OpenLeg, open_leg
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_escrow import POLICY
from tests.support.evm_proxy import Lie, LyingEndpoint, Refusing
from tests.support.patience import PATIENCE_S, eventually
from tests.support.swap_evm import bytes_of
from tests.support.swap_locks import SwapWorld

pytestmark = pytest.mark.integration

SECRET = bytes_of("secret")
REVERT = "0x08c379a0" + f"{32:064x}" + f"{5:064x}" + b"a lie".hex().ljust(64, "0")
ABSURD = hex(10**30)


def says(method: str, answer: Any) -> Lie:
    """Answers one method so, and all others as the node does."""
    return lambda asked, honest: answer if asked == method else honest


def reverts(method: str, honest: Any) -> Any:
    """Has every call refused by the contract."""
    if method == "eth_estimateGas":
        raise Refusing("execution reverted: a lie", 3, REVERT)
    return honest


def refuses(method: str, honest: Any) -> Any:
    """Says of each transaction that it never heard of it, and that it is impossible."""
    if method == "eth_sendRawTransaction":
        raise Refusing("intrinsic gas too low")
    return None if method == "eth_getTransactionByHash" else honest


def miscounts(method: str, honest: Any) -> Any:
    """Counts more transactions of everybody, also in what is final."""
    return hex(int(honest, 16) + 5) if method == "eth_getTransactionCount" else honest


def base_fee(answer: str) -> Lie:
    """Tells another base fee of the newest blocks; the first block, by which chains are told apart, stays."""

    def lie(method: str, honest: Any) -> Any:
        is_new = method == "eth_getBlockByNumber" and honest and int(honest["number"], 16)
        return honest | {"baseFeePerGas": answer} if is_new else honest

    return lie


def stopped(newest: Any) -> Lie:
    """A node that learns of nothing since the block `newest` (as nodes tell it)."""

    def lie(method: str, honest: Any) -> Any:
        match method:
            case "eth_estimateGas":
                raise Refusing("execution reverted: Escrow: no such open lock", 3, REVERT)
            case "eth_getBlockByNumber" if honest and int(honest["number"], 16) > int(newest["number"], 16):
                return newest
            case "eth_getTransactionCount" | "eth_getBalance":
                return "0x0"
            case "eth_getTransactionReceipt" | "eth_getTransactionByHash":
                return None
            case _:
                return honest

    return lie


LIES: dict[str, Lie] = {
    "the claim reverts": reverts,
    "no balance": says("eth_getBalance", "0x0"),
    "wild gas": says("eth_estimateGas", hex(2**60)),
    "no gas": says("eth_estimateGas", hex(21_000)),
    "absurd fees": base_fee(ABSURD),
    "no fees": base_fee("0x0"),
    "impossible": refuses,
    "another count": miscounts,
    "another chain": says("eth_chainId", hex(42)),
}


@asynccontextmanager
async def leg_beside(world: SwapWorld, lie: Lie) -> AsyncIterator[OpenLeg]:
    """A new account's leg through an honest node and one that lies, whose word comes first. Anybody may claim."""
    secret = await world.world.person()
    async with LyingEndpoint.before(world.node.url) as liar:
        urls = [liar.url, world.node.url]
        async with open_leg(world.site, urls, secret, VolatileJournal(), POLICY) as opened:
            liar.lie = lie
            yield opened


@pytest.mark.parametrize("name", LIES)
async def test_a_claim_is_mined_whatever_one_of_two_nodes_says(world: SwapWorld, name: str) -> None:
    """A node that lies about a claim in one thing neither keeps it from being sent nor spoils it."""
    terms = await world.placed()
    async with leg_beside(world, LIES[name]) as opened:
        landed = await asyncio.wait_for(opened.leg.claim(terms, SECRET), PATIENCE_S)
    assert landed.transaction is not None
    assert await world.initiator.leg.status(terms) is LockStatus.CLAIMED


async def test_a_claim_is_mined_beside_a_node_that_stopped(world: SwapWorld) -> None:
    """A node that knows nothing of the lock, nor of what is sent to it, keeps nobody from the claim."""
    newest = await world.node.rpc.call("eth_getBlockByNumber", "latest", False)
    terms = await world.placed()
    async with leg_beside(world, stopped(newest)) as opened, asyncio.TaskGroup() as tasks:
        claim = tasks.create_task(opened.leg.claim(terms, SECRET))
        await eventually(lambda: is_claimed(world, terms), "the claim is mined")
        claim.cancel()


async def test_what_all_nodes_refuse_is_refused(world: SwapWorld) -> None:
    """A refund before its time is sent through neither of two honest nodes; and where one of them lies about the
    lock's end, it is still not believed."""
    terms = await world.placed()
    async with leg_beside(world, lambda _, honest: honest) as opened:
        with pytest.raises(TooEarly):
            await opened.leg.refund(terms)
    async with leg_beside(world, says("eth_call", "0x" + "00" * 31 + "01")) as opened:
        with pytest.raises(EndpointsDisagree):
            await opened.leg.status(terms)


async def is_claimed(world: SwapWorld, terms: Any) -> bool:
    """Whether the honest node has the claim."""
    return await world.initiator.leg.status(terms) is LockStatus.CLAIMED
