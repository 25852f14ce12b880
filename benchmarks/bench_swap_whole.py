"""A whole swap on the dev network, both sides in one process: from taking the offer until nothing is left to do.

Each side has its own database, wallet and engine, and letters pass through a board over HTTP. Waiting for blocks is not
counted in that there is none: the EVM node makes a block of each transaction, and a bitcoin block is mined as soon as a
transaction is in the mempool. What the nodes themselves take for their work is counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvloop

from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.engine.office import News
from settlement.swap.engine.runtime import Engine
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import SwapStore
from settlement.swap.terms import Mode
from tests.support.swap_people import Town, town

WARM_UP = 1
SAMPLES = 7
WHOLE_MS = 1_500
_LOOK_SECONDS = 0.01


@asynccontextmanager
async def immediate_blocks(node: Bitcoind) -> AsyncIterator[None]:
    """A block as soon as a transaction waits for one."""

    async def dig() -> None:
        while True:
            if await node.rpc.call("getrawmempool"):
                await node.mine()
            await asyncio.sleep(_LOOK_SECONDS)

    task = asyncio.create_task(dig())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def ended(engine: Engine, offer_id: bytes) -> None:
    """Wait until an engine's swap has ended well."""
    office = engine.office
    listener = office.listen(News.SWAPS)
    try:
        while True:
            listener.clear()
            rows = await office.swaps()
            if rows and rows[-1].state.terms.offer_id == offer_id and rows[-1].state.outcome is not None:
                assert rows[-1].state.outcome is Outcome.SWAPPED
                return
            await listener.wait()
    finally:
        office.unlisten(listener)


async def one_swap(place: Town, maker: Engine, taker: Engine, mode: Mode) -> float:
    """Milliseconds of a whole swap."""
    offer = await place.alice.offer(maker, gives_bitcoin=True, mode=mode)
    start = time.perf_counter()
    await taker.trading.take(offer)
    offer_id = offer.offer.offer_id
    await asyncio.gather(ended(maker, offer_id), ended(taker, offer_id))
    return (time.perf_counter() - start) * 1_000


async def history(engine: Engine) -> list[tuple[int, str]]:
    """What an engine's newest swap went through: milliseconds since 1970, and lines. To see where time goes."""
    (*_, row) = await engine.office.swaps()
    async with engine.office.database.view() as view:
        return [(line.at, line.note) for line in await SwapStore(view.connection).lines(row.swap_id)]


async def measured(mode: Mode, samples: int = SAMPLES) -> list[float]:
    """Times of swaps one after another, after those that warm up."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with (
            Bitcoind(root / "bitcoind") as node,
            Anvil(root / "anvil", block_seconds=60) as chain,
            town(root, node, chain, satoshi=samples * 150_000_000, ether=samples * 30 + 100) as place,
            immediate_blocks(node),
            place.alice.at_work() as maker,
            place.bob.at_work() as taker,
        ):
            times = [await one_swap(place, maker, taker, mode) for _ in range(WARM_UP + samples)]
            return times[WARM_UP:]


def figure(name: str, times: list[float], target: float | None) -> dict[str, object]:
    """One figure: the median."""
    value = round(sorted(times)[len(times) // 2], 1)
    return {"name": name, "value": value, "unit": "ms", "target": target, "samples": times}


def run() -> list[dict[str, object]]:
    """Whole swaps of both modes, on the loop that commands have."""
    note = "without waiting for blocks"
    by_hash, private = uvloop.run(measured(Mode.HASH)), uvloop.run(measured(Mode.POINT))
    return [
        figure("swap: whole swap, one confirmation, by a hash", by_hash, WHOLE_MS) | {"note": note},
        figure("swap: whole swap, one confirmation, private", private, WHOLE_MS) | {"note": note},
    ]
