"""Transfers of a token to one account, proved and final, in order. Source: ERC-20, event Transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.abi import event
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import CursorReorged, NodeUnavailable
from adapters.evm.headers import Header
from adapters.evm.proved import prove_range
from adapters.evm.types import BlockRef, Log
from foundation.quantities import BlockHeight

TRANSFER: Final = event("ERC20", "Transfer", "indexed address, indexed address, uint256")
MAX_RANGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer. Fields: sender, receiver (20 bytes); amount; transaction (hash); index (of the log in its block)."""

    sender: bytes
    receiver: bytes
    amount: int
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class TransferBatch:
    """All transfers up to block `last`, which is the cursor to store."""

    last: BlockRef
    transfers: tuple[Transfer, ...]


class TransferFeed:
    """Reads one token's transfers to `receiver`. Keeps nothing that matters: its caller stores the cursor."""

    def __init__(self, endpoints: Endpoints, token: bytes, receiver: bytes, start: BlockHeight) -> None:
        """Describe what to read.

        Args:
            endpoints: of the chain; none of them is believed.
            token: the contract, 20 bytes.
            receiver: whose transfers matter, 20 bytes.
            start: the first block to read where there is no cursor.
        """
        self._endpoints = endpoints
        self._token = token
        self._receiver = receiver
        self._start = start
        self._range = MAX_RANGE

    async def read(self, cursor: BlockRef | None) -> TransferBatch | None:
        """The next final blocks' transfers; None where there are no more blocks yet.

        Raises:
            CursorReorged: the block at the cursor is no longer in the final chain.
            EndpointsDisagree, TooFewEndpoints, EndpointLied, NodeUnavailable, WrongChain: see `adapters.evm.endpoints`.
        """
        final = await self._endpoints.final()
        first = self._start if cursor is None else BlockHeight(cursor.number + 1)
        if final is None or final.number < first:
            if final is not None:
                _check_cursor(cursor, final)
            return None
        top = await self._top(cursor, first, final)
        try:
            proved = await self._endpoints.read(lambda one: prove_range(one, self._token, cursor, first, top))
        except NodeUnavailable:
            self._range = max(1, (top.number - first + 1) // 2)  # perhaps it was too much to answer in time
            raise
        self._range = min(MAX_RANGE, 2 * self._range)
        found = (transfer_of(log) for log in proved.logs)
        return TransferBatch(proved.last, tuple(one for one in found if one and one.receiver == self._receiver))

    async def _top(self, cursor: BlockRef | None, first: BlockHeight, final: Header) -> BlockRef:
        """The block up to which to read, on which all endpoints agree, on the chain of the cursor."""
        last = BlockHeight(min(final.number, first + self._range - 1))
        wanted = [] if cursor is None else [cursor.number]
        wanted += [] if last == final.number else [last]
        agreed = await self._endpoints.headers(wanted) if wanted else []
        if cursor is not None:
            _check_cursor(cursor, agreed[0])
        return final.ref if last == final.number else agreed[-1].ref


def transfer_of(log: Log) -> Transfer | None:
    """What a token's log says of a transfer; None for other events. Raises `BadAnswer`: it is no ERC-20."""
    if not log.topics or log.topics[0] != TRANSFER.topic or len(log.topics) != 3:
        return None
    sender, receiver, amount = TRANSFER.decode(log)
    return Transfer(sender, receiver, amount, log.transaction, log.index)


def _check_cursor(cursor: BlockRef | None, found: Header) -> None:
    if cursor is not None and found.number == cursor.number and found.hash != cursor.hash:
        raise CursorReorged(cursor.number, cursor.hash, found.hash)
