"""The root of a list as a Merkle-Patricia trie, by which a block header commits to its transactions and receipts.

Source: the Ethereum yellow paper, appendix C (hex-prefix encoding) and appendix D (the trie). The key of an item is the
RLP of its index, so no key begins with another one, and no branch ever holds a value of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, TypeAlias

from eth_utils.crypto import keccak

from adapters.evm.rlp import encode, scalar

Node: TypeAlias = "list[bytes | Node]"
"""A leaf, an extension or a branch, before its encoding; a short child stands in its parent as it is."""

Entry: TypeAlias = tuple[bytes, bytes]
"""Nibbles of the key, one in each byte, and the value."""

EMPTY_ROOT: Final = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""keccak-256 of the RLP of nothing: the root of an empty list."""

_HASH_BYTES: Final = 32


def ordered_root(items: Sequence[bytes]) -> bytes:
    """The root (32 bytes) of the trie that has each item at the RLP of its index."""
    if not items:
        return EMPTY_ROOT
    entries = sorted((_nibbles(encode(scalar(index))), item) for index, item in enumerate(items))
    return keccak(encode(_node(entries, 0)))


def _node(entries: Sequence[Entry], depth: int) -> Node:
    """The node of all entries, which share their first `depth` nibbles. They are in ascending order."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [_hex_prefix(first[depth:], is_leaf=True), entries[0][1]]
    shared = depth
    # Of entries in order, what the first and the last have in common all have.
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_hex_prefix(first[depth:shared], is_leaf=False), _reference(_node(entries, shared))]
    branch: Node = [b""] * 17
    for nibble, group in groupby(entries, key=lambda entry: entry[0][depth]):
        branch[nibble] = _reference(_node(list(group), depth + 1))
    return branch


def _reference(node: Node) -> bytes | Node:
    """How a parent names its child: by hash, or whole where it is shorter than a hash."""
    encoded = encode(node)
    return keccak(encoded) if len(encoded) >= _HASH_BYTES else node


def _hex_prefix(nibbles: bytes, *, is_leaf: bool) -> bytes:
    flag = 2 * is_leaf
    padded = bytes([flag + 1]) + nibbles if len(nibbles) % 2 else bytes([flag, 0]) + nibbles
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))
