"""What a sender bids with little money, and where two nodes tell different figures; and that it goes on bidding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.evm.bids import Bid, TooLittle, affordable, replacement
from adapters.evm.errors import EndpointsDisagree, GasPriceAboveCap, InsufficientBalance
from adapters.evm.fees import FeePolicy, Fees
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.sender import TxSender
from adapters.evm.types import BlockHeader, BlockTag, Call, Simulation
from foundation.quantities import BlockHeight, Wei
from tests.support.evm_chain import GWEI, SECRET, FakeChain, Transaction, call
from tests.support.patience import PATIENCE_S, until

CHAIN_ID = 31_337
POLICY = SenderPolicy(poll_seconds=0.0005, poll_seconds_most=0.0005, tend_seconds=0, resend_after_seconds=0)
GAS = 100_000
LIMIT = POLICY.with_margin(GAS)
BASE = 30 * GWEI
TIP = POLICY.fees.tip
LOWEST = BASE + TIP
WHOLE = 2 * BASE + TIP


def told(gas: int = GAS, balance: int = 10**18, base_fee: int = BASE, least: Simulation | None = None) -> Simulation:
    """What nodes tell; with `least`, what the other of two does."""
    header = BlockHeader(BlockHeight(7), b"\x07" * 32, b"\x06" * 32, 0, Wei(base_fee), 30_000_000)
    return Simulation(gas, Wei(balance), header, least)


def bid(simulation: Simulation, value: int = 0) -> Bid:
    """What is bid: something."""
    found = affordable(simulation, Wei(value), POLICY)
    assert isinstance(found, Bid)
    return found


class Chain(FakeChain):
    """Its node takes nothing that the account cannot pay for, and keeps what it refused so in `too_dear`; while
    `disagrees`, nobody can say what is final."""

    disagrees = False
    told: int | None = None
    """What its node says of the balance, in place of the truth."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.too_dear: set[bytes] = set()

    async def send_raw(self, raw: bytes) -> None:
        """See `FakeChain`."""
        tx = Transaction.parse(raw)
        if tx.value + tx.gas * tx.max_fee > self.balance:
            self.too_dear.add(tx.hash)
            self.refusals.insert(0, "insufficient funds for gas * price + value")
        await super().send_raw(raw)

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """See `FakeChain`."""
        found = await super().simulate(call, sender)
        return found if self.told is None else replace(found, balance=Wei(self.told))

    async def balances(self, account: bytes) -> tuple[Wei, ...]:
        """See `FakeChain`."""
        return await super().balances(account) if self.told is None else (Wei(self.told),)

    async def transaction_counts(self, account: bytes, tags: Sequence[BlockTag]) -> list[int]:
        """See `FakeChain`."""
        if self.disagrees and "finalized" in tags:
            raise EndpointsDisagree("transactions", {"honest": "1", "liar": "9"})
        return await super().transaction_counts(account, tags)


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def in_a_block(chain: Chain, work: Awaitable[object]) -> None:
    """Mine until `work` is done."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(PATIENCE_S):
        while not task.done():
            chain.mine()
            await asyncio.sleep(0.001)
    await task


# --- What is bid ------------------------------------------------------------------------------------------------------


def test_the_whole_cushion_is_bid_where_the_account_bears_it() -> None:
    """Twice the base fee and the tip, for the gas with its margin; one wei less of it lowers the bid and no more."""
    assert bid(told(balance=LIMIT * WHOLE)) == Bid(LIMIT, POLICY.fees.bid(Wei(BASE)))
    lower = bid(told(balance=LIMIT * WHOLE - 1))
    assert (lower.fees.max_fee, lower.fees.tip, lower.is_lowered) == (WHOLE - 1, TIP, True)


def test_a_bid_falls_to_what_a_block_takes_now_and_no_further() -> None:
    """The base fee and the tip are the least; the value is kept apart. Below that, what is missing is told."""
    assert bid(told(balance=LIMIT * LOWEST + 5), value=5).fees.max_fee == LOWEST
    assert affordable(told(balance=LIMIT * LOWEST + 4), Wei(5), POLICY) == TooLittle(
        5 + LIMIT * LOWEST, Wei(LIMIT * LOWEST + 4)
    )


def test_one_of_two_nodes_cannot_lower_the_balance_to_nothing() -> None:
    """A low balance lowers the bid where it bears one; where it bears none, the other node's counts."""
    assert bid(told(least=told(balance=0))) == bid(told())
    assert bid(told(least=told(balance=LIMIT * LOWEST))).fees.max_fee == LOWEST


