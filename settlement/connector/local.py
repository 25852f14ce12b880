"""The connector's own account as a payee: STREAM payments that end here, and the payment pointers that lead to them."""

from __future__ import annotations

import secrets
import ssl
from typing import Final

import structlog
from aiohttp import web

from settlement.connector.config_local import LocalConfig
from settlement.ilp.addresses import Address, child_of
from settlement.ilp.errors import ConnectorBusy
from settlement.ilp.link import Reply
from settlement.ilp.packets import encode_reject, rejection
from settlement.ilp.spsp import answer_of, route
from settlement.ilp.stream.changes import ConnectionEnded, Effect, MoneyArrived
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.ilp.stream.server import StreamServer
from settlement.ilp.stream.session import Session
from settlement.ilp.stream.states import Settings
from settlement.quantities import Clock

_MONEY_ALONE: Final = Settings(stream_window=8_192, connection_window=8_192)
"""Nobody reads what payers write here, and anyone may open connections: each may leave a few kilobytes, no more."""
WELL_KNOWN: Final = "/.well-known/pay"
_SHUTDOWN_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class LocalPayee:
    """Receives what is paid to us. A `settlement.connector.ports.Receiver`.

    Fields: received (base units by payee's name since the start, empty for the well-known pointer); port (where payment
    pointers are answered, 0 before `start`).
    """

    def __init__(self, config: LocalConfig, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        self.received: dict[str, int] = {}
        self.port = 0
        self._config = config
        self._clock = clock
        self._tls = tls
        self._secret = config.secret or secrets.token_bytes(32)
        self._server: StreamServer | None = None
        self._runner: web.AppRunner | None = None

    def begin(self, address: Address) -> None:
        """From here on payments are taken: `address` is the connector's."""
        account = self._config.account
        where = child_of(address, account.id)
        self._server = StreamServer(
            where, self._secret, self._clock, asset=account.asset, watch=self._watch, policy=lambda _: _MONEY_ALONE
        )

    def __call__(self, prepare: bytes, reply: Reply) -> None:
        """One Prepare; see `Receiver`."""
        if self._server is None:
            reply(encode_reject(rejection(ConnectorBusy("starting or ending"), "")))
        else:
            self._server.handle(self._config.account.id, prepare, reply)

    async def start(self) -> None:
        """Answer payment pointers, where that is configured. Raises OSError where the port cannot be bound."""
        listen = self._config.spsp
        if listen is None:
            return
        app = web.Application()
        if self._config.payees:
            app.router.add_routes([route(f"/{name}", self._answer) for name in self._config.payees])
        else:
            app.router.add_routes([route(WELL_KNOWN, self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, listen.host, listen.port, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Take nothing more."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._server is not None:
            self._server.close()

    async def _answer(self, path: str, receipts: ReceiptKey | None) -> bytes | None:
        assert self._server is not None, "begun before it listens"
        tag = "" if path == WELL_KNOWN else path[1:]
        return answer_of(self._server.invite(tag, receipts), asset=self._server.asset, name=self._config.name)

    def _watch(self, tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, MoneyArrived):
            self.received[tag] = self.received.get(tag, 0) + effect.amount
        elif isinstance(effect, ConnectionEnded):
            _log.info("connector.payment_ended", payee=tag, received=session.connection.received)
