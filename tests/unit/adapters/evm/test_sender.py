"""Sending from one account: each key takes effect once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from adapters.evm.errors import (
    GasPriceAboveCap,
    InsufficientBalance,
    KeyReused,
    NodeUnavailable,
    Reverted,
    SenderClosed,
    TooFewEndpoints,
    TransactionAbandoned,
)
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy, TxResult
from adapters.evm.journal import TxStatus, VolatileJournal
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from foundation.quantities import Wei
from tests.support.evm_chain import GWEI, SECRET, Crash, FakeChain, Mortal, call
from tests.support.patience import PATIENCE_S, until

T = TypeVar("T")
CHAIN_ID = 31_337
POLICY = SenderPolicy(poll_seconds=0.0005, poll_seconds_most=0.0005, tend_seconds=0, resend_after_seconds=0)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log on the screen: tracebacks of hundreds of simulated crashes take seconds to paint."""
    with capture_logs():
        yield


@pytest.fixture
def chain() -> FakeChain:
    """A chain that mines when it is told."""
    return FakeChain()


@pytest.fixture
def journal() -> VolatileJournal:
    """An empty journal."""
    return VolatileJournal()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
async def sender(chain: FakeChain, journal: VolatileJournal, clock: Clock) -> AsyncIterator[TxSender]:
    """A sender at work on `chain`."""
    async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY, clock) as running:
        yield running


