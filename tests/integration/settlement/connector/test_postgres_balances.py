"""Balances on PostgreSQL: several processes on one database, broken connections, killed processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from settlement.connector.balances.model import IncidentKind
from settlement.connector.ports import NotOwed, OtherSettlement
from settlement.ilp.errors import Code
from settlement.ilp.packets import Fulfill
from settlement.quantities import Units
from tests.support.connector import ALICE, BOB, Core, Replies, fulfilment, make_core, make_prepare
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

Start = Callable[..., Awaitable[Core]]


@pytest.fixture
async def start(postgres_url: str) -> AsyncIterator[Start]:
    """Starts cores on one database; they are closed after the test."""
    cores: list[Core] = []

    async def make(*configs: object, is_journaling: bool = False) -> Core:
        core = await make_core(postgres_url, configs or (ALICE, BOB), is_journaling=is_journaling)  # type: ignore[arg-type]
        cores.append(core)
        return core

    yield make
    for core in cores:
        await core.close()


async def replied(*all_replies: Replies) -> None:
    """Wait until each has its reply."""
    async with asyncio.timeout(PATIENCE_S):
        while not all(replies.all for replies in all_replies):
            await asyncio.sleep(0.001)


def pay(core: Core, amount: int, seed: int) -> Replies:
    """A packet from alice that bob fulfils as soon as it comes."""
    core.links["bob"].respond = lambda packet: fulfilment(seed)
    return core.take("alice", make_prepare(amount, seed=seed))


async def sums(url: str) -> dict[str, int]:
    """All balances as written."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = await connection.fetch(
        "SELECT a.id, (a.base + coalesce((SELECT sum(delta) FROM connector_shares WHERE account = a.id), 0))::text"
        " FROM connector_accounts AS a"
    )
    await connection.close()
    return {row[0]: int(row[1]) for row in found}


async def test_fulfilment_is_written_before_it_is_passed_on(start: Start, postgres_url: str) -> None:
    """When the sender hears of the fulfilment, another connection sees both balances."""
    core = await start()
    replies = pay(core, 100, 1)
    assert replies.all == []
    await replied(replies)
    found = await sums(postgres_url)
    assert (found["alice"], found["bob"]) == (-100, 100)


async def test_processes_together_keep_the_floor(start: Start, postgres_url: str) -> None:
    """Two processes on one account use its whole credit, wherever the packets come, and never more."""
    cores = [await start(), await start()]
    taken: list[Replies] = []
    for seed in range(14):
        replies = pay(cores[seed % 2], 100, seed)
        await replied(replies)
        taken.append(replies)
    fulfilled = sum(isinstance(replies.only, Fulfill) for replies in taken)
    assert fulfilled == 10, [replies.only for replies in taken]
    assert (await sums(postgres_url))["alice"] == -1_000


async def test_processes_together_keep_the_floor_under_concurrent_load(start: Start, postgres_url: str) -> None:
    """Packets that come to several processes at once never overdraw the account together."""
    cores = [await start(), await start(), await start()]
    taken = [pay(cores[seed % 3], 90, seed) for seed in range(60)]
    await replied(*taken)
    found = await sums(postgres_url)
    fulfilled = sum(isinstance(replies.only, Fulfill) for replies in taken)
    assert found["alice"] == -90 * fulfilled
    assert found["alice"] >= -1_000
    assert found["bob"] == 90 * fulfilled


async def test_ceiling_is_kept_by_all_processes_together(start: Start, postgres_url: str) -> None:
    """We never come to owe a holder more than agreed, however many processes pay it."""
    configs = (replace(ALICE, floor=None), replace(BOB, ceiling=500))
    cores = [await start(*configs), await start(*configs)]
    taken = []
    for seed in range(12):
        taken.append(pay(cores[seed % 2], 100, seed))
        await replied(taken[-1])
    assert (await sums(postgres_url))["bob"] == 500
    assert {replies.code for replies in taken if not isinstance(replies.only, Fulfill)} == {Code.INSUFFICIENT_LIQUIDITY}


