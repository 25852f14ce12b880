"""Statements, in JSON or as camt.053, and receipts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from api.desk import Desk, allowed, desk_of, problems
from api.forms import HexId, moment
from api.ports import LineShown, StatementShown
from api.principals import Principal, Scope
from api.problems import Problem
from api.views import StatementOut
from foundation.quantities import UnixMs
from settlement.connect.iso20022.camt053 import Entry, Statement, write_statement
from settlement.connect.iso20022.documents import uetr_of
from settlement.connect.iso20022.parties import account_from

router = APIRouter(tags=["statements"])
_LINES_MAX: Final = 10_000
_PAGE: Final = 1_000
_XML: Final = "application/xml"
_LATEST: Final = UnixMs(2**53 - 1)
_REFERENCE_MAX: Final = 35
_ACCOUNT_MAX: Final = 34
_ENDS: Final = 15
Time = Annotated[str | None, Query(max_length=40, description="RFC 3339", examples=["2026-11-21T00:00:00Z"])]


@router.get(
    "/v1/statements",
    response_model=StatementOut,
    responses={
        200: {"description": "A statement", "content": {_XML: {"schema": {"type": "string"}}}},
        **problems(404, 406, 409, 422),
    },
)
async def get_statement(
    request: Request,
    principal: Annotated[Principal, Depends(allowed(Scope.STATEMENTS))],
    ledger: Annotated[str, Query(min_length=1, max_length=128, examples=["digital-euro"])],
    since: Time = None,
    until: Time = None,
    after: Annotated[int, Query(ge=0, le=2**53, description="`next_after` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 100,
    accept: Annotated[str, Header(description="application/json, or application/xml for camt.053")] = "*/*",
) -> Response:
    """What was booked on this bank's account on a ledger, from `since` on and before `until`.

    A ledger that keeps no statements, such as a chain, is told of by this gateway's books (`basis`): what was final
    there, and what the bank's accountant has told them of other deposits. As camt.053 it is the whole period, at most
    10,000 lines.
    """
    desk = desk_of(request)
    first = UnixMs(0) if since is None else moment(since, "since")
    end = _LATEST if until is None else moment(until, "until")
    if _wants_xml(accept):
        return Response(await _camt053(desk, ledger, first, min(end, desk.gateway.now())), media_type=_XML)
    found = await desk.gateway.statement(ledger, first, end, after, limit)
    return Response(StatementOut.of(found).model_dump_json(), media_type="application/json")


@router.get(
    "/v1/receipts/{payment_id}",
    response_class=Response,
    responses={
        200: {"description": "The receipt's file", "content": {"application/json": {"schema": {"type": "object"}}}},
        **problems(404, 409, 422),
    },
)
async def get_receipt(
    request: Request, principal: Annotated[Principal, Depends(allowed(Scope.PAYMENTS_READ))], payment_id: HexId
) -> Response:
    """The receipt of a payment, signed by all three parties, as a file that anybody verifies offline.

    It grows: once its batch is anchored on the native chain, the proof of that is in it too.
    """
    file = await desk_of(request).gateway.receipt(bytes.fromhex(payment_id))
    headers = {"content-disposition": f'attachment; filename="receipt-{payment_id[:16]}.json"'}
    return Response(file, media_type="application/json", headers=headers)


def _wants_xml(accept: str) -> bool:
    """By the order in which they are named; weights are not looked at."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    for kind in kinds:
        if kind in (_XML, "text/xml"):
            return True
        if kind in ("application/json", "application/*", "*/*"):
            return False
    raise Problem("not-acceptable", "statements are application/json or application/xml", "Accept")


async def _camt053(desk: Desk, ledger: str, since: UnixMs, until: UnixMs) -> bytes:
    lines: list[LineShown] = []
    page = await desk.gateway.statement(ledger, since, until, 0, _PAGE)
    opening = page.opening
    while True:
        lines.extend(page.lines)
        if page.next_after is None:
            break
        if len(lines) >= _LINES_MAX:
            raise Problem(
                "not-possible", f"there are more than {_LINES_MAX} lines", "until", "ask for a shorter period"
            )
        page = await desk.gateway.statement(ledger, since, until, page.next_after, _PAGE)
    return write_statement(_document(page, opening.units, lines, since, until, desk.gateway.now()))


def _document(
    last: StatementShown, opening: int, lines: list[LineShown], since: UnixMs, until: UnixMs, now: UnixMs
) -> Statement:
    name = f"{last.ledger[:16]}-{until}"
    return Statement(
        message_id=f"M-{name}"[:_REFERENCE_MAX],
        statement_id=f"S-{name}"[:_REFERENCE_MAX],
        created_at=now,
        from_time=since or (lines[0].at if lines else until),
        to_time=until,
        account=account_from(_short(last.account)),
        asset=last.opening.asset,
        opening=opening,
        closing=last.closing.units,
        entries=tuple(_entry(line) for line in lines),
    )


def _short(account: str) -> str:
    """An account's number as the message takes it; of an address of a chain, its ends, marked as such."""
    return account if len(account) <= _ACCOUNT_MAX else f"{account[:_ENDS]}...{account[-_ENDS:]}"


def _entry(line: LineShown) -> Entry:
    return Entry(
        reference=line.transfer_id.hex()[:_REFERENCE_MAX],
        change=line.change.units,
        booked_on=datetime.fromtimestamp(line.at / 1000, UTC).date(),
        end_to_end_id="" if line.payment_id is None else line.payment_id.hex()[:_REFERENCE_MAX],
        uetr="" if line.payment_id is None else uetr_of(line.payment_id),
    )
