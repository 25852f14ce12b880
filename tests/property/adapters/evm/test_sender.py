"""One account through any history of crashes, reorgs, dear blocks and forgetful nodes."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.sender import TxSender
from tests.support.evm_chain import GWEI, SECRET, FakeChain, call
from tests.support.patience import PATIENCE_S

POLICY = SenderPolicy(
    poll_seconds=0.0002, poll_seconds_most=0.0002, tend_seconds=0, resend_after_seconds=0, bump_after_seconds=5
)
KEYS = 4

EVENTS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, KEYS - 1)),
    st.tuples(st.just("mine"), st.integers(1, 3)),
    st.tuples(st.just("reorg"), st.integers(1, 2)),
    st.tuples(st.just("forget"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("base fee"), st.integers(1, 40)),
    st.tuples(st.just("wait"), st.integers(1, 10)),
)


@settings(max_examples=30)
@given(st.lists(EVENTS, max_size=25))
def test_each_key_takes_effect_once(events: list[tuple[str, int]]) -> None:
    """Whatever happens before, in the end each key that was asked for took effect exactly once."""
    # A test that is itself a coroutine would pass without being run: titanoboa's plugin wraps it in a plain function.
    asyncio.run(history(events))


async def history(events: list[tuple[str, int]]) -> None:
    """Live through `events`, then finish what was asked for."""
    chain, journal = FakeChain(), VolatileJournal()
    now = 0.0

    def clock() -> float:
        return now

    def sender() -> TxSender:
        return TxSender(chain, journal, SECRET, 1, POLICY, clock)

    with capture_logs():
        current = await sender().start()
        tasks: list[asyncio.Task[object]] = []
        for kind, number in events:
            match kind:
                case "send":
                    tasks.append(asyncio.create_task(current.send(call(number), f"key{number}")))
                case "mine":
                    chain.mine(number)
                case "reorg":  # never below the final block
                    if chain.height - number >= chain.peak_final:
                        chain.drop(number)
                case "forget":
                    chain.pool.clear()
                case "restart":
                    await current.close()
                    current = await sender().start()
                case "down":
                    chain.is_down = bool(number)
                case "base fee":
                    chain.base_fee = number * GWEI
                case "wait":
                    now += number
            chain.peak_final = max(chain.peak_final, chain.final)
            await asyncio.sleep(0.0005)
        chain.is_down, chain.base_fee = False, GWEI
        asked = [asyncio.create_task(current.send(call(number), f"key{number}")) for number in range(KEYS)]
        async with asyncio.timeout(PATIENCE_S):
            while not all(task.done() for task in asked) or current.on_their_way:
                now += 1
                chain.mine()
                await asyncio.sleep(0.0005)
        await current.close()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.exception() is None for task in asked)
    assert {number: chain.effects[call(number).data] for number in range(KEYS)} == dict.fromkeys(range(KEYS), 1)
    assert not await journal.pending(current.account)
