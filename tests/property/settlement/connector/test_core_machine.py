"""The core with a database that crashes at every commit: nothing is passed on that is not written, sums are zero."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from settlement.connector.balances.model import Batch
from settlement.connector.flight import InFlight
from settlement.connector.ports import NotOwed
from settlement.ilp.link import Reply
from settlement.ilp.packets import Fulfill, Prepare, decode_reply, encode
from settlement.quantities import Units
from tests.support.connector import ALICE, BOB, CAROL, Core, fulfilment, make_core, make_prepare, rejection

NAMES = ("alice", "bob", "carol")
FLOORS = {config.id: config.floor for config in (ALICE, BOB, CAROL)}


class Crash(Exception):
    """The process dies here."""


@dataclass
class Packet:
    """One packet under way, as the next hop sees it."""

    seed: int
    forwarded: Prepare
    reply: Reply


class CoreMachine(RuleBasedStateMachine):
    """Packets, answers, settlements and time against a core on SQLite; the model is what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="causeway-core-"))
        self.model = dict.fromkeys(NAMES, 0)
        self.settled: dict[str, tuple[str, int]] = {}
        self.packets: list[Packet] = []
        self.seeds = 0
        self.crash_after_commit = False
        self.core = self.loop.run_until_complete(make_core(self.folder, spread_bp=50))
        self.watch(self.core)

    def watch(self, core: Core) -> None:
        """Follow what is written, and crash when told to."""
        landed = core.book.landed
        core.book.kick = lambda: None  # the test decides when

        def watched(batch: Batch) -> None:
            for flight in batch.waiting:
                assert isinstance(flight, InFlight)
                self.model[flight.debtor.id] -= flight.taken
                self.model[flight.creditor.id] += flight.given
                self.durable.add(flight.condition)
            for incident in batch.incidents:
                if incident.kind == "unpaid":
                    self.unpaid(incident.condition)
            if self.crash_after_commit:
                raise Crash
            landed(batch)

        core.book.landed = watched  # type: ignore[method-assign]
        self.taken: dict[bytes, tuple[str, int]] = {}
        self.durable: set[bytes] = set()

    def unpaid(self, condition: bytes) -> None:
        """The sender's debit was taken back in this write."""
        sender, taken = self.taken[condition]
        self.model[sender] += taken

    def inside(self, call: Callable[[], None]) -> None:
        """Call something that needs the loop to be running."""

        async def called() -> None:
            call()

        self.loop.run_until_complete(called())

    def write(self) -> None:
        """The commit that is due."""
        self.inside(self.core.balances._write)  # type: ignore[union-attr, arg-type]

    @rule(sender=st.sampled_from(NAMES), receiver=st.sampled_from(NAMES), amount=st.integers(0, 1_200))
    def prepare(self, sender: str, receiver: str, amount: int) -> None:
        self.seeds += 1
        packet = make_prepare(
            amount, f"test.clearing.{receiver}.x", seed=self.seeds, expires_at=self.core.clock.now + 5_000
        )
        sent = self.core.links[receiver].sent
        before = len(sent)

        def told(reply: bytes) -> None:
            if isinstance(decode_reply(reply), Fulfill):
                assert self.core.clock.now < packet.expires_at, "no Fulfill after the sender's expiry"
                assert amount == 0 or packet.condition in self.durable, "no Fulfill before its commit"
                self.check_written()

        self.inside(lambda: self.core.pipeline(sender, encode(packet), told))
        if len(sent) > before:
            forwarded, reply = sent[-1]
            assert forwarded.expires_at < packet.expires_at
            self.packets.append(Packet(self.seeds, forwarded, reply))
            self.taken[packet.condition] = (sender, amount)

    @precondition(lambda self: self.packets)
    @rule(data=st.data(), answer=st.sampled_from(["fulfil", "fulfil", "reject", "wrong", "garbage", "twice"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        packet = self.packets.pop(data.draw(st.integers(0, len(self.packets) - 1)))
        raw = {
            "reject": encode(rejection()),
            "wrong": encode(fulfilment(packet.seed + 1)),
            "garbage": b"\x0d\xff",
        }.get(answer, encode(fulfilment(packet.seed)))
        self.inside(lambda: packet.reply(raw))
        if answer == "twice":
            self.inside(lambda: packet.reply(raw))

    @rule(ms=st.sampled_from([0, 10, 1_500, 4_400, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.core.clock.forward(ms)
        self.inside(self.core.pipeline.timers.tick)

    @rule()
    def commit(self) -> None:
        self.write()

    @rule()
    def crash(self) -> None:
        self.begin_again()

    @rule()
    def crash_right_after_the_commit(self) -> None:
        self.crash_after_commit = True
        with contextlib.suppress(Crash):
            self.write()
        self.crash_after_commit = False
        self.begin_again()

    def begin_again(self) -> None:
        self.core.kill()
        self.packets = []
        self.core = self.loop.run_until_complete(make_core(self.folder, clock=self.core.clock, spread_bp=50))
        self.watch(self.core)

    @rule(account=st.sampled_from(NAMES), amount=st.integers(1, 500), key=st.sampled_from("abcd"))
    def settle_in(self, account: str, amount: int, key: str) -> None:
        name = f"in-{account}-{amount}-{key}"
        is_new = self.loop.run_until_complete(self.core.balances.settle_in(account, Units(amount), name))
        assert is_new is (name not in self.settled)
        if is_new:
            self.settled[name] = (account, amount)
            self.model[account] += amount

    @rule(account=st.sampled_from(NAMES), amount=st.integers(1, 500), key=st.sampled_from("abcd"))
    def settle_out(self, account: str, amount: int, key: str) -> None:
        name = f"out-{account}-{amount}-{key}"
        try:
            is_new = self.loop.run_until_complete(self.core.balances.settle_out(account, Units(amount), name))
        except NotOwed:
            assert name not in self.settled
            return
        assert is_new is (name not in self.settled)
        if is_new:
            self.settled[name] = (account, -amount)
            self.model[account] -= amount
            assert self.model[account] >= 0, "nothing is paid that is not owed"

    def check_written(self) -> None:
        """The file has what the model has."""
        found = self.written()
        assert {name: found[name] for name in NAMES} == self.model

    def written(self) -> dict[str, int]:
        connection = sqlite3.connect(self.folder / "connector.db")
        found = {row[0]: int(row[1]) for row in connection.execute("SELECT id, base FROM connector_accounts")}
        for account, delta in connection.execute("SELECT account, delta FROM connector_shares"):
            found[account] += int(delta)
        connection.close()
        return found

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        """What is written is the model, each asset sums to zero, no floor is passed, and holds are those in flight."""
        found = self.written()
        assert {name: found[name] for name in NAMES} == self.model
        euro = sum(found[name] for name in ("alice", "bob", "own:EUR.2", "ledger:EUR.2"))
        dollar = sum(found[name] for name in ("carol", "own:USD.4", "ledger:USD.4"))
        assert (euro, dollar) == (0, 0)
        for name, floor in FLOORS.items():
            assert floor is not None
            assert found[name] >= floor
            position = self.core.book.positions[name]
            assert position.balance - position.debits >= floor
        if not len(self.core.pipeline.timers):
            assert all(p.debits == p.credits == 0 for p in self.core.book.positions.values())

    def teardown(self) -> None:
        self.core.kill()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


CoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=40)
TestCoreMachine = CoreMachine.TestCase
