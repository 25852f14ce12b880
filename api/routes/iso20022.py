"""Payments as ISO 20022 messages."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api.amounts import check_limit, own_money
from api.answers import Answer, Asked
from api.desk import POSTED, Desk, KeyHeader, allowed, desk_of, once, problems
from api.forms import AMOUNT, HexId
from api.ports import Creditor, Money, PaymentWanted, QuoteShown, QuoteWanted
from api.principals import Principal, Scope
from api.problems import Problem
from api.status_reports import report_of
from api.terms import Said, begun_before, using
from api.transfers import Names, TransferStore
from foundation.errors import BadInput
from settlement.connect.iso20022.pacs002 import Status, StatusReport, write_status_report
from settlement.connect.iso20022.pacs008 import CreditTransfer, read_credit_transfer
from settlement.quantities import Asset, Scale

router = APIRouter(tags=["iso20022"])
_XML: Final = "application/xml"
_NAME: Final = r"^[A-Za-z0-9._-]{1,128}$"
_PARTY: Final = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"


class Route:
    """What a pacs.008 does not say: where the payment goes by."""

    def __init__(
        self,
        source_ledger: Annotated[str, Query(pattern=_NAME)],
        target_ledger: Annotated[str, Query(pattern=_NAME)],
        clearing: Annotated[str, Query(pattern=_PARTY)],
        creditor_kind: Annotated[str, Query(pattern="^(natural|legal)$")],
        payee: Annotated[
            str | None, Query(pattern=_PARTY, description="Else the party that the operator knows by the BIC")
        ] = None,
        target_scale: Annotated[int | None, Query(ge=0, le=18)] = None,
        amount_max: Annotated[
            str | None, Query(pattern=AMOUNT, max_length=100, description="Else InstdAmt, in the source's currency")
        ] = None,
        quote_id: Annotated[
            str | None, Query(pattern="^[0-9a-f]{64}$", description="A quote to pay by; it says what it costs")
        ] = None,
    ) -> None:
        self.source_ledger = source_ledger
        self.target_ledger = target_ledger
        self.clearing = clearing
        self.creditor_kind = creditor_kind
        self.payee = payee
        self.target_scale = target_scale
        self.amount_max = amount_max
        self.quote_id = None if quote_id is None else bytes.fromhex(quote_id)


@router.post(
    "/v1/iso20022/pacs.008",
    status_code=202,
    response_class=Response,
    responses={
        202: {"description": "pacs.002, ACTC", "content": {_XML: {"schema": {"type": "string"}}}},
        **problems(*POSTED, 404, 415),
    },
    openapi_extra={"requestBody": {"required": True, "content": {_XML: {"schema": {"type": "string"}}}}},
)
async def send_credit_transfer(
    request: Request,
    principal: Annotated[Principal, Depends(allowed(Scope.PAYMENTS_WRITE))],
    route: Annotated[Route, Depends()],
    key: KeyHeader,
) -> Response:
    """Begin the payment of a pacs.008: IntrBkSttlmAmt is what the creditor's bank gets.

    The answer is a pacs.002 with ACTC; `Location` says where the payment is to be looked at.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in (_XML, "text/xml"):
        raise Problem("unsupported-media-type", "a pacs.008 is XML", "Content-Type", _XML)
    raw = await request.body()

    async def work(asked: Asked) -> Answer:
        return await _begin(desk_of(request), asked, route, raw)

    return await once(request, principal, key, work)


@router.get(
    "/v1/iso20022/pacs.002/{payment_id}",
    response_class=Response,
    responses={
        200: {"description": "pacs.002", "content": {_XML: {"schema": {"type": "string"}}}},
        **problems(404, 422),
    },
)
async def get_status_report(
    request: Request, principal: Annotated[Principal, Depends(allowed(Scope.PAYMENTS_READ))], payment_id: HexId
) -> Response:
    """What has become of a payment: PDNG, ACSP while money is held, ACSC (ACCC to the payee's bank) once it is paid,
    RJCT with its reason where it failed or came back, CANC where it was cancelled.

    It calls the transfer as its pacs.008 did. As long as the payment stands still, it is the same message.
    """
    desk, number = desk_of(request), bytes.fromhex(payment_id)
    payment = await desk.gateway.payment(number)
    async with desk.database.view() as view:
        names = await TransferStore(view.connection, desk.secret).get(number)
    return Response(write_status_report(report_of(payment, names)), media_type=_XML)


