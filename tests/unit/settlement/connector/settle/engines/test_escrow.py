"""Engines that settle by holds on a ledger: each request is paid once, whatever crashes, fails or is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.settle.engines.core import PaymentStage
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.escrow import EscrowRail
from settlement.connector.settle.engines.rail import Question
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.web import OtherRequest, UnknownAccount
from settlement.ledgers.protocol import HoldState
from tests.support.engines import MemoryLedger, engine_of, is_done, offices, payment_of
from tests.support.settling import Death, Killed

HOLD_MS = 60_000


class World:
    """A ledger, and an engine on each side: `one` pays, `other` is paid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = MemoryLedger(balances={"one": 10_000, "other": 0})
        self.one, self.other = offices()
        self.databases: dict[str, Database] = {}
        self._all: list[Database] = []

    async def start(self, name: str, death: Death | None = None) -> Engine:
        """A process of that side's engine."""
        office = self.one if name == "one" else self.other
        client = self.ledger.client(name)
        facts = await client.facts()

        def rail(database: Database) -> EscrowRail:
            secret = name.encode().ljust(32)
            return EscrowRail(database, client, facts, secret, self.clock, hold_ms=HOLD_MS)

        url = f"sqlite:///{self.folder / name}.db"
        engine, database = await engine_of(office, url, rail, self.clock, death)
        self.databases[name] = database
        self._all.append(database)
        return engine

    def clock(self) -> UnixMs:
        return UnixMs(self.ledger.now)

    async def run(self, engines: list[Engine], rounds: int = 60, step_ms: int = 5_000) -> None:
        """Watch and work until nothing is open at either side, as time passes."""
        changed = asyncio.Event()
        watching = [
            asyncio.create_task(engine._kept_up(lambda e=engine: e._rail.watch(changed.set), "w")) for engine in engines
        ]
        try:
            for _ in range(rounds):
                for engine in engines:
                    await engine.round()
                for _ in range(3):
                    await asyncio.sleep(0.002)
                for task in watching:
                    if task.done():
                        task.result()
                if all([await is_done(database) for database in self.databases.values()]):
                    return
                self.ledger.now += step_ms
            raise AssertionError("it does not end")
        finally:
            await self._still(watching)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _still(self, watching: list[asyncio.Task[None]]) -> None:
        """Wait until who still lives has read all: nobody is cut off in the middle of a write."""
        for _ in range(1_000):
            if self.ledger.is_down or self.ledger.waiting >= sum(not task.done() for task in watching):
                return
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        for database in self._all:
            await database.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.close()


async def test_a_request_is_paid_by_a_hold_that_the_peer_fulfils(world: World):
    """What one engine is asked to pay, the other is paid and reports, once, however often it is asked."""
    one, other = await world.start("one"), await world.start("other")
    for _ in range(3):
        await one.settle("other", Quantity(2_500, 3), "key")
    await world.run([one, other])
    assert world.ledger.balances == {"one": 9_750, "other": 250}
    assert list(world.other.heard.values()) == [("one", Quantity(250, 2))]
    with pytest.raises(OtherRequest):
        await one.settle("other", Quantity(2_501, 3), "key")
    with pytest.raises(UnknownAccount):
        await one.settle("nobody", Quantity(1, 2), "key")


async def test_a_peer_that_does_not_fulfil_is_paid_again_after_the_time_out(world: World):
    """Only when the ledger has given the money back is another hold made; the account is paid once in the end."""
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(250, 2), "key")
    await one.round()
    assert world.ledger.balances["one"] == 9_750
    world.ledger.now += HOLD_MS - 1
    await one.round()
    assert world.ledger.balances["one"] == 9_750
    world.ledger.now += 10_000
    await one.round()  # sees it expired
    assert {view.state for view in world.ledger.holds.values()} == {HoldState.EXPIRED}
    await world.run([one, other])
    assert world.ledger.balances == {"one": 9_750, "other": 250}
    assert world.other.total == 250


async def test_lost_answers_and_a_ledger_that_is_down_delay_and_pay_once(world: World):
    """A ledger whose answers are lost, or that is away, is asked with the same id, so that nothing is held twice."""
    one, other = await world.start("one"), await world.start("other")
    world.ledger.lost_answers = 3
    await one.settle("other", Quantity(250, 2), "key")
    await one.round()
    world.ledger.is_down = True
    await one.round()
    world.ledger.is_down = False
    await world.run([one, other])
    assert world.ledger.balances == {"one": 9_750, "other": 250}
    assert len(world.ledger.holds) == 1


