"""Accounts and rates."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from api.desk import allowed, desk_of, problems
from api.principals import Principal, Scope
from api.views import AccountOut, AccountsOut, RateOut, RatesOut

router = APIRouter(tags=["accounts"])


@router.get("/v1/accounts", responses=problems())
async def list_accounts(
    request: Request, principal: Annotated[Principal, Depends(allowed(Scope.STATEMENTS))]
) -> AccountsOut:
    """This bank's accounts on its ledgers, and the money on them."""
    found = await desk_of(request).gateway.accounts()
    return AccountsOut(accounts=[AccountOut.of(one) for one in found])


@router.get("/v1/rates", responses=problems())
async def list_rates(request: Request, principal: Annotated[Principal, Depends(allowed(Scope.QUOTES))]) -> RatesOut:
    """What this bank takes as a clearing bank; empty where it is none."""
    return RatesOut(rates=[RateOut.of(one) for one in desk_of(request).gateway.rates()])
