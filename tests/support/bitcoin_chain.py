"""Blocks built by python-bitcoinlib, and a chain of them in memory that can be reorganised: a node for followers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bitcoin.core import CBlock, COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from adapters.bitcoin.answers import Header
from adapters.bitcoin.errors import RpcRefused
from adapters.bitcoin.primitives import BlockRef, OutPoint, sha256d
from foundation.quantities import BlockHeight

Spend = tuple[OutPoint, Sequence[bytes]]
"""A coin and the witness that spends it."""
Pay = tuple[int, bytes]
"""A value and a script."""

_COMMITMENT = bytes.fromhex("6a24aa21a9ed")


def transaction(spends: Sequence[Spend], pays: Sequence[Pay], locktime: int = 0) -> CTransaction:
    """A transaction; its witnesses are serialized only where one is not empty."""
    inputs = [CTxIn(COutPoint(point.txid, point.vout), CScript(), 0xFFFFFFFD) for point, _ in spends]
    outputs = [CTxOut(value, CScript(script)) for value, script in pays]
    witness = CTxWitness([CTxInWitness(CScriptWitness([*items])) for _, items in spends])
    return CTransaction(inputs, outputs, locktime, 2, witness)


def coinbase(tag: bytes, pays: Sequence[Pay], witness: Sequence[bytes] = ()) -> CTransaction:
    """A transaction that makes new coins; `tag` (at most 100 bytes) makes it unique."""
    inputs = [CTxIn(COutPoint(), CScript(tag))]
    outputs = [CTxOut(value, CScript(script)) for value, script in pays]
    wit = CTxWitness([CTxInWitness(CScriptWitness([*witness]))]) if witness else CTxWitness()
    return CTransaction(inputs, outputs, 0, 2, wit)


def block(
    transactions: Sequence[CTransaction] = (),
    *,
    previous: bytes = bytes(32),
    time: int = 0,
    tag: bytes = b"\x00\x00",
    pays: Sequence[Pay] = ((50, b"\x51"),),
) -> CBlock:
    """A block with a coinbase, which commits to the witnesses where there are any. No proof of work."""
    first = coinbase(tag, pays)
    if any(tx.has_witness() for tx in transactions):
        root = CBlock.build_witness_merkle_tree_from_txs([first, *transactions])[-1]
        first = coinbase(tag, [*pays, (0, _COMMITMENT + sha256d(root + bytes(32)))], [bytes(32)])
    return CBlock(2, previous, nTime=time, vtx=[first, *transactions])


@dataclass
class FakeChain:
    """A node's active chain, from its genesis block; blocks that were left behind are still known.

    Fields: heights (hashes of the active chain); raws (all blocks); before_block (called before a block is served, to
    move the chain meanwhile); served (hashes of the blocks served).
    """

    heights: list[bytes] = field(default_factory=list)
    raws: dict[bytes, bytes] = field(default_factory=dict)
    before_block: Callable[[bytes], None] = lambda _: None
    served: list[bytes] = field(default_factory=list)
    _tags: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.mine()

    def mine(self, *transactions: CTransaction) -> BlockRef:
        """Add one block."""
        previous = self.heights[-1] if self.heights else bytes(32)
        tag = next(self._tags).to_bytes(4, "big")
        made = block(transactions, previous=previous, time=len(self.heights), tag=tag)
        self.heights.append(made.GetHash())
        self.raws[made.GetHash()] = made.serialize()
        return self.at(len(self.heights) - 1)

    def mine_empty(self, count: int) -> None:
        """Add blocks without payments."""
        for _ in range(count):
            self.mine()

    def invalidate(self, count: int) -> None:
        """Take the newest blocks off."""
        del self.heights[len(self.heights) - count :]

    def at(self, height: int) -> BlockRef:
        """The active block at that height."""
        return BlockRef(BlockHeight(height), self.heights[height])

    async def tip(self) -> BlockRef:
        return self.at(len(self.heights) - 1)

    async def block_hash(self, height: BlockHeight) -> bytes:
        if height >= len(self.heights):
            raise RpcRefused("getblockhash", -8, "Block height out of range")
        return self.heights[height]

    async def block(self, block_hash: bytes) -> bytes:
        self.before_block(block_hash)
        self.served.append(block_hash)
        return self.raws[block_hash]

    async def header(self, block_hash: bytes) -> Header:
        raise NotImplementedError("no follower asks for headers")
