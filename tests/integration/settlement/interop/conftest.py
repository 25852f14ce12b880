"""Our connector and `ilp-connector` side by side: Node processes, configurations of both, and payments between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.ports import free_port
from settlement.connector.config import parse_config
from settlement.connector.runtime import Connector, wall_clock
from settlement.ilp.addresses import Address
from settlement.ilp.link import Reply
from settlement.ilp.stream.client import Payment, StreamClient
from settlement.quantities import Asset, Scale, Units
from tests.support.node_scripts import ROOT, node_command
from tests.support.patience import PATIENCE_S

USD = Asset("USD", Scale(9))
PACKAGES = ("ilp-connector", "ilp-plugin-btp", "ilp-plugin-http", "ilp-protocol-stream")


class JsConnector:
    """`ilp-connector` with a STREAM endpoint behind it. Fields: address (its own)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._told: dict[str, asyncio.Queue[Any]] = {}
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self.address = ""

    @classmethod
    async def start(cls, accounts: dict[str, Any], address: str | None) -> JsConnector:
        """Start it; it is ready when `wait_ready` returns, for which its parent may have to answer."""
        config = {"accounts": accounts, "adminApi": True, "adminApiPort": free_port()}
        if address is not None:
            config["ilpAddress"] = address
        given = {"config": config, "endpoint": {"port": free_port(), "token": "of-the-endpoint"}}
        pipe = asyncio.subprocess.PIPE
        command = (*node_command("connector_node.js", *PACKAGES), json.dumps(given))
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT, limit=2**22)
        return cls(process)

    async def wait_ready(self) -> None:
        """Return when it forwards packets."""
        self.address = (await self.hear("ready")).removesuffix(".endpoint")

    async def ask(self, answer: str, **asked: Any) -> Any:
        """Tell it to do something, and wait for what it says of this kind."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return await self.hear(answer)

    async def hear(self, kind: str) -> Any:
        """The next thing of this kind that it says; what went wrong in it is this test's failure."""
        async with asyncio.timeout(PATIENCE_S):
            wanted, failed = (asyncio.ensure_future(self._queue(each).get()) for each in (kind, "failed"))
            done, _ = await asyncio.wait((wanted, failed), return_when=asyncio.FIRST_COMPLETED)
        for each in (wanted, failed):
            each.cancel()
        assert wanted in done, failed.result()
        return wanted.result()

    async def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    def _queue(self, kind: str) -> asyncio.Queue[Any]:
        return self._told.setdefault(kind, asyncio.Queue())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"{"):  # its log is text
                for kind, value in json.loads(line).items():
                    self._queue(kind).put_nowait(value)


class OwnSender:
    """The local account of a connector in this process, as a link for a STREAM sender."""

    is_up = True

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def send(self, prepare: bytes, reply: Reply) -> None:
        """See `Link.send`."""
        self._connector.send(prepare, reply)


class Neighbours:
    """Both connectors, and payments from one's endpoint to the other's."""

    def __init__(self, ours: Connector, theirs: JsConnector) -> None:
        self.ours = ours
        self.theirs = theirs

    async def pay_us(self, amount: int) -> dict[str, Any]:
        """JavaScript's endpoint pays our own account, `amount` in its units."""
        assert self.ours.payee is not None
        assert self.ours.payee._server is not None
        given = self.ours.payee._server.invite("shop")
        asked = {"address": given.address, "secret": given.shared_secret.hex(), "amount": str(amount)}
        paid: dict[str, Any] = await self.theirs.ask("paid", do="pay", **asked)
        return paid

    async def pay_them(self, amount: int) -> tuple[Payment, int]:
        """Our own account pays JavaScript's endpoint, `amount` in our units; also what it says that it received."""
        told = await self.theirs.ask("listening", do="listen")
        client = StreamClient(OwnSender(self.ours), wall_clock)
        payment = await client.pay(Address(told["address"]), bytes.fromhex(told["secret"]), Units(amount))
        return payment, int(await self.theirs.hear("closed"))

    async def routed(self, ours: str, theirs: str) -> None:
        """Return when we know a route to the prefix `ours`, and they one to the prefix `theirs`."""
        async with asyncio.timeout(PATIENCE_S):
            while ours not in self.ours.routes():
                await asyncio.sleep(0.02)
            while theirs not in await self.theirs.ask("routes", do="routes"):
                await asyncio.sleep(0.02)


