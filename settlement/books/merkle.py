"""Merkle trees over records, and proofs that a record is in one.

The tree is that of Certificate Transparency (RFC 9162, 2.1; RFC 6962, 2.1), with SHA-256. A leaf's hash begins with
another byte than an inner node's, so no inner node can be passed off as a leaf (a second preimage); and a proof is
checked against the tree's size and the leaf's place, so it shows where the record stands too. Leaves are never copied
to fill a level up: two different lists of records never have one root (CVE-2012-2459 was that).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, TypeAlias

from foundation.errors import BadInput

HASH_BYTES: Final = 32
PATH_MAX: Final = 64
"""Hashes in a proof, at most."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"

Path: TypeAlias = tuple[bytes, ...]
"""The sibling's hash at each level, from the leaf up; 32 bytes each."""


def leaf_hash(record: bytes) -> bytes:
    """The hash of a leaf, 32 bytes."""
    return hashlib.sha256(_LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, 32 bytes, out of its two children's."""
    return hashlib.sha256(_NODE + left + right).digest()


def root_of(records: Sequence[bytes]) -> bytes:
    """The root over the records in their order, 32 bytes.

    Raises:
        BadInput: there are none; an empty tree proves nothing.
    """
    return _levels(records)[-1][0]


def path_to(records: Sequence[bytes], index: int) -> Path:
    """The proof that the record at `index` (from 0) is in the tree over `records`.

    Raises:
        BadInput: there is no such record.
    """
    if not 0 <= index < len(records):
        raise BadInput("index", f"{index} of {len(records)} records", "count from 0")
    return _path(_levels(records), index)


def tree_of(records: Sequence[bytes]) -> tuple[bytes, list[Path]]:
    """The root over the records, and the path to each: in the time of one tree.

    Raises:
        BadInput: there are none.
    """
    levels = _levels(records)
    return levels[-1][0], [_path(levels, index) for index in range(len(records))]


def _path(levels: Sequence[Sequence[bytes]], index: int) -> Path:
    path: list[bytes] = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):  # the last of an odd number goes up alone
            path.append(level[sibling])
        index //= 2
    return tuple(path)


def is_included(record: bytes, index: int, size: int, path: Path, root: bytes) -> bool:
    """Whether `path` proves that `record` is the one at `index` in a tree over `size` records with that root.

    Whatever the path is, this raises nothing.
    """
    found = root_by(record, index, size, path)
    return found is not None and hmac.compare_digest(found, root)


def root_by(record: bytes, index: int, size: int, path: Path) -> bytes | None:
    """The root of the tree over `size` records in which `path` leads up from `record` at `index`; None where it leads
    nowhere. Whatever the path is, this raises nothing.

    Source: RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size or len(path) > PATH_MAX or any(len(each) != HASH_BYTES for each in path):
        return None
    place, last = index, size - 1
    found = leaf_hash(record)
    for sibling in path:
        if last == 0:
            return None  # longer than the tree is high
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return found if last == 0 else None


def _levels(records: Sequence[bytes]) -> list[list[bytes]]:
    """The tree from the leaves to the root. Pairing level by level, with the last odd one moved up as it is, gives the
    tree that the RFC defines from the top: its left half is always full.
    """
    if not records:
        raise BadInput("records", "there are none", "a tree has at least one")
    levels = [[leaf_hash(record) for record in records]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        level = [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        if len(below) % 2:
            level.append(below[-1])
        levels.append(level)
    return levels
