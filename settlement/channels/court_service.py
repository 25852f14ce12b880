"""The REST service of a book's adjudicator, which the book's operator runs beside the book.

POST /channels, POST /channels/{id}/commands, GET /channels/{id}, POST /reveals. Problems are RFC 9457's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.channels import court_wire as w
from settlement.channels.book import BookAdjudicator
from settlement.channels.errors import ForgedSheet, Overruled, Ruling
from settlement.channels.signing import check_signature, request_digest
from settlement.channels.terms import Account, ChannelId
from settlement.ledgers.protocol import LedgerAccount
from settlement.quantities import Clock

_BODY_BYTES_MAX: Final = 256 * 1024
_CONDITIONS_MAX: Final = 64
_PAY_OUT_SECONDS: Final = 5.0
_SHUTDOWN_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


class _NotYours(Exception):  # noqa: N818
    """A request is not signed by a bank that may ask this. Fields: status; detail."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


class CourtService:
    """A running service. Use as `async with`; `url` says where it listens."""

    def __init__(
        self,
        court: BookAdjudicator,
        domain: bytes,
        members: dict[Account, LedgerAccount],
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Describe it.

        Args:
            court: decides.
            domain: of this adjudicator, 32 bytes.
            members: the banks: account that signs, and account at the book.
            clock: the operator's.
            host: where to listen.
            port: 0 for a free one.
        """
        self._court = court
        self._domain = domain
        self._members = members
        self._clock = clock
        self._place = (host, port)
        self._runner: web.AppRunner | None = None
        self._paying: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen, and make the payments that a crash has left. Raises OSError where the port cannot be bound."""
        app = web.Application(middlewares=[_problems], client_max_size=_BODY_BYTES_MAX)
        app.router.add_post("/channels", self._open)
        app.router.add_post("/channels/{channel}/commands", self._command)
        app.router.add_get("/channels/{channel}", self._standing)
        app.router.add_post("/reveals", self._reveal)
        runner = self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, *self._place).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._paying = asyncio.create_task(self._pay_out(), name="channels pay out")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.gather(self._paying, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pay_out(self) -> None:
        while True:
            try:
                await self._court.pay_out()
            except Retryable as error:
                _log.warning("the book does not pay out now", problem=str(error))
            except Exception:  # noqa: BLE001 - the next round tries again
                _log.exception("a pay-out failed: somebody has to look")
            await asyncio.sleep(_PAY_OUT_SECONDS)

    # --- Requests -----------------------------------------------------------------------------------------------------

    async def _open(self, request: web.Request) -> web.Response:
        by, raw = await self._signed(request)
        body = w.decode(raw, w.OpenIn)
        if by != body.terms.a:
            raise _NotYours(HTTPStatus.FORBIDDEN, "A opens a channel")
        for account, named in ((body.terms.a, body.a), (body.terms.b, body.b)):
            if self._members.get(account) != named:
                # Else a bank would be paid out to an account that another has named.
                raise BadInput(
                    "terms", f"{named[:64]} is not the account of {account.hex()}", "see the operator's list"
                )
        channel = await self._court.open(body.terms, LedgerAccount(body.a), LedgerAccount(body.b), body.nonce)
        return _answer(w.ChannelOut(channel.hex()), HTTPStatus.CREATED)

    async def _command(self, request: web.Request) -> web.Response:
        by, raw = await self._signed(request)
        await self._court.submit(_channel(request), w.decode_command(raw, by))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _standing(self, request: web.Request) -> web.Response:
        by, _ = await self._signed(request)
        channel = _channel(request)
        asked = request.query.getall("condition", [])
        if len(asked) > _CONDITIONS_MAX:
            raise BadInput("condition", f"{len(asked)} are asked for", f"at most {_CONDITIONS_MAX}")
        standing = await self._court.standing(channel, tuple(_hex(one, "condition") for one in asked))
        if standing is None:
            raise Overruled(channel, Ruling.UNKNOWN_CHANNEL, "no such channel")
        if by not in (standing.case.terms.a, standing.case.terms.b):
            raise _NotYours(HTTPStatus.FORBIDDEN, "the channel is of two other banks")
        return _answer(w.StandingOut(standing.case, standing.reveals), HTTPStatus.OK)

    async def _reveal(self, request: web.Request) -> web.Response:
        _, raw = await self._signed(request)
        await self._court.reveal(w.preimage_of(raw))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _signed(self, request: web.Request) -> tuple[Account, bytes]:
        """Who asks, and the body. Raises `_NotYours`."""
        headers = request.headers
        try:
            account = Account(bytes.fromhex(headers[w.ACCOUNT_HEADER].removeprefix("0x")))
            at = UnixMs(int(headers[w.TIME_HEADER]))
            signature = bytes.fromhex(headers[w.SIGNATURE_HEADER])
        except (KeyError, ValueError):
            raise _NotYours(HTTPStatus.UNAUTHORIZED, "sign the request with the bank's channel account") from None
        if account not in self._members:
            raise _NotYours(HTTPStatus.UNAUTHORIZED, "the account is none of a bank here")
        if abs(self._clock() - at) > w.SKEW_MS:
            raise _NotYours(HTTPStatus.UNAUTHORIZED, f"it was signed at {at}, and here it is {self._clock()}")
        body = await request.read()
        try:
            digest = request_digest(self._domain, request.method, request.path_qs, body, at)
            check_signature(account, digest, signature, "request")
        except (ForgedSheet, OverflowError) as error:
            raise _NotYours(HTTPStatus.UNAUTHORIZED, "the signature is not the account's") from error
        return account, body


def _channel(request: web.Request) -> ChannelId:
    return ChannelId(_hex(request.match_info["channel"], "channel"))


def _hex(text: str, field: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise BadInput(field, "not 32 bytes", "64 hex digits")
    return value


def _answer(body: w.ChannelOut | w.StandingOut, status: HTTPStatus) -> web.Response:
    return web.Response(body=w.encode(body), status=status, content_type="application/json")


def _problem(status: HTTPStatus, detail: str, ruling: str = "") -> web.Response:
    slug = ruling or status.phrase.lower().replace(" ", "-")
    body = w.encode(w.ProblemOut(f"urn:causeway:channels:{slug}", status.phrase, status.value, detail, ruling))
    return web.Response(body=body, status=status, content_type="application/problem+json")


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _NotYours as refusal:
        return _problem(refusal.status, refusal.detail)
    except Overruled as error:
        status = HTTPStatus.NOT_FOUND if error.ruling is Ruling.UNKNOWN_CHANNEL else HTTPStatus.CONFLICT
        return _problem(status, error.problem, error.ruling.value)
    except BadInput as error:
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error.field}: {error.problem}")
    except Retryable as error:
        _log.warning("channels: not available", error=str(error))
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the adjudicator cannot answer now; ask again")
    except web.HTTPException as error:
        return _problem(HTTPStatus(error.status), error.reason)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - told to the log with all details, and to the caller without any
        _log.exception("channels: a request failed")
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the adjudicator; its log has the details")
