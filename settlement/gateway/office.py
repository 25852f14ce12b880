"""What one party does with its payments beside stepping them: signatures, rules, exchange of data, books, mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.connect.screening import Subject
from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import CoSignature, Partial, join, part_verifies
from settlement.cosign.errors import BadBatch
from settlement.cosign.statements import Statement
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.news import Act, Acted
from settlement.custody.packet import decode_memo
from settlement.custody.states import State, is_open
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId, Quote, Terms
from settlement.gateway import messages as m
from settlement.gateway.dossiers import Dossier
from settlement.gateway.exchange_desk import Case, ExchangeDesk
from settlement.gateway.files import Files
from settlement.gateway.keys import Directory, Secrets, decode_part, encode_part
from settlement.gateway.quote_signing import quote_signature
from settlement.gateway.screener import Screener, numbers_of
from settlement.gateway.tables import alarms
from settlement.quantities import Asset, Scale
from settlement.rules.buffer import RulesBuffer
from settlement.rules.decision import Decision
from settlement.rules.errors import ReservationOver, UnknownReservation
from settlement.rules.model import Verdict
from settlement.rules.validator import Validator

_PAID = (payer.Paid, payer.Closed, payee.Received, payee.Closed, clearer.Earned, clearer.Closed)
_log = structlog.get_logger(__name__)


class Ledgers(Protocol):
    """The party's books, as the office posts to them."""

    async def post(
        self, connection: AsyncConnection, payment: PaymentId, state: State, event: str, now: UnixMs
    ) -> None:
        """Write what an event of a payment is to this party's accounts; once."""

    async def close(
        self, connection: AsyncConnection, payment: PaymentId, state: State, signature: CoSignature, now: UnixMs
    ) -> None:
        """Keep the receipt, signed by all three: the third entry."""

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Write what this transaction has gathered, before its commit."""

    def forget(self) -> None:
        """The transaction did not take effect."""


class DeskOffice:
    """Implements the engine's `Office` for one party."""

    def __init__(
        self,
        secrets: Secrets,
        directory: Directory,
        desk: ExchangeDesk,
        files: Files,
        screener: Screener,
        validator: Validator,
        rules: RulesBuffer,
        books: Ledgers,
        assets: Mapping[str, Asset],
        deliver: Callable[[Sequence[Due]], None],
        ended: Callable[[Sequence[PaymentId]], None],
    ) -> None:
        """`assets`: of the ledgers on which this party has an account. `ended`: told of payments that are over."""
        self._party = secrets.party
        self._secrets = secrets
        self._directory = directory
        self._desk = desk
        self._files = files
        self._rules = rules
        self._screener = screener
        self._validator = validator
        self._books = books
        self._assets = assets
        self._joined: dict[bytes, CoSignature] = {}
        self._over: list[PaymentId] = []
        self.deliver = deliver
        self._ended = ended

    # --- Signatures -------------------------------------------------------------------------------------------------

    def prepare(self, acts: Sequence[Act]) -> None:
        """See `Office`."""
        self._desk.verify([act.signed for act in acts if act.signed is not None])

    def admit(
        self, changes: Sequence[tuple[PaymentId, c.AnyChange]], states: Mapping[PaymentId, State]
    ) -> list[tuple[PaymentId, c.AnyChange]]:
        """See `Office`. Who sent a bad signature is named in the log."""
        self._joined.clear()
        wanted: dict[int, tuple[Statement, CoSignature]] = {}
        bad: set[int] = set()
        for place, (payment, change) in enumerate(changes):
            try:
                found = self._to_verify(payment, change, states[payment])
            except Fatal as problem:
                _log.warning("signature refused", payment=payment.hex(), change=type(change).__name__, why=str(problem))
                bad.add(place)
                continue
            except Exception:  # noqa: BLE001 - a stranger's hold that we stumble over must not stop its ledger's feed
                _log.exception("signature not understood", payment=payment.hex(), change=type(change).__name__)
                bad.add(place)
                continue
            if found is not None:
                wanted[place] = found
        places = list(wanted)
        try:
            verify_batch([wanted[place] for place in places])
        except BadBatch as problem:
            bad.update(places[number] for number in problem.bad)
        admitted: list[tuple[PaymentId, c.AnyChange]] = []
        for place, (payment, change) in enumerate(changes):
            if isinstance(change, c.HoldSeen):
                is_instructed = place in wanted and place not in bad
                admitted.append((payment, msgspec.structs.replace(change, instructed=is_instructed)))
            elif place not in bad:
                admitted.append((payment, change))
            elif isinstance(change, c.Signed):
                admitted.extend(self._without_false(payment, change, states[payment]))
            else:
                _log.warning("signature refused", payment=payment.hex(), change=type(change).__name__)
        return admitted

    def _to_verify(self, payment: PaymentId, change: c.AnyChange, state: State) -> tuple[Statement, CoSignature] | None:
        """What has to be verified of a change before the machine sees it.

        Raises:
            Fatal: it cannot be what it says, whatever the curve says.
        """
        match change, state:
            case c.QuoteGiven(), payer.Pricing():
                return quote_signature(self._directory, change.quote, change.signature)
            case c.Proposed(), payee.Offered():
                terms = change.terms
                return quote_signature(self._directory, terms.quote, terms.quote_signature)
            case c.HoldSeen(), clearer.Quoted():
                memo, quote = decode_memo(change.memo), state.offer.quote
                statement = self._directory.instruction_statement(payment, quote, memo.terms)
                return statement, CoSignature.decode(memo.co_signature)
            case c.Signed(), payer.Paid() | payee.Received() | clearer.Earned():
                return self._whole_receipt(change, state)
            case _:
                return None

    def _whole_receipt(
        self, change: c.Signed, state: payer.Paid | payee.Received | clearer.Earned
    ) -> tuple[Statement, CoSignature] | None:
        """Parts of a receipt's signature are verified together, when the last one comes."""
        parts, quote = _parts(change, state), quote_of(state)
        if set(parts) != {quote.payer, quote.clearer, quote.payee}:
            return None
        statement = self._directory.receipt_statement(quote, change.receipt_hash)
        signature = self._joined[change.receipt_hash] = join(
            statement, [decode_part(one.signature) for one in parts.values()]
        )
        return statement, signature

    def _without_false(self, payment: PaymentId, change: c.Signed, state: State) -> list[tuple[PaymentId, c.AnyChange]]:
        """All parts were there, and do not hold together: take out those that are false, and say whose they are."""
        assert isinstance(state, payer.Paid | payee.Received | clearer.Earned), "receipts are verified there"
        statement = self._directory.receipt_statement(quote_of(state), change.receipt_hash)
        parts = _parts(change, state)
        false = {party for party, one in parts.items() if not _part_holds(statement, party, one.signature)}
        _log.warning("receipt refused", payment=payment.hex(), parties=sorted(false))
        erased: list[tuple[PaymentId, c.AnyChange]] = [
            (payment, c.Signed(party, bytes(32), b"")) for party in sorted(false)
        ]
        return erased if change.party in false else [*erased, (payment, change)]

    # --- In the transaction -----------------------------------------------------------------------------------------

    def begun(self, payments: Sequence[PaymentId]) -> None:
        """See `Office`."""
        self._files.fresh(payments)
        self._rules.fresh([number for payment in payments for number in numbers_of(payment)])

    async def within(
        self, connection: AsyncConnection, payment: PaymentId, effect: c.AnyEffect, state: State, now: UnixMs
    ) -> Acted | None:
        """See `Office`."""
        match effect:
            case c.Validate():
                return await self._validate(connection, payment, effect, state, now)
            case c.Consent():
                return await self._desk.begin(connection, await self.case(connection, payment, state), now)
            case c.SignReceipt():
                return self._sign_receipt(payment, effect, quote_of(state))
            case c.Post():
                await self._books.post(connection, payment, state, effect.event, now)
            case c.Close():
                # Put together and verified when its last part was admitted, in this round.
                signature = self._joined[effect.receipt_hash]
                await self._books.close(connection, payment, state, signature, now)
            case c.Alarm():
                _log.error("alarm", payment=payment.hex(), detail=effect.detail)
                row = {"payment_id": payment, "at": now, "detail": effect.detail, "state": "open"}
                await connection.execute(insert(alarms).values(**row))
            case _:
                return None
        return Acted()

    async def moved(
        self, connection: AsyncConnection, payment: PaymentId, before: State | None, after: State, now: UnixMs
    ) -> None:
        """See `Office`: what a payment had taken of the limits, and its retention, follow its end.

        Retention counts from when the money has moved: a part of the receipt may be withheld for ever. What a lost
        payment had taken stays reserved until a person has looked (`resolving`).
        """
        if not _is_over(after) or (before is not None and _is_over(before)):
            return
        if isinstance(before, payer.Agreeing | payee.Consenting) and now >= before.terms.quote.expires_at:
            await self._desk.expire(connection, await self.case(connection, payment, before), now)
        if not isinstance(after, (clearer.Lost, payee.Lost, clearer.Lapsed)):
            await self._reservation(connection, payment, is_settled=isinstance(after, _PAID))
        self._files.end(payment)
        self._over.append(payment)

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """See `Office`."""
        await self._files.flush(connection, now)
        await self._rules.flush(connection)
        await self._books.flush(connection, now)

    def committed(self, ended: Sequence[PaymentId]) -> None:
        """See `Office`."""
        self._files.drop(self._over)
        self._over.clear()
        self._rules.drop([number for payment in ended for number in numbers_of(payment)])
        self._ended(ended)

    def forget(self) -> None:
        """See `Office`."""
        self._files.forget()
        self._over.clear()
        self._rules.forget()
        self._books.forget()

    def resumed(self, payment: PaymentId, state: State) -> c.Effects:
        """See `Office`: the key that a secret is to be sealed to is in memory alone, so the payee is asked again."""
        return (c.AskSecret(),) if isinstance(state, payer.Asking) else ()

    def destination(self, payment: PaymentId, effect: c.AnyEffect, state: State | None) -> str:
        """See `Office`."""
        match effect:
            case c.MakeHold() | c.Fulfil() | c.GiveBack() | c.Look() | c.Salvage():
                return f"ledger:{effect.ledger}"
            case c.Tell() | c.Send() | c.ShareSignature() | c.RefuseQuote():
                return f"party:{effect.party}"
            case c.AskSecret() if isinstance(state, payer.State):
                return f"party:{state.order.payee}"
            case c.AskQuote() if isinstance(state, payer.State):
                return f"party:{state.order.clearer}"
            case c.GiveSecret() | c.Decline() if isinstance(state, payee.State):
                return f"party:{state.invitation.payer}"
            case c.GiveQuote():
                return f"party:{effect.quote.payer}"
            case _:
                raise AssertionError(f"nobody carries {effect} out")

    async def hear(
        self,
        connection: AsyncConnection,
        payment: PaymentId,
        state: State | None,
        note: m.Exchanged | m.Accepting,
        now: UnixMs,
    ) -> Acted:
        """The other bank says something in the exchange; what comes when there is none is dropped, and said again.

        Raises:
            MalformedConnect: it is no message of an exchange.
        """
        if state is None or not isinstance(state, payer.Agreeing | payee.Consenting):
            return Acted()
        return await self._desk.hear(connection, await self.case(connection, payment, state), note, now)

    async def case(self, connection: AsyncConnection, payment: PaymentId, state: State) -> Case:
        """What the exchange of a payment is about."""
        dossier = (await self._files.of(connection, payment)).dossier or Dossier("")
        match state:
            case payer.Clearing() | payer.Agreeing():
                return Case(payment, state.terms, state.secret, Subject.ORIGINATOR, dossier)
            case payee.Considering() | payee.Consenting():
                return Case(payment, state.terms, state.invitation.secret, Subject.BENEFICIARY, dossier)
            case _:
                raise NoCase(payment)

    async def _validate(
        self, connection: AsyncConnection, payment: PaymentId, effect: c.Validate, state: State, now: UnixMs
    ) -> Acted:
        if effect.terms is None:
            decision = await self._screener.of_quote(connection, payment, effect.quote, now)
            if decision.verdict is Verdict.REFER:
                return Acted()  # a person's word comes by `recheck`
        else:
            own = effect.quote.source if isinstance(state, payer.State) else effect.quote.target
            if self._assets.get(own.ledger) != Asset(own.asset, Scale(own.scale)):
                # The rules' limits are by asset: a quote that calls our money something else would pass them by.
                return Acted(((payment, c.Barred("", f"{own.ledger} does not hold {own.asset} in scale {own.scale}")),))
            case = await self.case(connection, payment, state)
            decision = await self._screener.before_exchange(
                connection, payment, effect.terms, case.subject, case.dossier, now
            )
        return Acted(((payment, _word_of(decision)),))

    async def recheck(self, connection: AsyncConnection, payment: PaymentId, state: State, now: UnixMs) -> Acted:
        """A person has approved, or rules have changed: put a payment that waits before the rules again."""
        if isinstance(state, clearer.Clearing):
            return await self._validate(connection, payment, c.Validate(None, state.offer.quote), state, now)
        if isinstance(state, payer.Agreeing | payee.Consenting):
            return await self._desk.screened(connection, await self.case(connection, payment, state), now)
        return Acted()

    def _sign_receipt(self, payment: PaymentId, effect: c.SignReceipt, quote: Quote) -> Acted:
        statement = self._directory.receipt_statement(quote, effect.receipt_hash)
        part: Partial = self._secrets.signer.sign(statement)
        signed = c.Signed(self._party, effect.receipt_hash, encode_part(part))
        others = [party for party in (quote.payer, quote.clearer, quote.payee) if party != self._party]
        shared = tuple((payment, c.ShareSignature(party, signed.receipt_hash, signed.signature)) for party in others)
        return Acted(((payment, signed),), shared)

    async def _reservation(self, connection: AsyncConnection, payment: PaymentId, *, is_settled: bool) -> None:
        try:
            if is_settled:
                await self._validator.settle(connection, payment)
            else:
                await self._validator.release(connection, payment)
        except (UnknownReservation, ReservationOver):
            pass  # the rules never let it pass, or the same was said before


