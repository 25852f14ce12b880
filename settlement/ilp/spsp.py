"""SPSP: from a payment pointer to a STREAM connection, asking and answering. Source: RFC 9 (draft 7), RFC 26 (final).

The answer holds a connection's secret, so it is asked for over HTTPS only; plain HTTP is for loopback, in tests.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web

from foundation.errors import BadInput, Fatal, Retryable
from foundation.unreadable import UNREADABLE
from settlement.ilp.addresses import Address, parse_address
from settlement.ilp.stream.crypto import SECRET_BYTES
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.ilp.stream.tokens import Credentials
from settlement.quantities import Asset, Scale

CONTENT_TYPE: Final = "application/spsp4+json"
ACCEPT: Final = "application/spsp4+json, application/spsp+json"
MAX_ANSWER_BYTES: Final = 16_384
TIMEOUT_SECONDS: Final = 10.0

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_PORT = re.compile(r":[0-9]{1,5}", re.ASCII)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*", re.ASCII)
_JSON_TYPES = ("application/spsp4+json", "application/spsp+json", "application/json")


class SpspUnavailable(Retryable):
    """The endpoint did not answer. Fields: url; problem."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        super().__init__(f"{url}: {problem}")


class SpspRefused(Fatal):
    """The endpoint has nothing to pay to, or its answer is not one of SPSP. Fields: url; status (HTTP); problem."""

    def __init__(self, url: str, status: int, problem: str) -> None:
        self.url = url
        self.status = status
        self.problem = problem
        super().__init__(f"{url}: {problem} (HTTP {status})")


@dataclass(frozen=True, slots=True)
class Payee:
    """Whom a payment pointer leads to.

    Fields: credentials (of a STREAM connection of our own); asset (of an invoice, None: not told); outstanding (what an
    invoice still takes, its base units; None: no invoice); name (as the payee calls itself, empty: not told).
    """

    credentials: Credentials
    asset: Asset | None = None
    outstanding: int | None = None
    name: str = ""


def resolve(pointer: str, *, insecure: bool = False) -> str:
    """The endpoint that a payment pointer (`$host/path`) or an endpoint's own URL leads to.

    `insecure` allows a port, and gives an http URL, for hosts on the loopback alone.

    Raises:
        BadInput: no payment pointer: user, port, query or fragment, another scheme, or not ASCII.
    """
    if not pointer.isascii():
        raise _bad(pointer, "holds other characters than ASCII")
    if pointer.startswith("$"):
        host, slash, path = pointer[1:].partition("/")
        path = slash + path
        if path in ("", "/"):
            path = "/.well-known/pay"
    elif pointer.startswith(("https://", "http://")):
        parts = urlsplit(pointer)
        host, path = parts.netloc, parts.path
        if parts.query or parts.fragment or (parts.scheme == "http" and not insecure):
            raise _bad(pointer, "is no https URL without query and fragment")
    else:
        raise _bad(pointer, "does not begin with $")
    bare = _PORT.sub("", host) if insecure or not pointer.startswith("$") else host
    if not _HOST.fullmatch(bare) or not _PATH.fullmatch(path):
        raise _bad(pointer, "is no host and path")
    if insecure and not _is_loopback(bare):
        raise _bad(pointer, "is not on the loopback, where alone plain http is allowed")
    return f"{'http' if insecure else 'https'}://{host}{path}"


async def query(http: aiohttp.ClientSession, pointer: str, *, insecure: bool = False) -> Payee:
    """Ask the endpoint of a payment pointer for a connection. Each answer holds another secret.

    Raises:
        BadInput: no payment pointer.
        SpspUnavailable: no answer, or one that may change (HTTP 429 and 5xx).
        SpspRefused: no such payee, a redirection, or no answer of SPSP.
    """
    url = resolve(pointer, insecure=insecure)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        # Not led elsewhere: a payer has to see whom it pays (RFC 26).
        async with http.get(url, headers={"Accept": ACCEPT}, timeout=timeout, allow_redirects=False) as answer:
            body = await answer.content.read(MAX_ANSWER_BYTES + 1)
            while len(body) <= MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES)):
                body += more
            status, kind = answer.status, answer.content_type
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as problem:  # noqa: UP041
        raise SpspUnavailable(url, str(problem) or "no answer in time") from problem
    if status == 429 or status >= 500:
        raise SpspUnavailable(url, f"HTTP {status}")
    if status != 200:
        raise SpspRefused(url, status, "no payee is there")
    if kind not in _JSON_TYPES or len(body) > MAX_ANSWER_BYTES:
        raise SpspRefused(url, status, f"{kind} of {len(body)} bytes is no answer of SPSP")
    return _payee(url, body)


