"""The validator: decides on a payment inside the caller's transaction, and takes its share of the limits with the word.

A payment enters a ledger only on a decision that passes. `settle` or `release` follows when it is known how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.rules.approvals import LoggedIn, Proof, Signed, authenticate
from settlement.rules.buffer import RulesBuffer
from settlement.rules.decision import Decision
from settlement.rules.errors import DecisionConflict, ReservationOver
from settlement.rules.evaluate import Context, evaluate
from settlement.rules.facts import Approval, Facts, Rates
from settlement.rules.history import questions, use_of
from settlement.rules.model import Rules, Verdict
from settlement.rules.store import KnownRate, RulesStore, UseState

_NO_RATES: Final[Rates] = MappingProxyType({})


class Validator:
    """Evaluates the rules in force, keeps each decision, and reserves what passes."""

    def __init__(self, rules: Callable[[], Rules], facts_key: bytes, buffer: RulesBuffer | None = None) -> None:
        """`rules`: those in force (`RulesFile.current`). `facts_key`: 32 bytes that seal stored facts. `buffer`:
        gathers what is written, for a process that alone decides; it has to be flushed.
        """
        self._rules = rules
        self._facts_key = facts_key
        self._buffer = buffer

    async def decide(
        self, connection: AsyncConnection, facts: Facts, now: UnixMs, rates: Rates = _NO_RATES
    ) -> Decision:
        """Decide, store the decision and its facts, and reserve if it passes; all in the unit of `connection`.

        A payment that has passed answers as it did then. One that was referred or blocked is looked at anew, with the
        approvals of now; the same answer is not stored twice.

        Raises:
            DecisionConflict: the payment's id was decided with other facts.
            ReservationOver: the payment passed, and failed since; a new attempt has a new id.
        """
        store = self._work(connection)
        before = await store.latest(facts.payment_id)
        if before is not None and before.decision.facts_digest != facts.digest:
            raise DecisionConflict(facts.payment_id, before.decision.facts_digest, facts.digest)
        if before is not None and before.decision.verdict is Verdict.PASS:
            if await store.state_of(facts.payment_id) is UseState.RELEASED:
                raise ReservationOver(facts.payment_id, UseState.RELEASED)
            return before.decision
        rules = self._rules()
        approvals = await store.approvals(facts.digest)
        usage = await store.answer(*questions(rules, facts, now))
        decision = evaluate(rules, facts, Context(usage, rates, approvals), now)
        if before is not None and _says_the_same(before.decision, decision):
            return before.decision
        known = tuple(KnownRate(paid, asset, rate) for (paid, asset), rate in rates.items())
        await store.append(decision, facts, known, approvals)
        if decision.verdict is Verdict.PASS:
            await store.reserve(use_of(rules, facts, now))
        return decision

    async def preview(
        self, connection: AsyncConnection, facts: Facts, now: UnixMs, rates: Rates = _NO_RATES
    ) -> Decision:
        """What the rules say of a payment that is only thought of. Nothing is reserved; a block alone is stored."""
        rules = self._rules()
        store = self._work(connection)
        usage = await store.answer(*questions(rules, facts, now))
        decision = evaluate(rules, facts, Context(usage, rates, ()), now)
        if decision.verdict is Verdict.BLOCK and await store.latest(facts.payment_id) is None:
            known = tuple(KnownRate(paid, asset, rate) for (paid, asset), rate in rates.items())
            await store.append(decision, facts, known, ())
        return decision

    async def approve(self, connection: AsyncConnection, approval: Approval, proof: Proof, now: UnixMs) -> None:
        """Keep a person's approval; `decide` counts it from then on.

        Raises:
            ForgedApproval: the person did not say so.
        """
        authenticate(self._rules(), approval, proof, now)
        match proof:
            case Signed(signature=signature):
                evidence = signature
            case LoggedIn(principal=principal):
                evidence = principal.encode()
        await self.store(connection).add_approval(approval, evidence)

    async def settle(self, connection: AsyncConnection, payment_id: bytes) -> None:
        """The payment was made. Raises `UnknownReservation`, `ReservationOver`."""
        await self._work(connection).settle(payment_id)

    async def release(self, connection: AsyncConnection, payment_id: bytes) -> None:
        """The payment failed: its share of the limits is free again. Raises `UnknownReservation`, `ReservationOver`."""
        await self._work(connection).release(payment_id)

    def _work(self, connection: AsyncConnection) -> RulesStore:
        return self.store(connection) if self._buffer is None else self._buffer.on(connection)

    def store(self, connection: AsyncConnection) -> RulesStore:
        """The validator's tables on this connection, for auditors and retention."""
        return RulesStore(connection, self._facts_key)


def _says_the_same(one: Decision, other: Decision) -> bool:
    return (one.verdict, one.reasons, one.rule_version) == (other.verdict, other.reasons, other.rule_version)
