"""Where an event stands in the native chain."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.evm.types import BlockRef


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event stands. Fields: block; index (of the log in its block); transaction (hash, 32 bytes)."""

    block: BlockRef
    index: int
    transaction: bytes
