"""ILP-over-HTTP (RFC 35): Interledger packets in POST requests.

An `HttpLink` is a peer's account; it sends by itself, and an `HttpServer` serves the other direction:

    link = HttpLink("bank-b", handler, Outgoing(parse_target("https://bank-b.example/ilp"), token))
    server = HttpServer(port=7770); server.add(link, their_token); await server.start()
"""

from settlement.ilp.http.limits import ClientLimits, ServerLimits
from settlement.ilp.http.link import HttpLink, Outgoing
from settlement.ilp.http.messages import ILP_OCTET_STREAM, OCTET_STREAM, Target, parse_target
from settlement.ilp.http.server import Authenticator, HttpServer, Shown

__all__ = [
    "ILP_OCTET_STREAM",
    "OCTET_STREAM",
    "Authenticator",
    "ClientLimits",
    "HttpLink",
    "HttpServer",
    "Outgoing",
    "ServerLimits",
    "Shown",
    "Target",
    "parse_target",
]
