"""Payments: begin, look, cancel, approve."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.amounts import check_limit, own_money, target_money
from api.answers import Answer, Asked
from api.bodies import ApprovalIn, CancelIn, PaymentIn
from api.desk import POSTED, Desk, KeyHeader, allowed, desk_of, json_answer, once, problems
from api.forms import HexId, moment
from api.ports import ApprovalWanted, Creditor, Money, PaymentShown, PaymentWanted, QuoteShown, QuoteWanted
from api.principals import Principal, Scope
from api.terms import Said, begun_before, using
from api.views import DecisionOut, PaymentOut, PaymentsOut, Status
from foundation.errors import BadInput
from foundation.quantities import UnixMs

router = APIRouter(tags=["payments"])
Reading = Annotated[Principal, Depends(allowed(Scope.PAYMENTS_READ))]
Writing = Annotated[Principal, Depends(allowed(Scope.PAYMENTS_WRITE))]
Approving = Annotated[Principal, Depends(allowed(Scope.APPROVALS))]


@router.post("/v1/payments", status_code=202, response_model=PaymentOut, responses=problems(*POSTED, 404))
async def create_payment(request: Request, principal: Writing, body: PaymentIn, key: KeyHeader) -> Response:
    """Begin a payment. It is accepted when it is stored; where it goes is told by `GET` and by webhooks.

    The same key is the same payment, also after a crash.
    """

    async def work(asked: Asked) -> Answer:
        return await _pay(desk_of(request), asked, body)

    return await once(request, principal, key, work)


@router.get("/v1/payments", responses=problems(400, 422))
async def list_payments(
    request: Request,
    principal: Reading,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,16}-[0-9a-f]{64}$", description="`next` of the page before")
    ] = None,
    status: Annotated[list[Status] | None, Query(max_length=6, description="Only payments that stand so")] = None,
) -> PaymentsOut:
    """Payments of this bank, as payer, payee or clearing bank, newest first."""
    before = None
    if after is not None:
        at, _, number = after.partition("-")
        before = (UnixMs(int(at)), bytes.fromhex(number))
    found = await desk_of(request).gateway.payments(limit, before, status or ())
    is_full = len(found) == limit
    return PaymentsOut(
        payments=[PaymentOut.of(payment) for payment in found],
        next=f"{found[-1].created_at}-{found[-1].payment_id.hex()}" if is_full else None,
    )


@router.get("/v1/payments/{payment_id}", responses=problems(404, 422))
async def get_payment(request: Request, principal: Reading, payment_id: HexId) -> PaymentOut:
    """One payment: where it stands, its amounts and its history."""
    return PaymentOut.of(await desk_of(request).gateway.payment(bytes.fromhex(payment_id)))


@router.post("/v1/payments/{payment_id}/cancel", response_model=PaymentOut, responses=problems(*POSTED, 404))
async def cancel_payment(
    request: Request, principal: Writing, payment_id: HexId, body: CancelIn, key: KeyHeader
) -> Response:
    """End a payment, as long as nothing is held for it. Afterwards it ends by itself: paid, or returned."""
    gateway, number = desk_of(request).gateway, bytes.fromhex(payment_id)

    async def work(asked: Asked) -> Answer:
        await gateway.cancel(number, f"{principal.name}: {body.reason}" if body.reason else principal.name)
        return json_answer(200, PaymentOut.of(await gateway.payment(number)), number)

    return await once(request, principal, key, work)


@router.get("/v1/payments/{payment_id}/decision", responses=problems(404, 422))
async def get_payment_decision(request: Request, principal: Reading, payment_id: HexId) -> DecisionOut:
    """What this bank's rules said last, and who has approved."""
    return DecisionOut.of(await desk_of(request).gateway.decision(bytes.fromhex(payment_id)))


