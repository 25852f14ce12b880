"""The clearing bank's quotes: what it takes on one ledger for what it pays on another, and until when."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.conversion import Rate, conversion
from settlement.custody.changes import Why
from settlement.custody.clearer import Offer
from settlement.custody.margins import Margins, plan
from settlement.custody.terms import Leg, Quote, check_quote
from settlement.gateway import messages as m
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.quote_signing import sign_quotes
from settlement.ledgers.protocol import LedgerAccount, LedgerFacts
from settlement.quantities import MAX_UNITS, PartyId


class Rates(Protocol):
    """Knows what assets are worth."""

    def rate(self, source: str, destination: str) -> Rate | None:
        """Whole units of `destination` for one of `source` (codes); None where it is not known."""


@dataclass(frozen=True, slots=True)
class Corridor:
    """From one ledger to another.

    Fields: source, target (ledgers); spread_bp (what is kept, in basis points); fee (base units of the source, for each
    payment); minimum, maximum (base units of the target).
    """

    source: str
    target: str
    spread_bp: int = 0
    fee: int = 0
    minimum: int = 1
    maximum: int = MAX_UNITS


@dataclass(frozen=True, slots=True)
class Standing:
    """A ledger on which this party has an account."""

    facts: LedgerFacts
    account: LedgerAccount


class CorridorPricing:
    """Quotes by corridors and rates. A rate that has expired is not used."""

    def __init__(
        self,
        secrets: Secrets,
        directory: Directory,
        standings: Mapping[str, Standing],
        corridors: Mapping[tuple[str, str], Corridor],
        rates: Rates,
        margins: Margins,
    ) -> None:
        self._secrets = secrets
        self._directory = directory
        self._standings = standings
        self._corridors = corridors
        self._rates = rates
        self._margins = margins

    def offers(self, asks: Sequence[m.QuoteAsk], payer: PartyId, now: UnixMs) -> list[Offer | m.QuoteNo]:
        """Signed offers, one for each that is asked for, or why there is none."""
        quoted = [self._quoted(ask, payer, now) for ask in asks]
        quotes = [each for each in quoted if isinstance(each, Quote)]
        signatures = iter(sign_quotes(self._secrets.signer, self._directory, quotes))
        return [
            Offer(ask.payment_id, each, next(signatures)) if isinstance(each, Quote) else each
            for ask, each in zip(asks, quoted, strict=True)
        ]

    def _quoted(self, ask: m.QuoteAsk, payer: PartyId, now: UnixMs) -> Quote | m.QuoteNo:
        def no(why: Why, detail: str) -> m.QuoteNo:
            return m.QuoteNo(ask.payment_id, why, detail)

        corridor = self._corridors.get((ask.source_ledger, ask.target_ledger))
        if corridor is None or self._directory.keys(ask.payee) is None:
            return no(Why.NO_ROUTE, f"no way from {ask.source_ledger} to {ask.payee} on {ask.target_ledger}")
        source, target = self._standings[corridor.source], self._standings[corridor.target]
        if not corridor.minimum <= ask.target_amount <= corridor.maximum:
            shown = target.facts.asset.text
            bounds = f"{shown(corridor.minimum)} to {shown(corridor.maximum)} {target.facts.asset.code}"
            return no(Why.NO_ROUTE, f"payments of {bounds} are cleared here")
        rate = self._rates.rate(source.facts.asset.code, target.facts.asset.code)
        if rate is None or rate.expires_at <= now:
            return no(Why.NO_ROUTE, f"no rate of {source.facts.asset.code} to {target.facts.asset.code} now")
        try:
            return self._quote(ask, payer, now, corridor, rate)
        except BadInput as problem:
            return no(Why.NO_ROUTE, str(problem))

    def corridors(self, now: UnixMs) -> tuple[tuple[Corridor, Rate | None], ...]:
        """All corridors with the rates that are used now; None where there is none, or it has expired."""
        shown: list[tuple[Corridor, Rate | None]] = []
        for corridor in self._corridors.values():
            source, target = self._standings[corridor.source].facts, self._standings[corridor.target].facts
            rate = self._rates.rate(source.asset.code, target.asset.code)
            shown.append((corridor, None if rate is None or rate.expires_at <= now else rate))
        return tuple(shown)

    def _quote(self, ask: m.QuoteAsk, payer: PartyId, now: UnixMs, corridor: Corridor, rate: Rate) -> Quote:
        source, target = self._standings[corridor.source], self._standings[corridor.target]
        given, taken = source.facts.asset, target.facts.asset
        exchanged = conversion(given, taken, rate, spread_bp=corridor.spread_bp, fee=corridor.fee)
        if max(exchanged.numerator, exchanged.denominator) > MAX_UNITS:
            raise BadInput("rate", "it has too many digits", "write fewer decimals")
        times = plan(now, source.facts, target.facts, self._margins)
        cost = exchanged.cost(ask.target_amount)
        quote = Quote(
            quote_id=os.urandom(32),
            payer=payer,
            clearer=self._secrets.party,
            payee=ask.payee,
            source=Leg(
                corridor.source, given.code, given.scale, ask.source_account, source.account, cost, times.source
            ),
            target=Leg(
                corridor.target,
                taken.code,
                taken.scale,
                target.account,
                ask.target_account,
                ask.target_amount,
                times.target,
            ),
            rate_num=exchanged.numerator,
            rate_den=exchanged.denominator,
            fee=exchanged.fee,
            expires_at=times.quote,
        )
        return check_quote(quote)
