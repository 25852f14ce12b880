"""Whole connectors, put together from configurations, that talk over real sockets."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, generate_latest

from infra.ports import free_port
from settlement.connector.accounts import AccountConfig
from settlement.connector.config import load_config, parse_config
from settlement.connector.routing.routes import Relation
from settlement.connector.runtime import Connector, LocalAccount, wall_clock
from settlement.ilp.errors import Code
from settlement.ilp.link import Reply
from settlement.ilp.packets import Fulfill, Reject, decode_prepare, encode
from tests.support.connector import EUR, Replies, fulfilment, make_prepare
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

LOCAL = AccountConfig("local", EUR, Relation.LOCAL, floor=None)


class Shop:
    """A receiver that fulfils what the test made with the seed it was told."""

    def __init__(self) -> None:
        self.seed = 0
        self.amounts: list[int] = []

    def __call__(self, prepare: bytes, reply: Reply) -> None:
        packet = decode_prepare(prepare)
        self.amounts.append(packet.amount)
        reply(encode(fulfilment(self.seed)))


@asynccontextmanager
async def pair(tmp_path: Path, transport: str) -> AsyncIterator[tuple[Connector, Connector, Shop]]:
    """A hub and its child, which is given its address by the hub where the transport lets it ask."""
    port, other = free_port(), free_port()
    token = "a-secret-of-both"
    hub_side: dict[str, object] = {"token": token}
    child_side: dict[str, object] = {"url": f"btp+ws://127.0.0.1:{port}/", "token": token}
    hub_listen, child_listen = {"btp": f"127.0.0.1:{port}"}, {}
    if transport == "http":
        hub_side |= {"url": f"http://127.0.0.1:{other}/ilp", "outgoing_token": token}
        child_side = {"url": f"http://127.0.0.1:{port}/ilp", "token": token, "outgoing_token": token}
        hub_listen, child_listen = {"http": f"127.0.0.1:{port}"}, {"http": f"127.0.0.1:{other}"}
    hub = parse_config(
        {
            "connector": {"address": "test.hub", "database": "sqlite:///hub.db"},
            "listen": hub_listen,
            "accounts": [
                {"id": "shop", "asset": "USD", "scale": 4, "relation": "child", "floor": "none", transport: hub_side}
            ],
            "rates": {"prices": {"EUR": "1.10", "USD": "1"}, "spread_bp": 100},
        },
        tmp_path,
    )
    child = parse_config(
        {
            "connector": {"database": "sqlite:///child.db"},
            "listen": child_listen,
            "accounts": [
                {"id": "hub", "asset": "USD", "scale": 4, "relation": "parent", "floor": "none", transport: child_side}
            ],
        },
        tmp_path,
    )
    shop = Shop()
    async with AsyncExitStack() as stack:
        usd = replace(LOCAL, asset=hub.peers[0].account.asset)
        hub_connector = await Connector.start(hub, local=LocalAccount(LOCAL, refuse))
        await stack.enter_async_context(hub_connector)
        child_connector = await Connector.start(child, local=LocalAccount(usd, shop))
        await stack.enter_async_context(child_connector)
        yield hub_connector, child_connector, shop


def refuse(prepare: bytes, reply: Reply) -> None:
    """A receiver that takes nothing."""
    reply(encode(Reject("F06", "test.hub", "nobody is here", b"")))


async def pay(connector: Connector, amount: int, destination: str, seed: int) -> Fulfill | Reject:
    """Send a packet from a connector's own account and wait for the reply."""
    replies = Replies()
    packet = make_prepare(amount, destination, seed=seed, expires_at=wall_clock() + 10_000)
    connector.send(encode(packet), replies)
    async with asyncio.timeout(PATIENCE_S):
        while not replies.all:
            await asyncio.sleep(0.001)
    return replies.only


@pytest.mark.parametrize("transport", ["btp", "http"])
async def test_packet_travels_between_connectors_and_both_keep_the_same_balance(tmp_path: Path, transport: str) -> None:
    """A child learns its address from its parent, is paid through it, and both have the same account afterwards."""
    async with pair(tmp_path, transport) as (hub, child, shop):
        assert child.address == "test.hub.shop"
        shop.seed = 7
        assert await pay(hub, 1_000, "test.hub.shop.till", 7) == fulfilment(7)
        assert shop.amounts == [10_8900], "10.00 EUR are 11.00 USD less one percent"
        assert await hub.balances.balance("shop") == 10_8900
        assert await child.balances.balance("hub") == -10_8900
        assert await child.balances.balance("local") == 10_8900
        refused = await pay(child, 500, "test.hub.nobody", 8)
        assert isinstance(refused, Reject)
        assert refused.code == Code.UNEXPECTED_PAYMENT, "the hub's own receiver answered"


