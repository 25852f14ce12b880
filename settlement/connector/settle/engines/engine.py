"""A settlement engine: takes requests, has its rail pay them once each, and reports what comes in until it is heard.

Everything is in the database before it has an effect. After a crash, what is open goes on where it was.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from foundation.database import Database
from foundation.errors import BadInput, CausewayError, Retryable
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connector.settle.engines import core
from settlement.connector.settle.engines.core import Credit, Payment, PaymentStage, request_id
from settlement.connector.settle.engines.rail import Answer, PeerUnclear, Question, Rail, Verdict, read_question
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.quantity import Quantity, normal
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.together import together
from settlement.connector.settle.web import OtherRequest, UnknownAccount
from settlement.quantities import Clock

_ACCOUNT = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)
_AT_ONCE: Final = 16
_LOOK_MS: Final = 5_000
_UNDERWAY_MS: Final = 500
_log = structlog.get_logger(__name__)


class Engine:
    """One engine. `run` until cancelled; the other methods are what its HTTP service calls."""

    def __init__(
        self,
        database: Database,
        rail: Rail,
        connector: Rfc38Client,
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
        underway_ms: int = _UNDERWAY_MS,
    ) -> None:
        """Do nothing yet.

        Args:
            database: with `settlement.connector.settle.engines.tables`; no other engine's.
            rail: what pays and watches.
            connector: hears of what comes in, and carries messages to peers.
            clock: tells the time.
            chance: a random number from 0 to 1, for the waits.
            underway_ms: between two looks at a payment that is not final yet.
        """
        self._database = database
        self._rail = rail
        self._connector = connector
        self._clock = clock
        self._chance = chance
        self._underway_ms = underway_ms
        self._nudge = asyncio.Event()

    async def open_account(self, account: str) -> None:
        """Serve an account. Repeating it is harmless. Raises `BadInput` for an id that is not URL-safe."""
        if not _ACCOUNT.fullmatch(account):
            raise BadInput("id", f"{account[:80]!r} is no account id", "1 to 128 letters, digits and . _ ~ -")
        async with self._database.unit() as unit:
            await EngineStore(unit.connection).open_account(account)
            await unit.commit()
        self._nudge.set()

    async def close_account(self, account: str) -> None:
        """Take no more requests for an account; what is owed and under way is still paid. Raises `UnknownAccount`."""
        async with self._database.unit() as unit:
            store = EngineStore(unit.connection)
            await _check_open(store, account)
            await store.open_account(account, is_open=False)
            await unit.commit()

    async def settle(self, account: str, quantity: Quantity, key: str) -> None:
        """Take a request to pay. The same key again is the same request, and is paid once.

        Raises:
            UnknownAccount: it is not served.
            OtherRequest: the key was used for another quantity.
        """
        name, terms = request_id(account, key), self._rail.terms
        async with self._database.unit() as unit:
            store = EngineStore(unit.connection)
            known = await store.request(name)
            if known is None:
                await _check_open(store, account)
                units, rest = core.owe(await store.left_over(account), quantity, terms.scale, terms.least)
                await store.take_request(name, account, quantity, self._clock())
                await store.leave_over(account, rest)
                if units:
                    await store.put_payment(Payment(name, account, units))
                await unit.commit()
        if known is not None and normal(known) != normal(quantity):
            raise OtherRequest(account, key)
        self._nudge.set()

    async def message(self, account: str, message: bytes) -> bytes:
        """Answer the engine of an account's peer. Raises `UnknownAccount`, `BadInput`."""
        async with self._database.view() as view:
            await _check_open(EngineStore(view.connection), account)
        answer = await self._rail.answer(account, read_question(message))
        self._nudge.set()
        return msgspec.json.encode(answer)

    async def run(self) -> None:
        """Pay, watch and report, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kept_up(self._work, "work"), name="settlement payments")
            group.create_task(
                self._kept_up(lambda: self._rail.watch(self._nudge.set), "watch"), name="settlement watch"
            )

    async def round(self) -> UnixMs:
        """Do all that is due now; returns when something is due again. Raises `DatabaseUnavailable`."""
        now = self._clock()
        async with self._database.view() as view:
            store = EngineStore(view.connection)
            payments, came_in = await store.open_payments(), await store.unreported()
        limit = asyncio.Semaphore(_AT_ONCE)

        async def limited(job: Awaitable[Payment | Credit]) -> Payment | Credit:
            async with limit:
                return await job

        jobs: list[Awaitable[Payment | Credit]] = [self._pay(one) for one in payments if one.next_at <= now]
        jobs += [self._report(one) for one in came_in if one.next_at <= now]
        done = await together(limited(job) for job in jobs)
        waiting: list[Payment | Credit] = [*payments, *came_in]
        dues = [one.next_at for one in waiting if one.next_at > now]
        dues += [one.next_at for one in done if _is_open(one)]
        return min(dues, default=UnixMs(now + _LOOK_MS))

    async def _work(self) -> None:
        while True:
            self._nudge.clear()
            due = await self.round()
            try:
                async with asyncio.timeout(min(max(due - self._clock(), 1), _LOOK_MS) / 1000):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def _kept_up(self, job: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a job for ever; what may pass is waited for."""
        failures = 0
        while True:
            try:
                await job()
            except Retryable as error:
                _log.warning("a settlement engine waits", job=name, problem=str(error))
                await asyncio.sleep(min(0.1 * 2**failures, 10))
                failures = min(failures + 1, 10)
            else:
                failures = 0

    async def _pay(self, payment: Payment) -> Payment:
        try:
            if payment.stage is PaymentStage.OWED:
                payment = await self._keep(core.aimed(payment, await self._rail.meet(payment.account, self._ask)))
            verdict = await self._rail.pay(payment, self._ask)
        except Retryable as error:
            _log.warning("a payment waits", account=payment.account, payment=payment.id, problem=str(error))
            return await self._keep(core.waits(payment, self._clock(), self._chance()))
        except CausewayError as error:
            # Fatal: it may have been paid or not, and sending again could pay twice.
            _log.error("a payment is stuck", account=payment.account, payment=payment.id, problem=str(error))
            return await self._keep(core.stuck(payment))
        if verdict is Verdict.UNDERWAY:
            return replace(payment, next_at=UnixMs(self._clock() + self._underway_ms))
        _log.info("a payment ended", account=payment.account, payment=payment.id, verdict=verdict.value)
        if verdict is Verdict.WITHOUT_EFFECT:
            return await self._keep(core.without_effect(payment, self._clock(), self._chance()))
        return await self._keep(core.paid(payment) if verdict is Verdict.PAID else core.stuck(payment))

    async def _keep(self, payment: Payment) -> Payment:
        async with self._database.unit() as unit:
            await EngineStore(unit.connection).put_payment(payment)
            await unit.commit()
        return payment

    async def _report(self, credit: Credit) -> Credit:
        """Tell the connector of money that came in, under a key that is the event's own."""
        assert credit.account is not None, "what nobody claimed is not reported"
        try:
            quantity = Quantity(credit.units, self._rail.terms.scale)
            await self._connector.settle(credit.account, quantity, credit.id)
            credit = replace(credit, reported=True)
        except Retryable as error:
            _log.warning("the connector does not hear of a settlement", account=credit.account, problem=str(error))
            credit = core.unheard(credit, self._clock(), self._chance())
        async with self._database.unit() as unit:
            await EngineStore(unit.connection).change_credit(credit)
            await unit.commit()
        return credit

    async def _ask(self, account: str, question: Question) -> Answer:
        answer = await self._connector.message(account, msgspec.json.encode(question))
        try:
            return msgspec.json.decode(answer, type=Answer)
        except UNREADABLE as error:
            raise PeerUnclear(account, str(error)) from error


def _is_open(one: Payment | Credit) -> bool:
    return not one.reported if isinstance(one, Credit) else one.stage in core.OPEN


async def _check_open(store: EngineStore, account: str) -> None:
    if account not in await store.accounts():
        raise UnknownAccount(account)
