"""The check of the whole book finds whatever somebody has changed behind its back."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from settlement.ledgers.book.wire import VerdictOut
from tests.support.settlement_book import Bank, Time, a_hold, fulfilment_of


async def verdict_after(url: str, clock: Time, *statements: str) -> VerdictOut:
    """A book with all kinds of entries, changed by hand, and looked through."""
    async with Bank(url, clock) as bank:
        alice, bob = await bank.account("alice", 2**64 - 1), await bank.account("bob")
        holds = [a_hold("alice", "bob", 2**62 + number, clock.now + 1_000) for number in range(3)]
        await alice.hold(holds)
        await bob.fulfil([fulfilment_of(holds[0])])
        await bob.cancel([holds[1].transfer_id])
        await alice.hold(
            [a_hold("bob", "alice", 1, clock.now + 1_000), a_hold("alice", "nobody", 1, clock.now + 1_000)]
        )
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await engine.dispose()
        return await bank.operator.verify()


async def test_a_book_that_nobody_changed_is_right(database_url: str, clock: Time) -> None:
    """With every kind of entry, and amounts beyond the engines' integers, all sums are zero and all totals match."""
    verdict = await verdict_after(database_url, clock)
    assert verdict == VerdictOut(True, 6, {"EUR/2": "0"}, [])


FIRST = "(SELECT min(number) FROM book_entries WHERE kind = 'fulfil')"


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE book_accounts SET balance = '7' WHERE name = 'bob'", "account bob: balance is 7"),
        ("UPDATE book_accounts SET held = '7' WHERE name = 'alice'", "account alice: held is 7"),
        ("UPDATE book_accounts SET incoming = '0' WHERE name = 'bob'", "account bob: incoming is 0"),
        ("UPDATE book_accounts SET floor = '99999999999999999999' WHERE name = 'bob'", "below its floor"),
        (f"UPDATE book_lines SET amount = '00000000000000000001' WHERE number = {FIRST} AND sign = 1", "sum to zero"),
        (f"UPDATE book_lines SET amount = '00000000000000000001' WHERE number = {FIRST}", "not what its transfer says"),
        (f"UPDATE book_lines SET after = '5' WHERE number = {FIRST}", "the newest line"),
        ("UPDATE book_transfers SET state = 'cancelled' WHERE state = 'held'", "of kind cancel"),
        ("UPDATE book_transfers SET state = 'cancelled' WHERE state = 'fulfilled'", "not what its transfer says"),
        ("UPDATE book_transfers SET payee = 'alice' WHERE state = 'fulfilled'", "not what its transfer says"),
        (f"DELETE FROM book_lines WHERE number = {FIRST}", "have lines"),
        (f"DELETE FROM book_lines WHERE number = {FIRST} AND sign = 1", "sum to zero"),
        ("UPDATE book_accounts SET name = 'eve' WHERE name = 'bob'", "account bob: the journal names it"),
    ],
)
async def test_a_change_behind_the_books_back_is_found(
    sqlite_url: str, clock: Time, statement: str, fault: str
) -> None:
    """A total, a line, a state, a party or a row that was changed or removed by hand is named."""
    verdict = await verdict_after(sqlite_url, clock, statement)
    assert not verdict.ok
    assert any(fault in found for found in verdict.faults), verdict.faults


async def test_an_entry_that_was_removed_is_missed(sqlite_url: str, clock: Time) -> None:
    """The entries' numbers have no gap, so that a removed one shows."""
    gone = [f"DELETE FROM {table} WHERE number = 2" for table in ("book_lines", "book_entries")]
    verdict = await verdict_after(sqlite_url, clock, *gone)
    assert any("5 entries, the newest is number 6" in found for found in verdict.faults), verdict.faults
