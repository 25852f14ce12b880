"""A block's receipts, proved against the root in its header, and the logs in them. Pure: nothing is asked here.

Sources: the Ethereum yellow paper, 4.3.1 (receipts); EIP-658 (status); EIP-2718 (typed receipts: the type's byte before
the RLP). All types up to Prague's have the same four fields; a type with others makes a root that does not match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.evm.errors import BadAnswer, FalseReceipts
from adapters.evm.headers import BLOOM_BYTES, Header
from adapters.evm.hexes import read_data, read_field, read_quantity
from adapters.evm.ordered_trie import ordered_root
from adapters.evm.rlp import encode, scalar
from adapters.evm.transport import Json

METHOD: Final = "eth_getBlockReceipts"

_MAX_TYPE: Final = 0x7F

EmittedLog = tuple[bytes, tuple[bytes, ...], bytes]
"""Address, topics, data: what a receipt commits to."""


def encoded_receipt(answer: Json) -> bytes:
    """A receipt as its block's trie holds it. Raises `BadAnswer`."""
    status = answer.get("status") if isinstance(answer, dict) else None
    # Before Byzantium a receipt had the state's root in the place of the status.
    outcome = _root(answer) if status is None else _number(answer, "status")
    content = encode(
        [
            outcome,
            _number(answer, "cumulativeGasUsed"),
            read_data(read_field(answer, METHOD, "logsBloom"), METHOD, "logsBloom", BLOOM_BYTES),
            [[address, list(topics), data] for address, topics, data in emitted_logs(answer)],
        ]
    )
    return typed(answer.get("type"), METHOD) + content


def has_succeeded(answer: Json) -> bool:
    """Whether a receipt says that its transaction took effect (EIP-658). Raises `BadAnswer`."""
    return read_quantity(read_field(answer, METHOD, "status"), METHOD, "status") == 1


def emitted_logs(answer: Json) -> list[EmittedLog]:
    """The logs in a receipt, in order. Raises `BadAnswer`."""
    logs = read_field(answer, METHOD, "logs")
    if not isinstance(logs, list):
        raise BadAnswer(METHOD, "logs", "is no list")
    return [_log(log) for log in logs]


def proved_logs(answers: Sequence[Json], header: Header, endpoint: str) -> list[tuple[EmittedLog, ...]]:
    """The logs of each transaction of a block, in order, out of all its receipts.

    Args:
        answers: the receipts, as the node gave them, in the block's order.
        header: of the block.
        endpoint: the node's name, for errors.

    Raises:
        FalseReceipts: these are not the block's receipts, or not all of them.
        BadAnswer: a field is missing or malformed.
    """
    if ordered_root([encoded_receipt(answer) for answer in answers]) != header.receipts_root:
        raise FalseReceipts(endpoint, header.number, "the root of its receipts is not the header's")
    return [tuple(emitted_logs(answer)) for answer in answers]


def typed(kind: Json, method: str) -> bytes:
    """The byte that EIP-2718 puts before a receipt or a transaction; none for the first type. Raises `BadAnswer`."""
    number = 0 if kind is None else read_quantity(kind, method, "type")
    if not 0 <= number <= _MAX_TYPE:
        raise BadAnswer(method, "type", f"{number} is no type of EIP-2718")
    return bytes([number]) if number else b""


def _number(answer: Json, name: str) -> bytes:
    return scalar(read_quantity(read_field(answer, METHOD, name), METHOD, name))


def _root(answer: Json) -> bytes:
    return read_data(read_field(answer, METHOD, "root"), METHOD, "root", 32)


def _log(log: Json) -> EmittedLog:
    topics = read_field(log, METHOD, "topics")
    if not isinstance(topics, list):
        raise BadAnswer(METHOD, "topics", "is no list")
    return (
        read_data(read_field(log, METHOD, "address"), METHOD, "address", 20),
        tuple(read_data(topic, METHOD, "topics", 32) for topic in topics),
        read_data(read_field(log, METHOD, "data"), METHOD, "data"),
    )
