"""RFC 38 over HTTP: the connector's side, and messages between two engines through their connectors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.settle.messages import MESSAGE_CONDITION, SETTLE_ADDRESS, EngineMessages, MessageRefused
from settlement.connector.settle.outgoing import SettleRule
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import OtherSideFailed, Rfc38Client
from settlement.connector.settle.server import accounting_api
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.tables import METADATA
from settlement.ilp.link import LinkDown, Reply
from settlement.ilp.packets import Fulfill, Prepare, Reject, decode_prepare, decode_reply, encode
from settlement.quantities import Scale, Units
from tests.support.settling import MemoryBalances

TOKEN = "a token of the operator"
NOW = UnixMs(1_700_000_000_000)


class PeerWire:
    """Our link to the peer, which hands packets to the peer's connector at once."""

    is_up = True

    def __init__(self) -> None:
        self.peer: EngineMessages | None = None

    def send(self, prepare: bytes, reply: Reply) -> None:
        packet = decode_prepare(prepare)
        assert (packet.amount, packet.condition) == (0, MESSAGE_CONDITION)
        if self.peer is None:
            raise LinkDown("peer", "cut")
        self.peer("us", packet.destination, prepare, reply)


class EchoEngine:
    """The peer's engine: says a message backwards, and fails as it is told to."""

    def __init__(self) -> None:
        self.failure: OtherSideFailed | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def message(self, account: str, message: bytes) -> bytes:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return message[::-1]


class Scene:
    """A connector's server, the balances behind it, and its peer."""

    def __init__(self) -> None:
        self.balances = MemoryBalances({"bank": 0})
        self.wire = PeerWire()
        self.engine = EchoEngine()
        self.peer = EngineMessages({}, {"us": cast("Rfc38Client", self.engine)}, lambda: NOW)
        self.url = ""

    def client(self, token: str = TOKEN) -> Rfc38Client:
        return Rfc38Client(self.url, token=token)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene()
    scene.wire.peer = scene.peer
    database = await Database.open(f"sqlite:///{tmp_path / 'settle.db'}", Schema((METADATA,)))
    rules = {"bank": SettleRule("bank", Scale(2), 1_000)}
    settler = Settler(database, scene.balances, rules, {}, lambda: NOW)
    messages = EngineMessages({"bank": scene.wire}, {}, lambda: NOW)
    async with database, TestServer(accounting_api(settler, messages, TOKEN)) as server:
        scene.url = str(server.make_url("/"))
        yield scene
        await scene.peer.close()


async def test_an_engine_credits_an_account_over_http(scene: Scene):
    """A settlement is answered with 201 each time, and credited once."""
    async with scene.client() as client:
        for _ in range(2):
            await client.settle("bank", Quantity(1_234, 3), "key")
    assert scene.balances.balances["bank"] == 123


@pytest.mark.parametrize(
    ("account", "key", "body", "status"),
    [
        ("nobody", "key", b'{"amount": "1", "scale": 2}', 404),
        ("bank", "", b'{"amount": "1", "scale": 2}', 400),
        ("bank", "k" * 1_001, b'{"amount": "1", "scale": 2}', 400),
        ("bank", "key", b'{"amount": 1, "scale": 2}', 400),
        ("bank", "key", b"", 400),
        ("bank", "known", b'{"amount": "2", "scale": 2}', 422),
        ("bank", "key", b'{"amount": "' + b"1" * 70_000 + b'"}', 413),
    ],
)
async def test_a_bad_settlement_is_a_problem_and_moves_nothing(
    scene: Scene, account: str, key: str, body: bytes, status: int
):
    """Unknown accounts, keys and quantities that are none, and a key's second meaning are told apart."""
    async with scene.client() as client:
        await client.settle("bank", Quantity(1, 2), "known")
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{scene.url}accounts/{account}/settlements", data=body, headers=headers)
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert (await answer.json(content_type=None))["status"] == status
    assert scene.balances.balances["bank"] == 1


async def test_nobody_without_the_token_credits_anything(scene: Scene):
    """A caller without the operator's token, or with another one, is refused."""
    for token in ("", "another token"):
        async with scene.client(token) as client:
            with pytest.raises(OtherSideFailed) as refusal:
                await client.settle("bank", Quantity(1, 2), "key")
            assert refusal.value.status == 401
    assert scene.balances.balances["bank"] == 0


async def test_engine_of_one_account_credits_no_other(tmp_path: Path):
    """Where accounts' engines have tokens, each raises the balance of its own account alone, and a stranger's none."""
    balances = MemoryBalances({"bank": 0, "shop": 0})
    database = await Database.open(f"sqlite:///{tmp_path / 'settle.db'}", Schema((METADATA,)))
    rules = {name: SettleRule(name, Scale(2), 1_000) for name in ("bank", "shop")}
    settler = Settler(database, balances, rules, {}, lambda: NOW)
    tokens = {"bank": "the bank's engine", "shop": "the shop's engine"}
    api = accounting_api(settler, EngineMessages({}, {}, lambda: NOW), tokens=tokens)
    async with database, TestServer(api) as server:
        url = str(server.make_url("/"))
        for token in ("", tokens["shop"], "\udcff"):
            async with aiohttp.ClientSession() as session:
                headers = {"Authorization": f"Bearer {token}".strip(), "Idempotency-Key": "key"}
                answer = await session.post(
                    f"{url}accounts/bank/settlements", data=Quantity(1, 2).json(), headers=headers
                )
                assert answer.status == 401
        assert balances.balances["bank"] == 0
        async with Rfc38Client(url, token=tokens["bank"]) as engine:
            await engine.settle("bank", Quantity(1, 2), "key")
        assert balances.balances["bank"] == 1