async def _begin(desk: Desk, asked: Asked, route: Route, raw: bytes) -> Answer:
    sent = read_credit_transfer(raw, _assets(desk, route, raw))
    own = desk.gateway.asset(route.source_ledger)
    if own is None:
        raise BadInput("source_ledger", "we have no account on such a ledger", "GET /v1/accounts names them")
    payee = route.payee or desk.agents.get(sent.instructed_agent.bic or sent.instructed_agent.lei)
    if payee is None:
        raise BadInput("InstdAgt", "no party is known by this BIC or LEI", "name it by `payee`")
    if not sent.creditor.country:
        raise BadInput("Cdtr/PstlAdr/Ctry", "it is needed", "the country of the creditor")
    begun = await begun_before(desk, asked, route.quote_id)
    if begun is not None:
        return _accepted(desk, sent, begun.payment_id)
    wanted = QuoteWanted(
        route.clearing, payee, route.source_ledger, route.target_ledger, Money(sent.asset, sent.amount)
    )
    most = _most(desk, route, sent, own)
    if route.quote_id is None:
        if most is None:
            cure = "name the most that it may cost by `amount_max`, or a quote by `quote_id`"
            raise BadInput("InstdAmt", f"it is not there in {own.code}", cure)
        return await _pay(desk, asked, route, sent, wanted, most)
    async with using(desk, asked, route.quote_id, _said(wanted, most)) as quote:
        return await _pay(desk, asked, route, sent, wanted, quote.source, quote)


async def _pay(
    desk: Desk,
    asked: Asked,
    route: Route,
    sent: CreditTransfer,
    wanted: QuoteWanted,
    most: Money,
    quote: QuoteShown | None = None,
) -> Answer:
    check_limit(asked.principal, most)
    number = quote.payment_id if quote is not None and quote.is_firm else asked.work_id
    names = Names(sent.message_id, sent.instruction_id, sent.end_to_end_id, sent.transaction_id, sent.uetr)
    async with desk.database.unit() as unit:
        await TransferStore(unit.connection, desk.secret).put(number, names, desk.gateway.now())
        await unit.commit()
    await desk.gateway.pay(
        PaymentWanted(
            payment_id=number,
            wanted=wanted,
            source_max=most,
            debtor=sent.debtor_account.iban or sent.debtor_account.other,
            creditor=Creditor(
                sent.creditor_account.iban or sent.creditor_account.other, sent.creditor.country, route.creditor_kind
            ),
            purpose=sent.purpose or "OTHR",
            initiator=asked.principal.name,
            reference=sent.remittance,
            quote=quote,
        )
    )
    return _accepted(desk, sent, number)


def _accepted(desk: Desk, sent: CreditTransfer, number: bytes) -> Answer:
    links = f'</v1/iso20022/pacs.002/{number.hex()}>; rel="status"'
    headers = {"content-type": _XML, "location": f"/v1/payments/{number.hex()}", "link": links}
    return Answer(202, write_status_report(_report(sent, number, desk)), headers, number)


def _said(wanted: QuoteWanted, most: Money | None) -> Said:
    """What the message says beside its quote."""
    return Said(
        payee=wanted.payee,
        clearing=wanted.clearing,
        source_ledger=wanted.source_ledger,
        source_currency=None if most is None else most.asset.code,
        amount_max=None if most is None else most.text,
        target_ledger=wanted.target_ledger,
        target_currency=wanted.target.asset.code,
        target_scale=int(wanted.target.asset.scale),
        target_amount=wanted.target.text,
    )


def _assets(desk: Desk, route: Route, raw: bytes) -> dict[str, Asset]:
    """The currencies that the message may use: our ledgers', and any other with the decimals that the query names."""
    known = desk.gateway.assets()
    if route.target_scale is None:
        return known
    return _WithScale(known, Scale(route.target_scale))


class _WithScale(dict[str, Asset]):
    def __init__(self, known: dict[str, Asset], scale: Scale) -> None:
        super().__init__(known)
        self._scale = scale

    def get(self, code: str, default: Asset | None = None) -> Asset | None:  # type: ignore[override]
        """See `dict`: a code that is not known has the named decimals."""
        try:
            return super().get(code) or Asset(code, self._scale)
        except BadInput:
            return default


def _most(desk: Desk, route: Route, sent: CreditTransfer, own: Asset) -> Money | None:
    """The most that it may cost, as far as the message or the query says it."""
    if route.amount_max is not None:
        return own_money(desk.gateway, route.source_ledger, route.amount_max, own.code, "source")
    if sent.instructed is None or sent.instructed[0] != own:
        return None
    return Money(own, sent.instructed[1])


def _report(sent: CreditTransfer, number: bytes, desk: Desk) -> StatusReport:
    return StatusReport(
        message_id=f"R-{number.hex()[:32]}",
        created_at=desk.gateway.now(),
        original_message_id=sent.message_id,
        original_instruction_id=sent.instruction_id,
        original_end_to_end_id=sent.end_to_end_id,
        original_transaction_id=sent.transaction_id,
        uetr=sent.uetr,
        status=Status.TECHNICALLY_VALID,
    )
