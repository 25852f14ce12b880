"""An EVM chain in memory behind the JSON-RPC port, with ways for an endpoint to lie.

Blocks are made with `rlp`, `trie` and `eth_bloom`, so what checks them is compared to others' work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_bloom import BloomFilter
from eth_utils.crypto import keccak
from trie import HexaryTrie

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import NodeUnavailable
from adapters.evm.transport import Json, NodeError, Request
from registry.caip import evm_chain
from registry.chains import Chain

LOCKBOX = b"\x10" * 20
CHAIN_ID = 4242
EMPTY_UNCLES = keccak(rlp.encode([]))

Log = tuple[bytes, tuple[bytes, ...], bytes]
"""Address, topics, data."""


def hexed(content: bytes) -> str:
    """DATA."""
    return "0x" + content.hex()


def quantity(number: int) -> str:
    """QUANTITY."""
    return hex(number)


def bits(number: int) -> bytes:
    """Big-endian without leading zeros, as RLP wants numbers."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def trie_root(items: Sequence[bytes]) -> bytes:
    """The root of an ordered trie, by py-trie."""
    tree = HexaryTrie({})
    for index, item in enumerate(items):
        tree[rlp.encode(index)] = item
    return bytes(tree.root_hash)


def bloom_of(logs: Sequence[Log]) -> bytes:
    """The filter of some logs, by eth-bloom."""
    bloom = BloomFilter()
    for address, topics, _ in logs:
        bloom.add(address)
        for topic in topics:
            bloom.add(topic)
    return int(bloom).to_bytes(256, "big")


def transaction(nonce: int, kind: int = 0) -> tuple[dict[str, Json], bytes]:
    """A transaction of some type as nodes tell it, and as a block holds it."""
    told: dict[str, Json] = {
        "type": quantity(kind),
        "nonce": quantity(nonce),
        "gas": "0x5208",
        "to": hexed(LOCKBOX) if nonce % 5 else None,
        "value": quantity(nonce),
        "input": hexed(b"\x01" * (nonce % 70)),
        "r": quantity(2**255 - nonce),
        "s": quantity(2**200 + nonce),
    }
    to = LOCKBOX if nonce % 5 else b""
    middle = [bits(0x5208), to, bits(nonce), b"\x01" * (nonce % 70)]
    signature = [bits(2**255 - nonce), bits(2**200 + nonce)]
    if kind == 0:
        told |= {"gasPrice": "0x7", "v": "0x25"}
        return told, rlp.encode([bits(nonce), bits(7), *middle, bits(0x25), *signature])
    told |= {"chainId": quantity(CHAIN_ID), "yParity": "0x1", "v": "0x1", "accessList": []}
    access: list[Any] = []
    if nonce % 2:
        told["accessList"] = [{"address": hexed(LOCKBOX), "storageKeys": [hexed(bytes(32)), hexed(b"\x07" * 32)]}]
        access = [[LOCKBOX, [bytes(32), b"\x07" * 32]]]
    if kind == 1:
        told["gasPrice"] = "0x7"
        fees = [bits(7)]
    else:
        told |= {"maxPriorityFeePerGas": "0x1", "maxFeePerGas": "0x9"}
        fees = [bits(1), bits(9)]
    extra: list[Any] = []
    if kind == 3:
        told |= {"maxFeePerBlobGas": "0x3", "blobVersionedHashes": [hexed(b"\x01" * 32)]}
        extra = [bits(3), [b"\x01" * 32]]
    if kind == 4:
        parts = {"chainId": "0x0", "address": hexed(LOCKBOX), "nonce": "0x2", "yParity": "0x0", "r": "0x5", "s": "0x6"}
        told["authorizationList"] = [parts]
        extra = [[[b"", LOCKBOX, bits(2), b"", bits(5), bits(6)]]]
    fields = [bits(CHAIN_ID), bits(nonce), *fees, *middle, access, *extra, bits(1), *signature]
    return told, bytes([kind]) + rlp.encode(fields)


