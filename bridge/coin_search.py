"""Finding coins on given scripts with a bitcoin node alone: no wallet, no index, nothing of ours running."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.follower import BlockSource, scan_range
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint
from bridge.deposits import Purpose, Spend
from bridge.intake.common import purpose_of
from foundation.quantities import BlockHeight


@dataclass(frozen=True, slots=True)
class FoundCoin:
    """A coin that was paid to a deposit address. `spend`: the transaction in the chain that spends it."""

    coin: Coin
    spend: Spend | None = None


async def coins_since(
    source: BlockSource, script: bytes, birthday: BlockHeight, vault: bytes
) -> tuple[tuple[FoundCoin, ...], BlockRef]:
    """Every coin that was ever paid to a deposit's `script`, and what spent it; and the newest block read.

    Reads the blocks from `birthday` on, so that spent coins are found too. `vault`: the group's scriptPubKey.

    Raises:
        ChainMoved, NodeUnavailable, MalformedBlock: see `scan_range`.
    """
    tip = await source.tip()
    found: dict[OutPoint, FoundCoin] = {}
    first = BlockHeight(min(birthday, tip.height))
    async with aclosing(_generator(source, first, tip, script)) as blocks:
        async for block in blocks:
            height = block.block.height
            for paid in block.matches.received:
                if paid.script == script:
                    found[paid.outpoint] = FoundCoin(Coin(paid.outpoint, paid.value, script, height))
            for spent in block.matches.spent:
                if spent.outpoint in found:
                    scripts = tuple(output.script for output in spent.outputs)
                    spend = Spend(spent.spender, height, purpose_of(spent.witness, scripts, vault))
                    found[spent.outpoint] = replace(found[spent.outpoint], spend=spend)
    return tuple(found.values()), tip


def taken_by(purpose: Purpose) -> str:
    """What a spend of a deposit's coin was, for people."""
    return {
        Purpose.SWEEP: "swept into the vault",
        Purpose.RETURN: "sent back to the reclaim key",
        Purpose.RECLAIM: "reclaimed by the depositor",
    }[purpose]


def _generator(source: BlockSource, first: BlockHeight, tip: BlockRef, script: bytes) -> Any:
    """An async generator, although its protocol says only that it iterates: it has to be closed."""
    return scan_range(source, first, tip, Watchlist([script]))