async def test_broken_connection_loses_and_repeats_nothing(start: Start, postgres_url: str) -> None:
    """However often the connection breaks amid writes, each fulfilment is written once before it is passed on."""
    core = await start(replace(ALICE, floor=None), BOB)
    killer = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    taken: list[Replies] = []
    for round_ in range(5):
        taken += [pay(core, 7, round_ * 20 + seed) for seed in range(20)]
        await asyncio.sleep(0.001 * round_)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'causeway-connector' AND datname = current_database()"
        )
        await replied(*taken)
    await killer.close()
    fulfilled = sum(isinstance(replies.only, Fulfill) for replies in taken)
    assert fulfilled > 0
    found = await sums(postgres_url)
    assert (found["alice"], found["bob"]) == (-7 * fulfilled, 7 * fulfilled)


async def test_settlements_happen_once_whoever_repeats_them(start: Start, postgres_url: str) -> None:
    """The same key settles once, from whichever process; another settlement under it is refused."""
    cores = [await start(), await start()]
    done = await asyncio.gather(*(core.balances.settle_in("alice", Units(500), "in-1") for core in cores * 2))
    assert sorted(done) == [False, False, False, True]
    with pytest.raises(OtherSettlement):
        await cores[1].balances.settle_in("alice", Units(501), "in-1")
    assert await cores[1].balances.settle_out("alice", Units(200), "out-1")
    assert not await cores[0].balances.settle_out("alice", Units(200), "out-1")
    found = await sums(postgres_url)
    assert (found["alice"], found["ledger:EUR.2"]) == (300, -300)


async def test_settlement_that_is_not_owed_is_refused(start: Start) -> None:
    """Nothing is paid out that the account is not owed, and the refusal leaves no trace."""
    core = await start()
    await core.balances.settle_in("bob", Units(100), "in")
    with pytest.raises(NotOwed):
        await core.balances.settle_out("bob", Units(101), "out")
    assert await core.balances.settle_out("bob", Units(100), "out")


async def test_settlement_taken_back_happens_once(start: Start) -> None:
    """A settlement that will never be paid is undone once, and only if it was made."""
    core = await start()
    await core.balances.settle_in("bob", Units(100), "in")
    await core.balances.settle_out("bob", Units(60), "out")
    with pytest.raises(OtherSettlement):
        await core.balances.settle_back("bob", Units(61), "out")
    assert await core.balances.settle_back("bob", Units(60), "out")
    assert not await core.balances.settle_back("bob", Units(60), "out")
    assert await core.balances.balance("bob") == 100


async def test_settlement_of_all_finds_room_that_others_hold(start: Start) -> None:
    """What is owed can be settled in full by one process although the other has leased part of the room."""
    configs = (ALICE, replace(BOB, floor=0))
    first, second = await start(*configs), await start(*configs)
    await first.balances.settle_in("bob", Units(1_000), "in-1")
    await second.balances.settle_in("bob", Units(1_000), "in-2")
    assert await first.balances.settle_out("bob", Units(2_000), "out")
    assert await second.balances.balance("bob") == 0


CHILD = """
import asyncio, sys
from dataclasses import replace
from tests.support.connector import ALICE, BOB, Replies, fulfilment, make_core, make_prepare

async def main(url):
    core = await make_core(url, (replace(ALICE, floor=-50_000), BOB), is_journaling=True)
    seeds = iter(range(10**9))
    def again(reply):
        if reply[0] == 13:
            print("x", end="", flush=True)
            asyncio.get_running_loop().call_soon(send)
    def send():
        seed = next(seeds)
        core.links["bob"].respond = None
        core.pipeline("alice", encode(make_prepare(1, seed=seed)), again)
        pending.append(seed)
    from settlement.ilp.packets import encode
    pending = []
    async def bob():
        answered = 0
        while True:
            sent = core.links["bob"].sent
            while answered < len(sent):
                packet, reply = sent[answered]
                reply(encode(fulfilment(pending[answered])))
                answered += 1
            await asyncio.sleep(0.001)  # gives way: the database needs the processor too
    for _ in range(16):
        send()
    await bob()

asyncio.run(main(sys.argv[1]))
"""