@router.post(
    "/v1/payments/{payment_id}/approvals",
    status_code=201,
    response_model=DecisionOut,
    responses=problems(*POSTED, 404),
)
async def approve_payment(
    request: Request, principal: Approving, payment_id: HexId, body: ApprovalIn, key: KeyHeader
) -> Response:
    """A person approves a payment that waits for one; the rules look at it again at once.

    Who asked for the payment never counts (four eyes).
    """
    gateway, number = desk_of(request).gateway, bytes.fromhex(payment_id)

    async def work(asked: Asked) -> Answer:
        await gateway.approve(number, _approval(body, principal, gateway.now()), principal.name)
        return json_answer(201, DecisionOut.of(await gateway.decision(number)), number)

    return await once(request, principal, key, work)


async def _pay(desk: Desk, asked: Asked, body: PaymentIn) -> Answer:
    quote_id = None if body.quote_id is None else bytes.fromhex(body.quote_id)
    begun = await begun_before(desk, asked, quote_id)
    if begun is not None:
        return _accepted(begun)
    if quote_id is None:
        return await _begin(desk, asked, body, *_own_terms(desk, body))
    async with using(desk, asked, quote_id, _said(body)) as quote:
        return await _begin(desk, asked, body, quote.wanted, quote.source, quote)


async def _begin(
    desk: Desk, asked: Asked, body: PaymentIn, wanted: QuoteWanted, most: Money, quote: QuoteShown | None = None
) -> Answer:
    """Begin it: a firm quote is for the payment of its own id."""
    check_limit(asked.principal, most)
    number = quote.payment_id if quote is not None and quote.is_firm else asked.work_id
    await desk.gateway.pay(
        PaymentWanted(
            payment_id=number,
            wanted=wanted,
            source_max=most,
            debtor=body.debtor.account,
            creditor=Creditor(body.creditor.account, body.creditor.country, body.creditor.kind),
            purpose=body.purpose,
            initiator=asked.principal.name,
            reference=body.reference,
            quote=quote,
        )
    )
    return _accepted(await desk.gateway.payment(number))


def _accepted(payment: PaymentShown) -> Answer:
    number = payment.payment_id
    return json_answer(202, PaymentOut.of(payment), number, f"/v1/payments/{number.hex()}")


def _said(body: PaymentIn) -> Said:
    """What is written beside a quote."""
    said = Said(payee=body.payee, clearing=body.clearing)
    if body.source is not None:
        source = body.source
        said = replace(said, source_ledger=source.ledger, source_currency=source.currency, amount_max=source.amount_max)
    if body.target is not None:
        target = body.target
        said = replace(
            said,
            target_ledger=target.ledger,
            target_currency=target.currency,
            target_scale=target.scale,
            target_amount=target.amount,
        )
    return said


def _own_terms(desk: Desk, body: PaymentIn) -> tuple[QuoteWanted, Money]:
    """What is to be paid, and the most that it may cost.

    Raises:
        BadInput: neither a quote nor all terms.
    """
    own = {"payee": body.payee, "clearing": body.clearing, "source": body.source, "target": body.target}
    gateway, source, target = desk.gateway, body.source, body.target
    if body.payee is None or body.clearing is None or source is None or target is None:
        missing = next(name for name, value in own.items() if value is None)
        raise BadInput(missing, "it is needed where no quote is named", "write it, or quote_id")
    most = own_money(gateway, source.ledger, source.amount_max, source.currency, "source")
    money = target_money(gateway, target.ledger, target)
    return QuoteWanted(body.clearing, body.payee, source.ledger, target.ledger, money), most


def _approval(body: ApprovalIn, principal: Principal, now: UnixMs) -> ApprovalWanted:
    at = now if body.at is None else moment(body.at, "at")
    if body.signature is not None and body.at is None:
        raise BadInput("at", "it is needed with a signature, which is over it", "the time that was signed, RFC 3339")
    signature = None if body.signature is None else bytes.fromhex(body.signature)
    return ApprovalWanted(body.person or principal.name, body.clears, at, signature)
