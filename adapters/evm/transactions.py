"""A block's transactions, proved against the root in its header: receipts do not say whose they are. Pure.

Sources: the Ethereum yellow paper, 4.2 and 4.3 (the transactions' trie); EIP-2718, EIP-2930, EIP-1559, EIP-4844 (the
form without blobs, which is that of blocks) and EIP-7702.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_utils.crypto import keccak

from adapters.evm.errors import BadAnswer, FalseTransactions
from adapters.evm.headers import Header
from adapters.evm.hexes import read_data, read_field, read_quantity
from adapters.evm.ordered_trie import ordered_root
from adapters.evm.receipts import typed
from adapters.evm.rlp import encode, scalar
from adapters.evm.transport import Json

_METHOD: Final = "eth_getBlockByHash"

_TO: Final = ("gas", "to", "value", "input")
_FIELDS: Final[dict[int, tuple[str, ...]]] = {
    0: ("nonce", "gasPrice", *_TO, "v"),
    1: ("chainId", "nonce", "gasPrice", *_TO, "accessList", "yParity"),
    2: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", *_TO, "accessList", "yParity"),
    3: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", *_TO, "accessList"),
        *("maxFeePerBlobGas", "blobVersionedHashes", "yParity"),
    ),
    4: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", *_TO, "accessList", "authorizationList", "yParity"),
}
"""Each type's fields in order; r and s follow."""


def encoded_transaction(answer: Json) -> bytes:
    """A transaction as its block's trie holds it; its keccak is its hash. Raises `BadAnswer`."""
    prefix = typed(answer.get("type") if isinstance(answer, dict) else None, _METHOD)
    fields = _FIELDS.get(prefix[0] if prefix else 0)
    if fields is None:
        raise BadAnswer(_METHOD, "type", f"{prefix[0]:#x} is a type that we do not know")
    return prefix + encode([_value(answer, name) for name in (*fields, "r", "s")])


def proved_hashes(answer: Json, header: Header, endpoint: str) -> list[bytes]:
    """The hashes (32 bytes) of a block's transactions in order, out of the block with its transactions in full.

    Raises:
        FalseTransactions: these are not the block's transactions, or not all of them.
        BadAnswer: a field is missing or malformed, or a transaction's type is not known.
    """
    transactions = read_field(answer, _METHOD, "transactions")
    if not isinstance(transactions, list):
        raise BadAnswer(_METHOD, "transactions", "is no list")
    encoded = [encoded_transaction(transaction) for transaction in transactions]
    if ordered_root(encoded) != header.transactions_root:
        raise FalseTransactions(endpoint, header.number, "the root of its transactions is not the header's")
    return [keccak(content) for content in encoded]


def _value(answer: Json, name: str) -> Any:
    match name:
        case "to":
            to = answer.get("to")
            return b"" if to is None else read_data(to, _METHOD, "to", 20)
        case "input":
            return read_data(read_field(answer, _METHOD, "input"), _METHOD, "input")
        case "accessList":
            return [
                [
                    read_data(read_field(entry, _METHOD, "address"), _METHOD, "accessList.address", 20),
                    [read_data(key, _METHOD, "accessList.storageKeys", 32) for key in _list(entry, "storageKeys")],
                ]
                for entry in _list(answer, "accessList")
            ]
        case "blobVersionedHashes":
            return [read_data(item, _METHOD, name, 32) for item in _list(answer, name)]
        case "authorizationList":
            return [_authorization(item) for item in _list(answer, name)]
        case "yParity":
            # Older nodes say only v, which is the same number in typed transactions.
            return _number(answer, name if name in answer else "v")
        case _:
            return _number(answer, name)


def _authorization(item: Json) -> list[bytes]:
    address = read_data(read_field(item, _METHOD, "address"), _METHOD, "authorizationList.address", 20)
    parity = _number(item, "yParity" if "yParity" in item else "v")
    return [_number(item, "chainId"), address, _number(item, "nonce"), parity, _number(item, "r"), _number(item, "s")]


def _number(answer: Json, name: str) -> bytes:
    return scalar(read_quantity(read_field(answer, _METHOD, name), _METHOD, name))


def _list(answer: Json, name: str) -> Sequence[Json]:
    found = read_field(answer, _METHOD, name)
    if not isinstance(found, list):
        raise BadAnswer(_METHOD, name, "is no list")
    return found
