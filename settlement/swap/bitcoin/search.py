"""Finding what happened to scripts before they were watched: by the node's block filters, else by reading blocks.

A node that has pruned those blocks still knows its unspent coins: what is spent already is not found there.

Sources: BIP-157 and BIP-158 (filters: a block's is asked whether it may concern a script; spends of it count too);
Bitcoin Core, `scanblocks` (needs `blockfilterindex=1`), `scantxoutset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from adapters.bitcoin import answers
from adapters.bitcoin.blocks import BlockMatches, Received, Watchlist, scan_block
from adapters.bitcoin.errors import BadAnswer, ChainMoved, MalformedBlock, RpcRefused
from adapters.bitcoin.follower import Connected, scan_range
from adapters.bitcoin.primitives import BlockRef, hash_text, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.unspent import unspent_on
from foundation.quantities import BlockHeight

FEW_BLOCKS: Final = 16
"""So many blocks are read sooner than the filters are asked."""
_FILTERS: Final = "scanblocks"
_MISC_ERROR: Final = -1
_METHOD_NOT_FOUND: Final = -32601

_log = structlog.get_logger(__name__)


class _Relevant(msgspec.Struct, frozen=True):
    relevant_blocks: list[answers.Hash]
    completed: bool = True


async def blocks_with(rpc: BitcoinRpc, scripts: Sequence[bytes], first: BlockHeight, last: BlockRef) -> list[Connected]:
    """The blocks from height `first` up to `last` that pay to the scripts, or spend what did, in order.

    Raises:
        ChainMoved: `last` is not in the active chain, or left it meanwhile.
        MalformedBlock: the node served a block that is not what its hash says.
    """
    try:
        if last.height - first >= FEW_BLOCKS:
            hashes = await _by_filters(rpc, scripts, first, last)
            if hashes is not None:
                return await _read(rpc, scripts, hashes, last)
        watched = Watchlist(scripts)
        found = [block async for block in scan_range(rpc, first, last, watched)]
        return [block for block in found if block.matches.received or block.matches.spent]
    except RpcRefused as refused:
        if refused.method != "getblock" or refused.code != _MISC_ERROR:
            raise
        _log.warning("the node has pruned blocks that a swap may be in: spent outputs are not found", first=first)
        return await _unspent(rpc, scripts, last)


async def _unspent(rpc: BitcoinRpc, scripts: Sequence[bytes], last: BlockRef) -> list[Connected]:
    """The blocks that made what is unspent, by the node's set of coins."""
    found = await unspent_on(rpc, scripts)
    if found.tip != last:
        raise ChainMoved(last.height)
    by_height: dict[BlockHeight, list[Received]] = {}
    for coin in found.coins:
        assert coin.height is not None, "coins of the set are in blocks"
        shown = await rpc.call("gettxout", hash_text(coin.outpoint.txid), coin.outpoint.vout, False)
        is_coinbase = isinstance(shown, dict) and shown.get("coinbase") is True
        received = Received(coin.outpoint, coin.value, coin.script, is_coinbase)
        by_height.setdefault(coin.height, []).append(received)
    blocks = []
    for height, payments in sorted(by_height.items()):
        header = await rpc.header(await rpc.block_hash(height))
        matches = BlockMatches(received=tuple(payments))
        blocks.append(Connected(header.block, header.previous, header.time, matches))
    return blocks


async def _by_filters(
    rpc: BitcoinRpc, scripts: Sequence[bytes], first: BlockHeight, last: BlockRef
) -> list[bytes] | None:
    """Hashes of the blocks that may concern the scripts; None where the node has no filters."""
    wanted = [f"raw({script.hex()})" for script in scripts]
    try:
        answer = await rpc.call(_FILTERS, "start", wanted, first, last.height)
    except RpcRefused as refused:
        if refused.code in (_MISC_ERROR, _METHOD_NOT_FOUND):  # no index, still building it, busy, or an older node
            return None
        raise
    try:
        found = msgspec.convert(answer, _Relevant)
    except msgspec.ValidationError as error:
        raise BadAnswer(_FILTERS, "result", str(error)) from error
    return [parse_hash(text) for text in found.relevant_blocks] if found.completed else None


async def _read(rpc: BitcoinRpc, scripts: Sequence[bytes], hashes: Sequence[bytes], last: BlockRef) -> list[Connected]:
    """These blocks, in the order of their heights."""
    headers = [await rpc.header(digest) for digest in hashes]
    if await rpc.block_hash(last.height) != last.hash or any(header.confirmations < 1 for header in headers):
        raise ChainMoved(last.height)
    watched = Watchlist(scripts)
    found = []
    for header in sorted(headers, key=lambda one: one.block.height):
        scanned = scan_block(await rpc.block(header.block.hash), watched)
        if scanned.hash != header.block.hash:
            raise MalformedBlock(0, f"is not the block {header.block} that was asked for")
        watched.add_outpoints(received.outpoint for received in scanned.matches.received)
        if scanned.matches.received or scanned.matches.spent:
            found.append(Connected(header.block, scanned.previous, scanned.time, scanned.matches))
    return found
