"""What a gateway does by the clock: it forgets personal data whose time is over, and checks its books."""

from __future__ import annotations

import asyncio

import structlog

from foundation.database import Database
from foundation.errors import Retryable
from foundation.quantities import UnixMs
from settlement.connect.vault import PersonalRecords, Retention
from settlement.gateway.dossiers import Dossiers
from settlement.gateway.keys import Secrets
from settlement.quantities import Clock
from settlement.rules.store import RulesStore

DAY_MS = 24 * 3600 * 1000
_EVERY_SECONDS = 3600.0
_log = structlog.get_logger(__name__)


async def forget(database: Database, secrets: Secrets, retention: Retention, now: UnixMs) -> int:
    """Forget what is over its time, in short units of work; how many records of personal data were forgotten.

    Under legal hold nothing is forgotten of a payment's records; its facts for the rules, which have no hold, live
    for the longer of the two times.

    Raises:
        DatabaseUnavailable: the rest waits for the next time.
    """
    forgotten = 0
    while True:
        async with database.unit() as unit:
            count = await PersonalRecords(unit.connection, secrets.party, secrets.vault).purge(retention, now)
            await unit.commit()
        forgotten += count
        if count == 0:
            break
    async with database.unit() as unit:
        before = UnixMs(now - retention.days * DAY_MS)
        await Dossiers(unit.connection, secrets.state_key).purge(before)
        longest = max(retention.days, retention.days_unended)
        await RulesStore(unit.connection, secrets.facts_key).erase_facts(UnixMs(now - longest * DAY_MS))
        await unit.commit()
    return forgotten


async def keep_forgetting(database: Database, secrets: Secrets, retention: Retention, clock: Clock) -> None:
    """Forget each hour; until cancelled."""
    while True:
        try:
            forgotten = await forget(database, secrets, retention, clock())
            if forgotten:
                _log.info("personal data forgotten", records=forgotten, days=retention.days)
        except Retryable as problem:
            _log.warning("personal data wait to be forgotten", problem=str(problem))
        await asyncio.sleep(_EVERY_SECONDS)
