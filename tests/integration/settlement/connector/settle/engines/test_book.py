"""Engines as processes that settle by holds in a real book, and are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import OtherSideFailed, Rfc38Client
from settlement.connector.settle.web import answered, application, message_of, settled, settlement_of
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import LEDGER, Bank

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[6]
CONFIG = """
database = "sqlite:///{name}.db"
connector = "{connector}"
port = {port}
token_file = "token"

[book]
url = "{book}"
ledger_id = "{ledger}"
account = "{name}"
asset = "EUR"
scale = 2
key_file = "{name}.key"
secret_file = "{name}.secret"
hold_ms = 5000
"""


class Connector:
    """A connector's side: hears of settlements, and passes messages to the other engine."""

    def __init__(self, name: str, peer: str) -> None:
        self.name, self.peer = name, peer
        self.heard: dict[str, int] = {}
        self.credited = asyncio.Event()
        self.peer_engine: Rfc38Client | None = None

    def app(self) -> web.Application:
        async def settle(request: web.Request) -> web.Response:
            _, quantity, key = await settlement_of(request)
            assert self.heard.setdefault(key, quantity.amount) == quantity.amount
            self.credited.set()
            return settled(quantity)

        async def message(request: web.Request) -> web.Response:
            _, content = await message_of(request)
            assert self.peer_engine is not None
            return answered(await self.peer_engine.message(self.name, content))

        app = application("token of both")
        app.router.add_post("/accounts/{account}/settlements", settle)
        app.router.add_post("/accounts/{account}/messages", message)
        return app


class Process:
    """An engine's process."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Start it; its URL."""
        command = [sys.executable, "-m", "settlement.connector.settle.engines", str(self.folder / f"{self.name}.toml")]
        log = (self.folder / f"{self.name}.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env={**os.environ}, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        log.close()
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode().strip()
        assert line.startswith("http://"), (self.folder / f"{self.name}.log").read_text()
        return line

    async def end(self, number: signal.Signals) -> int:
        """Send it a signal, and wait for its end; the exit status."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    async with Bank(f"sqlite:///{tmp_path / 'book.db'}") as bank:
        yield bank


async def test_engines_that_are_killed_pay_once_in_a_book(tmp_path: Path, bank: Bank):
    """Two engine processes settle through a book; both are killed in the middle, and every request is paid once."""
    payer, payee = await bank.account("one", 100_000), await bank.account("other")
    (tmp_path / "token").write_text("token of both\n")
    one, other = Connector("one", "other"), Connector("other", "one")
    async with TestServer(one.app()) as first, TestServer(other.app()) as second, contextlib.AsyncExitStack() as stack:
        processes = {}
        clients = {}
        for name, server in (("one", first), ("other", second)):
            (tmp_path / f"{name}.key").write_text(bank.keys[name])
            (tmp_path / f"{name}.secret").write_text(os.urandom(32).hex())
            text = CONFIG.format(name=name, connector=str(server.make_url("")), port=0, book=bank.url, ledger=LEDGER)
            (tmp_path / f"{name}.toml").write_text(text)
            processes[name] = Process(tmp_path, name)
            url = await processes[name].start()
            stack.push_async_callback(processes[name].end, signal.SIGKILL)
            # From here on it keeps its port, as an operator's engine does.
            (tmp_path / f"{name}.toml").write_text(text.replace("port = 0", f"port = {url.rpartition(':')[2]}"))
            clients[name] = await stack.enter_async_context(Rfc38Client(url, token="token of both"))
        one.peer_engine, other.peer_engine = clients["other"], clients["one"]
        await clients["one"].create_account("other")
        await clients["other"].create_account("one")
        for number in range(6):
            await clients["one"].settle("other", Quantity(100 + number, 2), f"key{number}")
            if number in (1, 3):
                name = "one" if number == 1 else "other"
                await processes[name].end(signal.SIGKILL)
                await processes[name].start()
        async with asyncio.timeout(PATIENCE_S):
            while sum(other.heard.values()) < 615:
                other.credited.clear()
                await other.credited.wait()
        assert (await payee.account()).balance == 615
        view = await payer.account()
        assert (view.balance, view.held) == (100_000 - 615, 0)
        assert len(other.heard) == 6
        with pytest.raises(OtherSideFailed) as refusal:
            await clients["one"].settle("stranger", Quantity(1, 2), "key")
        assert refusal.value.status == 404
        for process in processes.values():
            assert await process.end(signal.SIGTERM) == 0