@dataclass
class FakeChain:
    """A chain of real blocks. `salt` makes another one of it."""

    salt: bytes = b""
    final_behind: int = 0
    blocks: list[dict[str, Json]] = field(default_factory=list)
    receipts: list[list[dict[str, Json]]] = field(default_factory=list)
    logs: list[list[dict[str, Json]]] = field(default_factory=list)
    answers: dict[tuple[bytes, bytes], bytes | Exception] = field(default_factory=dict)
    """(address, call data) → what `eth_call` returns."""
    balances: dict[bytes, int] = field(default_factory=dict)
    code: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine()

    @property
    def chain(self) -> Chain:
        """As the Registry has it: final when the chain says so."""
        return self.registered(0)

    def registered(self, confirmations: int) -> Chain:
        """As the Registry has it."""
        return Chain.named(evm_chain(CHAIN_ID), bytes.fromhex(self.blocks[0]["hash"][2:]), confirmations)

    def mine(self, *transactions: Sequence[Log], kinds: Sequence[int] = (0, 1, 2, 3, 4)) -> int:
        """Add a block, of a transaction for each list of logs; its number."""
        number = len(self.blocks)
        told, raw, receipts, encoded, emitted = [], [], [], [], []
        for index, logs in enumerate(transactions):
            kind = kinds[index % len(kinds)]
            one, content = transaction(1000 * number + index, kind)
            told.append(one | {"hash": hexed(keccak(content))})
            raw.append(content)
            emitted += list(logs)
            prefix = bytes([kind]) if kind else b""
            plain = [[address, list(topics), data] for address, topics, data in logs]
            fields = [b"\x01", bits(21_000 * (index + 1)), bloom_of(logs), plain]
            encoded.append(prefix + rlp.encode(fields))
            receipts.append(
                {
                    "type": quantity(kind),
                    "status": "0x1",
                    "cumulativeGasUsed": quantity(21_000 * (index + 1)),
                    "logsBloom": hexed(bloom_of(logs)),
                    "transactionHash": hexed(keccak(content)),
                    "logs": [self._told(log) for log in logs],
                }
            )
        parent = bytes.fromhex(self.blocks[-1]["hash"][2:]) if self.blocks else bytes(32)
        block = {
            "parentHash": hexed(parent),
            "sha3Uncles": hexed(EMPTY_UNCLES),
            "miner": hexed(bytes(20)),
            "stateRoot": hexed(keccak(b"state%d" % number)),
            "transactionsRoot": hexed(trie_root(raw)),
            "receiptsRoot": hexed(trie_root(encoded)),
            "logsBloom": hexed(bloom_of(emitted)),
            "difficulty": "0x0",
            "number": quantity(number),
            "gasLimit": quantity(30_000_000),
            "gasUsed": quantity(21_000 * len(raw)),
            "timestamp": quantity(1_700_000_000 + number),
            "extraData": hexed(self.salt),
            "mixHash": hexed(bytes(32)),
            "nonce": hexed(bytes(8)),
            "baseFeePerGas": "0x7",
        }
        fields = [
            bits(int(value, 16)) if name in _QUANTITIES else bytes.fromhex(value[2:]) for name, value in block.items()
        ]
        block["hash"] = hexed(keccak(rlp.encode(fields)))
        block["transactions"] = told
        self.blocks.append(block)
        self.receipts.append(receipts)
        self._index(number)
        return number

    def fork(self, number: int, salt: bytes = b"fork") -> FakeChain:
        """A chain with the same blocks up to `number`, whose next ones will differ."""
        kept = number + 1
        blocks, receipts, logs = (copy.deepcopy(held[:kept]) for held in (self.blocks, self.receipts, self.logs))
        return FakeChain(salt, self.final_behind, blocks, receipts, logs, dict(self.answers))

    def endpoint(self, name: str = "node") -> FakeTransport:
        """An endpoint that serves this chain, honestly at first."""
        return FakeTransport(self, name)

    def _told(self, log: Log) -> dict[str, Json]:
        address, topics, data = log
        return {"address": hexed(address), "topics": [hexed(topic) for topic in topics], "data": hexed(data)}

    def _index(self, number: int) -> None:
        block, found = self.blocks[number], []
        for tx, receipt in zip(block["transactions"], self.receipts[number], strict=True):
            for log in receipt["logs"]:
                log |= {
                    "blockNumber": block["number"],
                    "blockHash": block["hash"],
                    "transactionHash": tx["hash"],
                    "logIndex": quantity(len(found)),
                }
                found.append(log)
        self.logs.append(found)


