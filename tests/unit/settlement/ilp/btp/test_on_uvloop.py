"""The transports on the other event loop: its transports differ from asyncio's in what they allow when."""

import asyncio

import uvloop

from settlement.ilp.btp import Backoff, BtpClient, BtpLimits, BtpLink, BtpServer, parse_endpoint
from settlement.ilp.http import HttpLink, HttpServer, Outgoing, parse_target
from tests.support.patience import PATIENCE_S
from tests.unit.settlement.ilp.btp.conftest import FULFILL, PREPARE, TOKEN, Connector


async def exchange(link, packets):
    """Send that many packets at once; answers how many replies are the expected one."""
    replies = asyncio.Queue()
    for _ in range(packets):
        link.send(PREPARE + bytes(3000), replies.put_nowait)
    async with asyncio.timeout(PATIENCE_S):
        return sum([await replies.get() == FULFILL + bytes(3000) for _ in range(packets)])


def test_btp_passes_packets_and_reconnects_on_uvloop():
    """Many large packets at once, a cut connection and a stop, on uvloop."""

    async def scenario():
        connector = Connector()
        connector.answer = FULFILL + bytes(3000)
        theirs, ours = (BtpLink(name, connector, BtpLimits()) for name in ("theirs", "ours"))
        async with BtpServer() as server:
            server.add(theirs, TOKEN)
            endpoint = parse_endpoint(f"ws://127.0.0.1:{server.port}", TOKEN)
            async with BtpClient(ours, endpoint, backoff=Backoff(1, 5)):
                await ours.wait_up()
                assert await exchange(ours, 2000) == 2000
                assert await exchange(theirs, 2000) == 2000
                theirs._socket.abort("test")
                while ours.is_up:
                    await asyncio.sleep(0)
                await ours.wait_up()
                assert await exchange(ours, 10) == 10

    uvloop.run(scenario())


def test_http_passes_packets_on_uvloop():
    """Many large packets at once, by either mode, on uvloop."""

    async def scenario():
        connector = Connector()
        connector.answer = FULFILL + bytes(3000)
        async with HttpServer() as server:
            url = f"http://127.0.0.1:{server.port}/ilp"
            for mode in ("sync", "async"):
                link = HttpLink(mode, connector, Outgoing(parse_target(url), mode, mode=mode, callback_url=url))
                server.add(link, mode)
                assert await exchange(link, 500) == 500
                await link.close()

    uvloop.run(scenario())
