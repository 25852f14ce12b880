"""Whether the gateway is well, and its documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.desk import allowed, desk_of, problems
from api.forms import Model
from api.pages import page
from api.principals import Principal, Scope

router = APIRouter(tags=["system"])


class HealthOut(Model):
    """It answers, and its database does."""

    status: Literal["ok"]
    party: str


@router.get("/health", responses={503: problems()[503]})
async def get_health(request: Request) -> HealthOut:
    """Whether the gateway and its database answer. Needs no key."""
    gateway = desk_of(request).gateway
    await gateway.last_event()
    return HealthOut(status="ok", party=gateway.party)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text", "content": {"text/plain": {}}}, **problems()},
)
async def get_metrics(request: Request, principal: Annotated[Principal, Depends(allowed(Scope.METRICS))]) -> Response:
    """For monitoring."""
    return Response(generate_latest(desk_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """This interface, for people."""
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(page(request.app.openapi()), headers=headers)
