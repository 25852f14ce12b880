"""A bank's way to the adjudicator of a book, over REST. Implements `port.Adjudicator`."""

from __future__ import annotations

from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp

from foundation.errors import BadInput
from settlement.channels import court_wire as w
from settlement.channels.errors import Overruled, Ruling
from settlement.channels.judge import Command
from settlement.channels.port import Standing
from settlement.channels.signing import KeySigner, channel_id
from settlement.channels.terms import ChannelId, Terms
from settlement.ledgers.protocol import LedgerAccount, LedgerId, LedgerUnavailable
from settlement.quantities import Clock, Preimage

_TIMEOUT_SECONDS: Final = 10.0
_NOBODY: Final = ChannelId(bytes(32))


class CourtClient:
    """One bank's. Use as `async with`. All methods raise `LedgerUnavailable` where nothing is known: ask again."""

    def __init__(self, ledger_id: LedgerId, url: str, domain: bytes, signer: KeySigner, clock: Clock) -> None:
        """Describe it.

        Args:
            ledger_id: the book's.
            url: of the adjudicator's service.
            domain: of the adjudicator, 32 bytes.
            signer: the bank's channel account.
            clock: ours.
        """
        self._ledger_id = ledger_id
        self._url = url.rstrip("/")
        self._domain = domain
        self._signer = signer
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to ask."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @property
    def domain(self) -> bytes:
        """What the terms' `ledger` has to be, 32 bytes."""
        return self._domain

    async def open(self, terms: Terms, a: LedgerAccount, b: LedgerAccount, nonce: bytes) -> ChannelId:
        """Open a channel as `BookAdjudicator.open`, A's deposit being held.

        Raises:
            BadInput: the operator takes no such terms.
            Overruled: the deposit is not there.
        """
        channel = channel_id(terms)
        await self._ask("POST", "/channels", w.encode(w.OpenIn(terms, a, b, nonce)), channel)
        return channel

    async def submit(self, channel: ChannelId, command: Command) -> None:
        """See `port.Adjudicator.submit`."""
        await self._ask("POST", f"/channels/{channel.hex()}/commands", w.encode_command(command), channel)

    async def reveal(self, preimage: Preimage) -> None:
        """See `port.Adjudicator.reveal`."""
        await self._ask("POST", "/reveals", w.encode(w.RevealIn(preimage)), _NOBODY)

    async def standing(self, channel: ChannelId, conditions: tuple[bytes, ...]) -> Standing | None:
        """See `port.Adjudicator.standing`."""
        query = "&".join(f"condition={one.hex()}" for one in conditions)
        path = f"/channels/{channel.hex()}" + (f"?{query}" if query else "")
        try:
            found = w.decode(await self._ask("GET", path, b"", channel), w.StandingOut)
        except Overruled as error:
            if error.ruling is Ruling.UNKNOWN_CHANNEL:
                return None
            raise
        if found.case.channel != channel or channel_id(found.case.terms) != channel:
            raise LedgerUnavailable(self._ledger_id, "the adjudicator answered about another channel")
        return Standing(found.case, found.reveals)

    async def _ask(self, method: str, path: str, body: bytes, channel: ChannelId) -> bytes:
        assert self._session is not None, "entered before"
        at = self._clock()
        headers = {
            w.ACCOUNT_HEADER: f"0x{self._signer.account.hex()}",
            w.TIME_HEADER: str(at),
            w.SIGNATURE_HEADER: self._signer.sign_request(self._domain, method, path, body, at).hex(),
        }
        try:
            async with self._session.request(method, self._url + path, data=body or None, headers=headers) as answer:
                raw = await answer.read()
                if answer.status < HTTPStatus.BAD_REQUEST:
                    return raw
                raise self._refusal(answer.status, raw, channel)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LedgerUnavailable(self._ledger_id, str(error) or type(error).__name__) from error

    def _refusal(self, status: int, raw: bytes, channel: ChannelId) -> Exception:
        try:
            problem = w.decode(raw, w.ProblemOut)
            if problem.ruling:
                return Overruled(channel, Ruling(problem.ruling), problem.detail)
        except (BadInput, ValueError):
            return LedgerUnavailable(self._ledger_id, f"HTTP status {status}")
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return BadInput("channel", problem.detail, "as the operator says")
        # Also one that does not know us, or whose clock differs: a person mends that, and meanwhile nothing is lost.
        return LedgerUnavailable(self._ledger_id, f"HTTP status {status}: {problem.detail}")
