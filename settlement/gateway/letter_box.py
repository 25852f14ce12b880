"""What comes from other parties: opened, understood, and handed to the engine; answered when it is committed."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.connect import messages as words
from settlement.connect.acceptance import recorded_statement
from settlement.connect.envelope import Envelope, Form, SharedSecret, open_letter, open_note
from settlement.connect.envelope_keys import EnvelopeKeys
from settlement.connect.handshake import Asked, read_question, receive
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.engine import EngineStopped
from settlement.custody.news import Act, Acted, Begin, News, Signed
from settlement.custody.sealing import Sealer
from settlement.custody.states import State
from settlement.custody.store import PaymentStore
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway.customers import Customers
from settlement.gateway.dossiers import Dossier
from settlement.gateway.files import Files
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.ledger_courier import Submit
from settlement.gateway.office import DeskOffice
from settlement.quantities import Clock, PartyId

_NO_PAYMENT = bytes(32)
_OFFER_MS = 120_000
_log = structlog.get_logger(__name__)


class Pricing(Protocol):
    """Makes the clearing bank's quotes."""

    def offers(self, asks: Sequence[m.QuoteAsk], payer: PartyId, now: UnixMs) -> Sequence[clearer.Offer | m.QuoteNo]:
        """Signed offers, one for each that is asked for, or why there is none."""


class Receiving(Protocol):
    """Where this bank is paid."""

    def account(self, payer: PartyId) -> tuple[str, str] | None:
        """Ledger and account at which payments from this party are wanted; None: none are."""


Places: TypeAlias = Callable[[PartyId, m.PlaceAsk | m.Place], None]
"""Takes what another party asks or says of where it is paid, outside of any payment; it must not raise or wait."""