class NoCase(Fatal):
    """The payment is not where data are exchanged. Fields: payment_id."""

    def __init__(self, payment: PaymentId) -> None:
        self.payment_id = payment
        super().__init__(f"payment {payment.hex()} exchanges no data now")


def quote_of(state: State) -> Quote:
    """The quote of a payment that has one."""
    match state:
        case clearer.State():
            return state.offer.quote
        case payer.Clearing() | payer.Agreeing() | payee.Considering() | payee.Consenting():
            return state.terms.quote
        case _:
            deal = getattr(state, "deal", None)
            assert deal is not None, f"no quote in {state}"
            terms: Terms = deal.terms
            return terms.quote


def _is_over(state: State) -> bool:
    """Whether the payment's money is where it stays; signatures on the receipt may be missing."""
    return isinstance(state, _PAID) or not is_open(state)


def _word_of(decision: Decision) -> c.AnyChange:
    name = decision.rule_version.hex()
    if decision.verdict is Verdict.BLOCK:
        texts = "; ".join(f"{reason.rule_id}: {reason.text}" for reason in decision.reasons)
        return c.Barred(name, texts[:500])
    return c.Cleared(name)


def _parts(change: c.Signed, state: payer.Paid | payee.Received | clearer.Earned) -> dict[str, c.Signed]:
    """The parts of the signature on one receipt, by party, with the one that has just come."""
    parts = {one.party: one for one in state.signatures if one.receipt_hash == change.receipt_hash}
    parts[change.party] = change
    return parts


def _part_holds(statement: Statement, party: str, raw: bytes) -> bool:
    try:
        part = decode_part(raw)
        return part.party == party and part_verifies(statement, part)
    except Fatal:
        return False
