"""A bank's gateway in the town of three, with its REST interface and keys to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import httpx

from api.principals import KeyStore, Limits, Scope, new_key
from api.server import Serving, serve_api
from api.settings import ApiSettings
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.gateway.process import Running
from settlement.quantities import PartyId
from tests.support.patience import PATIENCE_S
from tests.support.settlement_gateway import BUYER, EURO, EURO_LEDGER, SELLER, A, Town

QUOTE: Final[dict[str, Any]] = {
    "payee": "bank-b",
    "clearing": "clearing",
    "source_ledger": "digital-euro",
    "target": {"ledger": "digital-yuan", "amount": "2000.00", "currency": "CNY", "scale": 2},
}
PEOPLE: Final[dict[str, Any]] = {
    "debtor": {"account": BUYER.account},
    "creditor": {"account": SELLER.account, "country": "SG", "kind": "legal"},
    "purpose": "GDDS",
}


def terms(amount: str = "2000.00", most: str = "1001.00") -> dict[str, Any]:
    """A payment that names no quote."""
    target = {**QUOTE["target"], "amount": amount}
    source = {"ledger": "digital-euro", "amount_max": most, "currency": "EUR"}
    return {"payee": "bank-b", "clearing": "clearing", "source": source, "target": target, **PEOPLE}


@dataclass
class ApiTown:
    """Fields: town; serving (bank A's interface); client (with a key that may do everything)."""

    town: Town
    serving: Serving
    client: httpx.AsyncClient
    keys: int = 0
    numbers: list[str] = field(default_factory=list)

    async def post(self, path: str, body: Any, key: str | None = None) -> httpx.Response:
        """A POST, with a fresh key where none is named."""
        self.keys += 1
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key or f"key-{self.keys}"})


def running(town: Town, party: Any = A) -> Running:
    """What `serve_api` serves."""
    gateway = town.gateways[party]
    parts = gateway._parts
    ledgers = {name: getattr(ledger, "ledger", ledger) for name, ledger in parts.ledgers.items()}
    return cast(Running, SimpleNamespace(gateway=gateway, parts=replace(parts, ledgers=ledgers)))


async def make_key(town: Town, name: str, *scopes: Scope, limits: Limits | None = None, party: Any = A) -> str:
    """A new API key of a principal."""
    key, row = new_key(name, name, frozenset(scopes or Scope), limits or Limits(10_000, 10_000), town.clock())
    async with town.gateways[party]._parts.database.unit() as unit:
        await KeyStore(unit.connection).add(row)
        await unit.commit()
    return key


@asynccontextmanager
async def api_town(
    folder: Path,
    settings: ApiSettings | None = None,
    with_books: bool = False,
    party_rules: dict[PartyId, bytes] | None = None,
    **options: Any,
) -> AsyncIterator[ApiTown]:
    """The town, and bank A's interface on a free port."""
    made, chosen = Town(folder, **options), settings or ApiSettings()
    made.rules.update(party_rules or {})
    if with_books:
        made.books[A] = cast(Any, GatewayBooks(A, {str(EURO_LEDGER): EURO}, bytes(32)))
    async with made as town, serve_api(running(town), "127.0.0.1", 0, chosen) as serving:
        key = await make_key(town, "shop")
        async with httpx.AsyncClient(
            base_url=serving.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        ) as client:
            yield ApiTown(town, serving, client)


async def ended(bank: ApiTown, path: str) -> dict[str, Any]:
    """The payment once its receipt is signed, or it has ended otherwise."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: dict[str, Any] = (await bank.client.get(path)).json()
            if found["stage"] in ("closed", "failed", "back"):
                return found
            await asyncio.sleep(0.02)
