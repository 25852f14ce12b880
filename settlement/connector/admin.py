"""What operators may ask a running connector: a small REST service of GETs, behind a bearer token.

`/` (address, and where it listens), `/accounts`, `/accounts/{account}/statement`, `/routes`, `/rates`, `/incidents`,
`/metrics` (Prometheus). Amounts are text in base units, since JSON's readers lose digits above 2^53. Nothing here moves
money or changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.balances.model import Incident
from settlement.connector.config_local import AdminConfig
from settlement.connector.settle.web import UnknownAccount, application
from settlement.connector.statements import SettlementView
from settlement.connector.views import AccountView, RateView

_LIMIT_MAX: Final = 10_000
_SHUTDOWN_SECONDS: Final = 1.0


class Observed(Protocol):
    """A running connector, as far as operators see it."""

    @property
    def address(self) -> str:
        """Its ILP address."""

    async def account_views(self) -> tuple[AccountView, ...]:
        """All accounts."""

    async def settlements_of(self, account: str, after: tuple[UnixMs, str], limit: int) -> Sequence[SettlementView]:
        """An account's settlements, oldest first."""

    def routes(self) -> Mapping[str, str]:
        """Account ids by prefix."""

    def rates(self) -> Sequence[RateView]:
        """All prices that are known."""

    async def incidents(self, after: int, limit: int) -> Sequence[tuple[int, Incident]]:
        """What operators must look at."""

    def metrics(self) -> Collector:
        """For Prometheus."""

    def ports(self) -> Mapping[str, int]:
        """Where it listens, by what for."""


class Admin:
    """The service. Fields: port (0 before `start`)."""

    def __init__(self, config: AdminConfig, connector: Observed) -> None:
        self.port = 0
        self._config = config
        self._runner = web.AppRunner(
            admin_api(connector, config.token), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )

    async def start(self) -> None:
        """Listen. Raises OSError where the port cannot be bound."""
        await self._runner.setup()
        listen = self._config.listen
        await web.TCPSite(self._runner, listen.host, listen.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Answer nobody any more."""
        await self._runner.cleanup()


def admin_api(connector: Observed, token: str) -> web.Application:
    """The application. `token`: what operators show as a bearer token; never empty."""
    assert token, "checked by the configuration"

    async def about(_: web.Request) -> web.Response:
        return _json({"address": connector.address, "listens": dict(connector.ports())})

    async def accounts(_: web.Request) -> web.Response:
        return _json([_account(view) for view in await connector.account_views()])

    async def statement(request: web.Request) -> web.Response:
        name = request.match_info["account"]
        view = next((view for view in await connector.account_views() if view.id == name), None)
        if view is None:
            raise UnknownAccount(name)
        after = UnixMs(_number(request, "after_ms", 0, 2**62)), request.query.get("after_key", "")
        settled = await connector.settlements_of(name, after, _number(request, "limit", 1_000, _LIMIT_MAX))
        return _json({"account": _account(view), "settlements": [_settlement(each) for each in settled]})

    async def routes(_: web.Request) -> web.Response:
        known = sorted(connector.routes().items())
        return _json([{"prefix": prefix, "account": account or None} for prefix, account in known])

    async def rates(_: web.Request) -> web.Response:
        return _json([_rate(view) for view in connector.rates()])

    async def incidents(request: web.Request) -> web.Response:
        after, limit = _number(request, "after", 0, 2**62), _number(request, "limit", 1_000, _LIMIT_MAX)
        return _json([_incident(number, each) for number, each in await connector.incidents(after, limit)])

    async def metrics(_: web.Request) -> web.Response:
        registry = CollectorRegistry()
        registry.register(connector.metrics())
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = application(token)
    app.router.add_get("/", about)
    app.router.add_get("/accounts", accounts)
    app.router.add_get("/accounts/{account}/statement", statement)
    app.router.add_get("/routes", routes)
    app.router.add_get("/rates", rates)
    app.router.add_get("/incidents", incidents)
    app.router.add_get("/metrics", metrics)
    return app


def _account(view: AccountView) -> dict[str, Any]:
    return {
        "id": view.id,
        "asset": {"code": view.asset.code, "scale": int(view.asset.scale)},
        "relation": view.relation,
        "is_up": view.is_up,
        "balance": str(view.balance),
        "held_in": str(view.held_in),
        "held_out": str(view.held_out),
        "floor": None if view.floor is None else str(view.floor),
        "ceiling": None if view.ceiling is None else str(view.ceiling),
        "volume_in": str(view.volume_in),
        "volume_out": str(view.volume_out),
        "received": view.received,
        "fulfilled": view.fulfilled,
        "refused": dict(view.refused),
        "rejected": dict(view.rejected),
    }


def _settlement(view: SettlementView) -> dict[str, Any]:
    return {
        "key": view.key,
        "amount": str(view.amount),
        "direction": view.direction.value,
        "is_undone": view.is_undone,
        "at_ms": view.at,
    }


def _rate(view: RateView) -> dict[str, Any]:
    price = view.price
    return {
        "asset": view.asset,
        "price": {"numerator": str(price.numerator), "denominator": str(price.denominator)},
        "expires_at_ms": str(price.expires_at),
        "is_current": view.is_current,
    }


def _incident(number: int, incident: Incident) -> dict[str, Any]:
    return {
        "number": number,
        "kind": incident.kind.value,
        "account": incident.account,
        "amount": str(incident.amount),
        "condition": incident.condition.hex(),
        "at_ms": incident.at,
    }


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
        raise BadInput(name, "no whole number, or too large", f"0 to {most}")
    return int(text)


def _json(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
