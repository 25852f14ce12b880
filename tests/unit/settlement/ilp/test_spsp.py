"""Payment pointers and SPSP, asked and answered over loopback."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from foundation.errors import BadInput
from settlement.ilp.addresses import Address
from settlement.ilp.spsp import (
    CONTENT_TYPE,
    SpspRefused,
    SpspUnavailable,
    answer_of,
    query,
    receipts_asked,
    resolve,
    route,
)
from settlement.ilp.stream.client import StreamClient
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.ilp.stream.server import StreamServer
from settlement.quantities import Asset, Scale, Units
from tests.support.stream_path import Hop, clock

EUR = Asset("EUR", Scale(2))
Serve = Callable[[web.RouteDef], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve one route on loopback; answers with the host and port."""
    servers: list[TestServer] = []

    async def start(definition: web.RouteDef) -> str:
        application = web.Application()
        application.add_routes([definition])
        server = TestServer(application)
        await server.start_server()
        servers.append(server)
        return f"{server.host}:{server.port}"

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("pointer", "url"),
    [
        ("$example.com", "https://example.com/.well-known/pay"),
        ("$example.com/", "https://example.com/.well-known/pay"),
        ("$example.com/invoices/12345", "https://example.com/invoices/12345"),
        ("$bob.example.com", "https://bob.example.com/.well-known/pay"),
        ("$example.com/bob", "https://example.com/bob"),
        ("https://example.com/spsp/alice", "https://example.com/spsp/alice"),
    ],
)
def test_pointers_resolve_as_the_rfc_shows(pointer: str, url: str) -> None:
    """Each example of RFC 26 leads to its endpoint."""
    assert resolve(pointer) == url


@pytest.mark.parametrize(
    "pointer",
    [
        "",
        "$",
        "example.com",
        "$bob@example.com",
        "$example.com:8080/bob",
        "$example.com/bob?amount=1",
        "$example.com/bob#x",
        "$exämple.com",
        "$example.com/b ob",
        "$example.com/bob\r\nHost: evil",
        "http://example.com/bob",
        "https://example.com/bob?x=1",
        "https://bank.example@evil.example/",
        "ftp://example.com/",
        "$-",
    ],
)
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """Users, ports, queries, fragments, other schemes and characters that deceive are refused."""
    with pytest.raises(BadInput):
        resolve(pointer)


def test_plain_http_is_for_loopback_alone() -> None:
    """The switch for tests does not let a secret cross a network unencrypted."""
    assert resolve("$127.0.0.1:80/bob", insecure=True) == "http://127.0.0.1:80/bob"
    assert resolve("$localhost/bob", insecure=True) == "http://localhost/bob"
    for pointer in ("$example.com/bob", "$127.0.0.1.example.com", "http://10.0.0.1/"):
        with pytest.raises(BadInput):
            resolve(pointer, insecure=True)


async def test_a_pointer_is_paid(serve: Serve, http: aiohttp.ClientSession) -> None:
    """From a payment pointer to money that arrived; each query gets a secret of its own."""
    server = StreamServer(Address("test.bank"), os.urandom(32), clock, asset=EUR)

    async def answerer(path: str, receipts: ReceiptKey | None) -> bytes | None:
        if path != "/bob":
            return None
        return answer_of(server.invite("bob", receipts), asset=EUR, outstanding=500, name="Bob")

    host = await serve(route("/{name}", answerer))
    payee, other = [await query(http, f"${host}/bob", insecure=True) for _ in range(2)]
    assert (payee.asset, payee.outstanding, payee.name) == (EUR, 500, "Bob")
    assert payee.credentials.shared_secret != other.credentials.shared_secret
    payment = await StreamClient(Hop(server.handle), clock).pay(
        payee.credentials.address, payee.credentials.shared_secret, Units(10**6), deliver=payee.outstanding
    )
    assert payment.delivered == 500
    with pytest.raises(SpspRefused) as refusal:
        await query(http, f"${host}/alice", insecure=True)
    assert refusal.value.status == 404


async def test_answers_are_as_the_rfc_says(serve: Serve, http: aiohttp.ClientSession) -> None:
    """Content type, caching, a refused query string, and receipts where a verifier asks for them."""
    server = StreamServer(Address("test.bank"), os.urandom(32), clock, asset=EUR)

    async def answerer(_path: str, receipts: ReceiptKey | None) -> bytes:
        return answer_of(server.invite("", receipts))

    url = f"http://{await serve(route('/bob', answerer))}/bob"
    async with http.get(url) as answer:
        assert answer.content_type == CONTENT_TYPE
        assert answer.headers["Cache-Control"] == "no-cache"
        body = msgspec.json.decode(await answer.read())
        assert len(base64.b64decode(body["shared_secret"])) == 32
        assert body["receipts_enabled"] is False
    headers = {
        "Receipt-Nonce": base64.b64encode(os.urandom(16)).decode(),
        "Receipt-Secret": base64.b64encode(os.urandom(32)).decode(),
    }
    async with http.get(url, headers=headers) as answer:
        assert msgspec.json.decode(await answer.read())["receipts_enabled"] is True
    async with http.get(url + "?amount=1") as answer:
        assert answer.status == 400
    async with http.get(url, headers={"Receipt-Nonce": "AAAA"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"destination_account": "test.a"}',
        b'{"destination_account": "nowhere", "shared_secret": "' + base64.b64encode(bytes(32)) + b'"}',
        b'{"destination_account": "test.a", "shared_secret": "' + base64.b64encode(bytes(31)) + b'"}',
        b'{"destination_account": "test.a", "shared_secret": "%%%%"}',
        b'{"destination_account": "test.a", "shared_secret": "'
        + base64.b64encode(bytes(32))
        + b'", "balance": {"current": "500"}}',
        b'{"x": "' + b"x" * 20_000 + b'"}',
    ],
)
async def test_answers_that_are_none_are_refused(serve: Serve, http: aiohttp.ClientSession, body: bytes) -> None:
    """Missing fields, wrong lengths, a balance for pulling and a flood are told from an answer."""

    async def respond(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=CONTENT_TYPE)

    host = await serve(web.get("/bob", respond))
    with pytest.raises(SpspRefused):
        await query(http, f"${host}/bob", insecure=True)


@pytest.mark.parametrize(
    ("status", "kind"), [(302, SpspRefused), (404, SpspRefused), (429, SpspUnavailable), (503, SpspUnavailable)]
)
async def test_other_statuses(serve: Serve, http: aiohttp.ClientSession, status: int, kind: type[Exception]) -> None:
    """No redirection is followed, and what may change is told from what does not."""

    async def respond(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/elsewhere"})

    host = await serve(web.get("/bob", respond))
    with pytest.raises(kind):
        await query(http, f"${host}/bob", insecure=True)


async def test_nobody_listens(http: aiohttp.ClientSession) -> None:
    """An endpoint that is down may come up again."""
    with pytest.raises(SpspUnavailable):
        await query(http, "$127.0.0.1:9/bob", insecure=True)


def test_receipts_need_both_headers() -> None:
    """A nonce without a secret, and text that is no base64, are refused."""
    assert receipts_asked({}) is None
    for headers in (
        {"Receipt-Nonce": "AAAA"},
        {"Receipt-Secret": "AAAA"},
        {"Receipt-Nonce": "?", "Receipt-Secret": "?"},
    ):
        with pytest.raises(BadInput):
            receipts_asked(headers)
