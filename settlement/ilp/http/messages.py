"""ILP-over-HTTP's messages as HTTP/1.1 bytes, and what an answer's status means. Source: RFC 35 (draft 3), RFC 9112."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from foundation.errors import BadInput
from settlement.ilp.btp.handshake import is_loopback
from settlement.ilp.errors import BadRequest, ConnectorBusy, IlpReject, InternalError, PeerUnreachable

ContentType: TypeAlias = Literal["application/octet-stream", "application/ilp+octet-stream"]

OCTET_STREAM: Final[ContentType] = "application/octet-stream"
"""What RFC 35 asks for."""
ILP_OCTET_STREAM: Final[ContentType] = "application/ilp+octet-stream"
"""What ilp-plugin-http and others send."""

ACCEPTED_TYPES: Final = frozenset({OCTET_STREAM.encode(), ILP_OCTET_STREAM.encode()})

_REQUEST_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII | re.I)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_FINAL_STATUSES: Final = frozenset({400, 411, 413, 414, 422})
_TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, slots=True)
class Target:
    """Where a peer takes packets. Fields: host; port; is_tls; authority (the Host header); path (with the query)."""

    host: str
    port: int
    is_tls: bool
    authority: str
    path: str

    @property
    def origin(self) -> tuple[str, int, bool]:
        """Two targets of one origin are the same server (RFC 6454)."""
        return self.host.lower(), self.port, self.is_tls


def parse_target(url: str, field: str = "http.url", *, insecure: bool = False) -> Target:
    """The target of an http or https URL.

    Args:
        insecure: allow a token to travel without TLS to another machine.

    Raises:
        BadInput: no such URL, no TLS where it is asked for, or credentials in it: they do not belong into logs.
    """
    if not _VISIBLE.fullmatch(url):
        raise BadInput(field, "not a URL of visible ASCII characters", "such as https://bank.example/ilp")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as wrong:
        raise BadInput(field, str(wrong), "such as https://bank.example/ilp") from wrong
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(field, "not an http or https URL with a host", "such as https://bank.example/ilp")
    if parts.username is not None or parts.password is not None:
        raise BadInput(field, "holds credentials", "give the token beside it")
    is_tls = parts.scheme == "https"
    if not is_tls and not insecure and not is_loopback(parts.hostname):
        raise BadInput(field, "would send the token without TLS", "use https, or allow it with `insecure`")
    authority = parts.netloc.rsplit("@", 1)[-1]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname, port or (443 if is_tls else 80), is_tls, authority, path)


def is_request_id(raw: bytes) -> bool:
    """Whether these are a UUID of version 4, as a Request-Id has to be."""
    return _REQUEST_ID.fullmatch(raw) is not None


def request_head(target: Target, token: str, content_type: ContentType, extra: str = "") -> bytes:
    """A POST's request line and headers, without the length and what changes from one to the next.

    Args:
        token: for `Authorization: Bearer`; none where empty (mTLS).
        extra: header lines that never change, each with its CRLF.

    Raises:
        BadInput: the token holds what a header cannot.
    """
    if token and not _VISIBLE.fullmatch(token):
        raise BadInput("http.token", "holds spaces or other characters that no header can carry", "base64 of 32 bytes")
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nAccept: {OCTET_STREAM}\r\n"
        f"Content-Type: {content_type}\r\n{authorization}{extra}"
    ).encode()


def content_length(length: int) -> bytes:
    """The last header and the empty line, for a body of `length` bytes."""
    return _content_length(length)


@lru_cache(maxsize=4096)
def _content_length(length: int) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % length


def response_head(status: int, content_type: ContentType | None = None, extra: str = "") -> bytes:
    """A response's status line and headers, without the length."""
    phrase = HTTPStatus(status).phrase
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status} {phrase}\r\n{kind}{extra}".encode()


def reject_for_status(status: int) -> IlpReject:
    """What an answer without a packet means to the packet's sender.

    RFC 35 leaves the codes to us but for 5xx, which are T00. A request that is wrong in itself would fail again (F00).
    What only says that we and our peer are not set up with each other (401, 404) is no fault of the packet (T01).
    """
    why = f"the peer answered with HTTP status {status}"
    if status == _TOO_MANY_REQUESTS:
        return ConnectorBusy(why)
    if status in _FINAL_STATUSES:
        return BadRequest(why)
    if 400 <= status < 500:
        return PeerUnreachable(why)
    return InternalError(why)