async def test_balances_out_of_reach_are_a_reason_to_ask_again(scene: Scene):
    """While the balances are down the engine gets 503, and the repetition is credited."""
    scene.balances.is_down = True
    async with scene.client() as client:
        with pytest.raises(OtherSideFailed) as refusal:
            await client.settle("bank", Quantity(5, 2), "key")
        assert refusal.value.status == 503
        scene.balances.is_down = False
        await client.settle("bank", Quantity(5, 2), "key")
    assert scene.balances.balances["bank"] == 5


async def test_engines_talk_through_their_connectors(scene: Scene):
    """A message goes to the peer's engine in a packet, and its answer comes back; any bytes do."""
    async with scene.client() as client:
        assert await client.message("bank", b"\x00\xffhello") == b"olleh\xff\x00"
        assert await client.message("bank", b"") == b""


async def test_a_message_that_is_not_answered_is_said_to_be(scene: Scene):
    """A refusing engine, a link that is down, an unknown account and a message too long are errors, not answers."""
    scene.engine.failure = OtherSideFailed("message", 400, "no", b"why")
    async with scene.client() as client:
        for account, status in (("bank", 502), ("nobody", 502)):
            with pytest.raises(OtherSideFailed) as refusal:
                await client.message(account, b"x")
            assert refusal.value.status == status
        with pytest.raises(OtherSideFailed) as refusal:
            await client.message("bank", bytes(32_001))
        assert refusal.value.status == 400
        scene.wire.peer = None
        with pytest.raises(OtherSideFailed) as refusal:
            await client.message("bank", b"x")
        assert refusal.value.status == 503


async def handed(scene: Scene, account: str, destination: str = SETTLE_ADDRESS) -> Fulfill | Reject:
    prepare = encode(Prepare(Units(0), NOW, MESSAGE_CONDITION, SETTLE_ADDRESS, b"x"))
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    scene.peer(account, destination, prepare, done.set_result)
    return decode_reply(await done)


async def test_a_peer_without_an_engine_is_rejected(scene: Scene):
    """A packet to `peer.settle` of an account that no engine serves, or to another address, gets F00."""
    for answer in (await handed(scene, "stranger"), await handed(scene, "us", "peer.settle.more")):
        assert isinstance(answer, Reject)
        assert answer.code == "F00"


@pytest.mark.parametrize(("status", "code"), [(400, "F00"), (404, "F00"), (429, "T00"), (500, "T00"), (0, "T00")])
async def test_an_engine_failure_is_a_reject_of_its_kind(scene: Scene, status: int, code: str):
    """What the engine refuses is final for the peer, what fails is temporary, and the engine's words are passed on."""
    scene.engine.failure = OtherSideFailed("message", status, "no", b"why")
    answer = await handed(scene, "us")
    assert isinstance(answer, Reject)
    assert (answer.code, answer.data) == (code, b"why")


async def test_a_peer_cannot_flood_our_engine(scene: Scene):
    """While an engine is busy with eight messages of a peer, further ones are refused at once."""
    scene.engine.gate.clear()
    waiting = [asyncio.ensure_future(handed(scene, "us")) for _ in range(8)]
    await asyncio.sleep(0)
    refused = await handed(scene, "us")
    assert isinstance(refused, Reject)
    assert refused.code == "T03"
    scene.engine.gate.set()
    assert all(isinstance(answer, Fulfill) for answer in await asyncio.gather(*waiting))
    assert isinstance(await handed(scene, "us"), Fulfill)


async def test_an_answer_of_any_length_is_not_read():
    """A server that answers without end is given up, and redirects lead nowhere."""

    async def endless(request: web.Request) -> web.Response:
        return web.Response(status=201, body=bytes(100_000))

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/")

    app = web.Application()
    app.router.add_post("/accounts/long/messages", endless)
    app.router.add_post("/accounts/away/messages", away)
    async with TestServer(app) as server, Rfc38Client(str(server.make_url(""))) as client:
        for account in ("long", "away"):
            with pytest.raises(OtherSideFailed):
                await client.message(account, b"")
    async with client:
        with pytest.raises(OtherSideFailed) as refusal:
            await client.message("long", b"")
        assert refusal.value.status == 0


def test_an_engine_is_configured_by_a_url():
    """Anything but an http address is refused, naming the setting."""
    for url in ("", "127.0.0.1:3000", "file:///etc/passwd"):
        with pytest.raises(BadInput) as refusal:
            Rfc38Client(url)
        assert refusal.value.field == "settlement_engine.url"


async def test_a_silent_peer_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """A peer that never answers a message is an error after a while."""

    class Silent:
        is_up = True

        def send(self, prepare: bytes, reply: Reply) -> None:
            return

    monkeypatch.setattr("settlement.connector.settle.messages._LIFE_MS", 10)
    with pytest.raises(MessageRefused):
        await EngineMessages({"bank": Silent()}, {}, lambda: NOW).send("bank", b"x")
