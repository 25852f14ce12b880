"""Numbers of contracts in the database: any of 256 bits comes back as it was, and they sort as numbers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.storage import Database, ReleaseOutcome, ReleaseRow, UnitOfWork, VaultAssetRow
from foundation.quantities import BlockHeight

CHAIN, TRANSACTION = b"c" * 32, b"t" * 32
edges = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64, 2**128, 10**77, 2**255, 2**256 - 1])
uint256 = st.one_of(st.integers(0, 2**256 - 1), edges)


def release(number: int, amount: int, fee: int) -> ReleaseRow:
    at = BlockHeight(1)
    return ReleaseRow(
        CHAIN, number, ReleaseOutcome.PAID, bytes(20), b"p" * 20, amount, fee, TRANSACTION, at, 0, TRANSACTION, at
    )


async def kept(unit: UnitOfWork, amounts: dict[int, tuple[int, int]]) -> None:
    rows = [release(number, *both) for number, both in amounts.items()]
    await unit.releases.put(*rows)
    found = await unit.releases.by_outcome(CHAIN, ReleaseOutcome.PAID)
    assert found == tuple(sorted(rows, key=lambda row: row.number))
    assert await unit.releases.get_many(CHAIN, list(amounts)) == {row.number: row for row in rows}
    for number, (amount, fee) in amounts.items():
        row = VaultAssetRow(CHAIN, number.to_bytes(32, "big")[-20:], number, amount, fee, bool(amount % 2), amount)
        await unit.vault_assets.put(row)
        assert await unit.vault_assets.get(CHAIN, row.asset) == row


async def on_a_new_database(amounts: dict[int, tuple[int, int]], path: Path) -> None:
    async with await Database.open(f"sqlite:///{path}") as database, database.unit() as unit:
        await kept(unit, amounts)  # nothing is committed, so that the next example finds nothing


def test_any_number_of_256_bits_is_kept_exactly_and_in_order() -> None:
    """Beyond what a float, a 64-bit column or an engine's NUMERIC would hold."""
    with tempfile.TemporaryDirectory() as folder:

        @settings(max_examples=25)
        @given(amounts=st.dictionaries(uint256, st.tuples(uint256, uint256), max_size=8))
        def holds(amounts: dict[int, tuple[int, int]]) -> None:
            asyncio.run(on_a_new_database(amounts, Path(folder) / "test.db"))

        holds()
