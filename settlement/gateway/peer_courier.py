"""Carries what is for one other party to its letter box, many messages in one request, until it has taken them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Protocol

import structlog

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.connect.envelope import Envelope, Form, SharedSecret, seal_letter, write_header
from settlement.connect.envelope_keys import EnvelopeKeys, EnvelopeSecrets
from settlement.connect.handshake import Asked, AskedFor, Issued, ask, issue
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway.ledger_courier import Submit
from settlement.quantities import Clock, PartyId

_BATCH = 256
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.2, 5.0
_BATCH_BYTES = 2 << 20
_WORD_BYTES = 2_048
"""The most that a word takes in a letter, about."""
_LETTER_MS = 60_000
_NO_PAYMENT = PaymentId(bytes(32))
"""In a letter's header: its words are of many payments, and each says of which."""
_log = structlog.get_logger(__name__)


class PeerUnavailable(Retryable):
    """The other party's letter box did not take a request. Fields: party; problem."""

    def __init__(self, party: PartyId, problem: str) -> None:
        self.party = party
        self.problem = problem
        super().__init__(f"{party} did not answer: {problem}")


class LetterBox(Protocol):
    """Another party's letter box, as an address to send to."""

    async def put(self, party: PartyId, body: bytes) -> None:
        """Returns when the other has committed what is in it.

        Raises:
            PeerUnavailable: it may or may not have.
        """


class PeerCourier:
    """The effects for one other party. Start `run` as a task; hand effects in by `add`."""

    def __init__(
        self,
        party: PartyId,
        keys: EnvelopeKeys,
        secrets: EnvelopeSecrets,
        box: LetterBox,
        submit: Submit,
        clock: Clock,
        questions: dict[PaymentId, Asked],
    ) -> None:
        """`questions`: what the answers to our handshakes are opened with."""
        self._party = party
        self._keys = keys
        self._secrets = secrets
        self._box = box
        self._submit = submit
        self._clock = clock
        self._questions = questions
        self._waiting: list[Due] = []
        self._wake = asyncio.Event()

    def add(self, due: Sequence[Due]) -> None:
        """Effects to be carried out."""
        self._waiting.extend(due)
        self._wake.set()

    async def run(self) -> None:
        """Carry what waits; until cancelled."""
        pause = _PAUSE_SECONDS
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = self._next()
            try:
                await self._box.put(self._party, m.encode(self._envelopes(batch)))
                await self._submit(News(done=tuple(due.number for due in batch)))
                pause = _PAUSE_SECONDS
            except Exception as problem:  # noqa: BLE001 - what is for a party goes on for as long as it takes
                said = _log.warning if isinstance(problem, Retryable) else _log.exception
                said("party unavailable", party=self._party, problem=str(problem))
                self._waiting = [*batch, *self._waiting]
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
                        await self._wake.wait()
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    def _next(self) -> list[Due]:
        """What waits, in its order: no more than one request may hold."""
        size = number = 0
        for due in self._waiting[:_BATCH]:
            size += len(due.effect.envelope) if isinstance(due.effect, c.Send) else _WORD_BYTES
            if size > _BATCH_BYTES and number:
                break
            number += 1
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        return batch

    def _envelopes(self, batch: Sequence[Due]) -> tuple[bytes, ...]:
        now = self._clock()
        sealed: list[bytes] = []
        words: list[m.Word] = []
        for due in batch:
            match due.effect:
                case c.AskSecret():
                    asked, envelope = ask(self._secrets, self._keys, due.payment, now)
                    self._questions[due.payment] = asked
                    sealed.append(envelope.encode())
                case c.GiveSecret():
                    try:
                        sealed.append(self._secret(due.payment, due.effect, now).encode())
                    except BadInput as problem:  # the key that came is none: nobody waits for an answer
                        _log.warning("no answer", party=self._party, payment=due.payment.hex(), why=str(problem))
                case c.Send():
                    sealed.append(due.effect.envelope)
                case _:
                    words.append(self._word(due.payment, due.effect))
        if words:
            header = write_header(
                Form.LETTER, self._secrets.party, self._party, _NO_PAYMENT, now, UnixMs(now + _LETTER_MS)
            )
            letter = seal_letter(self._secrets, self._keys.seal_key, header, m.encode(tuple(words)))
            sealed.append(letter.encode())
        return tuple(sealed)

    def _secret(self, payment: PaymentId, effect: c.GiveSecret, now: UnixMs) -> Envelope:
        issued = Issued(payment, SharedSecret(effect.secret), effect.address, effect.account)
        return issue(self._secrets, self._keys, AskedFor(payment, effect.reply_key), issued, now)

    def _word(self, payment: PaymentId, effect: c.AnyEffect) -> m.Word:
        match effect:
            case c.AskQuote():
                accounts = (effect.source_ledger, effect.source_account, effect.target_ledger, effect.target_account)
                return m.QuoteAsk(payment, effect.payee, *accounts, effect.target_amount)
            case c.GiveQuote():
                return m.QuoteOffer(payment, effect.quote, effect.signature)
            case c.RefuseQuote():
                return m.QuoteNo(payment, effect.why, effect.detail[:512])
            case c.Tell() | c.Decline():
                return m.End(payment, effect.why, effect.detail[:512])
            case c.ShareSignature():
                return m.ReceiptPart(payment, effect.receipt_hash, effect.signature)
            case _:
                raise AssertionError(f"no effect for another party: {effect}")
