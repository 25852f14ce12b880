"""Blocks, logs, receipts and calls of an EVM chain. Hashes and addresses are bytes, in the chain's own order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from foundation.quantities import BlockHeight, Wei

BlockTag: TypeAlias = Literal["latest", "safe", "finalized", "pending"]
"""Names of blocks that every node knows (execution-apis)."""

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block's place in a chain. Fields: number; hash (32 bytes)."""

    number: BlockHeight
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number:,} (0x{self.hash.hex()})"


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What we need of a block. `timestamp` in seconds since 1970; `base_fee` in wei per gas (EIP-1559)."""

    number: BlockHeight
    hash: bytes
    parent: bytes
    timestamp: int
    base_fee: Wei
    gas_limit: int

    @property
    def ref(self) -> BlockRef:
        """Its number and hash."""
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a contract emitted it. `topics` are 32 bytes each; `index` counts within the block."""

    address: bytes  # 20 bytes
    topics: tuple[bytes, ...]
    data: bytes
    block: BlockRef
    transaction: bytes  # hash, 32 bytes
    index: int


@dataclass(frozen=True, slots=True)
class Batch(Generic[Event]):
    """All events from block `first` to block `last`, both included, in order; proved. Store `last` as the cursor."""

    first: BlockHeight
    last: BlockRef
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mined transaction. `contract`: the address of what it deployed, 20 bytes."""

    transaction: bytes  # hash, 32 bytes
    block: BlockRef
    succeeded: bool
    gas_used: int
    gas_price: Wei  # effective, per gas
    contract: bytes | None
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a contract, ready to be sent. `to` is 20 bytes, None to deploy; `label` is for people and errors."""

    to: bytes | None
    data: bytes
    label: str
    value: Wei = Wei(0)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What trying a call on the newest state told.

    Fields: gas (needed); balance (the sender's); block (newest); least (the lower of what two nodes told, figure by
    figure, where the others have the higher; None: only one thing was told).
    """

    gas: int
    balance: Wei
    block: BlockHeader
    least: Simulation | None = None
