"""Several processes' worth of validators on one PostgreSQL: the last of a limit is taken once."""

from __future__ import annotations

import asyncio

import pytest

from foundation.database import Database
from settlement.rules import tables
from settlement.rules.model import Verdict
from settlement.rules.validator import Validator
from tests.support.rules import MONDAY, facts, rules

pytestmark = pytest.mark.integration

LIMITED = rules('[[limit]]\nid = "day"\nasset = "EUR"\namount_max = "5.00"\n')


async def test_last_of_a_limit_is_taken_once(postgres_url: str) -> None:
    """Of twelve payments of 1.00 that two gateways decide at once, five pass a limit of 5.00, and the chain holds."""
    databases = [await Database.open(postgres_url, tables.SCHEMA) for _ in range(2)]
    validator = Validator(lambda: LIMITED, bytes(32))

    async def decide(number: int) -> Verdict:
        async with databases[number % 2].unit() as unit:
            decision = await validator.decide(unit.connection, facts(number, "1.00"), MONDAY)
            await unit.commit()
            return decision.verdict

    try:
        verdicts = await asyncio.gather(*(decide(number) for number in range(12)))
        assert verdicts.count(Verdict.PASS) == 5
        passed = [number for number, verdict in enumerate(verdicts) if verdict is Verdict.PASS]
        async with databases[0].unit() as unit:
            await validator.release(unit.connection, facts(passed[0], "1.00").payment_id)
            await unit.commit()
        assert await decide(20) is Verdict.PASS
        assert await decide(21) is Verdict.BLOCK
        async with databases[1].view() as view:
            assert (await validator.store(view.connection).verify())[0] == 14
    finally:
        for database in databases:
            await database.close()
