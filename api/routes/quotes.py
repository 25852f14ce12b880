"""Quotes: what would a payment cost?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.amounts import target_money
from api.answers import Answer, Asked
from api.bodies import QuoteIn
from api.desk import POSTED, Desk, KeyHeader, allowed, desk_of, json_answer, once, problems
from api.forms import HexId
from api.ports import QuoteWanted
from api.principals import Principal, Scope
from api.quotes import QuoteStore
from api.views import QuoteOut

router = APIRouter(tags=["quotes"])
Asking = Annotated[Principal, Depends(allowed(Scope.QUOTES))]


@router.post("/v1/quotes", status_code=201, response_model=QuoteOut, responses=problems(*POSTED))
async def create_quote(request: Request, principal: Asking, body: QuoteIn, key: KeyHeader) -> Response:
    """Ask a clearing bank what a payment would cost now.

    The answer is firm: the clearing bank has signed rate, fee and amounts for one payment that begins before
    `expires_at`, and that payment costs exactly `source`. Where `"firm": false` is asked for it is indicative, and the
    payee's bank is not asked for anything: a payment that names it costs at most so much, or does not happen.
    """

    async def work(asked: Asked) -> Answer:
        return await _ask(desk_of(request), asked, body)

    return await once(request, principal, key, work)


@router.get("/v1/quotes/{quote_id}", responses=problems(404, 422))
async def get_quote(request: Request, principal: Asking, quote_id: HexId) -> QuoteOut:
    """A quote that was asked for before."""
    async with desk_of(request).database.view() as view:
        number = bytes.fromhex(quote_id)
        kept = await QuoteStore(view.connection).get(number, principal.name)
    return QuoteOut.of(number, kept.shown, is_used=kept.used_by is not None)


async def _ask(desk: Desk, asked: Asked, body: QuoteIn) -> Answer:
    gateway = desk.gateway
    wanted = QuoteWanted(
        body.clearing,
        body.payee,
        body.source_ledger,
        body.target.ledger,
        target_money(gateway, body.target.ledger, body.target),
    )
    quote, number = await gateway.quote(wanted, firm=body.firm), asked.work_id
    async with desk.database.unit() as unit:
        kept = await QuoteStore(unit.connection).put(number, asked.principal.name, quote, gateway.now())
        await unit.commit()
    return json_answer(
        201, QuoteOut.of(number, kept.shown, is_used=kept.used_by is not None), location=f"/v1/quotes/{number.hex()}"
    )