async def mined(chain: FakeChain, work: Awaitable[T]) -> T:
    """The result of `work`, while blocks come."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(PATIENCE_S):
        while not task.done():
            chain.mine()
            await asyncio.sleep(0.001)
    return await task


async def finished(chain: FakeChain, sender: TxSender) -> None:
    """Mine until nothing is on its way."""
    async with asyncio.timeout(PATIENCE_S):
        while sender.on_their_way:
            chain.mine()
            await asyncio.sleep(0.001)


async def test_many_senders_of_one_account_get_consecutive_nonces(chain: FakeChain, sender: TxSender) -> None:
    """Transactions that are sent at once are broadcast in the order of their nonces, and each takes effect once."""
    results = await mined(chain, asyncio.gather(*(sender.send(call(i), f"key{i}") for i in range(8))))
    assert [tx.nonce for tx in chain.broadcasts] == list(range(8))
    assert all(chain.effects[call(i).data] == 1 for i in range(8))
    assert len({result.transaction for result in results}) == 8


async def test_a_key_is_one_transaction(chain: FakeChain, sender: TxSender) -> None:
    """The same key, at the same time, later, or when it is final, is answered with the same transaction."""
    first, second = await mined(chain, asyncio.gather(sender.send(call(), "key"), sender.send(call(), "key")))
    third = await sender.send(call(), "key")
    await finished(chain, sender)
    fourth = await sender.send(call(), "key")
    assert first == second == third == fourth
    assert chain.effects[call().data] == 1


async def test_a_key_of_another_call_is_refused(chain: FakeChain, sender: TxSender) -> None:
    """A key that was used for another call is refused, on its way and when it is final."""
    await mined(chain, sender.send(call(1), "key"))
    with pytest.raises(KeyReused):
        await sender.send(call(2), "key")
    await finished(chain, sender)
    with pytest.raises(KeyReused) as refusal:
        await sender.send(call(2), "key")
    assert refusal.value.key == "key"


async def test_a_refused_call_costs_nothing(chain: FakeChain, journal: VolatileJournal, sender: TxSender) -> None:
    """What the simulation refuses gets no nonce, and its key can be used again."""
    chain.refused_data.add(call().data)
    with pytest.raises(Reverted) as refusal:
        await sender.send(call(), "key")
    assert (refusal.value.reason, refusal.value.transaction) == ("Test: refused", None)
    assert await journal.next_nonce(sender.account) == 0
    chain.refused_data.clear()
    await mined(chain, sender.send(call(), "key"))


async def test_a_call_that_is_refused_when_mined_says_why(chain: FakeChain, sender: TxSender) -> None:
    """What a block refuses is raised with its reason and its transaction, again for the same key when it is final."""
    chain.refused_when_mined.add(call().data)
    with pytest.raises(Reverted) as refusal:
        await mined(chain, sender.send(call(), "key"))
    assert refusal.value.reason == "Test: refused"
    assert refusal.value.transaction == chain.broadcasts[0].hash
    assert chain.broadcasts[0].hash.hex() in str(refusal.value)
    await finished(chain, sender)
    with pytest.raises(Reverted):
        await sender.send(call(), "key")
    assert len(chain.broadcasts) == 1


async def test_an_account_that_became_poor_does_not_hide_the_outcome(chain: FakeChain, sender: TxSender) -> None:
    """A refused transaction is reported although its reason cannot be asked for any more."""
    chain.refused_when_mined.add(call().data)

    async def too_poor(*_: object) -> bytes:
        raise InsufficientBalance(sender.account, "insufficient funds for transfer")

    chain.call = too_poor  # type: ignore[method-assign]  # the node's answer for this test
    with pytest.raises(Reverted) as refusal:
        await mined(chain, sender.send(replace(call(), value=Wei(5)), "key"))
    assert refusal.value.reason == ""


async def test_a_poor_account_sends_nothing(chain: FakeChain, journal: VolatileJournal, sender: TxSender) -> None:
    """An account that cannot pay for its gas at the bid is told so, and no nonce is used."""
    chain.balance = 1
    with pytest.raises(InsufficientBalance):
        await sender.send(call(), "key")
    assert await journal.next_nonce(sender.account) == 0


async def test_a_chain_above_the_cap_gets_nothing(chain: FakeChain, sender: TxSender) -> None:
    """While the base fee is above the cap nothing is sent."""
    chain.base_fee = 1_000 * GWEI
    with pytest.raises(GasPriceAboveCap):
        await sender.send(call(), "key")
    assert not chain.broadcasts


async def test_a_node_that_is_down_gets_nothing(chain: FakeChain, sender: TxSender) -> None:
    """While the node is down `send` says so, typed as something that passes."""
    chain.is_down = True
    with pytest.raises(NodeUnavailable):
        await sender.send(call(), "key")


@pytest.mark.parametrize("error", [NodeUnavailable("eth", "is down"), TooFewEndpoints(1, {"a": "down", "b": "down"})])
async def test_a_transaction_waits_for_nodes_that_went_down_before_it_left(
    chain: FakeChain, sender: TxSender, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is in the journal, and may have left: whoever asked for it waits, for one node or for several."""
    asked = asyncio.Event()

    async def fail(_: bytes) -> None:
        asked.set()
        raise error

    with monkeypatch.context() as down:
        down.setattr(chain, "send_raw", fail)
        task = asyncio.create_task(sender.send(call(), "key"))
        await asked.wait()
    await mined(chain, task)
    assert chain.effects[call().data] == 1


async def test_a_transaction_outlives_the_node(chain: FakeChain, sender: TxSender) -> None:
    """A transaction that was accepted goes on when the node comes back with an empty mempool."""
    task = asyncio.create_task(sender.send(call(), "key"))
    await until(lambda: bool(chain.pool))
    chain.is_down = True
    chain.pool.clear()
    await asyncio.sleep(0.01)
    chain.is_down = False
    await mined(chain, task)
    assert chain.effects[call().data] == 1


