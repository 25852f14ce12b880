"""What a payment would cost, asked of the clearing bank: now, or for as long as it holds to it."""

from __future__ import annotations

import os

import msgspec

from api.ports import Money, NoQuote, QuoteShown, QuoteWanted
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.terms import PaymentId
from settlement.gateway.runtime import Gateway, Parts
from settlement.ledgers.protocol import Ledger, LedgerId
from settlement.quantities import Asset, PartyId, Scale

_NOT_KNOWN_YET = "not-known-yet"
"""Stands for the payee's account in an indicative question: the payee is not asked for it."""


class Pricing:
    """Asks; see the module. `told`: what clearing banks said that others' ledgers are in, by bank and ledger."""

    def __init__(self, gateway: Gateway, parts: Parts) -> None:
        self._gateway = gateway
        self._parts = parts
        self.told: dict[tuple[str, str], Asset] = {}

    async def ask(self, wanted: QuoteWanted, *, firm: bool) -> QuoteShown:
        """What it would cost. A firm quote is for the payment of the id that it carries, and for no other.

        Raises:
            BadInput: a party, a ledger, the currency or its decimals are not as known here.
            NoQuote: there is no such offer.
            PeerUnavailable: a bank does not answer.
        """
        ledger = own_ledger(self._parts, wanted.source_ledger, "source_ledger")
        self.check_known(wanted.payee, "payee")
        self.check_known(wanted.clearing, "clearing")
        if wanted.payee == wanted.clearing:
            raise BadInput("clearing", "it is the payee itself", "name the bank that both have accounts with")
        account = await self._place(wanted) if firm else _NOT_KNOWN_YET
        payment = PaymentId(os.urandom(32))
        asked = c.AskQuote(
            wanted.payee,
            wanted.source_ledger,
            str(ledger.own),
            wanted.target_ledger,
            account,
            wanted.target.units,
        )
        answer = await self._gateway.ask_quote(PartyId(wanted.clearing), asked, payment)
        if isinstance(answer, c.QuoteRefused):
            raise NoQuote(answer.why, answer.detail)
        return self._shown(wanted, answer, payment if firm else None)

    def check_known(self, party: str, field: str) -> None:
        """Raises BadInput where it is no other party that we know."""
        if party == self._parts.secrets.party or self._parts.directory.keys(party) is None:
            raise BadInput(field, "it is no other party that we know", "exchange cards with it first")

    async def _place(self, wanted: QuoteWanted) -> str:
        place = await self._gateway.ask_place(PartyId(wanted.payee))
        if isinstance(place, c.QuoteRefused):
            raise NoQuote(place.why, f"{wanted.payee}: {place.detail}")
        if place.ledger != wanted.target_ledger:
            raise NoQuote(c.Why.NO_ROUTE, f"{wanted.payee} is paid on {place.ledger}, not on {wanted.target_ledger}")
        return place.account

    def _shown(self, wanted: QuoteWanted, given: c.QuoteGiven, payment: PaymentId | None) -> QuoteShown:
        quote = given.quote
        told = Asset(quote.target.asset, Scale(quote.target.scale))
        self.told[wanted.clearing, wanted.target_ledger] = told
        check_asset(told, wanted.target.asset)
        source = Asset(quote.source.asset, Scale(quote.source.scale))
        facts = self._parts.facts[LedgerId(wanted.source_ledger)]
        if source != facts.asset:
            raise NoQuote(c.Why.QUOTE_WRONG, f"{wanted.source_ledger} is in {source.code} for the clearing bank")
        return QuoteShown(
            wanted,
            Money(source, quote.source.amount),
            Money(source, quote.fee),
            quote.rate_num,
            quote.rate_den,
            # The clearing bank has to see the money held, finally, before its quote ends.
            UnixMs(quote.expires_at - facts.settle_ms),
            payment_id=payment or b"",
            offer=b"" if payment is None else msgspec.msgpack.encode(given),
        )


def offer_of(quote: QuoteShown) -> c.QuoteGiven | None:
    """The clearing bank's signed quote; None where it is indicative."""
    return msgspec.msgpack.decode(quote.offer, type=c.QuoteGiven) if quote.is_firm else None


def own_ledger(parts: Parts, name: str, field: str) -> Ledger:
    """A ledger of ours. Raises BadInput."""
    ledger = parts.ledgers.get(LedgerId(name))
    if ledger is None:
        known = ", ".join(sorted(parts.ledgers))
        raise BadInput(field, "we have no account on such a ledger", f"one of: {known}")
    return ledger


def check_asset(told: Asset, wanted: Asset) -> None:
    """Raises BadInput where a ledger is in another currency than wanted, or counts other decimals."""
    if told.code != wanted.code:
        raise BadInput("target.currency", f"the ledger is in {told.code}", f"write {told.code}")
    if told.scale != wanted.scale:
        raise BadInput("target.scale", f"the ledger counts {told.scale} decimals", f"write {told.scale}")