async def test_killed_processes_leave_what_they_passed_on_and_their_room(start: Start, postgres_url: str) -> None:
    """Processes killed amid load have written all that they passed on; their room and their flights are found."""
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, postgres_url, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    passed_on = 0
    for child in children:
        assert child.stdout is not None
        passed_on += len(await child.stdout.readexactly(200))
    for child in children:
        child.kill()
    for child in children:
        assert child.stdout is not None
        passed_on += len(await child.stdout.read())
        await child.wait()
    core = await start(replace(ALICE, floor=-50_000), BOB)
    async with asyncio.timeout(PATIENCE_S):
        while len({*await shares(postgres_url)}) > 1:
            await asyncio.sleep(0.05)
    found = await sums(postgres_url)
    assert -50_000 <= found["alice"] <= -passed_on
    # At most the packets in flight were written without being passed on.
    assert -found["alice"] - passed_on <= 2 * 16
    assert sum(found.values()) == 0
    incidents = [incident for _, incident in await core.balances.incidents()]
    assert all(incident.kind is IncidentKind.UNSETTLED and incident.account == "bob" for incident in incidents)
    assert len(incidents) <= 2 * 16
    replies = pay(core, 50_000 + found["alice"], 10**9)
    await replied(replies)
    assert isinstance(replies.only, Fulfill), "the whole credit is there again"


async def shares(url: str) -> list[int]:
    """The processes that hold room."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = await connection.fetch("SELECT DISTINCT process FROM connector_shares")
    await connection.close()
    return [row[0] for row in found]


async def test_connector_ends_although_the_database_is_gone(postgres_url: str) -> None:
    """A write that fails while the process ends holds it up no longer; the sender is not told what is not written."""
    core = await make_core(postgres_url, (ALICE, BOB))
    killer = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    await killer.execute("ALTER TABLE connector_shares RENAME TO elsewhere")
    replies = pay(core, 100, 1)
    async with asyncio.timeout(PATIENCE_S):
        while core.book.is_available:
            await asyncio.sleep(0.001)
        await core.close()
    assert replies.all == []
    await killer.execute("ALTER TABLE elsewhere RENAME TO connector_shares")
    await killer.close()
    assert (await sums(postgres_url))["alice"] == 0


async def test_settlements_that_are_cut_off_are_not_lost(start: Start, postgres_url: str) -> None:
    """Whoever asked for a settlement may be cancelled amid its commit: what was committed stays, and is not undone."""
    core = await start(replace(ALICE, floor=None), BOB)
    for number in range(60):
        asked = asyncio.ensure_future(core.balances.settle_in("alice", Units(10), f"in-{number}"))
        for _ in range(number % 20):
            await asyncio.sleep(0.0001)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        replies = pay(core, 1, number)
        await replied(replies)
    for number in range(60):
        await core.balances.settle_in("alice", Units(10), f"in-{number}")
    replies = pay(core, 1, 60)
    await replied(replies)
    found = await sums(postgres_url)
    assert (found["alice"], found["bob"], found["ledger:EUR.2"]) == (600 - 61, 61, -600)


async def test_end_waits_for_settlements_that_have_begun(start: Start, postgres_url: str) -> None:
    """A process that ends amid a settlement finishes it first, and its last write does not undo it."""
    core = await start(replace(ALICE, floor=None), BOB)
    asked = asyncio.ensure_future(core.balances.settle_in("alice", Units(10), "in"))
    await asyncio.sleep(0)
    asked.cancel()
    pay(core, 1, 1)
    await core.balances.close()
    found = await sums(postgres_url)
    assert (found["alice"], found["bob"], found["ledger:EUR.2"]) == (10 - 1, 1, -10)


async def test_ceiling_is_kept_by_all_processes_after_a_settlement(start: Start, postgres_url: str) -> None:
    """What a holder settles with one process counts for the room that the others have left under the ceiling."""
    configs = (replace(ALICE, floor=None), replace(BOB, ceiling=500))
    cores = [await start(*configs), await start(*configs)]
    for seed in range(2):
        await replied(pay(cores[seed], 10, seed))
    await cores[0].balances.settle_in("bob", Units(400), "in")
    async with asyncio.timeout(PATIENCE_S):
        while cores[1].book.positions["bob"].highest > 10 + 80:
            await asyncio.sleep(0.01)
    for seed in range(2, 12):
        await replied(pay(cores[seed % 2], 40, seed))
    assert 420 <= (await sums(postgres_url))["bob"] <= 500