async def test_operators_see_accounts_routes_rates_and_metrics(tmp_path: Path) -> None:
    """The views tell what happened, and a scrape has the same numbers."""
    async with pair(tmp_path, "btp") as (hub, child, shop):
        shop.seed = 1
        await pay(hub, 1_000, "test.hub.shop.till", 1)
        views = {view.id: view for view in await hub.account_views()}
        assert (views["shop"].balance, views["shop"].is_up, views["local"].fulfilled) == (10_8900, True, 1)
        assert hub.routes()["test.hub.shop"] == "shop"
        assert child.routes()["test"] == "hub"
        assert {view.asset for view in hub.rates() if view.is_current} == {"EUR", "USD"}
        registry = CollectorRegistry()
        registry.register(hub.metrics())
        scraped = generate_latest(registry).decode()
        assert 'causeway_connector_packets_total{account="local",code="",outcome="fulfilled"} 1.0' in scraped
        assert 'causeway_connector_balance_units{account="shop",asset="USD"} 108900.0' in scraped
        assert await hub.incidents() == []


async def test_balances_outlive_the_connector(tmp_path: Path) -> None:
    """A connector that is stopped and started again has the balances that it had."""
    async with pair(tmp_path, "btp") as (hub, _, shop):
        shop.seed = 1
        await pay(hub, 1_000, "test.hub.shop.till", 1)
    async with pair(tmp_path, "btp") as (hub, child, _):
        assert await hub.balances.balance("shop") == 10_8900
        assert await child.balances.balance("hub") == -10_8900


class Engine:
    """A settlement engine that notes what it is asked to pay."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.told = asyncio.Event()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/accounts", self.created)
        app.router.add_post("/accounts/{account}/settlements", self.settle)
        return app

    async def created(self, _: web.Request) -> web.Response:
        return web.Response(status=201)

    async def settle(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.told.set()
        return web.json_response(await request.json(), status=201)


async def test_what_is_owed_is_settled_by_the_engine_and_what_it_reports_is_credited(tmp_path: Path) -> None:
    """At the threshold the engine is asked for all that is owed; a payment that it reports raises the balance, once."""
    port, token = free_port(), "secret of the shop"
    engine, shop = Engine(), Shop()
    async with TestServer(engine.application()) as server, AsyncExitStack() as stack:
        account = {
            "id": "shop",
            "asset": "EUR",
            "scale": 2,
            "relation": "child",
            "floor": "0",
            "settle_threshold": "5.00",
            "btp": {"token": token},
            "settlement": {"url": str(server.make_url("/"))},
        }
        content = {
            "connector": {"address": "test.hub", "database": "sqlite:///hub.db"},
            "listen": {"btp": f"127.0.0.1:{port}", "settlement": "127.0.0.1:0"},
            "accounts": [account],
        }
        hub = await Connector.start(parse_config(content, tmp_path), local=LocalAccount(LOCAL, refuse))
        await stack.enter_async_context(hub)
        child_content = {
            "connector": {"database": "sqlite:///child.db"},
            "accounts": [
                {
                    "id": "hub",
                    "asset": "EUR",
                    "scale": 2,
                    "relation": "parent",
                    "floor": "none",
                    "btp": {"url": f"btp+ws://127.0.0.1:{port}/", "token": token},
                }
            ],
        }
        child = await Connector.start(parse_config(child_content, tmp_path), local=LocalAccount(LOCAL, shop))
        await stack.enter_async_context(child)
        shop.seed = 1
        await pay(hub, 600, "test.hub.shop.till", 1)
        async with asyncio.timeout(PATIENCE_S):
            await engine.told.wait()
        assert engine.asked == [{"amount": "600", "scale": 2}]
        assert await hub.balances.balance("shop") == 0
        assert hub.settlements is not None
        url = f"http://127.0.0.1:{hub.settlements.port}/accounts/shop/settlements"
        async with ClientSession() as client:
            for _ in range(2):
                headers = {"Idempotency-Key": "from-the-rail"}
                async with client.post(url, json={"amount": "2500", "scale": 3}, headers=headers) as answer:
                    assert answer.status == 201
        assert await hub.balances.balance("shop") == 250


SERVE = """
import asyncio, sys
from pathlib import Path
from settlement.connector.config import load_config
from settlement.connector.runtime import serve
asyncio.run(serve(load_config(Path(sys.argv[1]))))
"""


async def test_process_ends_in_order_when_told_to(tmp_path: Path) -> None:
    """A connector's process that gets SIGTERM ends with 0, and lets go of its balances."""
    path = tmp_path / "connector.toml"
    path.write_text('[connector]\naddress = "test.hub"\ndatabase = "sqlite:///hub.db"\n')
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(path), stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"connector.started" not in await child.stdout.readline():
            pass
        child.terminate()
        assert await child.wait() == 0
    async with await Connector.start(load_config(path)) as again:
        assert again.address == "test.hub"


async def test_process_that_waits_for_its_parent_ends_when_told_to(tmp_path: Path) -> None:
    """A connector whose parent never answers ends with 0 at SIGTERM, instead of waiting on."""
    path = tmp_path / "connector.toml"
    path.write_text(
        '[connector]\ndatabase = "sqlite:///child.db"\n[[accounts]]\nid = "up"\nasset = "EUR"\nscale = 2\n'
        f'relation = "parent"\nbtp = {{ url = "btp+ws://127.0.0.1:{free_port()}/", token = "secret" }}\n'
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(path), stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"connector.waits_for_parent" not in await child.stdout.readline():
            pass
        child.terminate()
        assert await child.wait() == 0