_QUANTITIES = frozenset({"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"})

Lie = Callable[[list[Json], Json], Json]
"""Takes the parameters and the true answer, gives the lie."""


@dataclass
class FakeTransport:
    """An `RpcTransport` to a `FakeChain`. `lies` change answers by method; `missing` methods do not exist."""

    chain: FakeChain
    name: str
    lies: dict[str, Lie] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    is_down: bool = False
    height: int | None = None
    """The newest block that it has; all where None."""
    max_logs_range: int = 10**9
    asked: list[tuple[str, list[Json]]] = field(default_factory=list)

    async def call(self, method: str, *params: Json) -> Json:
        """See `RpcTransport`."""
        return self._answer(method, list(params))

    async def batch(self, requests: Sequence[Request]) -> list[Json]:
        """See `RpcTransport`."""
        return [self._answer(method, params) for method, params in requests]

    async def close(self) -> None:
        """See `RpcTransport`."""

    def made(self) -> Endpoint:
        """An endpoint that speaks through this."""
        return Endpoint(self.name, self)

    @property
    def _top(self) -> int:
        newest = len(self.chain.blocks) - 1
        return newest if self.height is None else min(newest, self.height)

    def _answer(self, method: str, params: list[Json]) -> Json:
        self.asked.append((method, params))
        if self.is_down:
            raise NodeUnavailable(method, "it is down")
        if method in self.missing:
            raise NodeError(method, -32601, f"the method {method} does not exist/is not available")
        truth = copy.deepcopy(getattr(self, f"_{method}")(*params))
        return self.lies[method](params, truth) if method in self.lies else truth

    def _eth_chainId(self) -> Json:
        return quantity(CHAIN_ID)

    def _eth_blockNumber(self) -> Json:
        return quantity(self._top)

    def _eth_getBlockByNumber(self, number: str, full: bool) -> Json:
        height = self._top - self.chain.final_behind if number == "finalized" else int(number, 16)
        return self._block(height, full) if 0 <= height <= self._top else None

    def _eth_getBlockByHash(self, block_hash: str, full: bool) -> Json:
        for height, block in enumerate(self.chain.blocks):
            if block["hash"] == block_hash:
                return self._block(height, full)
        return None

    def _eth_getBlockReceipts(self, number: str) -> Json:
        return self.chain.receipts[int(number, 16)]

    def _eth_getTransactionReceipt(self, tx: str) -> Json:
        return next(one for block in self.chain.receipts for one in block if one["transactionHash"] == tx)

    def _eth_getLogs(self, wanted: dict[str, Json]) -> Json:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if last - first + 1 > self.max_logs_range:
            raise NodeError("eth_getLogs", -32005, "query exceeds max block range")
        return [
            log for held in self.chain.logs[first : last + 1] for log in held if log["address"] in wanted["address"]
        ]

    def _eth_call(self, message: dict[str, Json], _number: str) -> Json:
        answer = self.chain.answers.get((bytes.fromhex(message["to"][2:]), bytes.fromhex(message["data"][2:])), b"")
        if isinstance(answer, Exception):
            raise answer
        return hexed(answer)

    def _eth_getBalance(self, account: str, _number: str) -> Json:
        return quantity(self.chain.balances.get(bytes.fromhex(account[2:]), 0))

    def _eth_getCode(self, account: str, _number: str) -> Json:
        return hexed(self.chain.code.get(bytes.fromhex(account[2:]), b""))

    def _block(self, height: int, full: bool) -> Json:
        block = dict(self.chain.blocks[height])
        if not full:
            block["transactions"] = [tx["hash"] for tx in block["transactions"]]
        return block


def together(*transports: FakeTransport, quorum: int | None = None, confirmations: int = 0) -> Endpoints:
    """Endpoints of the first one's chain."""
    return Endpoints(
        [transport.made() for transport in transports],
        transports[0].chain.registered(confirmations),
        quorum=quorum,
    )
