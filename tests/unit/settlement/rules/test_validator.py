"""Deciding, reserving, settling and releasing in a database, and what auditors find there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import delete, select, update

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.rules import tables
from settlement.rules.approvals import LoggedIn, Signed, approval_digest
from settlement.rules.decision import Decision
from settlement.rules.dryrun import replay
from settlement.rules.errors import (
    ChainBroken,
    DecisionConflict,
    ForgedApproval,
    ReservationOver,
    UnknownReservation,
)
from settlement.rules.facts import Approval, Facts, Rate, Rates
from settlement.rules.model import Rules, Verdict
from settlement.rules.store import UseState
from settlement.rules.validator import Validator
from tests.support.rules import EUR, MONDAY, USD, beneficiary, facts, rules

KEY = bytes(range(32))
ANN = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
BODY = f"""
[[limit]]
id = "a-day"
asset = "EUR"
amount_max = "1000.00"
[[velocity]]
id = "burst"
corridors = ["DE-*", "*-US"]
payers = ["bank-a"]
payees = ["bank-b"]
count_max = 3
window_seconds = 60
[[four_eyes]]
id = "big"
asset = "EUR"
above = "500.00"
approvals = 2
roles = ["approver"]
[[person]]
name = "ann"
roles = ["approver"]
key = "{ANN.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()}"
[[person]]
name = "bob"
roles = ["approver"]
"""


class Office:
    """A validator on a database, one unit of work a call."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rules: Rules = rules(BODY)
        self.validator = Validator(lambda: self.rules, KEY)

    async def decide(self, payment: Facts, now: int = MONDAY, rates: Rates | None = None) -> Decision:
        """Decide and commit."""
        async with self.database.unit() as unit:
            decision = await self.validator.decide(unit.connection, payment, UnixMs(now), rates or {})
            await unit.commit()
            return decision

    async def approve(self, approval: Approval, proof: Signed | LoggedIn, now: int = MONDAY) -> None:
        """Approve and commit."""
        async with self.database.unit() as unit:
            await self.validator.approve(unit.connection, approval, proof, UnixMs(now))
            await unit.commit()

    async def end(self, payment: Facts, *, well: bool) -> None:
        """Settle or release, and commit."""
        async with self.database.unit() as unit:
            end = self.validator.settle if well else self.validator.release
            await end(unit.connection, payment.payment_id)
            await unit.commit()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A validator with an empty database."""
    async with await Database.open(f"sqlite:///{tmp_path}/rules.db", tables.SCHEMA) as database:
        yield Office(database)


async def test_limit_is_taken_with_the_decision_and_given_back_on_failure(office: Office) -> None:
    """A payment that passes uses the limit at once; released it does not, and settled it does for good."""
    assert (await office.decide(facts(1, "400.00"))).verdict is Verdict.PASS
    assert (await office.decide(facts(2, "400.00"))).verdict is Verdict.PASS
    assert (await office.decide(facts(3, "200.01"))).verdict is Verdict.BLOCK
    await office.end(facts(1, "400.00"), well=False)
    await office.end(facts(2, "400.00"), well=True)
    assert (await office.decide(facts(3, "200.01"))).verdict is Verdict.PASS
    assert (await office.decide(facts(4, "400.00"))).verdict is Verdict.BLOCK


async def test_repeat_is_the_same_decision_and_uses_nothing_more(office: Office) -> None:
    """Asking again for a payment that passed, even later and under other rules, answers as it did and counts once."""
    first = await office.decide(facts(1, "400.00"))
    office.rules = rules(BODY.replace("1000.00", "1.00"))
    assert await office.decide(facts(1, "400.00"), MONDAY + 5) == first
    async with office.database.view() as view:
        assert (await office.validator.store(view.connection).verify())[0] == 1


async def test_blocked_payment_is_looked_at_anew_and_stored_once_for_each_answer(office: Office) -> None:
    """A refusal is kept once while it stays the same, and is no word for ever."""
    for later in range(3):
        assert (await office.decide(facts(1, "1000.01"), MONDAY + later)).verdict is Verdict.BLOCK
    office.rules = rules(BODY.replace("1000.00", "2000.00").replace("500.00", "2000.00"))
    assert (await office.decide(facts(1, "1000.01"), MONDAY + 9)).verdict is Verdict.PASS
    async with office.database.view() as view:
        assert (await office.validator.store(view.connection).verify())[0] == 2


async def test_id_stands_for_one_payment(office: Office) -> None:
    """Other facts under an id that was decided are refused, whatever was decided."""
    await office.decide(facts(1, "1000.01"))
    with pytest.raises(DecisionConflict):
        await office.decide(facts(1, "1.00"))


async def test_ends_are_ends(office: Office) -> None:
    """Settling and releasing may be repeated, exclude each other, and need a payment that passed."""
    payment = facts(1, "1.00")
    with pytest.raises(UnknownReservation):
        await office.end(payment, well=False)
    with pytest.raises(UnknownReservation):
        await office.end(payment, well=True)
    await office.decide(payment)
    await office.end(payment, well=False)
    await office.end(payment, well=False)
    with pytest.raises(ReservationOver):
        await office.end(payment, well=True)
    with pytest.raises(ReservationOver):
        await office.decide(payment)
    other = facts(2, "1.00")
    await office.decide(other)
    await office.end(other, well=True)
    await office.end(other, well=True)
    with pytest.raises(ReservationOver):
        await office.end(other, well=False)
    async with office.database.view() as view:
        assert await office.validator.store(view.connection).state_of(other.payment_id) is UseState.SETTLED


async def test_velocity_counts_what_is_in_scope_and_not_released(office: Office) -> None:
    """Velocity counts payments of its payers, payees and corridors in the window, without those that failed."""
    for number in range(3):
        assert (await office.decide(facts(number, "1.00", origin="DE" if number else "FR"))).verdict is Verdict.PASS
    # The first came from France to China: out of scope.
    assert (await office.decide(facts(3, "1.00"))).verdict is Verdict.PASS
    assert (await office.decide(facts(4, "1.00"))).verdict is Verdict.REFER
    await office.end(facts(3, "1.00"), well=False)
    assert (await office.decide(facts(4, "1.00"), MONDAY + 1)).verdict is Verdict.PASS


async def test_approvals_make_a_referred_payment_pass(office: Office) -> None:
    """One signed approval and one by login let a large payment pass; the decision keeps both."""
    payment = facts(1, "600.00")
    assert (await office.decide(payment)).verdict is Verdict.REFER
    ann = Approval(payment.digest, "ann", (), UnixMs(MONDAY + 1))
    await office.approve(ann, Signed(ANN.sign(approval_digest(ann))), MONDAY + 1)
    assert (await office.decide(payment, MONDAY + 2)).verdict is Verdict.REFER
    await office.approve(Approval(payment.digest, "bob", (), UnixMs(MONDAY + 2)), LoggedIn("bob"), MONDAY + 2)
    assert (await office.decide(payment, MONDAY + 3)).verdict is Verdict.PASS
    async with office.database.view() as view:
        entry = await office.validator.store(view.connection).latest(payment.payment_id)
    assert entry is not None
    assert [approval.person for approval in entry.approvals] == ["ann", "bob"]


async def test_forged_approval_is_refused(office: Office) -> None:
    """A stranger, another's login, a login instead of a key, another's signature and a changed text approve nothing."""
    now = UnixMs(MONDAY)
    digest = facts(1).digest
    ann, bob = Approval(digest, "ann", (), now), Approval(digest, "bob", (), now)
    good = Signed(ANN.sign(approval_digest(ann)))
    forged: list[tuple[Approval, Signed | LoggedIn]] = [
        (Approval(digest, "eve", (), now), LoggedIn("eve")),
        (bob, LoggedIn("ann")),
        (ann, LoggedIn("ann")),
        (bob, good),
        (ann, Signed(b"")),
        (ann, Signed(Ed25519PrivateKey.generate().sign(approval_digest(ann)))),
        (Approval(digest, "ann", ("a-day",), now), good),
        (Approval(facts(2).digest, "ann", (), now), good),
        (Approval(digest, "bob", (), UnixMs(MONDAY + 1)), LoggedIn("bob")),
    ]
    for approval, proof in forged:
        with pytest.raises(ForgedApproval):
            await office.approve(approval, proof)


async def test_changed_history_is_found(office: Office) -> None:
    """An entry that is changed, taken out or put elsewhere breaks the chain at its place."""
    for number in range(3):
        await office.decide(facts(number, "1.00"))
    async with office.database.view() as view:
        count, head = await office.validator.store(view.connection).verify()
        raw = (await view.connection.scalars(select(tables.decisions.c.entry))).all()
    assert (count, len(head)) == (3, 32)
    change = (
        update(tables.decisions).where(tables.decisions.c.sequence == 2).values(entry=raw[1].replace(b"bank", b"b"))
    )
    changed = change.values(entry=raw[1].replace(b'"verdict":0', b'"verdict":2'))
    for tampering in (changed, delete(tables.decisions).where(tables.decisions.c.sequence == 2)):
        async with office.database.unit() as unit:
            await unit.connection.execute(tampering)
            with pytest.raises(ChainBroken) as broken:
                await office.validator.store(unit.connection).verify()
        assert broken.value.sequence == 2


async def test_stored_facts_are_sealed_and_erased_in_time(office: Office) -> None:
    """The database shows no name; the holder of the key reads the facts until they are erased; decisions stay."""
    payment = facts(1, "1.00", subjects=(beneficiary("Ann Example", accounts=("DE1",)),))
    await office.decide(payment)
    async with office.database.unit() as unit:
        store = office.validator.store(unit.connection)
        rows = (await unit.connection.execute(select(tables.facts))).all()
        rows += (await unit.connection.execute(select(tables.decisions))).all()
        assert b"Example" not in repr(rows).encode()
        assert await store.facts_of(payment.digest) == payment
        assert await store.erase_facts(UnixMs(MONDAY)) == 0
        assert await store.erase_facts(UnixMs(MONDAY + 1)) == 1
        assert await store.facts_of(payment.digest) is None
        assert (await store.verify())[0] == 1


async def test_replay_tells_what_other_rules_would_have_changed(office: Office) -> None:
    """Replaying past decisions under the same rules changes none, and under a lower limit names those it would stop."""
    for number in range(3):
        await office.decide(facts(number, "300.00"), MONDAY + number)
    await office.decide(facts(7, source=USD, amount=100), MONDAY + 8, {(USD, EUR): Rate(1, 2)})
    async with office.database.view() as view:
        store = office.validator.store(view.connection)
        entries = await store.entries()
        decided = [(entry, await store.facts_of(entry.decision.facts_digest)) for entry in entries]
    assert replay(office.rules, decided).same == 4
    found = replay(rules(BODY.replace("1000.00", "600.00")), [*decided, (entries[0], None)])
    assert (found.same, found.erased) == (2, 1)
    assert [change.was.payment_id for change in found.changes] == [facts(2).payment_id, facts(7).payment_id]
    assert all(change.would_be.verdict is Verdict.BLOCK for change in found.changes)


async def test_forgotten_reservation_is_found(office: Office) -> None:
    """What passed and was neither settled nor released is listed, the oldest first."""
    for number in range(3):
        await office.decide(facts(number, "1.00"), MONDAY + number)
    await office.end(facts(0, "1.00"), well=True)
    async with office.database.view() as view:
        found = await office.validator.store(view.connection).reserved_before(UnixMs(MONDAY + 2))
    assert found == (facts(1).payment_id,)
