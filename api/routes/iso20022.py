"""Payments as ISO 20022 messages."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api.amounts import check_limit, own_money
from api.answers import Answer, Asked
from api.desk import POSTED, Desk, KeyHeader, allowed, desk_of, once, problems
from api.forms import AMOUNT
from api.ports import Creditor, Money, PaymentWanted, QuoteWanted
from api.principals import Principal, Scope
from api.problems import Problem
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
    ) -> None:
        self.source_ledger = source_ledger
        self.target_ledger = target_ledger
        self.clearing = clearing
        self.creditor_kind = creditor_kind
        self.payee = payee
        self.target_scale = target_scale
        self.amount_max = amount_max


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
async def credit_transfer(
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


async def _begin(desk: Desk, asked: Asked, route: Route, raw: bytes) -> Answer:
    sent = read_credit_transfer(raw, _assets(desk, route, raw))
    own = desk.gateway.asset(route.source_ledger)
    if own is None:
        raise BadInput("source_ledger", "we have no account on such a ledger", "GET /v1/accounts names them")
    most = _most(desk, route, sent, own)
    check_limit(asked.principal, most)
    payee = route.payee or desk.agents.get(sent.instructed_agent.bic or sent.instructed_agent.lei)
    if payee is None:
        raise BadInput("InstdAgt", "no party is known by this BIC or LEI", "name it by `payee`")
    if not sent.creditor.country:
        raise BadInput("Cdtr/PstlAdr/Ctry", "it is needed", "the country of the creditor")
    number = asked.work_id
    wanted = PaymentWanted(
        payment_id=number,
        wanted=QuoteWanted(
            route.clearing, payee, route.source_ledger, route.target_ledger, Money(sent.asset, sent.amount)
        ),
        source_max=most,
        debtor=sent.debtor_account.iban or sent.debtor_account.other,
        creditor=Creditor(
            sent.creditor_account.iban or sent.creditor_account.other, sent.creditor.country, route.creditor_kind
        ),
        purpose=sent.purpose or "OTHR",
        initiator=asked.principal.name,
        reference=sent.remittance,
    )
    await desk.gateway.pay(wanted)
    headers = {"content-type": _XML, "location": f"/v1/payments/{number.hex()}"}
    return Answer(202, write_status_report(_report(sent, number, desk)), headers, number)


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


def _most(desk: Desk, route: Route, sent: CreditTransfer, own: Asset) -> Money:
    if route.amount_max is not None:
        return own_money(desk.gateway, route.source_ledger, route.amount_max, own.code, "source")
    if sent.instructed is None or sent.instructed[0] != own:
        raise BadInput("InstdAmt", f"it is not there in {own.code}", "name the most that it may cost by `amount_max`")
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
