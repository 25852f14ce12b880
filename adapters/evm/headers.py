"""Block headers that prove themselves: their RLP hashes to the block's hash. Pure: nothing is asked here.

Sources: the Ethereum yellow paper, 4.3 (headers) and 4.3.1 (the bloom filter); EIP-1559, EIP-4895, EIP-4844, EIP-4788
and EIP-7685 for the fields that London, Shanghai, Cancun and Prague added. A chain whose headers are made otherwise
cannot be verified, and each of its headers is refused as false.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.errors import FalseHeader
from adapters.evm.hexes import read_data, read_field, read_quantity
from adapters.evm.rlp import encode, scalar
from adapters.evm.transport import Json
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight

BLOOM_BYTES: Final = 256

_METHOD: Final = "eth_getBlockByNumber"
_QUANTITY: Final = -1
_ANY_LENGTH: Final = None

_FIELDS: Final[tuple[tuple[str, int | None], ...]] = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", BLOOM_BYTES),
    ("difficulty", _QUANTITY),
    ("number", _QUANTITY),
    ("gasLimit", _QUANTITY),
    ("gasUsed", _QUANTITY),
    ("timestamp", _QUANTITY),
    ("extraData", _ANY_LENGTH),
    ("mixHash", 32),
    ("nonce", 8),
)
"""What every header has, in order, with its length in bytes. Only the extra data has none, and it comes last but two,
so bytes cannot wander from one of the fields that we use to another."""

_LATER_FIELDS: Final = (
    ("baseFeePerGas", _QUANTITY),  # London: EIP-1559
    ("withdrawalsRoot", 32),  # Shanghai: EIP-4895
    ("blobGasUsed", _QUANTITY),  # Cancun: EIP-4844
    ("excessBlobGas", _QUANTITY),
    ("parentBeaconBlockRoot", 32),  # Cancun: EIP-4788
    ("requestsHash", 32),  # Prague: EIP-7685
)
"""What forks appended. A header has a beginning of this list."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose hash was computed from its contents.

    Fields: number; hash, parent, transactions_root, receipts_root (32 bytes each); timestamp (seconds since 1970);
    bloom (the filter as a number); transactions (how many the endpoint says that there are: only a hint for sizes).
    """

    number: BlockHeight
    hash: bytes
    parent: bytes
    transactions_root: bytes
    receipts_root: bytes
    timestamp: int
    bloom: int
    transactions: int

    @property
    def ref(self) -> BlockRef:
        """Its number and hash."""
        return BlockRef(self.number, self.hash)

    def may_hold(self, mask: int) -> bool:
        """Whether the block may have a log with all that is in `mask` (see `bloom_mask`). No: it has none for sure."""
        return self.bloom & mask == mask


def read_header(answer: Json, endpoint: str, number: BlockHeight | None = None) -> Header | None:
    """The header in an answer of `eth_getBlockByNumber` or `eth_getBlockByHash`; None where there is no such block.

    Args:
        answer: the node's.
        endpoint: its name, for errors.
        number: which block was asked for, where that was a number.

    Raises:
        FalseHeader: the contents do not hash to the hash that the endpoint gives, or it is another block.
        BadAnswer: a field is missing or malformed.
    """
    if answer is None:
        return None
    values = [_value(answer, name, length) for name, length in _FIELDS]
    values += [_value(answer, name, length) for name, length in _LATER_FIELDS if answer.get(name) is not None]
    parent, _, _, _, transactions_root, receipts_root, bloom, _, height, _, _, timestamp, *_ = values
    found = BlockHeight(int.from_bytes(height, "big"))
    claimed = read_data(read_field(answer, _METHOD, "hash"), _METHOD, "hash", 32)
    if keccak(encode(values)) != claimed:
        raise FalseHeader(endpoint, found, "its contents do not hash to its hash")
    if number is not None and found != number:
        raise FalseHeader(endpoint, number, f"block {found:,} was given for it")
    transactions = answer.get("transactions")
    return Header(
        found,
        claimed,
        parent,
        transactions_root,
        receipts_root,
        int.from_bytes(timestamp, "big"),
        int.from_bytes(bloom, "big"),
        len(transactions) if isinstance(transactions, list) else 0,
    )


def check_link(parent: BlockRef, header: Header, endpoint: str) -> None:
    """Make sure that `header` is the next one after `parent`. Raises `FalseHeader`."""
    if header.number != parent.number + 1 or header.parent != parent.hash:
        raise FalseHeader(endpoint, header.number, f"it does not follow block {parent}")


def bloom_mask(*values: bytes) -> int:
    """The bits that a log sets in its block's bloom filter for an address (20 bytes) or a topic (32 bytes)."""
    mask = 0
    for value in values:
        digest = keccak(value)
        for start in (0, 2, 4):
            mask |= 1 << (int.from_bytes(digest[start : start + 2], "big") % (8 * BLOOM_BYTES))
    return mask


def _value(answer: Json, name: str, length: int | None) -> bytes:
    """A field as RLP takes it: numbers without leading zeros."""
    value = read_field(answer, _METHOD, name)
    if length == _QUANTITY:
        return scalar(read_quantity(value, _METHOD, name))
    return read_data(value, _METHOD, name, length)
