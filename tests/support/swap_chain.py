"""A bitcoin node in memory, as far as a watch asks it: a chain that can be reorganised, and a mempool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bitcoin.core import CTransaction

from adapters.bitcoin.answers import Header, MempoolEntry
from adapters.bitcoin.errors import RpcRefused
from adapters.bitcoin.primitives import BlockRef, OutPoint, hash_text
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import BlockHeight, Satoshi
from tests.support.bitcoin_chain import FakeChain


@dataclass
class FakeNode(FakeChain):
    """Fields: mempool (by txid); filters (answers `scanblocks`, None: it has none); before_spenders (called before the
    mempool is asked, to move the chain meanwhile); is_pruned (its blocks are gone); coins (that `scantxoutset` finds,
    all made by miners); asked (methods called by name)."""

    mempool: dict[bytes, CTransaction] = field(default_factory=dict)
    filters: Callable[[Sequence[str], int, int], object] | None = None
    before_spenders: Callable[[], object] = lambda: None
    is_pruned: bool = False
    coins: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def put(self, transaction: CTransaction) -> bytes:
        """Into the mempool. Its txid."""
        self.mempool[transaction.GetTxid()] = transaction
        return bytes(transaction.GetTxid())

    def confirm(self, *transactions: CTransaction) -> BlockRef:
        """Mine these, which leave the mempool."""
        for one in transactions:
            self.mempool.pop(one.GetTxid(), None)
        return self.mine(*transactions)

    async def header(self, block_hash: bytes) -> Header:
        """Its median time is its height."""
        height = next((at for at, one in enumerate(self.heights) if one == block_hash), -1)
        confirmations = len(self.heights) - height if height >= 0 else -1
        return Header(BlockRef(BlockHeight(height), block_hash), bytes(32), height, confirmations, height)

    async def block(self, block_hash: bytes) -> bytes:
        if self.is_pruned:
            raise RpcRefused("getblock", -1, "Block not available (pruned data)")
        return await super().block(block_hash)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [hash_text(self.heights[params[0]]) for _, params in calls]

    async def call(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        if method == "scantxoutset":
            tip = await self.tip()
            return {"success": True, "unspents": self.coins, "height": tip.height, "bestblock": hash_text(tip.hash)}
        if method == "gettxout":
            return {"coinbase": True}
        if method != "scanblocks" or self.filters is None:
            raise RpcRefused(method, -1, "Index is not enabled for filtertype basic")
        return self.filters(params[1], params[2], params[3])

    async def spenders(self, outpoints: Sequence[OutPoint]) -> tuple[bytes | None, ...]:
        self.before_spenders()
        spent = {}
        for txid, one in self.mempool.items():
            for point in parse_transaction(one.serialize()).inputs:
                spent[point] = txid
        return tuple(spent.get(point) for point in outpoints)

    async def mempool_entry(self, txid: bytes) -> MempoolEntry | None:
        if txid not in self.mempool:
            return None
        return MempoolEntry(txid, 100, Satoshi(100), 100, Satoshi(100), 100, Satoshi(100), 0)

    async def transaction(self, txid: bytes) -> bytes | None:
        one = self.mempool.get(txid)
        return None if one is None else bytes(one.serialize())