async def test_a_stuck_transaction_bids_more(chain: FakeChain, sender: TxSender, clock: Clock) -> None:
    """A transaction that lingers is replaced, by a tenth more at least, until the chain takes it; one takes effect."""
    task = asyncio.create_task(sender.send(call(), "key"))
    await until(lambda: bool(chain.pool))
    chain.base_fee = 8 * chain.broadcasts[0].max_fee
    for _ in range(30):
        clock.now += POLICY.bump_after_seconds
        before = len(chain.broadcasts)
        await until(lambda seen=before: len(chain.broadcasts) > seen or task.done())  # type: ignore[misc]  # bound now
        chain.mine()
        if chain.effects[call().data]:
            break
    assert (await task).transaction == chain.mined[-1][0].hash
    bids = [tx.max_fee for tx in chain.broadcasts]
    assert all(10 * after >= 11 * before for before, after in pairwise(bids))
    assert {tx.nonce for tx in chain.broadcasts} == {0}
    await finished(chain, sender)
    assert chain.effects[call().data] == 1


async def test_an_older_version_may_win(
    chain: FakeChain, journal: VolatileJournal, sender: TxSender, clock: Clock
) -> None:
    """If the block has the version that was replaced, that one is reported, and the newer one settled as replaced."""
    task = asyncio.create_task(sender.send(call(), "key"))
    await until(lambda: bool(chain.pool))
    old = next(iter(chain.pool.values()))
    clock.now += POLICY.bump_after_seconds
    await until(lambda: len(chain.broadcasts) > 1)
    chain.pool = {(old.account, 0): old}
    chain.mine()
    assert (await task).transaction == old.hash
    await finished(chain, sender)
    statuses = {tx.hash: tx.status for tx in await journal.by_key(sender.account, "key")}
    assert statuses.pop(old.hash) is TxStatus.MINED
    assert set(statuses.values()) == {TxStatus.REPLACED}


async def test_no_bid_exceeds_the_cap(chain: FakeChain, journal: VolatileJournal, clock: Clock) -> None:
    """A transaction that waits at the cap is not replaced any more, and goes when the chain is cheap again."""
    policy = replace(POLICY, fees=FeePolicy(cap=Wei(4 * GWEI)))
    async with TxSender(chain, journal, SECRET, CHAIN_ID, policy, clock) as sender:
        task = asyncio.create_task(sender.send(call(), "key"))
        await until(lambda: bool(chain.pool))
        chain.base_fee = 5 * GWEI
        for _ in range(6):
            clock.now += policy.bump_after_seconds
            await asyncio.sleep(0.003)
            chain.mine()
        assert max(tx.max_fee for tx in chain.broadcasts) <= 4 * GWEI
        assert not task.done()
        chain.base_fee = GWEI
        await mined(chain, task)


async def test_an_underpriced_transaction_is_replaced_at_once(chain: FakeChain, sender: TxSender) -> None:
    """A node that calls the bid too low gets a higher one, without a wait."""
    chain.refusals = ["transaction underpriced: gas tip cap 1, minimum needed 2"]
    await mined(chain, sender.send(call(), "key"))
    assert chain.effects[call().data] == 1
    assert chain.broadcasts[0].max_fee >= 11 * (2 * GWEI + GWEI) // 10


async def test_already_known_is_no_failure(chain: FakeChain, sender: TxSender) -> None:
    """A node that has the transaction already is as good as one that takes it."""
    chain.refusals = ["already known"]
    result = await mined(chain, sender.send(call(), "key"))
    assert isinstance(result, TxResult)
    assert chain.effects[call().data] == 1


async def test_a_stranger_takes_a_nonce(chain: FakeChain, sender: TxSender) -> None:
    """A transaction whose nonce went to a foreign one is given up when that is final, and the next one gets its own."""
    await mined(chain, sender.send(call(0), "key0"))
    chain.foreign(SECRET, 1)
    with pytest.raises(TransactionAbandoned) as lost:
        await mined(chain, sender.send(call(1), "key1"))
    assert (lost.value.nonce, lost.value.transaction) == (1, None)
    await mined(chain, sender.send(call(1), "key1, again"))
    with pytest.raises(TransactionAbandoned):
        await sender.send(call(1), "key1")
    assert chain.effects[call(1).data] == 1


