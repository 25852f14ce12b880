"""A contract's logs in a range of blocks, out of one endpoint that is not believed.

What is proved, and by what:
- the blocks: each header hashes to its hash and names its parent, from the block before the range up to one on which
  all endpoints agree;
- that nothing is missing: a header's bloom filter says for sure that its block has no log of the contract; where it may
  have one, all receipts of the block are read, and their root is the header's;
- that nothing is invented or altered: the logs are taken out of those receipts;
- whose they are: receipts do not name their transactions, so where there are logs the block's transactions are read
  too, and their root is the header's.

The endpoint's own list of logs (`eth_getLogs`) proves nothing. It is compared to what was proved, so that an endpoint
whose index is broken, or that lies, is noticed and reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.evm.endpoint import Endpoint
from adapters.evm.errors import FalseHeader, FalseLogs, FalseTransactions, MissingLogs
from adapters.evm.headers import Header, bloom_mask, check_link
from adapters.evm.receipts import EmittedLog, has_succeeded, proved_logs
from adapters.evm.transactions import proved_hashes
from adapters.evm.transport import Json
from adapters.evm.types import BlockRef, Log
from foundation.quantities import BlockHeight

_HEADERS: Final = 100
"""Headers in one request."""
_REQUESTS: Final = 4
"""Requests for headers under way at once."""
_GROUP_BLOCKS: Final = 50
_GROUP_TRANSACTIONS: Final = 500
"""Receipts of so many blocks, or transactions, are held at once: one full block of Ethereum has about 200."""
_MAX_TRANSACTIONS: Final = 20_000
"""After so many receipts a range ends early, so that its logs can be acted on and its cursor stored."""


@dataclass(frozen=True, slots=True)
class ProvedRange:
    """All logs up to block `last`, which is the range's last one or an earlier one, in order."""

    last: BlockRef
    logs: tuple[Log, ...]


