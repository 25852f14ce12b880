"""What a request wants to pay: by a quote, which it may repeat and not change, or on terms of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from api.answers import Asked
from api.desk import Desk
from api.ports import NoQuote, PaymentShown, QuoteShown, Unknown
from api.problems import Problem
from api.quotes import QuoteStore
from foundation.errors import BadInput
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class Said:
    """What a request says beside naming a quote, as it was written; None where it says nothing."""

    payee: str | None = None
    clearing: str | None = None
    source_ledger: str | None = None
    source_currency: str | None = None
    amount_max: str | None = None
    target_ledger: str | None = None
    target_currency: str | None = None
    target_scale: int | None = None
    target_amount: str | None = None


async def begun_before(desk: Desk, asked: Asked, quote_id: bytes | None) -> PaymentShown | None:
    """The payment of the same request, begun before a crash: its quote may have ended since, and it is under way.

    Raises:
        Unknown: there is no such quote of this principal.
    """
    number = asked.work_id
    if quote_id is not None:
        async with desk.database.view() as view:
            kept = await QuoteStore(view.connection).get(quote_id, asked.principal.name)
        if kept.shown.is_firm and kept.used_by == number:
            number = kept.shown.payment_id
    with suppress(Unknown):
        return await desk.gateway.payment(number)
    return None


@asynccontextmanager
async def using(desk: Desk, asked: Asked, quote_id: bytes, said: Said) -> AsyncIterator[QuoteShown]:
    """A quote, for a payment that begins in this block; if none does, another request may use the quote.

    Raises:
        Unknown: there is no such quote of this principal.
        Problem: it has expired, another payment goes by it, or the request says something else.
    """
    async with desk.database.unit() as unit:
        store = QuoteStore(unit.connection)
        quote = (await store.get(quote_id, asked.principal.name)).shown
        if quote.expires_at <= desk.gateway.now():
            raise Problem("quote-expired", "nothing has moved", "quote_id", "ask for a new quote")
        _check_same(said, quote)
        await store.take(quote_id, asked.work_id)
        await unit.commit()
    try:
        yield quote
    except (BadInput, NoQuote, Problem):  # it began nothing; after anything else that is not known
        async with desk.database.unit() as unit:
            await QuoteStore(unit.connection).leave(quote_id, asked.work_id)
            await unit.commit()
        raise


def _check_same(said: Said, quote: QuoteShown) -> None:
    """Raises Problem: names the field on which a request and its quote differ."""
    wanted, source, target = quote.wanted, quote.source, quote.wanted.target
    fields: dict[str, tuple[object, object]] = {
        "payee": (said.payee, wanted.payee),
        "clearing": (said.clearing, wanted.clearing),
        "source.ledger": (said.source_ledger, wanted.source_ledger),
        "source.currency": (said.source_currency, source.asset.code),
        "target.ledger": (said.target_ledger, wanted.target_ledger),
        "target.currency": (said.target_currency, target.asset.code),
        "target.scale": (said.target_scale, int(target.asset.scale)),
        "target.amount": (_units(target.asset, said.target_amount, "target.amount"), target.units),
    }
    differs = next((name for name, (given, kept) in fields.items() if given is not None and given != kept), None)
    most = _units(source.asset, said.amount_max, "source.amount_max")
    if differs is None and most is not None and most < source.units:
        differs = "source.amount_max"
    if differs is not None:
        raise Problem("quote-differs", "the quote says something else", differs, "leave it out, or ask for a new quote")


def _units(asset: Asset, text: str | None, field: str) -> int | None:
    return None if text is None else asset.units(text, field)