async def test_a_stranger_before_the_first(chain: FakeChain, sender: TxSender) -> None:
    """An account that was used before begins with the chain's next nonce."""
    chain.foreign(SECRET, 0)
    await mined(chain, sender.send(call(), "key"))
    assert chain.broadcasts[0].nonce == 1


async def test_what_can_never_be_mined_makes_room(chain: FakeChain, sender: TxSender) -> None:
    """A transaction that no block may hold is given up, its nonce is filled, and the next one goes."""
    chain.refusals = ["exceeds block gas limit"]
    with pytest.raises(TransactionAbandoned) as lost:
        await mined(chain, sender.send(call(0), "key0"))
    assert lost.value.transaction == chain.broadcasts[0].hash
    await mined(chain, sender.send(call(1), "key1"))
    assert (chain.effects[call(0).data], chain.effects[call(1).data]) == (0, 1)


async def test_what_is_refused_again_and_again_makes_room(chain: FakeChain, sender: TxSender) -> None:
    """A transaction that the node refuses for reasons we do not know is filled after a number of times."""
    chain.refusals = ["strange"] * POLICY.refusals_before_filling
    with pytest.raises(TransactionAbandoned):
        await mined(chain, sender.send(call(0), "key0"))
    assert chain.effects[call(0).data] == 0


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_reorg_brings_a_transaction_back(chain: FakeChain, sender: TxSender, remembers: bool) -> None:
    """A transaction whose block was dropped before it was final is broadcast again, as it was, even to a node that
    still knows it."""
    first = await mined(chain, sender.send(call(), "key"))
    chain.drop(chain.height - first.receipt.block.number + 1, remembers=remembers)
    await until(lambda: bool(chain.pool))
    await finished(chain, sender)
    assert chain.effects[call().data] == 1
    assert {tx.hash for tx in chain.broadcasts} == {first.transaction}


async def test_a_lost_chain_gets_its_transactions_back(
    chain: FakeChain, journal: VolatileJournal, sender: TxSender
) -> None:
    """If even final blocks are lost, the gap before a new transaction is closed with the old ones."""
    for number in range(3):
        await mined(chain, sender.send(call(number), f"key{number}"))
    await finished(chain, sender)
    chain.mined = [[], [], []]
    await mined(chain, sender.send(call(3), "key3"))
    assert all(chain.effects[call(number).data] == 1 for number in range(4))


async def test_what_was_final_and_is_lost_is_brought_again_for_who_asks(chain: FakeChain, sender: TxSender) -> None:
    """A reorganisation went deeper than what counted as final: the same transaction goes out again, and ends again."""
    first = await mined(chain, sender.send(call(), "key"))
    await finished(chain, sender)
    chain.mined = [[], [], []]
    again = await mined(chain, sender.send(call(), "key"))
    assert again.transaction == first.transaction
    await finished(chain, sender)
    assert chain.effects[call().data] == 1


async def test_a_receipt_that_a_node_has_lost_brings_nothing_again(chain: FakeChain, sender: TxSender) -> None:
    """Its nonce is used, so it is in the chain, whatever the node keeps of it."""
    await mined(chain, sender.send(call(), "key"))
    await finished(chain, sender)
    broadcasts = len(chain.broadcasts)
    chain.keeps_receipts = False
    with pytest.raises(NodeUnavailable):
        await sender.send(call(), "key")
    assert len(chain.broadcasts) == broadcasts


async def test_a_gap_without_memory_is_filled(chain: FakeChain, journal: VolatileJournal, clock: Clock) -> None:
    """A nonce that neither the chain nor the journal knows is used up, so that the later ones can go."""
    async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY, clock) as first:
        chain.foreign(SECRET, 0)
        task = asyncio.create_task(first.send(call(), "key"))
        await until(lambda: bool(chain.pool))
        chain.drop(1)
        await mined(chain, task)
    assert chain.effects[call().data] == 1


