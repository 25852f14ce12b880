"""One RPC endpoint of a chain, of which nothing is believed that it cannot prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from adapters.evm.errors import (
    BadAnswer,
    FalseTransactions,
    Reverted,
    RpcRefused,
    TooManyLogs,
    WrongChain,
)
from adapters.evm.headers import Header, read_header
from adapters.evm.hexes import data, quantity, read_data, read_field, read_quantity
from adapters.evm.logs import MAX_RANGE, is_over_limit
from adapters.evm.receipts import METHOD as BLOCK_RECEIPTS
from adapters.evm.reverts import RevertMaker
from adapters.evm.rpc import EvmRpc
from adapters.evm.transport import Json, Request, RpcTransport, Transport
from adapters.evm.types import Log
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.chains import Chain

_METHOD_MISSING: Final = frozenset({-32601, -32004})
"""JSON-RPC's code for a method that there is not, and EIP-1474's for one that is not supported."""
_MISSING_WORDS: Final = (
    "not found",
    "not supported",
    "unsupported",
    "does not exist",
    "not available",
    "unknown method",
)


class Endpoint:
    """One endpoint. All methods raise `NodeUnavailable`, `AccessDenied`, `RpcRefused` and `BadAnswer`."""

    def __init__(self, name: str, transport: RpcTransport, reverted: RevertMaker = Reverted) -> None:
        """Describe the endpoint. `name` is for people and errors: never its URL, which may hold a password."""
        self.name = name
        self.rpc = EvmRpc("", reverted=reverted, transport=transport)
        self._transport = transport
        self._log_range = MAX_RANGE
        self._has_block_receipts = True
        self.is_checked = False
        """Whether it showed since its last failure that it serves the chain."""

    @classmethod
    def at(
        cls, url: str, *, timeout_seconds: float = 10, connections: int = 16, reverted: RevertMaker = Reverted
    ) -> Endpoint:
        """The endpoint at a URL, named by host and port. Raises `BadInput`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("url", "is no address of an RPC endpoint", "http://host:port or https://host/path")
        name = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        return cls(name, Transport(url, timeout_seconds=timeout_seconds, connections=connections), reverted)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def check(self, chain: Chain) -> None:
        """Make sure that it serves `chain`: two chains may share a number, none a genesis block.

        Raises:
            WrongChain: it serves another one.
            FalseHeader: the genesis block that it gives does not hash to its hash.
        """
        number = await self.rpc.chain_id()
        expected = chain.chain_id.reference
        if str(number) != expected:
            raise WrongChain("chain id", expected, str(number), self.name)
        (genesis,) = await self.headers([BlockHeight(0)])
        if genesis is None or genesis.hash != chain.genesis:
            found = "missing" if genesis is None else genesis.hash.hex()
            raise WrongChain("genesis block", chain.genesis.hex(), found, self.name)
        self.is_checked = True

    async def final_number(self, chain: Chain) -> BlockHeight:
        """The newest block that is final by the chain's rule, as this endpoint sees it; -1 where none is."""
        if not chain.has_own_finality:
            newest = read_quantity(await self._transport.call("eth_blockNumber"), "eth_blockNumber", "result")
            return BlockHeight(max(-1, newest - chain.confirmations + 1))
        header = read_header(await self._transport.call("eth_getBlockByNumber", "finalized", False), self.name)
        return BlockHeight(-1) if header is None else header.number

    async def headers(self, numbers: Sequence[BlockHeight]) -> list[Header | None]:
        """Headers that hash to their hashes, None for blocks that it does not have. Raises also `FalseHeader`."""
        requests: list[Request] = [("eth_getBlockByNumber", [quantity(number), False]) for number in numbers]
        answers = await self._transport.batch(requests)
        return [read_header(answer, self.name, number) for answer, number in zip(answers, numbers, strict=True)]

    async def claimed_logs(self, address: bytes, first: BlockHeight, last: BlockHeight) -> list[Log]:
        """What it says are all logs of a contract in a range of blocks, in as many requests as it wants. Unproved.

        Raises:
            TooManyLogs: it refuses even a single block.
        """
        found: list[Log] = []
        start = first
        while start <= last:
            end = BlockHeight(min(last, start + self._log_range - 1))
            try:
                found += await self.rpc.logs([address], start, end)
            except RpcRefused as error:
                if not is_over_limit(error):
                    raise
                if start == end:
                    raise TooManyLogs(start, error.message) from error
                self._log_range = (end - start + 1) // 2
            else:
                start, self._log_range = BlockHeight(end + 1), min(MAX_RANGE, self._log_range * 2)
        return found

    async def block_receipts(self, headers: Sequence[Header]) -> list[list[Json]]:
        """What it says are all receipts of these blocks. Unproved: see `adapters.evm.receipts.proved_logs`."""
        if self._has_block_receipts:
            requests: list[Request] = [(BLOCK_RECEIPTS, [quantity(header.number)]) for header in headers]
            try:
                answers = await self._transport.batch(requests)
            except RpcRefused as error:
                if not _is_missing(error):
                    raise
                self._has_block_receipts = False
            else:
                return [_list(answer, BLOCK_RECEIPTS) for answer in answers]
        return [await self._receipts_one_by_one(header) for header in headers]

    async def full_blocks(self, headers: Sequence[Header]) -> list[Json]:
        """What it says are these blocks with all transactions. Unproved: see `adapters.evm.transactions`."""
        requests: list[Request] = [("eth_getBlockByHash", [data(header.hash), True]) for header in headers]
        answers = await self._transport.batch(requests)
        for header, answer in zip(headers, answers, strict=True):
            if answer is None:
                raise FalseTransactions(self.name, header.number, "it has the header, and no such block")
        return answers

    async def _receipts_one_by_one(self, header: Header) -> list[Json]:
        method = "eth_getBlockByHash"
        block = await self._transport.call(method, data(header.hash), False)
        hashes = [
            read_data(tx, method, "transactions", 32) for tx in _list(read_field(block, method, "transactions"), method)
        ]
        return await self._transport.batch([("eth_getTransactionReceipt", [data(tx)]) for tx in hashes])


def distinct(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints under names that differ: the second one of a name is that name and #2."""
    seen: dict[str, int] = {}
    for endpoint in endpoints:
        count = seen[endpoint.name] = seen.get(endpoint.name, 0) + 1
        if count > 1:
            endpoint.name = f"{endpoint.name}#{count}"
    return tuple(endpoints)


def _is_missing(error: RpcRefused) -> bool:
    words = error.message.lower()
    return error.code in _METHOD_MISSING or ("method" in words and any(word in words for word in _MISSING_WORDS))


def _list(answer: Json, method: str) -> list[Json]:
    if not isinstance(answer, list):
        raise BadAnswer(method, "result", "is no list")
    return answer
