"""Finding coins on given scripts with a bitcoin node alone: no wallet, no index, nothing of ours running."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from adapters.bitcoin import answers
from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.errors import BadAnswer, RpcRefused
from adapters.bitcoin.follower import BlockSource, scan_range
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from bridge.deposits import Purpose, Spend
from bridge.intake.common import purpose_of
from foundation.errors import Retryable
from foundation.quantities import BlockHeight

SCAN_SECONDS: Final = 1800.0
"""How long a node may take to read its whole set of unspent coins: minutes on the main network."""
_METHOD: Final = "scantxoutset"
_SCAN_RUNS: Final = -8

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Found(msgspec.Struct, frozen=True):
    txid: answers.Hash
    vout: _Count
    script: str = msgspec.field(name="scriptPubKey")
    amount: Decimal
    height: _Count


class _Scan(msgspec.Struct, frozen=True):
    success: bool
    unspents: list[_Found]
    height: _Count
    bestblock: answers.Hash


class ScanBusy(Retryable):
    """The bitcoin node is searching its coins for somebody else; it does one search at a time."""


@dataclass(frozen=True, slots=True)
class Unspent:
    """Confirmed coins that nobody has spent in the chain, as of the block `tip`."""

    coins: tuple[Coin, ...]
    tip: BlockRef


@dataclass(frozen=True, slots=True)
class FoundCoin:
    """A coin that was paid to a deposit address. `spend`: the transaction in the chain that spends it."""

    coin: Coin
    spend: Spend | None = None


async def unspent_on(rpc: BitcoinRpc, scripts: Sequence[bytes]) -> Unspent:
    """All unspent coins on `scripts`, read from the node's set of unspent coins; oldest first.

    It takes minutes on the main network: give `rpc` a time-out of `SCAN_SECONDS`.

    Raises:
        ScanBusy: the node searches already.
        What `BitcoinRpc` raises.
    """
    try:
        answer = await rpc.call(_METHOD, "start", [f"raw({script.hex()})" for script in scripts])
    except RpcRefused as refused:
        if refused.code == _SCAN_RUNS:
            raise ScanBusy("the bitcoin node is already searching its coins") from refused
        raise
    found = _decoded(answer)
    wanted = set(scripts)
    coins = [_coin(index, one) for index, one in enumerate(found.unspents)]
    if any(coin.script not in wanted for coin in coins):
        raise BadAnswer(_METHOD, "unspents", "has a coin that was not asked for")
    tip = BlockRef(BlockHeight(found.height), parse_hash(found.bestblock))
    return Unspent(tuple(sorted(coins, key=lambda c: (c.height or 0, c.outpoint))), tip)


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


def _decoded(answer: Any) -> _Scan:
    try:
        found = msgspec.convert(answer, _Scan)
    except msgspec.ValidationError as error:
        raise BadAnswer(_METHOD, "result", str(error)) from error
    if not found.success:
        raise BadAnswer(_METHOD, "success", "is false: the search was aborted")
    return found


def _coin(index: int, found: _Found) -> Coin:
    field = f"unspents[{index}]"
    value = answers.satoshi(_METHOD, f"{field}.amount", found.amount)
    script = answers.decode_hex(_METHOD, found.script, f"{field}.scriptPubKey")
    return Coin(OutPoint(parse_hash(found.txid), found.vout), value, script, BlockHeight(found.height))