class LetterBoxDesk:
    """Takes requests of other parties. `questions`: what our own handshakes wait for."""

    def __init__(
        self,
        secrets: Secrets,
        directory: Directory,
        office: DeskOffice,
        database: Database,
        submit: Submit,
        state: Callable[[PaymentId], State | None],
        pricing: Pricing | None,
        receiving: Receiving,
        customers: Customers,
        files: Files,
        sealer: Sealer,
        address: str,
        questions: dict[PaymentId, Asked],
        places: Places,
        clock: Clock,
        hold_ms_max: int,
    ) -> None:
        """`hold_ms_max`: the longest time for which this bank waits for a payment's money."""
        self._secrets = secrets
        self._directory = directory
        self._office = office
        self._database = database
        self._submit = submit
        self._state = state
        self._pricing = pricing
        self._receiving = receiving
        self._customers = customers
        self._files = files
        self._sealer = sealer
        self._address = address
        self._questions = questions
        self._places = places
        self._clock = clock
        self._hold_ms_max = hold_ms_max

    async def take(self, body: bytes, sender: PartyId | None = None) -> None:
        """Take a request; returns when all that is good in it is committed. What is not is dropped, and logged.

        Args:
            body: the envelopes.
            sender: whose request it is, where that is known: what claims to be another's is not looked at further.

        Raises:
            BadInput: the request is no list of envelopes.
            EngineStopped: whether it was committed is not known; the sender repeats it.
        """
        now = self._clock()
        gathered: list[News] = []
        for raw in m.decode_body(body):
            try:
                gathered.append(await self._news(Envelope.decode(raw), sender, now))
            except Fatal as problem:
                _log.warning("message refused", why=str(problem))
        joined = _joined(gathered)
        if not (joined.acts or joined.changes or joined.begins):
            return
        try:
            await self._submit(joined)
        except EngineStopped:
            raise
        except Exception:  # noqa: BLE001 - a message that we stumble over must not keep the sender's others from us
            for news in gathered:
                await self._submit_alone(news)

    async def _submit_alone(self, news: News) -> None:
        try:
            await self._submit(news)
        except EngineStopped:
            raise
        except Exception:  # noqa: BLE001 - see `take`
            _log.exception("message dropped")

    async def _news(self, envelope: Envelope, sender: PartyId | None, now: UnixMs) -> News:
        header = envelope.header
        if sender is not None and header.sender != sender:
            raise BadInput("sender", f"{sender} sent a message of {header.sender}", "each party sends its own")
        keys = self._directory.keys(header.sender)
        if keys is None:
            raise BadInput("sender", f"{header.sender} is no party that we know", "exchange cards first")
        payment = PaymentId(header.payment_id)
        if header.form is Form.NOTE:
            return await self._on_note(envelope, payment, now)
        if header.payment_id != _NO_PAYMENT:
            return await self._on_handshake(envelope, keys, payment, now)
        text = open_letter(self._secrets.letters.sealing, self._secrets.party, keys, envelope, now)
        return self._on_words(m.decode_words(text, keys.party), keys.party, now)

    # --- Step 1 -----------------------------------------------------------------------------------------------------

    async def _on_handshake(self, envelope: Envelope, keys: EnvelopeKeys, payment: PaymentId, now: UnixMs) -> News:
        asked = self._questions.get(payment)
        if asked is not None:
            issued = receive(self._secrets.letters, keys, asked, envelope, now)
            given = c.SecretGiven(issued.secret.value, issued.address, issued.account)
            self._questions.pop(payment, None)
            return News(changes=((payment, given),))
        question = read_question(self._secrets.letters, keys, envelope, now)
        place = self._receiving.account(keys.party)
        if place is None:
            raise BadInput("payer", f"no payments from {keys.party} are taken", "ask the operator")
        ledger, account = place
        invitation = payee.Invitation(
            payment_id=payment,
            payer=keys.party,
            payee=self._secrets.party,
            secret=SharedSecret.fresh().value,
            address=f"{self._address}.{base64.urlsafe_b64encode(os.urandom(15)).decode()}",
            ledger=ledger,
            account=account,
            until=now + _OFFER_MS,
            hold_ms_max=self._hold_ms_max,
        )
        begun = payee.begin(invitation, question.reply_key)
        # A payment that was begun before is not begun again: its own secret is sealed to the new key.
        return News(begins=(Begin(payment, begun, c.SecretAsked(keys.party, question.reply_key)),))

    # --- Words between any two ---------------------------------------------------------------------------------------

    def _on_words(self, words: tuple[m.Word, ...], sender: PartyId, now: UnixMs) -> News:
        changes: list[tuple[PaymentId, c.AnyChange]] = []
        begins: list[Begin] = []
        acts: list[Act] = []
        offers = iter(self._offers([word for word in words if isinstance(word, m.QuoteAsk)], sender, now))
        for word in words:
            payment = PaymentId(word.payment_id)
            match word:
                case m.QuoteAsk():
                    offer = next(offers)
                    if isinstance(offer, clearer.Offer):
                        begins.append(Begin(payment, clearer.begin(offer), c.QuoteAsked(sender)))
                    else:
                        acts.append(_saying(payment, c.RefuseQuote(sender, offer.why, offer.detail)))
                case m.QuoteOffer():
                    changes.append((payment, c.QuoteGiven(word.quote, word.signature)))
                case m.QuoteNo():
                    changes.append((payment, c.QuoteRefused(sender, word.why, word.detail)))
                case m.PlaceAsk() | m.Place():
                    self._places(sender, word)
                case m.End():
                    changes.append((payment, c.Told(sender, word.why, word.detail)))
                case m.ReceiptPart():
                    changes.append((payment, c.Signed(sender, word.receipt_hash, word.part)))
        return News(acts=tuple(acts), changes=tuple(changes), begins=tuple(begins))

    def _offers(self, asks: Sequence[m.QuoteAsk], sender: PartyId, now: UnixMs) -> Sequence[clearer.Offer | m.QuoteNo]:
        if self._pricing is None:
            why = f"{self._secrets.party} is no clearing bank"
            return [m.QuoteNo(ask.payment_id, c.Why.NO_ROUTE, why) for ask in asks]
        return self._pricing.offers(asks, sender, now)

    # --- Notes between payer and payee --------------------------------------------------------------------------------

    async def _on_note(self, envelope: Envelope, payment: PaymentId, now: UnixMs) -> News:
        sender = PartyId(envelope.header.sender)
        secret, other = await self._secret(payment)
        if secret is None or other != sender:
            raise BadInput("payment_id", f"{sender} has no such payment with us")
        text = open_note(SharedSecret(secret), payment, sender, self._secrets.party, envelope, now)
        note = m.decode_note(text)
        if isinstance(note, m.Proposal):
            return News(acts=(self._proposed(payment, note),))
        message = words.decode(note.body)
        signed = None
        if isinstance(message, words.AcceptanceMessage):
            statement = recorded_statement(message.signed, self._directory.registry)
            signed = (statement, message.signed.signature)
        return News(acts=(self._hearing(payment, note, signed),))

    def _proposed(self, payment: PaymentId, note: m.Proposal) -> Act:
        async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
            if self._customers.find(note.creditor) is None:
                unknown = c.Unwanted(c.Why.UNKNOWN_CUSTOMER, "no customer of this bank has the account")
                return Acted(((payment, unknown),))
            await self._files.put_dossier(connection, payment, Dossier(own=note.creditor))
            return Acted(((payment, c.Proposed(note.terms)),))

        return Act(payment, run)

    def _hearing(self, payment: PaymentId, note: m.Exchanged | m.Accepting, signed: Signed | None) -> Act:
        async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
            return await self._office.hear(connection, payment, state, note, now)

        return Act(payment, run, signed)

    async def _secret(self, payment: PaymentId) -> tuple[bytes | None, str]:
        """The secret of a payment, and with whom it is shared."""
        state = self._state(payment)
        if state is not None:
            return secret_of(state)
        async with self._database.view() as view:
            stored = (await PaymentStore(view.connection, self._sealer).load([payment])).get(payment)
        if stored is None:
            return None, ""
        return secret_of(stored.state)


def secret_of(state: State) -> tuple[bytes | None, str]:
    """The shared secret of a payment, and the other bank; None where this party has none."""
    match state:
        case payee.State():
            return state.invitation.secret, state.invitation.payer
        case payer.Pricing() | payer.Clearing() | payer.Agreeing():
            return state.secret, state.order.payee
        case payer.Holding() | payer.Held() | payer.Paid() | payer.Closed() | payer.Back():
            return state.deal.secret, state.order.payee
        case _:
            return None, ""


def _joined(news: Sequence[News]) -> News:
    """All that came in one request, in its order."""
    return News(
        acts=tuple(act for one in news for act in one.acts),
        changes=tuple(change for one in news for change in one.changes),
        begins=tuple(begin for one in news for begin in one.begins),
    )


def _saying(payment: PaymentId, effect: c.AnyEffect) -> Act:
    async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
        return Acted(effects=((payment, effect),))

    return Act(payment, run)
