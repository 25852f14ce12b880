"""One party's side of the exchanges of data: `connect`'s machine with its files, its mail and its validator.

It works inside the engine's transactions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.connect import exchange as machine
from settlement.connect import exchange_types as x
from settlement.connect import messages as words
from settlement.connect.acceptance import Expected, SignedAcceptance, acceptance_statement, sign_acceptance
from settlement.connect.envelope import Form, SharedSecret, seal_note, write_header
from settlement.connect.policy import Facts, PersonKind, Policy
from settlement.connect.screening import Subject
from settlement.connect.vault import RecordExists, RecordGone, RecordKind
from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import CoSignature, Partial, join, verify
from settlement.cosign.errors import BadBatch
from settlement.cosign.statements import Statement
from settlement.custody import changes as c
from settlement.custody.news import Acted
from settlement.custody.terms import PaymentId, Terms, terms_hash
from settlement.gateway import messages as m
from settlement.gateway.dossiers import Dossier
from settlement.gateway.files import Files
from settlement.gateway.keys import Directory, Secrets, decode_part, encode_part
from settlement.gateway.screener import Screener
from settlement.quantities import PartyId, Units

_log = structlog.get_logger(__name__)
_WHY = {
    x.Reason.SCREENING: c.Why.SCREENING,
    x.Reason.EXPIRED: c.Why.NO_ANSWER,
    x.Reason.COUNTERPARTY: c.Why.SCREENING,
}


@dataclass(frozen=True, slots=True)
class Case:
    """What an exchange is about. Fields: payment; terms; secret (shared, 32 bytes); subject (our customer's role)."""

    payment: PaymentId
    terms: Terms
    secret: bytes
    subject: Subject
    dossier: Dossier


class ExchangeDesk:
    """See the module. `policy`: the one in force."""

    def __init__(
        self,
        party: PartyId,
        secrets: Secrets,
        directory: Directory,
        policy: Callable[[], Policy],
        screener: Screener,
        files: Files,
    ) -> None:
        self._party = party
        self._secrets = secrets
        self._directory = directory
        self._policy = policy
        self._screener = screener
        self._files = files
        self._verified: set[tuple[bytes, bytes]] = set()

    def verify(self, signed: Sequence[tuple[Statement, CoSignature]]) -> None:
        """Verify signatures that acceptances of this transaction bring, all at once; the bad ones are met later."""
        bad: tuple[int, ...] = ()
        try:
            verify_batch(signed)
        except BadBatch as problem:
            bad = tuple(problem.bad)
        self._verified = {
            (statement.digest, signature.signature)
            for place, (statement, signature) in enumerate(signed)
            if place not in bad
        }

    async def begin(self, connection: AsyncConnection, case: Case, now: UnixMs) -> Acted:
        """This bank wants the terms: begin, or say again what was said."""
        state = (await self._files.of(connection, case.payment)).exchange
        if state is None:
            quote = case.terms.quote
            other = quote.payee if case.subject is Subject.ORIGINATOR else quote.payer
            state, effects = machine.begin(
                case.payment,
                self._party,
                PartyId(other),
                case.subject,
                terms_hash(case.terms),
                _facts(case.terms),
                self._policy(),
                UnixMs(quote.expires_at),
            )
            await self._files.put_exchange(connection, state)
        else:
            state, effects = machine.step(state, x.Tick(), now, self._check)
            await self._files.put_exchange(connection, state)
        work = _Work(self, connection, case, now)
        if case.subject is Subject.ORIGINATOR:
            work.say(m.Proposal(case.terms, case.dossier.other))
        return await work.carry_out(state, effects)

    async def hear(
        self, connection: AsyncConnection, case: Case, note: m.Exchanged | m.Accepting, now: UnixMs
    ) -> Acted:
        """The other bank says something.

        Raises:
            MalformedConnect: it is no message of an exchange.
        """
        state = (await self._files.of(connection, case.payment)).exchange
        if state is None or state.phase is x.Phase.REFUSED:
            return Acted()
        message = words.decode(note.body)
        if isinstance(note, m.Accepting) and case.subject is Subject.ORIGINATOR:
            await self._files.put_part(connection, case.payment, note.instruction)
        change = await self._change(connection, case, state, message, now)
        return await self._step(connection, case, state, change, now)

    async def screened(self, connection: AsyncConnection, case: Case, now: UnixMs) -> Acted:
        """A person has decided, or rules have changed: screen again what waits."""
        state = (await self._files.of(connection, case.payment)).exchange
        if state is None or state.phase is not x.Phase.DISCLOSED:
            return Acted()
        work = _Work(self, connection, case, now)
        return await work.carry_out(state, (x.Screen(),))

    async def expire(self, connection: AsyncConnection, case: Case, now: UnixMs) -> None:
        """The quote has ended: what both have not accepted by now is refused, and that is stored as the decision.

        Nobody is told: no note is good any more. What was said before needs no repetition: the outbox has seen to it.
        """
        state = (await self._files.of(connection, case.payment)).exchange
        if state is not None:
            await self._step(connection, case, state, x.Tick(), now)

    async def _step(
        self, connection: AsyncConnection, case: Case, state: x.Exchange, change: x.Change, now: UnixMs
    ) -> Acted:
        after, effects = machine.step(state, change, now, self._check)
        await self._files.put_exchange(connection, after)
        return await _Work(self, connection, case, now).carry_out(after, effects)

    async def _change(
        self, connection: AsyncConnection, case: Case, state: x.Exchange, message: words.Message, now: UnixMs
    ) -> x.Change:
        match message:
            case words.DemandMessage():
                return message.demand
            case words.AcceptanceMessage():
                return x.TheirAcceptance(message.signed)
            case words.RefusalMessage():
                return x.TheirRefusal()
            case words.Disclosure():
                theirs = Subject.BENEFICIARY if case.subject is Subject.ORIGINATOR else Subject.ORIGINATOR
                disclosed, _ = words.read_disclosure(message, case.payment, state.counterparty, theirs, now)
                # Another than before is not stored: the machine sees by its digest that the other contradicts itself.
                with contextlib.suppress(RecordExists):
                    await self._files.put_record(connection, case.payment, RecordKind.THEIRS, words.encode(message))
                return disclosed

    def _check(self, signed: SignedAcceptance, expected: Expected, now: UnixMs) -> None:
        try:
            statement = acceptance_statement(signed, expected, self._directory.registry, now)
            if (statement.digest, signed.signature.signature) not in self._verified:
                verify(statement, signed.signature)
        except Fatal as problem:
            _log.warning(
                "acceptance refused", payment=expected.payment_id.hex(), party=expected.party, why=str(problem)
            )
            raise


class _Work:
    """Carries out what the machine wants, in one transaction, until it wants no more."""

    def __init__(self, desk: ExchangeDesk, connection: AsyncConnection, case: Case, now: UnixMs) -> None:
        self._desk = desk
        self._connection = connection
        self._case = case
        self._now = now
        self._effects: list[tuple[PaymentId, c.AnyEffect]] = []
        self._changes: list[tuple[PaymentId, c.AnyChange]] = []

    async def carry_out(self, state: x.Exchange, effects: tuple[x.Effect, ...]) -> Acted:
        """All effects, and those of the changes that they lead to."""
        waiting = list(effects)
        while waiting:
            change = await self._one(state, waiting.pop(0))
            if change is not None:
                state, more = machine.step(state, change, self._now, self._desk._check)
                await self._desk._files.put_exchange(self._connection, state)
                waiting.extend(more)
        if state.phase is x.Phase.REFUSED:
            assert state.reason is not None, "a refusal has its reason"
            why = _WHY.get(state.reason, c.Why.SCREENING)
            self._changes.append((self._case.payment, c.AgreementFailed(why, f"{state.reason}: {state.field}")))
        return Acted(tuple(self._changes), tuple(self._effects))

    def say(self, note: m.Note) -> None:
        """Seal a note to the other bank; it lives as long as the quote."""
        quote, now = self._case.terms.quote, self._now
        other = quote.payee if self._case.subject is Subject.ORIGINATOR else quote.payer
        if quote.expires_at <= now:
            return
        header = write_header(
            Form.NOTE, self._desk._party, PartyId(other), self._case.payment, now, UnixMs(quote.expires_at)
        )
        envelope = seal_note(SharedSecret(self._case.secret), header, m.encode(note))
        self._effects.append((self._case.payment, c.Send(other, envelope.encode())))

    async def _one(self, state: x.Exchange, effect: x.Effect) -> x.Change | None:
        match effect:
            case x.SendDemand():
                self.say(m.Exchanged(words.encode(words.demand_message(effect.demand))))
            case x.Disclose():
                return await self._disclose(state, effect)
            case x.SendDisclosure():
                self.say(m.Exchanged(await self._record(RecordKind.OWN)))
            case x.Screen():
                return await self._screen()
            case x.Sign():
                return x.OwnAcceptance(sign_acceptance(self._desk._secrets.signer, effect.acceptance))
            case x.SendAcceptance():
                body = words.encode(words.AcceptanceMessage(effect.signed))
                # The payer alone puts the parts of the instruction together: nobody waits for its own.
                is_payee = self._case.subject is Subject.BENEFICIARY
                self.say(m.Accepting(body, encode_part(self._instruction()) if is_payee else b""))
            case x.SendRefusal():
                self.say(m.Exchanged(words.encode(words.RefusalMessage())))
            case x.Record():
                self._desk._files.decided(effect)
            case x.Accepted():
                await self._accepted(effect)
            case x.AskPerson():
                pass  # who may decide sees it among the decisions that wait; their word comes by `screened`
        return None

    async def _record(self, kind: RecordKind) -> bytes:
        return await self._desk._files.record(self._connection, self._case.payment, kind)

    async def _disclose(self, state: x.Exchange, effect: x.Disclose) -> x.Change:
        try:
            stored = words.decode(await self._record(RecordKind.OWN))
            assert isinstance(stored, words.Disclosure), "what is stored is a disclosure"
            disclosure = stored
        except RecordGone:
            payload = self._desk._screener.own_payload(self._case.dossier, self._case.subject)
            disclosure = words.write_disclosure(payload, self._case.subject, effect.data)
            text = words.encode(disclosure)
            await self._desk._files.put_record(self._connection, self._case.payment, RecordKind.OWN, text)
        return x.OwnDisclosure(disclosure.digest(self._case.payment, state.me))

    async def _screen(self) -> x.Change:
        theirs = words.decode(await self._record(RecordKind.THEIRS))
        assert isinstance(theirs, words.Disclosure), "what is stored is a disclosure"
        return await self._desk._screener.screen(
            self._connection,
            self._case.payment,
            self._case.terms,
            self._case.subject,
            self._case.dossier,
            theirs,
            self._now,
        )

    def _instruction(self) -> Partial:
        terms = self._case.terms
        statement = self._desk._directory.instruction_statement(terms.payment_id, terms.quote, terms_hash(terms))
        return self._desk._secrets.signer.sign(statement)

    async def _accepted(self, effect: x.Accepted) -> None:
        terms, is_payer = self._case.terms, self._case.subject is Subject.ORIGINATOR
        co_signature = b""
        if is_payer:
            statement = self._desk._directory.instruction_statement(terms.payment_id, terms.quote, terms_hash(terms))
            theirs = (await self._desk._files.of(self._connection, self._case.payment)).part
            try:
                # Not verified here: the clearing bank does, and gives the money back if it does not hold.
                co_signature = join(statement, (self._instruction(), decode_part(theirs))).encode()
            except Fatal as problem:
                detail = f"the other bank's part of the instruction is not one: {problem}"
                self._changes.append((self._case.payment, c.AgreementFailed(c.Why.QUOTE_WRONG, detail)))
                return
        payer, payee = (effect.own, effect.theirs) if is_payer else (effect.theirs, effect.own)
        agreed = c.Agreed(terms, payer.digest, payee.digest, co_signature)
        self._changes.append((self._case.payment, agreed))


def _facts(terms: Terms) -> Facts:
    source, given = terms.quote.source, terms.particulars
    return Facts(
        given.origin,
        given.destination,
        source.asset,
        Units(source.amount),
        Units(terms.quote.fee),
        given.purpose,
        PersonKind(given.originator),
        PersonKind(given.beneficiary),
    )
