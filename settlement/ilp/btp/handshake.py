"""The `auth` message that opens a BTP connection. Source: RFC 23, Authentication."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from foundation.errors import BadInput, Fatal
from settlement.ilp.btp.codec import Entry, Message, Packet
from settlement.quantities import tagged_hash

MAX_TOKEN_BYTES: Final = 1024
_SCHEMES: Final = {"ws": "ws", "wss": "wss", "btp+ws": "ws", "btp+wss": "wss"}


class NotAuthenticated(Fatal):
    """A peer's first message does not open the connection. Answered with F00 and closed.

    Fields: reason (for the log; the peer is not told whether the name or the token is wrong).
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client connects, and as whom. Fields: url (ws or wss, no credentials in it); username; token."""

    url: str
    username: str
    token: str

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.username!r})"


def parse_endpoint(url: str, token: str = "", username: str = "", *, insecure: bool = False) -> Endpoint:
    """The endpoint of a URL such as `btp+wss://user:token@host/path` or `wss://host/path`.

    Args:
        token, username: where the URL has none.
        insecure: allow a token to travel without TLS to another machine.

    Raises:
        BadInput: no such URL, credentials given twice, no token, or no TLS where it is asked for.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as wrong:
        raise BadInput("btp.url", str(wrong), "such as btp+wss://host:7443") from wrong
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise BadInput("btp.url", "not a WebSocket URL with a host", "such as btp+wss://host:7443")
    if (parts.password and token) or (parts.username and username):
        raise BadInput("btp.url", "holds credentials that are given beside it, too", "give them once")
    token, username = token or unquote(parts.password or ""), username or unquote(parts.username or "")
    if not token or len(token.encode()) > MAX_TOKEN_BYTES:
        raise BadInput(
            "btp.token", f"empty, or longer than {MAX_TOKEN_BYTES} bytes", "the secret that both sides share"
        )
    if scheme == "ws" and not insecure and not is_loopback(parts.hostname):
        raise BadInput("btp.url", "would send the token without TLS", "use wss, or allow it with `insecure`")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    query = f"?{parts.query}" if parts.query else ""
    return Endpoint(f"{scheme}://{host}{f':{port}' if port else ''}{parts.path or '/'}{query}", username, token)


def auth_message(request_id: int, endpoint: Endpoint) -> Message:
    """What a client sends first."""
    entries = (
        Entry("auth", b""),
        Entry.text("auth_username", endpoint.username),
        Entry.text("auth_token", endpoint.token),
    )
    return Message(request_id, entries)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a peer shows. Fields: username (empty where it gave none); digest (of the token, 32 bytes)."""

    username: str
    digest: bytes


def token_digest(token: bytes) -> bytes:
    """What is kept of a token: 32 bytes."""
    return tagged_hash("transport-token", token)


def credentials(packet: Packet) -> Credentials:
    """What a peer's first packet shows.

    Raises:
        NotAuthenticated: it is no `auth` message, or there is no token in it.
    """
    if not isinstance(packet, Message) or not packet.entries or packet.entries[0].name != "auth":
        raise NotAuthenticated("the first packet is no auth message")
    entries = {entry.name: entry.data for entry in packet.entries}
    token = entries.get("auth_token")
    if token is None or len(token) > MAX_TOKEN_BYTES:
        raise NotAuthenticated("no auth_token, or one that is too long")
    try:
        username = entries.get("auth_username", b"").decode()
    except UnicodeDecodeError:
        raise NotAuthenticated("auth_username is not UTF-8") from None
    return Credentials(username, token_digest(token))


def same(left: bytes, right: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(left, right)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that a token may go there without TLS."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
