"""A gateway that only remembers, for tests of the REST interface by itself."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI

from api.app import make_app
from api.ports import (
    AccountShown,
    ApprovalWanted,
    DecisionShown,
    EventShown,
    LegShown,
    LineShown,
    MomentShown,
    Money,
    NoQuote,
    NotPossible,
    PaymentShown,
    PaymentWanted,
    QuoteShown,
    QuoteWanted,
    RateShown,
    ReasonShown,
    StatementShown,
    Unknown,
)
from api.principals import KeyStore, Limits, Scope, new_key
from api.settings import ApiSettings
from api.tables import SCHEMA
from foundation.database import Database, DatabaseUnavailable, Moment
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Asset, Scale

EURO: Final = Asset("EUR", Scale(2))
YUAN: Final = Asset("CNY", Scale(2))
NOW: Final = UnixMs(1_795_000_000_000)
SECRET: Final = bytes(range(32))
CUSTOMER: Final = "DE02120300000000202051"
PAYMENT: dict[str, Any] = {
    "payee": "bank-b",
    "clearing": "clearing",
    "source": {"ledger": "digital-euro", "amount_max": "1001.00", "currency": "EUR"},
    "target": {"ledger": "digital-yuan", "amount": "2000.00", "currency": "CNY", "scale": 2},
    "debtor": {"account": CUSTOMER},
    "creditor": {"account": "SG-0042-1717", "country": "SG", "kind": "legal"},
    "purpose": "GDDS",
}
QUOTE = {"payee": "bank-b", "clearing": "clearing", "source_ledger": "digital-euro", "target": PAYMENT["target"]}


class FakeGateway:
    """Implements `GatewayPort`. Payments stand still; tests move them by `happen`."""

    def __init__(self) -> None:
        self.clock = NOW
        self.shown: dict[bytes, PaymentShown] = {}
        self.begun: list[PaymentWanted] = []
        self.happened: list[EventShown] = []
        self.listeners: list[Callable[[], None]] = []
        self.cost: int | None = None
        self.quoted = 0
        self.trouble: Exception | None = None
        self.approvals: list[ApprovalWanted] = []

    @property
    def party(self) -> str:
        return "bank-a"

    def now(self) -> UnixMs:
        return self.clock

    def asset(self, ledger: str) -> Asset | None:
        return EURO if ledger == "digital-euro" else None

    def assets(self) -> dict[str, Asset]:
        return {"EUR": EURO}

    async def quote(self, wanted: QuoteWanted, *, firm: bool) -> QuoteShown:
        self._troubled()
        if wanted.source_ledger != "digital-euro":
            raise BadInput("source_ledger", "we have no account on such a ledger", "digital-euro")
        if wanted.target.asset != YUAN or wanted.target_ledger != "digital-yuan":
            raise NoQuote("no_route", "no way there")
        cost = self.cost or wanted.target.units // 2 + 100
        if cost > MAX_UNITS:
            raise NoQuote("no_route", "too much")
        self.quoted += firm
        number = bytes([self.quoted]) * 32 if firm else b""
        ends = UnixMs(self.clock + 60_000)
        return QuoteShown(wanted, Money(EURO, cost), Money(EURO, 100), 2, 1, ends, number, number)

    async def pay(self, wanted: PaymentWanted) -> None:
        self._troubled()
        if wanted.debtor != CUSTOMER:
            raise BadInput("debtor.account", "this bank has no such account", "name a customer's account")
        await self.quote(wanted.wanted, firm=False)
        if wanted.payment_id in self.shown:
            return
        self.begun.append(wanted)
        asked = wanted.wanted
        self.shown[wanted.payment_id] = PaymentShown(
            wanted.payment_id,
            *("payer", "asking", "pending", "", "bank-a", asked.clearing, asked.payee),
            LegShown(asked.source_ledger, "bank-a", wanted.source_max, True),
            LegShown(asked.target_ledger, "", asked.target),
            None,
            self.clock,
            self.clock,
        )
        self.happen(wanted.payment_id, "asking")

    def happen(self, payment_id: bytes, stage: str, note: str = "") -> None:
        """A payment comes to stand elsewhere."""
        event = EventShown(len(self.happened) + 1, payment_id, stage, note, self.clock)
        self.happened.append(event)
        if payment_id in self.shown:
            self.shown[payment_id] = replace(self.shown[payment_id], stage=stage)
        for listener in tuple(self.listeners):
            listener()

    async def payment(self, payment_id: bytes) -> PaymentShown:
        if payment_id not in self.shown:
            raise Unknown("payment")
        lines = [one for one in self.happened if one.payment_id == payment_id]
        history = tuple(MomentShown(one.at, one.stage, one.note) for one in lines)
        return replace(self.shown[payment_id], history=history)

    async def payments(
        self, limit: int, before: tuple[UnixMs, bytes] | None, statuses: Sequence[str]
    ) -> tuple[PaymentShown, ...]:
        found = sorted(self.shown.values(), key=lambda one: (one.created_at, one.payment_id), reverse=True)
        return tuple(
            one
            for one in found
            if (before is None or (one.created_at, one.payment_id) < before)
            and (not statuses or one.status in statuses)
        )[:limit]

    async def cancel(self, payment_id: bytes, reason: str) -> None:
        found = await self.payment(payment_id)
        if found.status != "pending":
            raise NotPossible("the payment has ended")
        self.shown[payment_id] = replace(self.shown[payment_id], status="failed", reason=f"cancelled: {reason}")
        self.happen(payment_id, "failed", "cancelled")

    async def decision(self, payment_id: bytes) -> DecisionShown:
        await self.payment(payment_id)
        reason = ReasonShown("large", "refer", "two persons have to agree")
        people = tuple(one.person for one in self.approvals)
        return DecisionShown(bytes(32), "refer", bytes(32), self.clock, (reason,), people)

    async def approve(self, payment_id: bytes, approval: ApprovalWanted, principal: str) -> None:
        await self.payment(payment_id)
        self.approvals.append(approval)

    async def accounts(self) -> tuple[AccountShown, ...]:
        self._troubled()
        money = Money(EURO, 100_000)
        return (AccountShown("digital-euro", "bank-a", money, Money(EURO, 0), Money(EURO, 0), money),)

    async def statement(self, ledger: str, since: UnixMs, until: UnixMs, after: int, limit: int) -> StatementShown:
        if ledger != "digital-euro":
            raise BadInput("ledger", "we have no account on such a ledger", "digital-euro")
        line = LineShown(1, NOW, Money(EURO, -100), Money(EURO, 900), "clearing", bytes(32), bytes(32))
        is_in = since <= NOW < until and after < 1
        lines = (line,) if is_in else ()
        closing = 900 if is_in or since > NOW or after >= 1 else 1000
        return StatementShown(ledger, "bank-a", Money(EURO, closing + 100 * is_in), Money(EURO, closing), lines, None)

    async def receipt(self, payment_id: bytes) -> bytes:
        await self.payment(payment_id)
        raise NotPossible("there is no receipt before all three parties have signed")

    def rates(self) -> tuple[RateShown, ...]:
        bounds = Money(YUAN, 1), Money(YUAN, MAX_UNITS)
        return (RateShown("digital-euro", "digital-yuan", EURO, YUAN, (2, 1), 0, Money(EURO, 100), *bounds, None),)

    async def events(self, after: int, limit: int) -> tuple[EventShown, ...]:
        return tuple(self.happened[after : after + limit])

    async def last_event(self) -> int:
        return len(self.happened)

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def _troubled(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class Crashing:
    """A commit hook that fails once: before the commit of a number, or after it."""

    def __init__(self, at: int, moment: Moment) -> None:
        self.at = at
        self.moment = moment
        self.seen = 0
        self.has_crashed = False

    async def __call__(self, moment: Moment) -> None:
        if moment is not self.moment or self.has_crashed:
            return
        self.seen += 1
        if self.seen == self.at:
            self.has_crashed = True
            raise DatabaseUnavailable("the process was killed here")


class Api:
    """The interface in process. Fields: gateway; database; app; client (with a key that may do everything)."""

    def __init__(self, gateway: FakeGateway, database: Database, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.database = database
        self.app = app
        self.client = client

    async def key(self, name: str, *scopes: Scope, limits: Limits | None = None) -> dict[str, str]:
        """The header of a new principal."""
        chosen = limits or Limits(10_000, 100_000)
        key, row = new_key(name, name, frozenset(scopes or Scope), chosen, self.gateway.now())
        async with self.database.unit() as unit:
            await KeyStore(unit.connection).add(row)
            await unit.commit()
        return {"Authorization": f"Bearer {key}"}

    async def post(self, path: str, body: object, key: str = "k1", **options: str) -> httpx.Response:
        """A POST of JSON."""
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key, **options})


@asynccontextmanager
async def open_api(
    folder: Path,
    gateway: FakeGateway | None = None,
    settings: ApiSettings | None = None,
    url: str = "",
    secret: bytes = SECRET,
) -> AsyncIterator[Api]:
    """The interface over a fake gateway and a database of its own, kept in `folder`."""
    gateway = gateway or FakeGateway()
    async with await Database.open(url or f"sqlite:///{folder / 'api.db'}", SCHEMA) as database:
        app = make_app(gateway, database, secret, settings or ApiSettings())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            api = Api(gateway, database, app, client)
            async with database.view() as view:
                is_known = await KeyStore(view.connection).get("shop") is not None
            if not is_known:
                client.headers.update(await api.key("shop"))
            yield api


def changed(path: str, value: object) -> dict[str, Any]:
    body = copy.deepcopy(PAYMENT)
    *outer, last = path.split(".")
    inner = body
    for name in outer:
        inner = inner[name]
    inner[last] = value
    return body


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["status"]) == (status, status), found
    assert found["type"] == f"urn:causeway:problem:{name}", found
    return found
