"""Whether the gateway is well."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request

from api.desk import desk_of, problems
from api.forms import Model

router = APIRouter(tags=["system"])


class HealthOut(Model):
    """It answers, and its database does."""

    status: Literal["ok"]
    party: str


@router.get("/health", responses={503: problems()[503]})
async def health(request: Request) -> HealthOut:
    """Whether the gateway and its database answer. Needs no key."""
    gateway = desk_of(request).gateway
    await gateway.last_event()
    return HealthOut(status="ok", party=gateway.party)
