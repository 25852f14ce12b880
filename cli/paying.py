"""A payment from the command line: the connection to our connector, the payee, the limits, and what is told of it.

Our connector sees a child: it tells us our address and asset (RFC 31), and keeps the account that the payment is taken
from. Source: RFC 9 (the payee), RFC 29 (the payment).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog

from cli.context import home
from cli.exits import NotFound, TimedOut
from foundation.errors import BadInput, Fatal, Retryable
from settlement.connector.neighbours import ask_parent
from settlement.connector.runtime import wall_clock
from settlement.connector.toml import Section, read_toml
from settlement.ilp.btp import BtpClient, BtpLimits, BtpLink, Endpoint, parse_endpoint
from settlement.ilp.errors import Unreachable
from settlement.ilp.http import HttpLink, Outgoing, parse_target
from settlement.ilp.ildcp import Configuration
from settlement.ilp.link import Link, PacketHandler, Reply
from settlement.ilp.packets import encode_reject, rejection
from settlement.ilp.spsp import Payee, query
from settlement.ilp.stream.client import Payment, StreamClient
from settlement.ilp.stream.errors import StreamError
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.states import Connection, Settings
from settlement.quantities import Asset, Units

PAY_FILE: Final = "pay.toml"
_CONNECT_SECONDS: Final = 10.0
_PROGRESS_SECONDS: Final = 0.5
_RATE_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid, as it was written.

    Fields: pointer; amount; is_delivered (the amount is what arrives); max_source (then: what is sent at most);
    min_delivered (else: what all of it must deliver at least); slippage_bps; timeout_ms; is_insecure (plain http).
    """

    pointer: str
    amount: str
    is_delivered: bool = False
    max_source: str | None = None
    min_delivered: str | None = None
    slippage_bps: int = 100
    timeout_ms: int = 60_000
    is_insecure: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be paid, in base units. Fields: amount (ours, at most); deliver (the payee's, at most; None: what
    comes of the amount); minimum_rate (None: any).
    """

    amount: Units
    deliver: int | None
    minimum_rate: Rate | None


@dataclass(frozen=True, slots=True)
class PayConnection:
    """How our connector is reached. Exactly one of btp (an endpoint) and http (where to send) is there."""

    btp: Endpoint | None = field(default=None, repr=False)
    http: Outgoing | None = field(default=None, repr=False)


class PaymentStopped(Fatal):
    """A payment stopped for good before its end. Fields: problem; sent, delivered (base units); asset, peer_asset."""

    def __init__(self, problem: str, payment: Payment, asset: Asset) -> None:
        self.problem = problem
        self.sent, self.delivered = str(payment.sent), str(payment.delivered)
        self.asset, self.peer_asset = asset.code, payment.peer_asset and payment.peer_asset.code
        super().__init__(f"{problem}; until then {_moved(payment, asset)}")


class PaymentPaused(Retryable):
    """A payment stopped before its end, and the rest may be paid later. Fields as `PaymentStopped`, and cure."""

    def __init__(self, problem: str, payment: Payment, asset: Asset) -> None:
        self.problem = problem
        self.sent, self.delivered = str(payment.sent), str(payment.delivered)
        self.asset, self.peer_asset = asset.code, payment.peer_asset and payment.peer_asset.code
        self.cure = "pay the rest later" if payment.sent else "try again later"
        super().__init__(f"{problem}; until then {_moved(payment, asset)}")


def slippage_bps(percent: str) -> int:
    """Hundredths of a per cent of a number such as `0.5`. Raises `BadInput`."""
    try:
        value = Decimal(percent.removesuffix("%")) * 100
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value != int(value) or not 0 <= value <= 10_000:
        raise BadInput("--max-slippage", f"{percent[:40]!r} is no percentage", "0 to 100, two decimals at most")
    return int(value)


def read_connection(path: Path | None) -> PayConnection:
    """How our connector is reached: `url`, `token` or `token_file`, `insecure`. Raises `BadInput`, `NotFound`."""
    chosen = path or home() / PAY_FILE
    if path is None and not chosen.exists():
        cure = 'name a file with --connector or CAUSEWAY_PAY: url = "btp+wss://…", token_file = "…"'
        raise NotFound(f"no connector is named, and {chosen} is not there", cure)
    section = Section(read_toml(chosen), "")
    url, token = section.text("url"), section.secret("token", chosen.parent) or ""
    insecure = section.flag("insecure", False)
    section.end()
    if url.startswith(("http://", "https://")):
        return PayConnection(http=Outgoing(parse_target(url, "url", insecure=insecure), token))
    return PayConnection(btp=parse_endpoint(url, token, insecure=insecure))


async def paid(order: Order, where: PayConnection, tell: Callable[[str], None]) -> dict[str, Any]:
    """Pay, and say what became of it.

    Raises:
        BadInput: an amount, the pointer or the file cannot be used.
        SpspUnavailable, SpspRefused: the payee's endpoint.
        TimedOut, ConfigurationRefused: our connector does not answer.
        PaymentPaused, PaymentStopped: it ended before all was paid.
    """
    # What the libraries below log is for servers: a person is told by `tell`.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with aiohttp.ClientSession() as http, _connected(where) as (link, own, hub):
        payee = await query(http, order.pointer, insecure=order.is_insecure)
        terms = terms_of(order, own.asset, payee)
        name = payee.name or order.pointer
        tell(f"paying {name} at {payee.credentials.address}")
        settings = Settings(slippage_bps=order.slippage_bps, minimum_rate=terms.minimum_rate)
        client = StreamClient(link, wall_clock, address=own.address, asset=own.asset, settings=settings)
        hub.handler = client.handle
        progress = _Progress(own.asset, payee.asset, tell)
        started = time.monotonic()
        payment = await _pay(client, payee, terms, order.timeout_ms, own.asset, progress)
        return _document(order, payment, own.asset, payee, time.monotonic() - started)


def terms_of(order: Order, asset: Asset, payee: Payee) -> Terms:
    """The order in base units of both sides. Raises `BadInput`."""
    if order.is_delivered:
        if order.max_source is None:
            raise BadInput("--max-source", "is missing", "with --deliver, say what may be sent at most")
        if order.min_delivered is not None:
            raise BadInput("--min-delivered", "does not go with --deliver", "leave it out")
        deliver: int | None = _peer_asset(payee).units(order.amount)
        amount = asset.units(order.max_source, "--max-source")
    elif order.max_source is not None:
        raise BadInput("--max-source", "goes with --deliver only", "AMOUNT is what is sent at most")
    else:
        deliver, amount = None, asset.units(order.amount)
    if not amount or deliver == 0:
        raise BadInput("amount", "nothing is to be paid", "an amount above zero")
    if payee.outstanding is not None:  # an invoice takes no more than this
        if payee.outstanding == 0:
            raise BadInput("pointer", "the invoice is paid already")
        deliver = payee.outstanding if deliver is None else min(deliver, payee.outstanding)
    return Terms(amount, deliver, _minimum_rate(order, amount, deliver, payee))


def _minimum_rate(order: Order, amount: int, deliver: int | None, payee: Payee) -> Rate | None:
    if order.is_delivered and deliver is not None:
        # At a worse rate all of it would not deliver enough: rather nothing is sent at all.
        return Rate(deliver, amount)
    if order.min_delivered is not None:
        return Rate(_peer_asset(payee).units(order.min_delivered, "--min-delivered"), amount)
    return None


def _peer_asset(payee: Payee) -> Asset:
    if payee.asset is None:
        raise BadInput("pointer", "the payee does not say in what it is paid", "say what to send, without limits on it")
    return payee.asset


class _Hub:
    """Where packets for us arrive: nobody, until the payment begins."""

    def __init__(self) -> None:
        self.handler: PacketHandler | None = None

    def __call__(self, account: str, prepare: bytes, reply: Reply) -> None:
        if self.handler is None:
            reply(encode_reject(rejection(Unreachable("nobody is here yet"), "")))
        else:
            self.handler(account, prepare, reply)


@asynccontextmanager
async def _connected(where: PayConnection) -> AsyncIterator[tuple[Link, Configuration, _Hub]]:
    """A link to our connector, and what it tells us about ourselves."""
    hub = _Hub()
    if where.btp is not None:
        link = BtpLink("connector", hub, BtpLimits())
        async with BtpClient(link, where.btp) as client:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await link.wait_up()
            except TimeoutError:
                cure = "is it running, and does it know the token?" if client.failures else "is it reachable?"
                raise TimedOut(f"a connection to {where.btp.url}", _CONNECT_SECONDS, cure) from None
            yield link, await ask_parent(link, wall_clock), hub
    else:
        http = HttpLink("connector", hub, where.http)
        try:
            yield http, await ask_parent(http, wall_clock), hub
        finally:
            await http.close()


async def _pay(
    client: StreamClient, payee: Payee, terms: Terms, timeout_ms: int, asset: Asset, progress: _Progress
) -> Payment:
    given = payee.credentials
    try:
        return await client.pay(
            given.address,
            given.shared_secret,
            terms.amount,
            deliver=terms.deliver,
            timeout_ms=timeout_ms,
            watch=progress,
        )
    except StreamError as error:
        if error.payment is None:
            raise
        kind = PaymentPaused if isinstance(error, Retryable) else PaymentStopped
        raise kind(str(error), error.payment, asset) from error
    except asyncio.CancelledError:
        progress.say("interrupted; packets under way may still be paid")
        raise


class _Progress:
    """Tells how far a payment is, not too often. A `Watcher`."""

    def __init__(self, asset: Asset, peer_asset: Asset | None, tell: Callable[[str], None]) -> None:
        self._asset = asset
        self._peer_asset = peer_asset
        self._tell = tell
        self._due = time.monotonic() + _PROGRESS_SECONDS
        self._last: Connection | None = None

    def __call__(self, connection: Connection) -> None:
        self._last = connection
        if (now := time.monotonic()) >= self._due:
            self._due = now + _PROGRESS_SECONDS
            self.say("")

    def say(self, what: str) -> None:
        """How far it is."""
        last = self._last
        if last is None:
            return
        sent = f"{self._asset.text(last.sent)} {self._asset.code} sent"
        rate = _rate(last.rate, self._asset, last.peer_asset or self._peer_asset)
        self._tell(
            ", ".join(part for part in (what, sent, f"{last.packets:,} packets", rate and f"rate {rate}") if part)
        )


def _document(order: Order, payment: Payment, asset: Asset, payee: Payee, seconds: float) -> dict[str, Any]:
    peer = payment.peer_asset or payee.asset
    return {
        "pointer": order.pointer,
        "destination": payee.credentials.address,
        "asset": {"code": asset.code, "scale": int(asset.scale)},
        "sent": asset.text(payment.sent),
        "sent_units": str(payment.sent),
        "peer_asset": None if peer is None else {"code": peer.code, "scale": int(peer.scale)},
        "delivered": None if peer is None else peer.text(payment.delivered),
        "delivered_units": str(payment.delivered),
        "unproved_packets": payment.unproved,
        "left_units": str(payment.left),
        "rate": _rate(payment.rate, asset, peer),
        "packets": payment.packets,
        "seconds": round(seconds, 3),
        "receipt": base64.b64encode(payment.receipt).decode(),
    }


def _rate(rate: Rate | None, asset: Asset, peer: Asset | None) -> str:
    """Whole units of the payee's asset for one of ours, as a decimal number; empty where something is not known."""
    if rate is None or peer is None:
        return ""
    value = Fraction(rate.delivered, rate.sent) * Fraction(10) ** (asset.scale - peer.scale)
    digits = value.numerator * 10**_RATE_DIGITS // value.denominator
    whole, rest = divmod(digits, 10**_RATE_DIGITS)
    return f"{whole}.{rest:0{_RATE_DIGITS}d}".rstrip("0").rstrip(".")


def _moved(payment: Payment, asset: Asset) -> str:
    peer = payment.peer_asset
    arrived = f"{payment.delivered} base units" if peer is None else f"{peer.text(payment.delivered)} {peer.code}"
    return f"{asset.text(payment.sent)} {asset.code} were sent and {arrived} delivered"
