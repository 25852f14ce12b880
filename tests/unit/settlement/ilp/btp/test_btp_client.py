"""A BTP client against our server, and against a server that misbehaves."""

import asyncio
import datetime
import ipaddress
import ssl

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from settlement.ilp.btp import Backoff, BtpClient, BtpLimits, BtpLink, BtpServer, parse_endpoint
from settlement.ilp.btp.codec import Entry, Message, Response, decode, encode
from tests.unit.settlement.ilp.btp.conftest import FULFILL, PREPARE, TOKEN, Connector

QUICK = Backoff(first_ms=1, most_ms=5)


@pytest.fixture
def ours():
    return Connector()


@pytest.fixture
def our_link(ours, limits):
    return BtpLink("server", ours, limits)


@pytest.fixture
async def client(server, our_link, limits):
    endpoint = parse_endpoint(f"btp+ws://127.0.0.1:{server.port}", TOKEN)
    async with BtpClient(our_link, endpoint, limits=limits, backoff=QUICK) as client:
        await our_link.wait_up()
        yield client


class Misbehaving:
    """A WebSocket server that does as `script` says with each connection."""

    def __init__(self, script):
        self._script = script
        self.connections = asyncio.Queue()
        self.over = asyncio.Event()

    async def __aenter__(self):
        application = web.Application()
        application.router.add_get("/", self._serve)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc):
        self.over.set()
        await self._runner.cleanup()

    async def _serve(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections.put_nowait(socket)
        await self._script(socket)
        return socket


async def test_packets_pass_both_ways(client, our_link, link, ours, connector):
    """Either side sends and is answered over the one connection."""
    ours.answer, connector.answer = FULFILL + b"client", FULFILL + b"server"
    for sender, expected in ((our_link, FULFILL + b"server"), (link, FULFILL + b"client")):
        replies = asyncio.Queue()
        sender.send(PREPARE, replies.put_nowait)
        assert await replies.get() == expected


async def test_a_lost_connection_is_made_again(client, our_link, link):
    """The client connects again by itself, and packets pass again."""
    link._socket.abort("test")
    while link.is_up and our_link.is_up:
        await asyncio.sleep(0)
    await asyncio.gather(our_link.wait_up(), link.wait_up())
    assert link.statistics.connections == 2


async def test_a_server_that_comes_later_is_found(link, our_link, limits):
    """The client keeps trying while nobody listens."""
    async with BtpServer(limits=limits) as server:
        port = server.port
    async with BtpClient(our_link, parse_endpoint(f"ws://127.0.0.1:{port}", TOKEN), backoff=QUICK) as client:
        while client.failures < 3:
            await asyncio.sleep(0.001)
        async with BtpServer(port=port, limits=limits) as server:
            server.add(link, TOKEN)
            await our_link.wait_up()


async def test_a_client_that_stops_closes_its_connection_and_makes_no_other(client, our_link, link):
    """After `stop` both sides are down."""
    await client.stop()
    assert not our_link.is_up
    while link.is_up:
        await asyncio.sleep(0)


async def test_a_refused_client_is_not_up_and_tries_again(server, our_link):
    """A wrong token never brings the link up; each refusal counts as a failure, so the waits grow."""
    endpoint = parse_endpoint(f"ws://127.0.0.1:{server.port}", "wrong")
    async with BtpClient(our_link, endpoint, backoff=QUICK) as client:
        while client.failures < 3:
            await asyncio.sleep(0.001)
        assert not our_link.is_up


async def test_the_token_does_not_follow_a_redirect(our_link):
    """A server that sends the client elsewhere is one that refuses."""
    asked = asyncio.Queue()

    async def elsewhere(request):
        asked.put_nowait(request.path)
        raise web.HTTPFound("/elsewhere")

    application = web.Application()
    application.router.add_get("/{path:.*}", elsewhere)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = parse_endpoint(f"ws://127.0.0.1:{runner.addresses[0][1]}", TOKEN)
    async with BtpClient(our_link, endpoint, backoff=QUICK):
        assert [await asked.get() for _ in range(3)] == ["/", "/", "/"]
    await runner.cleanup()


@pytest.mark.parametrize("answer", [None, b"\x06\x00", encode(Response(99)), encode(Message(1))])
async def test_a_server_that_does_not_answer_the_auth_message_is_left(our_link, answer):
    """Silence, garbage and answers to something else do not open the link; the client closes and tries again."""

    async def script(socket):
        await socket.receive()
        if answer is not None:
            await socket.send_bytes(answer)
        await socket.receive()

    async with Misbehaving(script) as server:
        endpoint = parse_endpoint(f"ws://127.0.0.1:{server.port}", TOKEN)
        async with BtpClient(our_link, endpoint, limits=BtpLimits(auth_ms_max=50), backoff=QUICK):
            for _ in range(2):
                await server.connections.get()
            assert not our_link.is_up


async def test_what_a_server_sends_right_behind_its_answer_is_not_lost(our_link, ours):
    """A packet in the same segment as the answer to the auth message reaches the handler."""

    async def script(socket):
        request = decode((await socket.receive()).data)
        for packet in (Response(request.request_id), Message(5, (Entry("ilp", PREPARE),))):
            await socket.send_bytes(encode(packet))
        await socket.receive()

    async with Misbehaving(script) as server:
        endpoint = parse_endpoint(f"ws://127.0.0.1:{server.port}", TOKEN)
        async with BtpClient(our_link, endpoint, backoff=QUICK):
            assert (await ours.arrived.get())[:2] == ("server", PREPARE)


async def test_a_peer_that_does_not_answer_pings_is_left(our_link):
    """A connection that is silent for too long, and answers no ping either, is given up and made again."""

    async def script(socket):
        request = decode((await socket.receive()).data)
        await socket.send_bytes(encode(Response(request.request_id)))
        await server.over.wait()

    server = Misbehaving(script)
    async with server:
        endpoint = parse_endpoint(f"ws://127.0.0.1:{server.port}", TOKEN)
        limits = BtpLimits(idle_ms_max=50, pong_ms_max=50)
        async with BtpClient(our_link, endpoint, limits=limits, backoff=QUICK):
            for _ in range(2):
                await server.connections.get()


async def test_packets_pass_over_tls_only_with_a_certificate_that_is_trusted(link, our_link, limits, tmp_path):
    """With TLS the client connects where it trusts the server's certificate, and nowhere else."""
    serving, trusting = contexts(tmp_path)
    async with BtpServer(limits=limits, tls=serving) as server:
        server.add(link, TOKEN)
        endpoint = parse_endpoint(f"btp+wss://127.0.0.1:{server.port}", TOKEN)
        async with BtpClient(our_link, endpoint, backoff=QUICK) as stranger:
            while stranger.failures < 2:
                await asyncio.sleep(0.001)
            assert not link.is_up
        async with BtpClient(our_link, endpoint, tls=trusting, backoff=QUICK):
            await our_link.wait_up()


def contexts(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return serving, ssl.create_default_context(cafile=folder / "certificate.pem")