async def test_an_account_that_cannot_pay_yet_pays_later(world: World):
    """Without money a payment waits, and is made when there is some."""
    world.ledger.balances["one"] = 100
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(250, 2), "key")
    await one.round()
    payment = await payment_of(world.databases["one"], "other", "key")
    assert payment is not None
    assert payment.stage is PaymentStage.SENDING
    world.ledger.balances["one"] = 1_000
    await world.run([one, other])
    assert world.ledger.balances == {"one": 750, "other": 250}


async def test_small_amounts_are_paid_when_they_add_up(world: World):
    """Fractions of a base unit stay owed until they make one, over several requests."""
    one, other = await world.start("one"), await world.start("other")
    for number in range(5):
        await one.settle("other", Quantity(3, 3), f"key{number}")
    await world.run([one, other])
    assert world.ledger.balances["other"] == 1
    assert world.other.total == 1


async def test_a_connector_that_is_down_hears_of_it_later(world: World):
    """A credit is reported until the connector acknowledges it, under one key."""
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(250, 2), "key")
    world.other.is_down = True
    with pytest.raises(AssertionError, match="does not end"):
        await world.run([one, other], rounds=8)
    assert world.ledger.balances["other"] == 250
    world.other.is_down = False
    await world.run([one, other])
    assert world.other.total == 250


@pytest.mark.parametrize("victim", ["one", "other"])
async def test_a_crash_anywhere_pays_and_credits_once(world: World, victim: str):
    """Either engine may die before or after any commit, message or report: the next process ends the job once."""
    for at in range(60):
        world.ledger.balances |= {"one": 10_000, "other": 0}
        world.other.heard.clear()
        death = Death(at)
        engines = {name: await world.start(name) for name in ("one", "other") if name != victim}
        with contextlib.suppress(Killed):
            engines[victim] = await world.start(victim, death)
            await engines["one"].settle("other", Quantity(250, 2), f"key{at}")
            await world.run(list(engines.values()))
        for name in ("one", "other"):
            engines[name] = await world.start(name)
        await engines["one"].settle("other", Quantity(250, 2), f"key{at}")
        await world.run(list(engines.values()))
        assert world.ledger.balances == {"one": 9_750, "other": 250}, f"{victim} killed at {at}"
        assert world.other.total == 250, f"{victim} killed at {at}"
        if not death.is_dead:
            assert at >= 10
            return
    raise AssertionError("an engine has fewer events than this")


async def test_questions_that_are_none_are_refused(world: World):
    """Other assets, unknown types, short ids and text that is no JSON name the field."""
    other = await world.start("other")
    asset = other._rail.terms.asset
    mine = msgspec.json.encode(Question("condition", asset, transfer="11" * 32))
    assert b"condition" in await other.message("one", mine)
    assert b"condition" in await other.message("one", mine)
    for account, message, field in (
        ("one", msgspec.json.encode(Question("payTo", "else")), "asset"),
        ("one", msgspec.json.encode(Question("give", asset)), "type"),
        ("one", msgspec.json.encode(Question("condition", asset, transfer="11")), "transfer"),
        ("one", b"{", "message"),
    ):
        with pytest.raises(BadInput) as refusal:
            await other.message(account, message)
        assert refusal.value.field == field
    with pytest.raises(UnknownAccount):
        await other.message("stranger", mine)


async def test_a_condition_belongs_to_the_account_that_asks(world: World):
    """Two accounts that ask for one id get two conditions, the same ones each time, and nothing is kept of any."""
    other = await world.start("other")
    await other.open_account("third")
    asked = msgspec.json.encode(Question("condition", other._rail.terms.asset, transfer="11" * 32))
    first, again, third = [await other.message(account, asked) for account in ("one", "one", "third")]
    assert first == again != third
    async with world.databases["other"].view() as view:
        assert await EngineStore(view.connection).account_of("11" * 32) is None


async def test_a_closed_account_is_not_served_but_what_is_owed_is_paid(world: World):
    """After its end an account takes no requests; what was accepted before is paid, and it may be opened again."""
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(250, 2), "key")
    await one.close_account("other")
    with pytest.raises(UnknownAccount):
        await one.settle("other", Quantity(250, 2), "key2")
    await one.settle("other", Quantity(250, 2), "key")  # a repetition is answered as before
    await world.run([one, other])
    assert world.ledger.balances["other"] == 250
    await one.open_account("other")
    await one.settle("other", Quantity(250, 2), "key2")
    for name in ("", "a/b", "x" * 129):
        with pytest.raises(BadInput):
            await one.open_account(name)
