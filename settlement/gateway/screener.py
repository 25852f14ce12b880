"""What a bank's rules say of a payment: before data are exchanged, and again when both persons are known."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.connect import exchange_types as x
from settlement.connect import messages as words
from settlement.connect.ivms101 import IdentityPayload, Person, from_json
from settlement.connect.screening import Outcome
from settlement.connect.screening import Subject as Side
from settlement.connect.screening import Verdict as ScreenVerdict
from settlement.custody.terms import PaymentId, Quote, Terms
from settlement.gateway.customers import Customers, subject_of
from settlement.gateway.dossiers import Dossier
from settlement.quantities import Asset, PartyId, Scale, Units, tagged_hash
from settlement.rules.decision import Decision
from settlement.rules.facts import Facts, Role, Subject
from settlement.rules.model import Verdict
from settlement.rules.validator import Validator

_OUTCOME = {Verdict.PASS: Outcome.PASS, Verdict.REFER: Outcome.REFER, Verdict.BLOCK: Outcome.BLOCK}
_UNKNOWN = "ZZ"
"""A country for what has none: ISO 3166's code for unknown territories."""


class Screener:
    """Puts payments before the rules. `customers`: this bank's own."""

    def __init__(self, validator: Validator, customers: Customers, blind_key: bytes) -> None:
        """`blind_key`: 32 secret bytes, so that the digest of a payment's facts confirms no guess."""
        self._validator = validator
        self._blind_key = blind_key
        self._customers = customers

    async def of_quote(self, connection: AsyncConnection, payment: PaymentId, quote: Quote, now: UnixMs) -> Decision:
        """The clearing bank's decision, which knows no persons; reserves what passes."""
        return await self._validator.decide(connection, self._facts(payment, quote, None, "", ()), now)

    async def before_exchange(
        self, connection: AsyncConnection, payment: PaymentId, terms: Terms, side: Side, dossier: Dossier, now: UnixMs
    ) -> Decision:
        """A bank's first decision, on its own customer alone; reserves nothing, because another follows."""
        number = numbers_of(payment)[1]
        subjects = self._own_subject(dossier, side)
        facts = self._facts(number, terms.quote, terms, dossier.initiator, subjects)
        return await self._validator.preview(connection, facts, now)

    async def screen(
        self,
        connection: AsyncConnection,
        payment: PaymentId,
        terms: Terms,
        side: Side,
        dossier: Dossier,
        theirs: words.Disclosure,
        now: UnixMs,
    ) -> x.Screened:
        """A bank's decision on both persons, as the exchange takes it; reserves what passes."""
        subjects = (*self._own_subject(dossier, side), *_their_subject(from_json(theirs.document), side))
        facts = self._facts(payment, terms.quote, terms, dossier.initiator, subjects)
        decision = await self._validator.decide(connection, facts, now)
        version = decision.rule_version.hex()
        outcome = _OUTCOME[decision.verdict]
        verdicts = tuple(ScreenVerdict(one, outcome, "rules", version, version) for one in Side)
        return x.Screened(verdicts, version)

    def own_payload(self, dossier: Dossier, side: Side) -> IdentityPayload:
        """What this bank may disclose of its customer; empty where it has no such customer."""
        customer = self._customers.find(dossier.own)
        if customer is None:
            return IdentityPayload()
        return customer.as_originator() if side is Side.ORIGINATOR else customer.as_beneficiary()

    def _facts(
        self, payment: PaymentId, quote: Quote, terms: Terms | None, initiator: str, subjects: tuple[Subject, ...]
    ) -> Facts:
        blind = hmac.digest(self._blind_key, payment, hashlib.sha256)
        return _facts_of(blind, payment, quote, terms, initiator, subjects)

    def _own_subject(self, dossier: Dossier, side: Side) -> tuple[Subject, ...]:
        """Our customer; without a name where we have none, so that the rules are not asked about nobody."""
        customer = self._customers.find(dossier.own)
        role = Role.ORIGINATOR if side is Side.ORIGINATOR else Role.BENEFICIARY
        if customer is None:
            return (Subject(role),)
        return (subject_of(role, (customer.person,), (customer.account,)),)


def numbers_of(payment: PaymentId) -> tuple[PaymentId, PaymentId]:
    """Under which ids the rules know a payment: its own, and that of the look before data are exchanged."""
    return payment, PaymentId(tagged_hash("gateway/before-exchange", payment))


def _their_subject(payload: IdentityPayload, own_side: Side) -> tuple[Subject, ...]:
    """The other bank's customer as it was disclosed; without a name where none was."""
    persons: tuple[Person, ...] = ()
    accounts: tuple[str, ...] = ()
    if own_side is Side.ORIGINATOR and payload.beneficiary is not None:
        persons, accounts = payload.beneficiary.beneficiary_person, payload.beneficiary.account_number
    elif own_side is Side.BENEFICIARY and payload.originator is not None:
        persons, accounts = payload.originator.originator_person, payload.originator.account_number
    role = Role.BENEFICIARY if own_side is Side.ORIGINATOR else Role.ORIGINATOR
    return (subject_of(role, persons, accounts),)


def _facts_of(
    blind: bytes, payment: PaymentId, quote: Quote, terms: Terms | None, initiator: str, subjects: tuple[Subject, ...]
) -> Facts:
    source, target = quote.source, quote.target
    return Facts(
        payment_id=payment,
        payer=PartyId(quote.payer),
        payee=PartyId(quote.payee),
        origin=_UNKNOWN if terms is None else terms.particulars.origin,
        destination=_UNKNOWN if terms is None else terms.particulars.destination,
        source=Asset(source.asset, Scale(source.scale)),
        amount=Units(source.amount),
        target=Asset(target.asset, Scale(target.scale)),
        target_amount=Units(target.amount),
        purpose="" if terms is None else terms.particulars.purpose,
        initiator=initiator,
        subjects=subjects,
        blind=blind,
    )
