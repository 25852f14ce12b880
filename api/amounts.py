"""Amounts as they are sent, as base units of an asset; exact, and never a default that could be wrong."""

from __future__ import annotations

from api.bodies import MoneyIn
from api.ports import GatewayPort, Money
from api.principals import Principal
from api.problems import Problem
from foundation.errors import BadInput
from settlement.quantities import Asset, Scale


def own_money(gateway: GatewayPort, ledger: str, amount: str, currency: str, field: str) -> Money:
    """An amount on a ledger of ours.

    Raises:
        BadInput: no ledger of ours, another currency, finer than its scale, or not above 0.
    """
    asset = gateway.asset(ledger)
    if asset is None:
        raise BadInput(f"{field}.ledger", "we have no account on such a ledger", "GET /v1/accounts names them")
    if asset.code != currency:
        raise BadInput(f"{field}.currency", f"{ledger} is in {asset.code}", f"write {asset.code}")
    return _above_zero(asset, amount, f"{field}.amount_max")


def target_money(gateway: GatewayPort, ledger: str, sent: MoneyIn, field: str = "target") -> Money:
    """An amount on a ledger that need not be ours: the clearing bank says afterwards whether its scale is right.

    Raises:
        BadInput: the currency's decimals are not known, or not those of our ledger; or as `own_money`.
    """
    own = gateway.asset(ledger) or gateway.assets().get(sent.currency)
    if own is not None and own.code != sent.currency:
        raise BadInput(f"{field}.currency", f"{ledger} is in {own.code}", f"write {own.code}")
    scale = sent.scale if sent.scale is not None else (None if own is None else own.scale)
    if scale is None:
        raise BadInput(
            f"{field}.scale",
            f"no ledger of ours is in {sent.currency}, so its decimals are not known here",
            "write how many decimals its ledger counts, such as 2",
        )
    if gateway.asset(ledger) is not None and own is not None and scale != own.scale:
        raise BadInput(f"{field}.scale", f"{ledger} counts {own.scale} decimals", f"write {own.scale}")
    return _above_zero(Asset(sent.currency, Scale(scale)), sent.amount, f"{field}.amount")


def check_limit(principal: Principal, money: Money) -> None:
    """Raises Problem: it is above what the principal may spend on one payment."""
    most = principal.limits.amount_max.get(money.asset.code)
    if most is not None and money.units > money.asset.units(most):
        raise Problem(
            "above-limit", f"{principal.name} may spend at most {most} {money.asset.code} on one payment", "source"
        )


def _above_zero(asset: Asset, text: str, field: str) -> Money:
    units = asset.units(text, field)
    if units == 0:
        raise BadInput(field, "it is 0", "write an amount above 0")
    return Money(asset, units)
