"""Amounts, times and spans as traders write them: `1BTC`, `20 ETH`, `30m`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cli.output import clock
from foundation.errors import BadInput
from registry.amounts import format_amount, parse_amount
from settlement.swap.planning.reasons import span_text

if TYPE_CHECKING:
    from settlement.swap.engine.settings import AssetName, TraderSettings
    from settlement.swap.offers import Offer

_AMOUNT: Final = re.compile(r"\s*(?P<number>[0-9][0-9.]*)\s*(?P<symbol>[A-Za-z][A-Za-z0-9.+-]{0,19})\s*", re.ASCII)
_SPAN: Final = re.compile(r"\s*(?P<number>[0-9]{1,6})\s*(?P<unit>[smhd])\s*", re.ASCII)
_DAYS_FROM: Final = 72 * 3_600
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_asset_amount(text: str, settings: TraderSettings, field: str) -> tuple[AssetName, int]:
    """An asset and base units of it, from `1BTC` or `0.5 USDC`.

    Raises:
        BadInput: names `field`: no number and symbol, an unknown symbol, too many decimals, or nothing.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise BadInput(field, f"{text[:80]!r} is no amount of an asset", "write digits and a symbol, like 1BTC")
    asset = settings.asset(match["symbol"], field)
    units = parse_amount(match["number"], asset.decimals, field)
    if not units:
        raise BadInput(field, "is nothing", "more than 0")
    return asset, units


def parse_span(text: str, field: str) -> int:
    """Seconds of `90s`, `30m`, `2h` or `1d`. Raises `BadInput` naming `field`."""
    match = _SPAN.fullmatch(text)
    if match is None or not int(match["number"]):
        raise BadInput(field, f"{text[:80]!r} is no span of time", "digits and s, m, h or d, like 30m")
    return int(match["number"]) * _UNITS[match["unit"]]


def span(seconds: int) -> str:
    """A span for people: `45 s`, `12 min 5 s`, `28 h 50 min`, from three days on `3 d 4 h`; `over` below zero."""
    if seconds < 0:
        return "over"
    if seconds < _DAYS_FROM:
        return span_text(seconds)
    days, rest = divmod(seconds, 86_400)
    return f"{days} d" + (f" {rest // 3600} h" if rest >= 3_600 else "")


def moment(at: int, now: int) -> str:
    """A time of day in UTC, with the date where that is not today's. Both in seconds since 1970."""
    text = clock(at * 1000)
    return text[11:] if at // 86_400 == now // 86_400 else text


def evm_amount(settings: TraderSettings, token: bytes, units: int) -> str:
    """An amount of the EVM asset; in base units where the asset is not known."""
    asset = settings.token(token)
    if asset is None:
        return f"{units:,} base units of 0x{token.hex()}"
    return format_amount(units, asset.decimals, symbol=asset.symbol)


def btc(satoshi: int) -> str:
    """An amount of bitcoin."""
    return format_amount(satoshi, 8, symbol="BTC")


def sides(settings: TraderSettings, offer: Offer) -> tuple[str, str]:
    """What a maker gives, and what it wants."""
    bitcoin, evm = btc(offer.satoshi), evm_amount(settings, offer.asset, offer.amount)
    return (bitcoin, evm) if offer.gives_bitcoin else (evm, bitcoin)