async def test_closing_tells_those_who_wait(chain: FakeChain, journal: VolatileJournal) -> None:
    """Whoever waits for a sender that is closed learns so, and finds the transaction under its key later."""
    async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY) as first:
        task = asyncio.create_task(first.send(call(), "key"))
        await until(lambda: bool(chain.pool))
    with pytest.raises(SenderClosed):
        await task
    with pytest.raises(SenderClosed):
        await first.send(call(), "key")
    async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY) as second:
        await mined(chain, second.send(call(), "key"))
    assert chain.effects[call().data] == 1


async def test_a_broken_journal_is_told(chain: FakeChain, journal: VolatileJournal) -> None:
    """If the journal breaks, those who wait get its error instead of waiting for ever."""

    async def broken(*_: object) -> None:
        raise OSError("disk full")

    async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY) as sender:
        journal.finish = broken  # type: ignore[method-assign]  # the disk of this test
        await mined(chain, sender.send(call(0), "key0"))
        task = asyncio.create_task(sender.send(call(1), "key1", gas=50_000))
        await until(lambda: bool(chain.pool) or task.done())
        chain.base_fee *= 1_000
        with pytest.raises(OSError, match="disk full"):
            await mined(chain, task)
        with pytest.raises(OSError, match="disk full"):
            await sender.send(call(2), "key2")


async def test_a_given_gas_limit_needs_no_simulation(chain: FakeChain, sender: TxSender) -> None:
    """With a gas limit a call is sent although the newest state would refuse it."""
    chain.refused_data.add(call().data)
    with pytest.raises(Reverted) as refusal:
        await mined(chain, sender.send(call(), "key", gas=77_777))
    assert refusal.value.transaction is not None
    assert chain.broadcasts[0].gas == 77_777


async def test_gas_is_never_more_than_a_transaction_may_have(chain: FakeChain, sender: TxSender) -> None:
    """The margin ends at the limit of EIP-7825, above which no block takes a transaction."""
    chain.gas = 16_000_000
    await mined(chain, sender.send(call(0), "key0"))
    chain.gas = 29_000_000
    await mined(chain, sender.send(call(1), "key1"))
    assert [tx.gas for tx in chain.broadcasts] == [2**24, 29_000_000]


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_call_sends_nothing_twice(after: bool) -> None:
    """Whichever call to node or journal a process dies at, its successor finishes each key exactly once."""
    step = 0
    while True:
        chain, journal, life = FakeChain(finality=1, automine=True), VolatileJournal(), Mortal(step, after)
        async with _process(chain, journal, life) as sender:
            await asyncio.gather(*(sender.send(call(i), f"key{i}") for i in range(2)), return_exceptions=True)
            chain.mine(2)
            if not life.is_dead:
                await _quiet(sender, life)
        async with TxSender(chain, journal, SECRET, CHAIN_ID, POLICY) as successor:
            keys = [successor.send(call(i), f"key{i}") for i in range(3)]
            await mined(chain, asyncio.gather(*keys))
            await finished(chain, successor)
        assert all(chain.effects[call(i).data] == 1 for i in range(3)), f"died at call {step}"
        assert not await journal.pending(sender.account)
        if not life.is_dead:
            break
        step += 1
    assert step > 10


@asynccontextmanager
async def _process(chain: FakeChain, journal: VolatileJournal, life: Mortal) -> AsyncIterator[TxSender]:
    sender = TxSender(life.wrap(chain), life.wrap(journal), SECRET, CHAIN_ID, POLICY)
    try:
        await sender.start()
    except Crash:
        yield sender
        return
    try:
        yield sender
    finally:
        await sender.close()


async def _quiet(sender: TxSender, life: Mortal) -> None:
    await until(lambda: not sender.on_their_way or life.is_dead)


async def test_a_deployment_has_no_recipient(chain: FakeChain, sender: TxSender) -> None:
    """A call without a recipient is signed as a contract's creation."""
    await mined(chain, sender.send(Call(None, b"code", "deploy"), "key"))
    assert chain.broadcasts[0].to == b""