def answer_of(
    credentials: Credentials, *, asset: Asset | None = None, outstanding: int | None = None, name: str = ""
) -> bytes:
    """The JSON that an endpoint answers with. `outstanding`: what an invoice still takes, base units of `asset`."""
    body: dict[str, Any] = {
        "destination_account": credentials.address,
        "shared_secret": base64.b64encode(credentials.shared_secret).decode(),
        "receipts_enabled": credentials.receipts_enabled,
    }
    if asset is not None:
        body["asset_info"] = {"code": asset.code, "scale": int(asset.scale)}
    if outstanding is not None:
        body["balance"] = {"current": str(-outstanding), "maximum": str(-outstanding)}
    if name:
        body["receiver_info"] = {"name": name}
    return msgspec.json.encode(body)


def receipts_asked(headers: Mapping[str, str]) -> ReceiptKey | None:
    """The receipt key that a verifier put into the request's headers (RFC 39), None where it asks for no receipts.

    Raises:
        BadInput: one of the two headers is missing or malformed.
    """
    nonce, secret = headers.get("Receipt-Nonce"), headers.get("Receipt-Secret")
    if nonce is None and secret is None:
        return None
    return ReceiptKey(_base64("Receipt-Nonce", nonce or ""), _base64("Receipt-Secret", secret or ""))


Answerer = Callable[[str, ReceiptKey | None], Awaitable[bytes | None]]
"""For a request's path and receipt key: the body to answer with (`answer_of`), None where there is no such payee."""


def route(path: str, answerer: Answerer) -> web.RouteDef:
    """An aiohttp route that answers SPSP queries on `path` (aiohttp's pattern)."""

    async def respond(request: web.Request) -> web.Response:
        if request.query_string:
            return _problem(400, "BadRequest", "a query string is not allowed")
        try:
            body = await answerer(request.path, receipts_asked(request.headers))
        except BadInput as bad:
            return _problem(400, "BadRequest", str(bad))
        if body is None:
            return _problem(404, "InvalidReceiverError", "there is no such payee")
        return web.Response(body=body, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-cache"})

    return web.get(path, respond)


def _problem(status: int, name: str, message: str) -> web.Response:
    body = msgspec.json.encode({"id": name, "message": message})
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-cache"})


class _AssetInfo(msgspec.Struct):
    code: str
    scale: int


class _Balance(msgspec.Struct):
    current: str


class _ReceiverInfo(msgspec.Struct):
    name: str = ""


class _Answer(msgspec.Struct):
    destination_account: str
    shared_secret: str
    receipts_enabled: bool = False
    asset_info: _AssetInfo | None = None
    balance: _Balance | None = None
    receiver_info: _ReceiverInfo | None = None


def _payee(url: str, body: bytes) -> Payee:
    try:
        told = msgspec.json.decode(body, type=_Answer)
        secret = _base64("shared_secret", told.shared_secret)
        if len(secret) != SECRET_BYTES:
            raise BadInput("shared_secret", f"{len(secret)} bytes, not {SECRET_BYTES}")
        address: Address = parse_address(told.destination_account, "destination_account")
        asset = Asset(told.asset_info.code, Scale(told.asset_info.scale)) if told.asset_info is not None else None
        outstanding = _outstanding(told.balance.current) if told.balance is not None else None
    except (*UNREADABLE, BadInput) as bad:
        raise SpspRefused(url, 200, f"no answer of SPSP: {bad}") from bad
    name = told.receiver_info.name[:200] if told.receiver_info is not None else ""
    return Payee(Credentials(address, secret, told.receipts_enabled), asset, outstanding, name)


def _outstanding(current: str) -> int:
    """What an invoice still takes: it is written with a minus; without one, it is for pulling, which nobody pays."""
    if not re.fullmatch(r"-[0-9]{1,20}|0", current, re.ASCII):
        raise BadInput("balance.current", f"{current[:40]!r} is no invoice's balance")
    return -int(current)


def _base64(field: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise BadInput(field, "is no base64") from wrong


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _bad(pointer: str, problem: str) -> BadInput:
    return BadInput("pointer", f"{pointer[:80]!r} {problem}", "such as $pay.example/alice")