def test_one_of_two_nodes_cannot_blow_up_the_base_fee_or_push_it_down() -> None:
    """Above the cap it is bid on up to the cap, and up to what the account bears; a low one is not bid on."""
    rich, cap = told(base_fee=10**40, balance=10**20, least=told(balance=10**20)), POLICY.fees.cap
    assert bid(rich).fees.max_fee == cap
    poor = told(base_fee=10**40, balance=LIMIT * WHOLE, least=told(balance=LIMIT * WHOLE))
    assert bid(poor).fees.max_fee == WHOLE
    assert bid(told(least=told(base_fee=0))).fees.max_fee == WHOLE
    with pytest.raises(GasPriceAboveCap):
        bid(told(base_fee=10**40, least=told(base_fee=cap)))


def test_one_of_two_nodes_cannot_starve_or_bloat_the_gas() -> None:
    """The higher need counts, unless the account does not bear it and does bear the other."""
    assert bid(told(least=told(gas=21_000))).gas == LIMIT
    poor = told(gas=10_000_000, balance=LIMIT * WHOLE, least=told(balance=LIMIT * WHOLE))
    assert bid(poor) == Bid(LIMIT, POLICY.fees.bid(Wei(BASE)))


def next_bid(standing: int | None, *borne: int, base_fee: int = BASE) -> int | None:
    """The highest fee of what is bid after `standing`."""
    stands = None if standing is None else Fees(Wei(standing), TIP)
    found = replacement(stands, Wei(base_fee), borne, POLICY.fees)
    return None if found is None else found.max_fee


def test_a_replacement_is_the_policys_as_far_as_the_account_bears_it() -> None:
    """Down to the least step, and with none to replace, down to the tip; never above the cap."""
    step = POLICY.fees.bumped(LOWEST)
    assert next_bid(LOWEST, 10**20) == WHOLE
    assert next_bid(LOWEST, WHOLE - 1) == WHOLE - 1
    assert next_bid(LOWEST, step) == step
    assert next_bid(LOWEST, step - 1) is None
    assert next_bid(None, TIP) == TIP
    assert next_bid(None, TIP - 1) is None
    assert next_bid(LOWEST, 10**20, base_fee=10**40) == POLICY.fees.cap
    assert next_bid(None, 10**20, base_fee=10**40) == POLICY.fees.cap
    assert next_bid(POLICY.fees.cap, 10**20) is None


def test_one_of_two_nodes_cannot_stop_a_replacement_by_the_balance_that_it_tells() -> None:
    """The lower one counts where it bears a step, and else the higher one."""
    assert next_bid(LOWEST, 0, WHOLE + 5) == WHOLE
    assert next_bid(LOWEST, WHOLE - 5, 10**20) == WHOLE - 5


# --- What becomes of it -----------------------------------------------------------------------------------------------


async def test_a_claim_with_a_thin_purse_is_mined() -> None:
    """An account that bears the base fee and the tip, and not the cushion, sends and is done; with less it is told."""
    chain = Chain(base_fee=BASE, gas=GAS, balance=LIMIT * LOWEST)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY) as sender:
        await in_a_block(chain, sender.send(call(), "claim"))
        assert [tx.max_fee for block in chain.mined for tx in block] == [LOWEST]
        chain.balance -= 1
        with pytest.raises(InsufficientBalance, match=f"needs {LIMIT * LOWEST:,}"):
            await sender.send(call(1), "another")


async def test_a_bid_that_the_account_cannot_raise_is_handed_in_again() -> None:
    """A node forgot it, and the account bears no replacement: none is signed."""
    clock, chain = Clock(), Chain(base_fee=BASE, gas=GAS, balance=LIMIT * LOWEST)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
        task = asyncio.create_task(sender.send(call(), "claim"))
        await until(lambda: bool(chain.pool))
        chain.pool.clear()
        for _ in range(3):
            clock.now += POLICY.bump_after_seconds
            await asyncio.sleep(0.005)
        await until(lambda: bool(chain.pool))
        await in_a_block(chain, task)
        assert [tx.max_fee for block in chain.mined for tx in block] == [LOWEST]
        assert len({tx.hash for tx in chain.broadcasts}) == 1
        assert not chain.too_dear


@pytest.mark.parametrize("base_fee", [200 * GWEI, 10**40])
async def test_a_claim_that_lingers_bids_all_that_the_account_bears(base_fee: int) -> None:
    """Gas became dearer than twice what was bid on, or a node says so: where the policy's bid is out of reach, what the
    account has is bid, once, and is mined as soon as the chain takes it."""
    clock, chain = Clock(), Chain(base_fee=BASE, gas=GAS, balance=LIMIT * 300 * GWEI)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
        task = asyncio.create_task(sender.send(call(), "claim"))
        await until(lambda: bool(chain.pool))
        chain.base_fee = base_fee
        for _ in range(3):
            clock.now += POLICY.bump_after_seconds
            await asyncio.sleep(0.005)
        await until(lambda: chain.broadcasts[-1].max_fee == 300 * GWEI)
        chain.base_fee = 299 * GWEI
        await in_a_block(chain, task)
        assert [tx.max_fee for block in chain.mined for tx in block] == [300 * GWEI]
        assert not chain.too_dear


