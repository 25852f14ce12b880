"""A voucher votes for a halt, or for its end: written into its database, from where the running node takes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.agents.attesting import wanted
from bridge.codec import encode
from bridge.halts import end_of_halt
from bridge.intake.common import EVERYTHING, WANTED_ENDS, WANTED_HALTS
from bridge.settings import Settings
from bridge.storage import Database
from cli.context import CONFIG, NetworkFile, open_native
from cli.exits import NotFound
from cli.output import clock
from cli.registry_lookup import find_asset
from foundation.errors import BadInput
from foundation.quantities import UnixMs

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from bridge.storage import UnitOfWork

ALL: Final = "all"


async def vote_halt(folder: Path, network: NetworkFile, text: str, hours: int) -> dict[str, Any]:
    """Want a halt for so many hours, in place of what was wanted before. Returns what is told.

    Raises:
        BadInput: the node is no voucher, or a halt that lasts longer is in force.
        NotFound: no such asset.
    """
    settings = _voucher(folder)
    async with open_native(network) as native:
        asset, shown = await _asset(native, text)
        now = UnixMs(int(time.time() * 1000))
        until, present = end_of_halt(now, hours), await native.halted_until(asset, "latest")
    if until <= present:
        problem = f"{shown} is halted until {clock(present * 1000)} already, and a halt is only ever made longer"
        raise BadInput("--hours", problem, "more hours")

    def change(halts: dict[bytes, int], ends: dict[bytes, int]) -> None:
        halts[asset] = until
        ends.pop(asset, None)

    await _write(settings, change)
    return {"node": settings.node.name, "asset": _name(asset), "shown": shown, "until": clock(until * 1000)}


async def vote_resume(folder: Path, network: NetworkFile, text: str) -> dict[str, Any]:
    """Want the halt that is in force to end, and want none any more. Returns what is told.

    Raises:
        BadInput: the node is no voucher.
        NotFound: no such asset, or no halt is in force nor wanted.
    """
    settings = _voucher(folder)
    async with open_native(network) as native:
        asset, shown = await _asset(native, text)
        present = await native.halted_until(asset, "latest")
    in_force = present > time.time()
    withdrawn = False

    def change(halts: dict[bytes, int], ends: dict[bytes, int]) -> None:
        nonlocal withdrawn
        withdrawn = halts.pop(asset, None) is not None
        ends.pop(asset, None)
        if in_force:
            ends[asset] = present

    await _write(settings, change)
    if not in_force and not withdrawn:
        raise NotFound(f"{shown} is not halted, and {settings.node.name} wants no halt of it", "nothing is left to do")
    document = {"node": settings.node.name, "asset": _name(asset), "shown": shown}
    if not in_force:
        return document | {"until": None, "text": f"{settings.node.name} wants no halt of {shown} any more"}
    until = clock(present * 1000)
    return document | {"until": until, "text": f"{settings.node.name} votes to end the halt of {shown} of {until}"}


def _voucher(folder: Path) -> Settings:
    settings = Settings.load(folder / CONFIG)
    if settings.node.role != "voucher":
        raise BadInput("--node", f"{settings.node.name} is a {settings.node.role}", "a voucher's folder: they vote")
    return settings


async def _asset(native: NativeChain, text: str) -> tuple[bytes, str]:
    """The id that is halted, and how it is told."""
    if text == ALL:
        return EVERYTHING, "everything"
    found = await find_asset(native, text)
    return found.id, found.symbol


def _name(asset: bytes) -> str:
    return ALL if asset == EVERYTHING else asset.hex()


async def _write(settings: Settings, change: Callable[[dict[bytes, int], dict[bytes, int]], None]) -> None:
    async with await Database.open(settings.database_url) as database, database.unit() as uow:
        await _changed(uow, change)
        await uow.commit()


async def _changed(uow: UnitOfWork, change: Callable[[dict[bytes, int], dict[bytes, int]], None]) -> None:
    halts, ends = await wanted(uow, WANTED_HALTS), await wanted(uow, WANTED_ENDS)
    change(halts, ends)
    await uow.node_meta.put(WANTED_HALTS, encode(halts))
    await uow.node_meta.put(WANTED_ENDS, encode(ends))
