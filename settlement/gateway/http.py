"""Letter boxes over HTTP: one request holds many sealed messages, and is answered when they are committed.

The messages are sealed and signed themselves; a stamp says whose request it is before its body is read, so that
strangers cost nearly nothing. TLS, where it is used, hides who talks to whom.
"""

from __future__ import annotations

import hashlib
import hmac
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from aiohttp import web

from foundation.errors import BadInput, Fatal, Retryable
from settlement.custody.engine import EngineStopped
from settlement.gateway.hold_notices import NoticeDesk
from settlement.gateway.keys import Directory
from settlement.gateway.letter_box import LetterBoxDesk
from settlement.gateway.peer_courier import PeerUnavailable
from settlement.gateway.stamps import HEADER, Stamps, StrangerRefused, Strangers
from settlement.quantities import PartyId

PATH = "/letters"
NOTICES_PATH = "/hold-notices"
_ANSWER_BYTES_MAX = 4_096
_BODY_BYTES_MAX = 8 << 20
_TIMEOUT_SECONDS = 15.0
_SHUTDOWN_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class HttpLetterBoxes:
    """The letter boxes of all other parties. Use as `async with`."""

    def __init__(self, directory: Directory, stamps: Stamps) -> None:
        self._directory = directory
        self._stamps = stamps
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to send."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        assert self._session is not None, "entered before"
        await self._session.close()

    async def put(self, party: PartyId, body: bytes) -> None:
        """See `peer_courier.LetterBox`."""
        await self._post(party, PATH, body, 204)

    async def notify(self, party: PartyId, body: bytes) -> bytes:
        """See `hold_notices.NoticeBox`."""
        return await self._post(party, NOTICES_PATH, body, 200)

    async def _post(self, party: PartyId, path: str, body: bytes, status: int) -> bytes:
        assert self._session is not None, "entered before"
        headers = {HEADER: self._stamps.stamp(party, path, body)}
        try:
            async with self._session.post(self._directory.url(party) + path, data=body, headers=headers) as answer:
                if answer.status != status:
                    raise PeerUnavailable(party, f"HTTP status {answer.status}")
                return await answer.content.read(_ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PeerUnavailable(party, str(error) or type(error).__name__) from error


class LetterBoxServer:
    """This party's letter box. Use as `async with`; `url` says where it listens."""

    def __init__(
        self,
        desk: LetterBoxDesk,
        stamps: Stamps,
        host: str,
        port: int,
        notices: NoticeDesk | None = None,
    ) -> None:
        """`notices`: of holds on ledgers where the payee has to be told of them; None: there are none here."""
        self._desk = desk
        self._stamps = stamps
        self._strangers = Strangers(stamps.clock)
        self._notices = notices
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where the port cannot be bound."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_post(PATH, self._take)
        if self._notices is not None:
            app.router.add_post(NOTICES_PATH, self._keep)
        # What a stranger goes on sending is not read.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, lingering_time=0)
        self._runner = runner
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        assert self._runner is not None, "entered before"
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        try:
            sender, body = await self._stamped(request)
            await self._desk.take(body, sender)
        except StrangerRefused as problem:
            return self._refused(request, problem)
        except BadInput as problem:
            return web.Response(status=400, text=str(problem))
        except EngineStopped:
            return web.Response(status=503)
        return web.Response(status=204)

    async def _keep(self, request: web.Request) -> web.Response:
        assert self._notices is not None, "served only then"
        try:
            _, body = await self._stamped(request)
            return web.Response(body=await self._notices.take(body))
        except StrangerRefused as problem:
            return self._refused(request, problem)
        except Fatal as problem:
            return web.Response(status=400, text=str(problem))
        except Retryable as problem:
            return web.Response(status=503, text=str(problem))

    async def _stamped(self, request: web.Request) -> tuple[PartyId, bytes]:
        """Who sent a request, and its body, which is read only now.

        Raises:
            StrangerRefused: nobody that we know has stamped this.
        """
        sender, digest = self._stamps.admit(request.path, request.headers.get(HEADER, ""))
        body = await request.read()
        if not hmac.compare_digest(hashlib.sha256(body).digest(), digest):
            raise StrangerRefused("its body is not the one that was stamped")
        return sender, body

    def _refused(self, request: web.Request, problem: StrangerRefused) -> web.Response:
        address = request.remote or ""
        if not self._strangers.may_fail(address):
            return web.Response(status=429, headers={"Retry-After": "60"})
        _log.warning("stranger refused", address=address, why=problem.problem)
        return web.Response(status=401, text=problem.problem)