async def test_a_bid_that_a_node_finds_too_dear_is_no_step_for_the_next() -> None:
    """A node that counts more against the account than is known refuses what should be borne: the version before it is
    handed in again, and once the account has more the next bid replaces that one."""
    clock, chain = Clock(), Chain(base_fee=BASE, gas=GAS, balance=LIMIT * WHOLE)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
        task = asyncio.create_task(sender.send(call(), "claim"))
        await until(lambda: bool(chain.pool))
        chain.told = LIMIT * 10 * WHOLE
        chain.base_fee = 5 * BASE
        clock.now += POLICY.bump_after_seconds
        await until(lambda: bool(chain.too_dear))
        assert [tx.max_fee for tx in chain.pool.values()] == [WHOLE]
        chain.told = None
        chain.balance = LIMIT * 2 * WHOLE  # less than what was refused, and more than what stands
        clock.now += POLICY.bump_after_seconds
        await until(lambda: [tx.max_fee for tx in chain.pool.values()] == [2 * WHOLE])
        chain.base_fee = BASE
        await in_a_block(chain, task)


async def test_a_claim_that_was_never_borne_is_bid_lower() -> None:
    """Other transactions used up the coin between the look at the balance and the broadcast."""
    clock, chain = Clock(), Chain(base_fee=BASE, gas=GAS, balance=LIMIT * LOWEST)
    chain.told = LIMIT * WHOLE
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
        task = asyncio.create_task(sender.send(call(), "claim"))
        await until(lambda: bool(chain.too_dear))
        chain.told = None
        clock.now += POLICY.bump_after_seconds
        await until(lambda: bool(chain.pool))
        await in_a_block(chain, task)
        assert [tx.max_fee for block in chain.mined for tx in block] == [LOWEST]


async def test_what_others_on_their_way_may_cost_is_not_bid() -> None:
    """A node reckons with all of an account's transactions, and would refuse the last."""
    clock, chain = Clock(), Chain(base_fee=BASE, gas=GAS, balance=LIMIT * 5 * WHOLE)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
        tasks = [asyncio.create_task(sender.send(call(number), f"claim {number}")) for number in range(2)]
        await until(lambda: len(chain.pool) == 2)
        chain.base_fee = 10 * BASE
        for _ in range(4):
            clock.now += POLICY.bump_after_seconds
            await asyncio.sleep(0.005)
        await until(lambda: sum(tx.max_fee for tx in chain.pool.values()) == 5 * WHOLE)
        chain.base_fee = BASE
        await in_a_block(chain, asyncio.gather(*tasks))


async def test_a_disagreement_on_what_is_final_stops_no_bid() -> None:
    """While endpoints disagree on the final state a transaction that lingers bids more, and what a node forgot it is
    given again; said once. Settled it is when they agree."""
    clock, chain = Clock(), Chain()
    chain.disagrees = True
    with capture_logs() as logs:
        async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, POLICY, clock) as sender:
            task = asyncio.create_task(sender.send(call(), "claim"))
            await until(lambda: bool(chain.pool))
            first = chain.broadcasts[0]
            chain.pool.clear()
            await until(lambda: bool(chain.pool))
            clock.now += POLICY.bump_after_seconds
            await until(lambda: chain.broadcasts[-1].max_fee > first.max_fee)
            await in_a_block(chain, task)
            chain.mine(chain.finality + 1)
            assert sender.on_their_way == 1
            chain.disagrees = False
            await until(lambda: not sender.on_their_way)
    assert sum("what is final" in log["event"] for log in logs) == 1


async def test_a_gap_is_filled_whatever_the_base_fee_is_said_to_be() -> None:
    """An absurd base fee does not stop the filler of a missing nonce, or the care for what comes after it."""
    chain = Chain()
    policy = SenderPolicy(FeePolicy(cap=Wei(50 * GWEI)), poll_seconds=0.0005, tend_seconds=0, resend_after_seconds=0)
    async with TxSender(chain, VolatileJournal(), SECRET, CHAIN_ID, policy) as sender:
        chain.foreign(SECRET, 0)
        task = asyncio.create_task(sender.send(call(), "claim"))
        await until(lambda: bool(chain.pool))
        chain.drop(1)
        chain.base_fee = 10**30
        await until(lambda: any(tx.nonce == 0 and not tx.data for tx in chain.pool.values()))
        chain.base_fee = GWEI
        await in_a_block(chain, task)
