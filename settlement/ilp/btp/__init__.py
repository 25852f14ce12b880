"""BTP 2.0 (RFC 23): Interledger packets over a WebSocket.

A `BtpLink` is a peer's account; a `BtpServer` and a `BtpClient` find it connections:

    link = BtpLink("bank-b", handler, BtpLimits())
    server = BtpServer(port=7768); server.add(link, token); await server.start()
    client = BtpClient(link, parse_endpoint("btp+wss://bank-b.example/btp", token)); client.start()
"""

from settlement.ilp.btp.client import BtpClient
from settlement.ilp.btp.handshake import Endpoint, parse_endpoint
from settlement.ilp.btp.limits import Backoff, BtpLimits
from settlement.ilp.btp.link import BtpLink
from settlement.ilp.btp.server import BtpServer

__all__ = ["Backoff", "BtpClient", "BtpLimits", "BtpLink", "BtpServer", "Endpoint", "parse_endpoint"]
