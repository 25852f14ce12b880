"""An account's settlements, as operators are shown them, on both databases."""

from __future__ import annotations

from sqlalchemy import insert

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.connector.balances.model import Direction
from settlement.connector.statements import SettlementView, settlements_of
from settlement.connector.tables import settlements
from settlement.quantities import MAX_UNITS
from tests.support.connector import SCHEMA


def row(key: str, account: str, at: int, amount: int = 1, direction: str = "out") -> dict[str, object]:
    """A settlement as the balances write it."""
    told = {"key": key, "account": account, "direction": direction, "is_undone": False, "at_ms": at}
    return told | {"amount": amount}


async def test_settlements_are_told_oldest_first_and_page_by_page(database_url: str) -> None:
    """Only the account's own, in order, each once over all pages, with amounts that lose no digit."""
    rows = [
        row("c", "alice", 20),
        row("b", "alice", 20, direction="in"),
        row("d", "bob", 5),
        row("a", "alice", 30, MAX_UNITS),
        row("e", "alice", 10),
    ]
    url = database_url.replace("+aiosqlite", "").replace("+asyncpg", "")
    is_sqlite = url.startswith("sqlite")
    async with await Database.open(url, SCHEMA) as database:
        async with database.unit() as unit:
            for each in rows:
                amount = str(each["amount"]) if is_sqlite else each["amount"]
                await unit.connection.execute(insert(settlements).values(**each | {"amount": amount}))
            await unit.commit()
        async with database.view() as view:
            told = await settlements_of(view.connection, "alice")
            assert [each.key for each in told] == ["e", "b", "c", "a"]
            assert told[1] == SettlementView("b", 1, Direction.IN, False, UnixMs(20))
            assert told[-1].amount == MAX_UNITS
            pages: list[SettlementView] = []
            after = (UnixMs(0), "")
            while page := await settlements_of(view.connection, "alice", after=after, limit=1):
                pages += page
                after = (page[-1].at, page[-1].key)
            assert tuple(pages) == told
            assert await settlements_of(view.connection, "nobody") == ()
