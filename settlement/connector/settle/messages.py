"""Messages between two peers' settlement engines, carried by their connectors in packets to `peer.settle`.

Source: RFC 38 (draft 3), "Exchanging messages".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog

from foundation.errors import Retryable
from foundation.quantities import UnixMs
from settlement.connector.settle.rfc38 import MESSAGE_BYTES_MAX, OtherSideFailed, Rfc38Client
from settlement.ilp.addresses import Address
from settlement.ilp.errors import BadPacket, Code
from settlement.ilp.link import Link, Reply
from settlement.ilp.packets import Fulfill, Prepare, Reject, decode_prepare, decode_reply, encode
from settlement.quantities import Clock, Condition, Preimage, Units

SETTLE_ADDRESS: Final = Address("peer.settle")
MESSAGE_CONDITION: Final = Condition(bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
"""As RFC 38 has it: SHA-256 of nothing. No money hangs on it, and the fulfillment that goes with it does not fit it."""
MESSAGE_FULFILLMENT: Final = Preimage(bytes(32))

_LIFE_MS: Final = 10_000
_AT_ONCE: Final = 8
"""Messages of one peer that its engine works on at a time: more are refused until some are done."""
_log = structlog.get_logger(__name__)


class MessageRefused(Retryable):
    """The peer did not answer a message with a message. Fields: account; code (ILP's, or empty); problem."""

    def __init__(self, account: str, code: str, problem: str) -> None:
        self.account = account
        self.code = code
        self.problem = problem
        super().__init__(f"the message to {account} was not answered: {code} {problem}".rstrip())


class EngineMessages:
    """Both directions: our engine's messages to the peer, and the peer's to our engine."""

    def __init__(self, links: Mapping[str, Link], engines: Mapping[str, Rfc38Client], clock: Clock) -> None:
        """Carry messages of the accounts in `engines`, over their links."""
        self._links = links
        self._engines = engines
        self._clock = clock
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, account: str, message: bytes) -> bytes:
        """Pass our engine's message to the peer's, and return its answer.

        Raises:
            MessageRefused: no answer in time, or a reject.
            LinkDown: it could not be sent.
        """
        link = self._links.get(account)
        if link is None:
            raise MessageRefused(account, "", "it has no link")
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answered(reply: bytes) -> None:
            if not done.done():
                done.set_result(reply)

        expires_at = UnixMs(self._clock() + _LIFE_MS)
        prepare = Prepare(Units(0), expires_at, MESSAGE_CONDITION, SETTLE_ADDRESS, message)
        link.send(encode(prepare), answered)
        try:
            async with asyncio.timeout(_LIFE_MS / 1000):
                answer = decode_reply(await done)
        except TimeoutError:
            raise MessageRefused(account, "", "no answer in time") from None
        except BadPacket as error:
            raise MessageRefused(account, "", str(error)) from error
        if isinstance(answer, Reject):
            raise MessageRefused(account, answer.code, answer.message)
        return answer.data

    def __call__(self, account: str, destination: str, prepare: bytes, reply: Reply) -> None:
        """See `settlement.connector.ports.PeerHandler`; for the destination `peer.settle`."""
        engine = self._engines.get(account)
        if destination != SETTLE_ADDRESS or engine is None:
            reply(_reject(Code.BAD_REQUEST, "no settlement engine serves this account"))
        elif self._busy[account] >= _AT_ONCE:
            reply(_reject(Code.CONNECTOR_BUSY, "too many settlement messages at once"))
        else:
            self._busy[account] += 1
            task = asyncio.ensure_future(self._ask(account, engine, prepare, reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, account: str, engine: Rfc38Client, prepare: bytes, reply: Reply) -> None:
        try:
            reply(await self._answer(account, engine, prepare))
        finally:
            self._busy[account] -= 1
            if not self._busy[account]:
                del self._busy[account]

    async def _answer(self, account: str, engine: Rfc38Client, prepare: bytes) -> bytes:
        try:
            data = decode_prepare(prepare).data
        except BadPacket as error:
            return _reject(Code.INVALID_PACKET, str(error))
        if len(data) > MESSAGE_BYTES_MAX:
            return _reject(Code.BAD_REQUEST, f"a message has at most {MESSAGE_BYTES_MAX:,} bytes")
        try:
            return encode(Fulfill(MESSAGE_FULFILLMENT, await engine.message(account, data)))
        except OtherSideFailed as error:
            _log.warning("the settlement engine did not answer a peer", account=account, problem=str(error))
            return _reject(_code(error.status), "the settlement engine refused the message", error.body)


def _code(status: int) -> Code:
    """RFC 38 leaves it to the connector: what the engine refuses is final, its failures are not."""
    return Code.BAD_REQUEST if 400 <= status < 500 and status not in (408, 429) else Code.INTERNAL_ERROR


def _reject(code: Code, message: str, data: bytes = b"") -> bytes:
    return encode(Reject(code.value, SETTLE_ADDRESS, message, data))
