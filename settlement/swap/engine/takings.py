"""Others' offers that this trader takes, before their makers have answered."""

from __future__ import annotations

from dataclasses import replace

from settlement.swap.engine.office import Office
from settlement.swap.store.store import SwapStore, Taking, TakingState


async def give_up(office: Office, keep: bytes | None = None) -> tuple[Taking, ...]:
    """Ask for none of them any more, but for the one of the offer `keep`; those that were asked for until now.

    A maker may have accepted one meanwhile. Its answer begins nothing here, and without this side's signature over the
    terms no money moves there.
    """
    async with office.database.unit() as unit:
        store = SwapStore(unit.connection)
        asked = tuple(one for one in await store.open_takings() if one.offer_id != keep)
        for one in asked:
            await store.put_taking(
                replace(one, state=TakingState.GIVEN_UP, problem="you went on with something else; no money has moved")
            )
        await unit.commit()
    if asked:
        office.wake()
    return asked
