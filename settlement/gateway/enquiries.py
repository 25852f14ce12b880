"""What would a payment cost? Questions to other banks before there is a payment.

A quote is signed, and binds the clearing bank to the payment of the id that was asked for. Under an id that nobody pays
by, it is indicative: whoever pays afterwards names the most that it may cost. Under the id of the payment that is to
come, and with the account where the payee is paid, it is firm: the payment goes by this very quote.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final, TypeAlias

import structlog

from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.connect.envelope import Form, seal_letter, write_header
from settlement.cosign.cosignatures import verify
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.terms import PaymentId, check_quote
from settlement.gateway import messages as m
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.letter_box import Receiving
from settlement.gateway.peer_courier import LetterBox, PeerUnavailable
from settlement.gateway.quote_signing import quote_signature
from settlement.quantities import Clock, PartyId

_LETTER_MS = 60_000
_NO_PAYMENT = PaymentId(bytes(32))
_OPEN_MAX = 256
_REPLIES_MAX: Final = 64
Answer: TypeAlias = c.QuoteGiven | c.QuoteRefused
PlaceAnswer: TypeAlias = m.Place | c.QuoteRefused
_log = structlog.get_logger(__name__)


class Enquiries:
    """The questions of one party that wait for their answers, and its answers to others. End with `close`."""

    def __init__(
        self, secrets: Secrets, directory: Directory, box: LetterBox, receiving: Receiving, clock: Clock
    ) -> None:
        """`receiving`: where we are paid, for others who ask."""
        self._secrets = secrets
        self._directory = directory
        self._box = box
        self._receiving = receiving
        self._clock = clock
        self._quotes: dict[PaymentId, tuple[PartyId, c.AskQuote, asyncio.Future[Answer]]] = {}
        self._places: dict[PaymentId, tuple[PartyId, asyncio.Future[PlaceAnswer]]] = {}
        self._replies: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Answer nobody any more."""
        for task in self._replies:
            task.cancel()
        await asyncio.gather(*self._replies, return_exceptions=True)

    async def ask(self, clearer: PartyId, asked: c.AskQuote, payment: PaymentId, timeout_seconds: float) -> Answer:
        """Ask a clearing bank, and wait for its answer; a quote's signature was verified.

        Args:
            clearer: who is asked. asked: what is to be paid. payment: the id that the quote is for, 32 bytes that
            nobody can guess; for a firm quote the payment's own. timeout_seconds: how long the answer may take.

        Raises:
            BadInput: it is no other party that we know.
            PeerUnavailable: it does not answer in time, or too many questions are open.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._check(clearer, "clearing")
        self._quotes[payment] = (clearer, asked, answer)
        places = (asked.source_ledger, asked.source_account, asked.target_ledger, asked.target_account)
        word = m.QuoteAsk(payment, asked.payee, *places, asked.target_amount)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(clearer, word)
                return await answer
        except TimeoutError as error:
            raise PeerUnavailable(clearer, "no quote came in time") from error
        finally:
            del self._quotes[payment]

    async def ask_place(self, payee: PartyId, timeout_seconds: float) -> PlaceAnswer:
        """Ask another bank where it is paid; nothing begins with it, at either bank.

        Raises:
            BadInput, PeerUnavailable: as `ask`.
        """
        number = PaymentId(os.urandom(32))
        answer: asyncio.Future[PlaceAnswer] = asyncio.get_running_loop().create_future()
        self._check(payee, "payee")
        self._places[number] = (payee, answer)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(payee, m.PlaceAsk(number))
                return await answer
        except TimeoutError as error:
            raise PeerUnavailable(payee, "it did not say in time where it is paid") from error
        finally:
            del self._places[number]

    def heard(self, news: News) -> None:
        """Take the answers out of what has come in; it goes to the payments all the same, which know nothing of them.

        An answer's number is random and known to the party alone that was asked, and its quote has to be that party's.
        """
        for number, change in news.changes:
            if number in self._quotes and isinstance(change, c.QuoteGiven | c.QuoteRefused):
                clearer, asked, answer = self._quotes[number]
                if not answer.done() and self._is_good(clearer, asked, change):
                    answer.set_result(change)
            elif number in self._places and isinstance(change, c.QuoteRefused):
                payee, told = self._places[number]
                if not told.done() and change.party == payee:
                    told.set_result(change)

    def told(self, sender: PartyId, word: m.PlaceAsk | m.Place) -> None:
        """Another party asks where we are paid, or says where it is."""
        if isinstance(word, m.PlaceAsk):
            # Whoever asks faster than is answered is not answered: it asks again.
            if len(self._replies) < _REPLIES_MAX:
                task = asyncio.create_task(self._reply(sender, word))
                self._replies.add(task)
                task.add_done_callback(self._replies.discard)
            return
        party, answer = self._places.get(PaymentId(word.payment_id), (None, None))
        if answer is not None and party == sender and not answer.done():
            answer.set_result(word)

    async def _reply(self, sender: PartyId, word: m.PlaceAsk) -> None:
        place = self._receiving.account(sender)
        answer: m.Word
        if place is None:
            answer = m.QuoteNo(word.payment_id, c.Why.NO_ROUTE, f"no payments from {sender} are taken")
        else:
            answer = m.Place(word.payment_id, *place)
        try:
            await self._send(sender, answer)
        except PeerUnavailable as problem:
            _log.info("no answer delivered", party=sender, problem=str(problem))

    async def _send(self, party: PartyId, word: m.Word) -> None:
        keys = self._directory.keys(party)
        assert keys is not None, "checked, or it has written to us"
        now = self._clock()
        header = write_header(Form.LETTER, self._secrets.party, party, _NO_PAYMENT, now, UnixMs(now + _LETTER_MS))
        letter = seal_letter(self._secrets.letters, keys.seal_key, header, m.encode((word,)))
        await self._box.put(party, m.encode((letter.encode(),)))

    def _check(self, party: PartyId, field: str) -> None:
        if self._directory.keys(party) is None or party == self._secrets.party:
            raise BadInput(field, f"{party} is no other party that we know", "exchange cards first")
        if len(self._quotes) + len(self._places) >= _OPEN_MAX:
            raise PeerUnavailable(party, "too many questions wait for an answer")

    def _is_good(self, clearer: PartyId, asked: c.AskQuote, change: Answer) -> bool:
        if isinstance(change, c.QuoteRefused):
            return change.party == clearer
        quote = change.quote
        told = (
            *(quote.clearer, quote.payer, quote.payee),
            *(quote.source.ledger, quote.source.payer),
            *(quote.target.ledger, quote.target.payee, quote.target.amount),
        )
        wanted = (
            *(clearer, self._secrets.party, asked.payee),
            *(asked.source_ledger, asked.source_account),
            *(asked.target_ledger, asked.target_account, asked.target_amount),
        )
        try:
            check_quote(quote)
            verify(*quote_signature(self._directory, quote, change.signature))
        except Fatal:
            return False
        return told == wanted
