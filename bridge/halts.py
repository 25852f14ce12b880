"""Halts: vouchers of more than a third of the weight make an asset, or everything, stand still for a while.

A halt stops mints, new withdrawals and reservations on the Hub, and what storemen sign. It only delays: what is under
way goes on after it, and it ends by itself.
"""

from __future__ import annotations

from typing import Final

from bridge.intake.common import EVERYTHING, halt_fact, latest_halt_fact
from bridge.refusals import AssetHalted
from bridge.storage import View
from foundation.quantities import UnixMs

_HOUR: Final = 3600
MOST_SECONDS: Final = 7 * 24 * _HOUR
"""The Hub takes no longer halt."""


async def halted_until(view: View, asset: bytes) -> int:
    """Until when this asset stands still, by itself or with everything, in seconds since 1970; 0: it never did."""
    facts = [await view.node_meta.get(halt_fact(subject)) for subject in (EVERYTHING, asset)]
    return max(int(fact or b"0") for fact in facts)


async def check_not_halted(view: View, asset: bytes, now: UnixMs) -> None:
    """Raises `AssetHalted` while the vouchers have halted this asset, or everything."""
    until = await halted_until(view, asset)
    if until * 1000 > now:
        raise AssetHalted(until)


def end_of_halt(now: UnixMs, hours: int = 24) -> int:
    """When a halt that a voucher wants now ends, in seconds since 1970: at a full hour, so that vouchers who want the
    same within an hour say the same.
    """
    return (now // 1000 // _HOUR + 1 + hours) * _HOUR


async def end_of_next_halt(view: View, asset: bytes, now: UnixMs, hours: int = 24) -> int:
    """As `end_of_halt`, and after the end of every halt of the asset before: the Hub takes no other, also of halts that
    were ended early. All vouchers know the same ends.
    """
    latest = int(await view.node_meta.get(latest_halt_fact(asset)) or b"0")
    return max(end_of_halt(now, hours), latest + _HOUR)
