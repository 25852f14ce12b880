"""A running book for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.settlement_book import Bank, Time


@pytest.fixture
def clock() -> Time:
    """The book's clock, which stands still."""
    return Time()


@pytest.fixture
async def bank(sqlite_url: str, clock: Time) -> AsyncIterator[Bank]:
    """A book on SQLite, in this process."""
    async with Bank(sqlite_url, clock) as running:
        yield running
