"""Notices of holds on bitcoin, from the payer's gateway to the payee's: sealed, signed, answered, and repeated at will.

An output's hash says nothing to whoever does not know its terms, so the payer tells them before it broadcasts. The
payee keeps only what it agreed to: the hold has to be the one that a payment's quote has with this very party. So
nobody can have it look for more outputs than it has payments. The answer proves that the letter was opened, for who did
not reach the payee must not pay into an output that nobody knows of.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final, Protocol, TypeAlias

import msgspec
import structlog
from msgspec import Meta, Struct

from foundation.database import Database
from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connect.envelope import Envelope, Form, open_letter, seal_letter, write_header
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import decode_memo
from settlement.custody.sealing import Sealer
from settlement.custody.states import State, is_open
from settlement.custody.store import PaymentStore
from settlement.custody.terms import Bytes32, Leg, Name, PaymentId, Quote, source_transfer_id, target_transfer_id
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.peer_courier import PeerUnavailable
from settlement.ledgers.bitcoin.notices import NoticeRefused, decode_notice
from settlement.ledgers.bitcoin.types import MS, Terms, account_text
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import Clock, PartyId, tagged_hash

_LETTER_MS: Final = 60_000
_NO_PAYMENT: Final = PaymentId(bytes(32))
_WHY_MAX: Final = 512
_log = structlog.get_logger(__name__)

Accept: TypeAlias = Callable[[bytes], Awaitable[None]]
"""`BitcoinLedger.accept`."""


class HoldNotice(Struct, frozen=True, array_like=True, tag="hold-notice", forbid_unknown_fields=True):
    """A letter's text. Fields: ledger; notice (as `encode_notice` made it); challenge (32 random bytes)."""

    ledger: Name
    notice: bytes
    challenge: Bytes32


class NoticeAnswer(Struct, frozen=True, array_like=True, tag="hold-notice-answer", forbid_unknown_fields=True):
    """What the payee says. Fields: is_kept; why (it never will be); proof (32 bytes, by who has the challenge)."""

    is_kept: bool
    why: Annotated[str, Meta(max_length=_WHY_MAX)]
    proof: Bytes32


class NoticeBox(Protocol):
    """Other parties' gateways, as an address to send notices to."""

    async def notify(self, party: PartyId, body: bytes) -> bytes:
        """What the other answers. Raises PeerUnavailable: it does not, now."""


class Payments:
    """Payments as they are stored, for who has to know what was agreed of a hold."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        self._database = database
        self._sealer = Sealer(secrets.state_key)

    async def state(self, payment: PaymentId) -> State | None:
        """Where a payment stands. Raises DatabaseUnavailable."""
        async with self._database.view() as view:
            stored = (await PaymentStore(view.connection, self._sealer).load([payment])).get(payment)
        return None if stored is None else stored.state


class PeerNotices:
    """The way to the payees of one ledger. Implements `settlement.ledgers.bitcoin.notices.Notices`."""

    def __init__(
        self,
        ledger: LedgerId,
        secrets: Secrets,
        directory: Directory,
        payments: Payments,
        box: NoticeBox,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._secrets = secrets
        self._directory = directory
        self._payments = payments
        self._box = box
        self._clock = clock

    async def tell(self, payee: LedgerAccount, notice: bytes) -> None:
        """See `Notices`. Whose account it is, the payment's quote says.

        Raises:
            NoticeRefused: also where no payment of ours makes this hold.
        """
        terms, _ = decode_notice(notice)
        try:
            party = await self._payee_of(terms)
        except BadInput as problem:
            raise NoticeRefused(payee, str(problem)) from problem
        keys = self._directory.keys(party)
        if keys is None:
            raise NoticeRefused(payee, f"there is no card of {party}")
        now, challenge = self._clock(), os.urandom(32)
        own = self._secrets.letters
        header = write_header(Form.LETTER, own.party, party, _NO_PAYMENT, now, UnixMs(now + _LETTER_MS))
        text = msgspec.msgpack.encode(HoldNotice(self._ledger, notice, challenge))
        letter = seal_letter(own, keys.seal_key, header, text)
        raw = await self._box.notify(party, letter.encode())
        answer = _answer_of(party, raw, challenge)
        if not answer.is_kept:
            raise NoticeRefused(payee, answer.why)

    async def _payee_of(self, terms: Terms) -> PartyId:
        payment = PaymentId(decode_memo(terms.memo).payment_id)
        sender, receiver = _parties_of(await self._payments.state(payment), payment, self._ledger, terms)
        if sender != self._secrets.party:
            raise BadInput("notice", f"the hold is {sender}'s to make")
        return receiver


class NoticeDesk:
    """Takes other parties' notices for this party's bitcoin ledgers."""

    def __init__(
        self,
        secrets: Secrets,
        directory: Directory,
        payments: Payments,
        ledgers: Mapping[LedgerId, Accept],
        clock: Clock,
    ) -> None:
        """`ledgers`: where a notice that was agreed to is kept, by the ledger's name."""
        self._secrets = secrets
        self._directory = directory
        self._payments = payments
        self._ledgers = dict(ledgers)
        self._clock = clock

    async def take(self, body: bytes) -> bytes:
        """Keep a notice, and answer so; or why it never will be. The same notice again is answered alike.

        Raises:
            BadInput, EnvelopeRefused: it is no letter to us, of anybody whom we know.
            TooManyNotices, DatabaseUnavailable: nothing was kept; the sender repeats it.
        """
        sender, word = self._opened(body)
        why = ""
        try:
            await self._keep(sender, word)
        except Fatal as problem:
            why = str(problem)[:_WHY_MAX]
            _log.warning("notice refused", party=sender, ledger=word.ledger, why=why)
        answer = NoticeAnswer(not why, why, _proof(word.challenge, why))
        return msgspec.msgpack.encode(answer)

    def _opened(self, body: bytes) -> tuple[PartyId, HoldNotice]:
        envelope = Envelope.decode(body)
        keys = self._directory.keys(envelope.header.sender)
        if keys is None or envelope.header.payment_id != _NO_PAYMENT:
            raise BadInput("sender", "is no party that we know", "exchange cards first")
        text = open_letter(self._secrets.letters.sealing, self._secrets.party, keys, envelope, self._clock())
        try:
            return keys.party, msgspec.msgpack.decode(text, type=HoldNotice)
        except UNREADABLE as error:
            raise BadInput("letter", f"{keys.party} sent no notice of this release") from error

    async def _keep(self, sender: PartyId, word: HoldNotice) -> None:
        accept = self._ledgers.get(LedgerId(word.ledger))
        if accept is None:
            raise BadInput("ledger", f"{word.ledger[:80]!r} is no ledger on which holds are told of here")
        terms, _ = decode_notice(word.notice)
        payment = PaymentId(decode_memo(terms.memo).payment_id)
        state = await self._payments.state(payment)
        if _parties_of(state, payment, LedgerId(word.ledger), terms) != (sender, self._secrets.party):
            raise BadInput("notice", "the hold is another's to make, or not for us")
        await accept(word.notice)


