"""The coins that a node has stored against those that the blocks of its chain leave, over any reorganisation."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.storage import CoinKind, CoinRow, CoinSpend, Database, UnitOfWork
from foundation.quantities import BlockHeight, Satoshi

pytestmark = pytest.mark.slow

COINS = 6


@dataclass
class Block:
    """A block of the model. Fields: hash; coins that it creates; coins that it spends."""

    hash: bytes
    created: set[int] = field(default_factory=set)
    spent: set[int] = field(default_factory=set)


def unspent_in(chain: list[Block]) -> set[int]:
    created = set[int]().union(*(block.created for block in chain))
    return created.difference(*(block.spent for block in chain))


def coin(number: int, height: int, block: Block) -> CoinRow:
    kind = CoinKind.VAULT if number % 2 else CoinKind.DEPOSIT
    script = bytes([number]) * 34
    return CoinRow(bytes([number]) * 32, number, script, Satoshi(10**number), kind, BlockHeight(height), block.hash)


async def connect(unit: UnitOfWork, height: int, block: Block) -> None:
    await unit.coins.receive(*(coin(number, height, block) for number in block.created))
    spends = [
        CoinSpend(bytes([number]) * 32, number, b"s" * 32, BlockHeight(height), block.hash) for number in block.spent
    ]
    await unit.coins.spend(*spends)


# A step disconnects so many blocks and then connects one that creates and spends these coins where it can.
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sets(st.integers(0, COINS - 1)), st.sets(st.integers(0, COINS - 1))), max_size=8
)


async def follow(steps: list[tuple[int, set[int], set[int]]]) -> None:
    chain: list[Block] = []
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(f"sqlite:///{Path(folder) / 'test.db'}") as database, database.unit() as unit:
            for number, (gone, create, spend) in enumerate(steps):
                for _ in range(min(gone, len(chain))):
                    await unit.coins.disconnect(chain.pop().hash)
                known = set[int]().union(*(block.created for block in chain))
                created = create - known
                block = Block(bytes([number]) * 32, created, spend & (unspent_in(chain) | created))
                chain.append(block)
                for _ in range(2):  # a block that is told twice, as after a crash, changes nothing
                    await connect(unit, len(chain) - 1, block)
                left = unspent_in(chain)
                assert {row.vout for row in await unit.coins.unspent()} == left
                for kind, odd in ((CoinKind.VAULT, 1), (CoinKind.DEPOSIT, 0)):
                    assert await unit.coins.total(kind) == sum(10**number for number in left if number % 2 == odd)
                assert {row.vout for row in await unit.coins.in_block(block.hash)} == block.created | block.spent


@settings(max_examples=20)
@given(steps=STEPS)
def test_the_stored_coins_are_those_that_the_chain_leaves(steps: list[tuple[int, set[int], set[int]]]) -> None:
    """Whatever blocks came and went, what is unspent is what the blocks of the chain create and do not spend."""
    asyncio.run(follow(steps))