Meet = Callable[..., Awaitable[Neighbours]]


@pytest.fixture
async def meet(tmp_path: Path) -> AsyncIterator[Meet]:
    """Starts our connector and `ilp-connector` as neighbours; ends them after the test."""
    async with AsyncExitStack() as stack:

        async def start(
            transport: str,
            relation: str,
            *,
            we_listen: bool = True,
            account: dict[str, Any] | None = None,
            more: dict[str, Any] | None = None,
        ) -> Neighbours:
            """`relation`: what they are to us. `account`: more of our account with them. `more`: accounts of theirs."""
            port, other = free_port(), free_port()
            ours, theirs, listen = sides(transport, port, other, we_listen)
            content = {
                "connector": {"database": "sqlite:///connector.db"},
                "listen": listen | {"spsp": "127.0.0.1:0"},
                "local": {"asset": "EUR", "scale": 9, "floor": "none", "payees": ["shop"]},
                "rates": {"prices": {"EUR": "1.10", "USD": "1"}},
                "accounts": [
                    {"id": "js", "asset": "USD", "scale": 9, "relation": relation, "floor": "none", transport: ours}
                    | (account or {})
                ],
            }
            if relation != "parent":
                content["connector"]["address"] = "test.ours"
            to_them = {"parent": "child", "child": "parent", "peer": "peer"}[relation]
            theirs |= {"relation": to_them, "assetCode": "USD", "assetScale": 9}
            js = await JsConnector.start({"ours": theirs} | (more or {}), None if relation == "child" else "test.js")
            stack.push_async_callback(js.stop)
            connector = await stack.enter_async_context(await Connector.start(parse_config(content, tmp_path)))
            await js.wait_ready()
            return Neighbours(connector, js)

        yield start


def sides(
    transport: str, port: int, other: int, we_listen: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Our account's transport, theirs, and where we listen. `port` is ours, `other` theirs."""
    if transport == "http":
        return (
            {"token": "to-us", "url": f"http://127.0.0.1:{other}/", "outgoing_token": "to-them"},
            {
                "plugin": "ilp-plugin-http",
                "options": {
                    "incoming": {"port": other, "staticToken": "to-them"},
                    "outgoing": {"url": f"http://127.0.0.1:{port}/ilp", "staticToken": "to-us"},
                },
            },
            {"http": f"127.0.0.1:{port}"},
        )
    if we_listen:
        options: dict[str, Any] = {"server": f"btp+ws://:of-both@127.0.0.1:{port}", "reconnectInterval": 20}
        return {"token": "of-both"}, {"plugin": "ilp-plugin-btp", "options": options}, {"btp": f"127.0.0.1:{port}"}
    return (
        {"url": f"btp+ws://127.0.0.1:{other}/", "token": "of-both"},
        {"plugin": "ilp-plugin-btp", "options": {"listener": {"port": other, "secret": "of-both"}}},
        {},
    )


@pytest.fixture
async def between(tmp_path: Path) -> AsyncIterator[tuple[Connector, JsConnector, JsConnector]]:
    """Our connector with an `ilp-connector` on each side: one over BTP, the other over HTTP, both its children."""
    async with AsyncExitStack() as stack:
        accounts, listen, started = [], {}, []
        for name, transport in (("left", "btp"), ("right", "http")):
            ours, theirs, where = sides(transport, free_port(), free_port(), True)
            account = {"id": name, "asset": "USD", "scale": 9, "relation": "child", "floor": "none", transport: ours}
            accounts.append(account)
            listen |= where
            theirs |= {"relation": "parent", "assetCode": "USD", "assetScale": 9}
            started.append(await JsConnector.start({"ours": theirs}, None))
            stack.push_async_callback(started[-1].stop)
        content = {
            "connector": {"address": "test.ours", "database": "sqlite:///connector.db"},
            "listen": listen,
            "accounts": accounts,
        }
        connector = await stack.enter_async_context(await Connector.start(parse_config(content, tmp_path)))
        left, right = started
        await asyncio.gather(left.wait_ready(), right.wait_ready())
        yield connector, left, right
