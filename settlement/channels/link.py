"""The way between two banks of a channel: sealed and signed letters (`connect.envelope`) over HTTP.

What is sent may be lost: the channels' machine asks again. Nothing waits for a peer: a bank that is silent, or slow,
holds up nobody else. A letter's payment id is the channel's id, and its text begins with a tag of its own, so that no
letter of another use can be taken for one of these.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
import msgspec
import structlog
from aiohttp import web

from foundation.errors import BadInput, CausewayError
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.channels.messages import MESSAGE_BYTES_MAX, AskTurn, Message, decode, encode
from settlement.channels.terms import ChannelId
from settlement.connect.acceptance import PaymentId
from settlement.connect.envelope import Envelope, Form, ReplayGuard, open_letter, seal_letter, write_header
from settlement.connect.envelope_keys import EnvelopeKeys, EnvelopeSecrets
from settlement.quantities import Clock, PartyId

PATH: Final = "/channel-letters"
_TAG: Final = b"causeway/channels/letter/1/"
_LETTER_MS: Final = 60_000
_LETTERS_MAX: Final = 64
_WAITING_MAX: Final = 512
_BODY_BYTES_MAX: Final = 4 * MESSAGE_BYTES_MAX
_TIMEOUT_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.2
_SHUTDOWN_SECONDS: Final = 2.0
_body: Final[msgspec.msgpack.Decoder[list[bytes]]] = msgspec.msgpack.Decoder(list[bytes])
_log = structlog.get_logger(__name__)


class Peers(Protocol):
    """The parties that this one deals with."""

    def keys(self, party: str) -> EnvelopeKeys | None:
        """A party's keys for letters, None for a stranger."""

    def url(self, party: str) -> str:
        """Where a party's channels listen. Raises KeyError for a stranger."""


class AskBudget:
    """How often the other bank may ask for the turn: each time costs a signature and a transaction here.

    A bucket a channel, of `burst` asks, that fills by `per_second`. What is above is dropped, as if it were lost.
    """

    def __init__(self, per_second: float = 5.0, burst: int = 20) -> None:
        self._per_ms = per_second / 1_000
        self._burst = float(burst)
        self._left: dict[ChannelId, tuple[float, UnixMs]] = {}

    def take(self, channel: ChannelId, now: UnixMs) -> bool:
        """Whether one more is within bounds."""
        left, at = self._left.get(channel, (self._burst, now))
        left = min(self._burst, left + max(0, now - at) * self._per_ms)
        if left < 1:
            self._left[channel] = (left, now)
            return False
        self._left[channel] = (left - 1, now)
        return True


class HttpPeerLink:
    """Letters to the other banks. Implements `port.PeerLink`. Use as `async with`."""

    def __init__(
        self, secrets: EnvelopeSecrets, peers: Peers, partners: dict[ChannelId, PartyId], clock: Clock
    ) -> None:
        """`partners`: with whom each channel is; may grow."""
        self._secrets = secrets
        self._peers = peers
        self._partners = partners
        self._clock = clock
        self._waiting: dict[PartyId, deque[tuple[ChannelId, bytes]]] = {}
        self._wakes: dict[PartyId, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to send."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what waits is lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def send(self, channel: ChannelId, message: Message) -> None:
        """See `port.PeerLink.send`. Returns at once: the other bank may be about to send to us."""
        party = self._partners.get(channel)
        if party is None:
            _log.warning("no partner for a channel", channel=channel.hex())
            return
        if party not in self._waiting:
            self._waiting[party] = deque(maxlen=_WAITING_MAX)
            self._wakes[party] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._carry(party), name=f"channel letters to {party}"))
        self._waiting[party].append((channel, encode(message)))
        self._wakes[party].set()

    async def _carry(self, party: PartyId) -> None:
        waiting, wake = self._waiting[party], self._wakes[party]
        while True:
            await wake.wait()
            wake.clear()
            while waiting:
                batch = [waiting.popleft() for _ in range(min(len(waiting), _LETTERS_MAX))]
                try:
                    await self._post(party, [self._sealed(party, channel, text) for channel, text in batch])
                except (aiohttp.ClientError, CausewayError, TimeoutError, OSError) as error:
                    _log.info("channel letters are lost", party=party, letters=len(batch), problem=str(error))
                    await asyncio.sleep(_PAUSE_SECONDS)

    def _sealed(self, party: PartyId, channel: ChannelId, text: bytes) -> bytes:
        keys = self._peers.keys(party)
        if keys is None:
            raise BadInput("party", f"{party} is no party that we know", "exchange cards first")
        now = self._clock()
        ends = UnixMs(now + _LETTER_MS)
        header = write_header(Form.LETTER, self._secrets.party, party, PaymentId(channel), now, ends)
        return seal_letter(self._secrets, keys.seal_key, header, _TAG + text).encode()

    async def _post(self, party: PartyId, letters: list[bytes]) -> None:
        assert self._session is not None, "entered before"
        body = msgspec.msgpack.encode(letters)
        async with self._session.post(self._peers.url(party) + PATH, data=body) as answer:
            if answer.status != 204:
                raise BadInput("answer", f"HTTP status {answer.status}")


class PeerDoor:
    """Takes the other banks' letters. Use as `async with`; `url` says where it listens."""

    def __init__(
        self,
        secrets: EnvelopeSecrets,
        peers: Peers,
        partners: dict[ChannelId, PartyId],
        receive: Callable[[ChannelId, bytes], Awaitable[None]],
        clock: Clock,
        budget: AskBudget | None = None,
    ) -> None:
        """`receive`: `ChannelAgent.receive`; `budget`: how often the turn may be asked for."""
        self._secrets = secrets
        self._peers = peers
        self._partners = partners
        self._receive = receive
        self._clock = clock
        self._budget = budget or AskBudget()
        self._guard = ReplayGuard()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def listen(self, host: str, port: int) -> None:
        """Listen. Raises OSError where the port cannot be bound."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_post(PATH, self._take)
        runner = self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def take(self, body: bytes) -> None:
        """Take a request; what in it is not good is dropped, and logged.

        Raises:
            BadInput: it is no list of letters.
        """
        try:
            letters = _body.decode(body)
        except UNREADABLE:
            letters = []
        if not 0 < len(letters) <= _LETTERS_MAX:
            raise BadInput("body", f"no list of at most {_LETTERS_MAX} letters")
        for raw in letters:
            try:
                await self._one(raw)
            except CausewayError as problem:
                _log.warning("channel letter refused", problem=str(problem))

    async def _one(self, raw: bytes) -> None:
        envelope, now = Envelope.decode(raw), self._clock()
        header = envelope.header
        channel = ChannelId(header.payment_id)
        # Before any cryptography: a channel's letters come from its other bank alone.
        keys = self._peers.keys(header.sender) if self._partners.get(channel) == header.sender else None
        if keys is None:
            raise BadInput("sender", f"{header.sender} has no such channel with us", "open one first")
        text = open_letter(self._secrets.sealing, self._secrets.party, keys, envelope, now)
        self._guard.admit(header, now)
        if not text.startswith(_TAG):
            raise BadInput("letter", "is of another use")
        message = text[len(_TAG) :]
        if isinstance(decode(message), AskTurn) and not self._budget.take(channel, now):
            raise BadInput("AskTurn", f"{header.sender} asks for the turn too often")
        await self._receive(channel, message)

    async def _take(self, request: web.Request) -> web.Response:
        try:
            await self.take(await request.read())
        except BadInput as problem:
            return web.Response(status=400, text=str(problem))
        return web.Response(status=204)