def _parties_of(state: State | None, payment: PaymentId, ledger: LedgerId, terms: Terms) -> tuple[PartyId, PartyId]:
    """Who makes a hold, and for whom, by the quote of an open payment.

    Raises:
        BadInput: the payment is not there or over, or its quote has another hold under this id.
    """
    quote = None if state is None or not is_open(state) else quote_of(state)
    if quote is None:
        raise BadInput("payment", "is not there, or over")
    if terms.transfer_id == source_transfer_id(payment):
        leg, sender, receiver = quote.source, quote.payer, quote.clearer
    elif terms.transfer_id == target_transfer_id(payment):
        leg, sender, receiver = quote.target, quote.clearer, quote.payee
    else:
        raise BadInput("notice.transfer_id", "is none of the payment's")
    if _told(ledger, terms) != _quoted(leg):
        raise BadInput("notice", "is of another hold than was quoted")
    return PartyId(sender), PartyId(receiver)


def quote_of(state: State) -> Quote | None:
    """The quote of a payment, once this party has one."""
    match state:
        case clearer.State():
            return state.offer.quote
        case payer.Agreeing() | payee.Considering() | payee.Consenting():
            return state.terms.quote
        case payer.State() | payee.State():
            deal: payer.Deal | payee.Deal | None = getattr(state, "deal", None)
            return None if deal is None else deal.terms.quote


def _told(ledger: LedgerId, terms: Terms) -> tuple[str, str, str, int, int]:
    return ledger, account_text(terms.payer), account_text(terms.payee), terms.amount, terms.expires_at * MS


def _quoted(leg: Leg) -> tuple[str, str, str, int, int]:
    return leg.ledger, leg.payer, leg.payee, leg.amount, leg.expires_at


def _answer_of(party: PartyId, raw: bytes, challenge: bytes) -> NoticeAnswer:
    """A proved answer; anything else is as good as none. Raises PeerUnavailable."""
    try:
        answer = msgspec.msgpack.decode(raw, type=NoticeAnswer)
    except UNREADABLE as error:
        raise PeerUnavailable(party, "its answer to a notice is none") from error
    is_said = answer.is_kept == (not answer.why)
    if not is_said or not hmac.compare_digest(answer.proof, _proof(challenge, answer.why)):
        raise PeerUnavailable(party, "somebody else answered a notice for it")
    return answer


def _proof(challenge: bytes, why: str) -> bytes:
    """Only who opened the letter has the challenge."""
    return tagged_hash("gateway/notice-answer", challenge, why.encode())
