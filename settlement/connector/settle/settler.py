"""Settles accounts: asks their engines to pay what is owed, and credits what the engines report, each exactly once.

Nothing is asked of an engine, or changed in a balance, before the settlement and its key are in the database. So a
crash at any point leaves a settlement that is taken up again where it was, under the same key. Several processes may
work on one database: a settlement is claimed for a while before it is worked on.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from foundation.database import Database
from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.connector.ports import NotOwed, OtherSettlement, SettlementBalances
from settlement.connector.settle import outgoing
from settlement.connector.settle.outgoing import Outgoing, SettleRule, Stage
from settlement.connector.settle.quantity import Quantity, carry, normal
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.store import Incoming, Settlements, incoming_id
from settlement.connector.settle.together import together
from settlement.connector.settle.web import OtherRequest, UnknownAccount
from settlement.quantities import MAX_UNITS, Clock, Units

_LOOK_MS: Final = 30_000
"""Other processes, and crashes, leave settlements behind: looked for so often, also when nobody asks."""
_log = structlog.get_logger(__name__)


class Settler:
    """The settlements of all accounts that have an engine. `run` until cancelled."""

    def __init__(
        self,
        database: Database,
        balances: SettlementBalances,
        rules: Mapping[str, SettleRule],
        engines: Mapping[str, Rfc38Client],
        clock: Clock,
        *,
        new_key: Callable[[], str] = lambda: secrets.token_hex(32),
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Settle nothing yet.

        Args:
            database: with `settlement.connector.settle.tables`.
            balances: what is lowered and raised.
            rules: by account.
            engines: by account, for each that has rules.
            clock: tells the time.
            new_key: 64 fresh random characters.
            chance: a random number from 0 to 1, for the waits.
        """
        self._database = database
        self._balances = balances
        self._rules = rules
        self._engines = engines
        self._clock = clock
        self._new_key = new_key
        self._chance = chance
        self._looked_at: set[str] = set()
        self._nudge = asyncio.Event()
        self._unknown = dict.fromkeys(rules, 0)  # accounts that their engine was not told of, with failed tries
        self._told_at = dict.fromkeys(rules, UnixMs(0))

    def __call__(self, account: str, balance: int) -> None:
        """See `settlement.connector.ports.SettlementTrigger`."""
        if account in self._rules:
            self._looked_at.add(account)
            self._nudge.set()

    async def settle_now(self, account: str, amount: Units) -> str:
        """Settle `amount` whatever the threshold, by an operator's word; it must still be owed. Returns the key.

        Raises:
            UnknownAccount: it has no engine.
            BadInput: no amount.
            DatabaseUnavailable: unknown; look at what is open before asking again.
        """
        rule = self._rules.get(account)
        if rule is None:
            raise UnknownAccount(account)
        if not 0 < amount <= MAX_UNITS:
            raise BadInput("amount", f"{amount} cannot be settled", "above 0")
        state = outgoing.wanted(rule, amount, self._new_key(), self._clock())
        async with self._database.unit() as unit:
            await Settlements(unit.connection).add(state)
            await unit.commit()
        self._nudge.set()
        return state.key

    async def receive(self, account: str, quantity: Quantity, key: str) -> Incoming:
        """Credit what an engine reports. The same key again is the same settlement, and raises the balance once.

        What is finer than the account's base unit is kept until it makes a whole one.

        Raises:
            UnknownAccount: it has no engine.
            OtherRequest: the key was used with another quantity.
            BadInput: more than a balance can take at once.
            DatabaseUnavailable, BalancesUnavailable: unknown; the engine asks again.
        """
        rule = self._rules.get(account)
        if rule is None:
            raise UnknownAccount(account)
        found = await self._received(rule, quantity, key)
        if not found.credited:
            await self._credit(found)
        return found

    async def run(self) -> None:
        """Settle whenever it is due, until cancelled."""
        while True:
            self._nudge.clear()
            try:
                due = await self.round()
            except Retryable as error:
                _log.warning("settlements wait", problem=str(error))
                due = UnixMs(self._clock() + 1_000)
            except Exception:  # noqa: BLE001 - whatever one settlement met, the others are not given up
                _log.exception("settlements failed")
                due = UnixMs(self._clock() + 1_000)
            pause_ms = min(max(due - self._clock(), 1), _LOOK_MS)
            try:
                async with asyncio.timeout(pause_ms / 1000):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def round(self) -> UnixMs:
        """Do all that is due now; returns when something is due again.

        Raises:
            DatabaseUnavailable, BalancesUnavailable: it goes on in the next round.
        """
        now = self._clock()
        await self._introduce(now)
        while self._looked_at:
            await self._consider(self._looked_at.pop())
        async with self._database.view() as view:
            store = Settlements(view.connection)
            open_ones, uncredited = await store.open(), await store.uncredited()
        for received in uncredited:  # the engine may have given up, or the process crashed in between
            if received.account in self._rules:
                await self._credit(received)
            else:
                _log.error("a settlement waits for an account that is gone", account=received.account, id=received.id)
        ready = [state for state in open_ones if state.next_at <= now and state.account in self._engines]
        by_account: dict[str, list[Outgoing]] = {}
        for state in ready:
            by_account.setdefault(state.account, []).append(state)
        later = await together(self._advance_all(states) for states in by_account.values())
        dues = [due for due in later if due is not None]
        dues += [state.next_at for state in open_ones if state.next_at > now]
        dues += [self._told_at[account] for account in self._unknown]
        return min(dues, default=UnixMs(now + _LOOK_MS))

    async def _introduce(self, now: UnixMs) -> None:
        """Tell engines of their accounts; an engine that is down learns of it later."""
        for account, tries in list(self._unknown.items()):
            if self._told_at[account] > now:
                continue
            try:
                await self._engines[account].create_account(account)
                del self._unknown[account]
            except Retryable as error:
                _log.warning("an engine does not know its account yet", account=account, problem=str(error))
                self._unknown[account] = tries + 1
                self._told_at[account] = UnixMs(now + outgoing.back_off_ms(tries, self._chance()))

    async def _consider(self, account: str) -> None:
        """Begin a settlement if the threshold is reached and none is waiting to be taken from the balance."""
        rule = self._rules[account]
        balance = await self._balances.balance(account)
        amount = outgoing.due(rule, balance)
        if amount is None:
            return
        async with self._database.unit() as unit:
            store = Settlements(unit.connection)
            if any(state.stage is Stage.WANTED for state in await store.open_of(account)):
                return
            await store.add(outgoing.wanted(rule, amount, self._new_key(), self._clock()))
            await unit.commit()

    async def _advance_all(self, states: list[Outgoing]) -> UnixMs | None:
        """Take an account's settlements as far as they go now, in order; returns when the first is due again."""
        dues = []
        for state in states:
            state = await self._advance(state)
            if state.stage in outgoing.OPEN:
                dues.append(state.next_at)
        return min(dues, default=None)

    async def _advance(self, found: Outgoing) -> Outgoing:
        state = outgoing.claimed(found, self._clock())
        if not await self._change(found, state):
            return state  # another process has it
        try:
            if state.stage is Stage.WANTED:
                state = await self._reserve(state)
            if state.stage is Stage.RESERVED:
                quantity = Quantity(state.amount, state.scale)
                await self._engines[state.account].settle(state.account, quantity, state.key)
                await self._change(state, outgoing.accepted(state))
                state = outgoing.accepted(state)
                _log.info("a settlement is with its engine", account=state.account, amount=state.amount, key=state.key)
        except Retryable as error:
            _log.warning("a settlement waits", account=state.account, key=state.key, problem=str(error))
            later = outgoing.failed(state, self._chance(), self._clock())
            await self._change(state, later)
            state = later
        return state

    async def _reserve(self, state: Outgoing) -> Outgoing:
        """Lower the balance, once for the key, and say so in the database."""
        try:
            await self._balances.settle_out(state.account, state.amount, state.key, state.keep)
        except NotOwed:
            await self._change(state, outgoing.dropped(state))
            return outgoing.dropped(state)
        except OtherSettlement:
            _log.error(
                "a settlement's key belongs to another one; it is not paid", account=state.account, key=state.key
            )
            await self._change(state, outgoing.dropped(state))
            return outgoing.dropped(state)
        async with self._database.unit() as unit:
            # Not only where it is still ours: the balance is lower now, and whoever thought otherwise is wrong.
            state = await Settlements(unit.connection).reserve(outgoing.reserved(state))
            await unit.commit()
        return state

    async def _received(self, rule: SettleRule, quantity: Quantity, key: str) -> Incoming:
        settlement_id = incoming_id(rule.account, key)
        async with self._database.unit() as unit:
            store = Settlements(unit.connection)
            found = await store.received(settlement_id)
            if found is None:
                units, rest = carry(await store.left_over(rule.account), quantity, rule.scale)
                if units > MAX_UNITS:
                    raise BadInput("amount", f"{units} base units are more than a balance takes at once", "split it")
                found = Incoming(settlement_id, rule.account, quantity, units, credited=units == 0)
                await store.receive(found, self._clock())
                await store.leave_over(rule.account, rest)
                await unit.commit()
        if normal(found.quantity) != normal(quantity):
            raise OtherRequest(rule.account, key)
        return found

    async def _credit(self, received: Incoming) -> None:
        await self._balances.settle_in(received.account, Units(received.units), received.id)
        async with self._database.unit() as unit:
            await Settlements(unit.connection).credited(received.id)
            await unit.commit()

    async def _change(self, old: Outgoing, new: Outgoing) -> bool:
        """Write a change down if nobody else has changed it meanwhile. Returns whether it was."""
        async with self._database.unit() as unit:
            is_ours = await Settlements(unit.connection).change(old, new)
            await unit.commit()
        return is_ours
