"""What would a payment cost? Questions to a clearing bank outside any payment.

The answer is indicative: it is signed, and binds the clearing bank to a payment of the question's own id, which nobody
makes. Whoever pays afterwards names the most that it may cost, so a rate that has moved refuses and moves nothing.
"""

from __future__ import annotations

import asyncio
import os
from typing import TypeAlias

from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.connect.envelope import Form, seal_letter, write_header
from settlement.cosign.cosignatures import CoSignature, verify
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.terms import PaymentId, check_quote
from settlement.gateway import messages as m
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.peer_courier import LetterBox, PeerUnavailable
from settlement.quantities import Clock, PartyId

_LETTER_MS = 60_000
_NO_PAYMENT = PaymentId(bytes(32))
_OPEN_MAX = 256
Answer: TypeAlias = c.QuoteGiven | c.QuoteRefused


class Enquiries:
    """The questions of one party that wait for their answers."""

    def __init__(self, secrets: Secrets, directory: Directory, box: LetterBox, clock: Clock) -> None:
        self._secrets = secrets
        self._directory = directory
        self._box = box
        self._clock = clock
        self._open: dict[PaymentId, tuple[PartyId, c.AskQuote, asyncio.Future[Answer]]] = {}

    async def ask(self, clearer: PartyId, asked: c.AskQuote, timeout_seconds: float) -> Answer:
        """Ask a clearing bank, and wait for its answer; a quote's signature was verified.

        Raises:
            BadInput: it is no other party that we know.
            PeerUnavailable: it does not answer in time, or too many questions are open.
        """
        keys = self._directory.keys(clearer)
        if keys is None or clearer == self._secrets.party:
            raise BadInput("clearing", f"{clearer} is no other party that we know", "exchange cards first")
        if len(self._open) >= _OPEN_MAX:
            raise PeerUnavailable(clearer, "too many questions wait for an answer")
        number, now = PaymentId(os.urandom(32)), self._clock()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[number] = (clearer, asked, answer)
        places = (asked.source_ledger, asked.source_account, asked.target_ledger, asked.target_account)
        word = m.QuoteAsk(number, asked.payee, *places, asked.target_amount)
        header = write_header(Form.LETTER, self._secrets.party, clearer, _NO_PAYMENT, now, UnixMs(now + _LETTER_MS))
        letter = seal_letter(self._secrets.letters, keys.seal_key, header, m.encode((word,)))
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._box.put(clearer, m.encode((letter.encode(),)))
                return await answer
        except TimeoutError as error:
            raise PeerUnavailable(clearer, "no quote came in time") from error
        finally:
            del self._open[number]

    def heard(self, news: News) -> None:
        """Take the answers out of what has come in; it goes to the payments all the same, which know nothing of them.

        An answer's number is random and known to the party alone that was asked, and its quote has to be that party's.
        """
        for number, change in news.changes:
            if number not in self._open or not isinstance(change, c.QuoteGiven | c.QuoteRefused):
                continue
            clearer, asked, answer = self._open[number]
            if not answer.done() and self._is_good(clearer, asked, change):
                answer.set_result(change)

    def _is_good(self, clearer: PartyId, asked: c.AskQuote, change: Answer) -> bool:
        if isinstance(change, c.QuoteRefused):
            return change.party == clearer
        quote = change.quote
        told = (quote.clearer, quote.payer, quote.payee, quote.source.ledger, quote.target.ledger, quote.target.amount)
        wanted = (
            *(clearer, self._secrets.party, asked.payee),
            *(asked.source_ledger, asked.target_ledger, asked.target_amount),
        )
        try:
            check_quote(quote)
            verify(self._directory.quote_statement(quote), CoSignature.decode(change.signature))
        except Fatal:
            return False
        return told == wanted
