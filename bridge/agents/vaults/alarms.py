"""Alarms: an incident for the operator, and, where this node is a voucher, the signed wish that assets stand still."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from bridge.agents.attesting import wanted
from bridge.agents.office import Office
from bridge.codec import encode
from bridge.halts import end_of_next_halt
from bridge.intake.common import WANTED_HALTS
from bridge.storage import IncidentKind

_LOG: Final = structlog.get_logger(__name__)


async def raise_alarm(office: Office, assets: Iterable[bytes], error: str, text: str) -> None:
    """Keep the incident and the wish to halt these assets, those that are not to stand still already.

    A voucher attests no deposit of them from then on; `bridge.agents.voucher` signs and posts the wish.
    """
    now = office.clock()
    async with office.database.unit() as uow:
        halts = await wanted(uow, WANTED_HALTS)
        new = [asset for asset in assets if halts.get(asset, 0) * 1000 <= now]
        if not new:
            return
        ends = {asset: await end_of_next_halt(uow, asset, now) for asset in new}
        await uow.node_meta.put(WANTED_HALTS, encode({**halts, **ends}))
        for asset in new:
            await uow.incidents.record(IncidentKind.ALARM, error, now, subject=asset, fields={"text": text})
        await uow.commit()
    shown = [asset.hex() for asset in new]
    _LOG.error("assets are not to be trusted: this node wants them halted", assets=shown, problem=text)
    office.changed.set()