async def prove_range(
    endpoint: Endpoint, address: bytes, parent: BlockRef | None, first: BlockHeight, top: BlockRef
) -> ProvedRange:
    """The logs of the contract at `address` (20 bytes) from block `first` on, at most to block `top`.

    Args:
        endpoint: asked for everything.
        address: the contract's.
        parent: the block before `first`, as it was read before; None where reading begins at `first`.
        first: the first block, at most `top`.
        top: a block on which the endpoints agree.

    Raises:
        FalseHeader, FalseReceipts, FalseTransactions, MissingLogs, FalseLogs: the endpoint lied.
        TooManyLogs: it refuses the logs of even one block.
        NodeUnavailable, AccessDenied, RpcRefused, BadAnswer: see `adapters.evm.endpoint`.
    """
    candidates = await _candidates(endpoint, bloom_mask(address), parent, first, top)
    taken = _affordable(candidates)
    last = top if len(taken) == len(candidates) else taken[-1].ref
    claimed = await endpoint.claimed_logs(address, first, last.number)
    logs: list[Log] = []
    for group in _groups(taken):
        logs += await _logs_of(endpoint, address, group)
    _compare(endpoint.name, logs, claimed)
    return ProvedRange(last, tuple(logs))


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block, proved. Fields: transaction (hash); block; succeeded; logs (its own, in order)."""

    transaction: bytes
    block: BlockRef
    succeeded: bool
    logs: tuple[Log, ...]


async def prove_transaction(endpoint: Endpoint, header: Header, transaction: bytes) -> Mined:
    """What became of a transaction (hash, 32 bytes) in the block with this header, on which the endpoints agree.

    Raises:
        FalseReceipts, FalseTransactions: the endpoint lied, or the block does not hold the transaction.
        NodeUnavailable, AccessDenied, RpcRefused, BadAnswer: see `adapters.evm.endpoint`.
    """
    (receipts,), (block,) = await asyncio.gather(endpoint.block_receipts([header]), endpoint.full_blocks([header]))
    (emitted,) = await asyncio.to_thread(_proved_receipts, [receipts], [header], endpoint.name)
    (hashes,) = await asyncio.to_thread(_proved_transactions, [block], [header], endpoint.name)
    if transaction not in hashes:
        raise FalseTransactions(endpoint.name, header.number, f"it does not hold 0x{transaction.hex()}")
    place = hashes.index(transaction)
    first = sum(len(logs) for logs in emitted[:place])
    logs = (Log(*log, header.ref, transaction, first + index) for index, log in enumerate(emitted[place]))
    # The status is in the receipt's encoding, and so in the root.
    return Mined(transaction, header.ref, has_succeeded(receipts[place]), tuple(logs))


async def _candidates(
    endpoint: Endpoint, mask: int, parent: BlockRef | None, first: BlockHeight, top: BlockRef
) -> list[Header]:
    """The headers whose blocks may hold a log; all others are let go as soon as they are linked."""
    found: list[Header] = []
    before = parent
    stretch = _HEADERS * _REQUESTS
    for start in range(first, top.number + 1, stretch):
        end = min(top.number + 1, start + stretch)
        parts = [range(low, min(end, low + _HEADERS)) for low in range(start, end, _HEADERS)]
        answers = await asyncio.gather(*(endpoint.headers([BlockHeight(n) for n in part]) for part in parts))
        for number, header in zip(range(start, end), (one for answer in answers for one in answer), strict=True):
            if header is None:
                raise FalseHeader(endpoint.name, BlockHeight(number), "it is missing below a final block")
            if before is not None:
                check_link(before, header, endpoint.name)
            before = header.ref
            if header.may_hold(mask):
                found.append(header)
    if before != top:
        raise FalseHeader(endpoint.name, top.number, f"it is not the block on which the endpoints agree, {top}")
    return found


def _affordable(candidates: Sequence[Header]) -> Sequence[Header]:
    """As many blocks as may be read at once, one at least."""
    total = 0
    for index, header in enumerate(candidates):
        total += header.transactions
        if total > _MAX_TRANSACTIONS and index > 0:
            return candidates[:index]
    return candidates


def _groups(headers: Sequence[Header]) -> Iterator[list[Header]]:
    group: list[Header] = []
    total = 0
    for header in headers:
        if group and (len(group) == _GROUP_BLOCKS or total + header.transactions > _GROUP_TRANSACTIONS):
            yield group
            group, total = [], 0
        group.append(header)
        total += header.transactions
    if group:
        yield group


async def _logs_of(endpoint: Endpoint, address: bytes, headers: Sequence[Header]) -> list[Log]:
    """The proved logs of the contract in a few blocks."""
    receipts = await endpoint.block_receipts(headers)
    # In a thread: some hundred receipts take long enough to hold up everything else in this process.
    emitted = await asyncio.to_thread(_proved_receipts, receipts, headers, endpoint.name)
    held = {
        header: logs
        for header, logs in zip(headers, emitted, strict=True)
        if any(log[0] == address for tx in logs for log in tx)
    }
    if not held:
        return []
    blocks = await endpoint.full_blocks(list(held))
    hashes = await asyncio.to_thread(_proved_transactions, blocks, list(held), endpoint.name)
    found: list[Log] = []
    for (header, logs), transactions in zip(held.items(), hashes, strict=True):
        index = 0
        # Both roots are the header's, so there is a receipt for each transaction.
        for transaction, in_transaction in zip(transactions, logs, strict=True):
            for at, topics, data in in_transaction:
                if at == address:
                    found.append(Log(at, topics, data, header.ref, transaction, index))
                index += 1
    return found


def _proved_receipts(
    receipts: Sequence[list[Json]], headers: Sequence[Header], endpoint: str
) -> list[list[tuple[EmittedLog, ...]]]:
    return [proved_logs(answer, header, endpoint) for answer, header in zip(receipts, headers, strict=True)]


def _proved_transactions(blocks: Sequence[Json], headers: Sequence[Header], endpoint: str) -> list[list[bytes]]:
    return [proved_hashes(block, header, endpoint) for block, header in zip(blocks, headers, strict=True)]


def _compare(endpoint: str, proved: Sequence[Log], claimed: Sequence[Log]) -> None:
    """Find what the endpoint left out, invented or altered. Raises `MissingLogs`, `FalseLogs`."""
    by_place = {(log.block.number, log.index): log for log in claimed}
    for log in proved:
        told = by_place.pop((log.block.number, log.index), None)
        if told is None:
            raise MissingLogs(endpoint, log.block.number, log.index)
        if told != log:
            raise FalseLogs(endpoint, log.block.number, log.index)
    for log in by_place.values():
        raise FalseLogs(endpoint, log.block.number, log.index)
