"""Taproot outputs: tweaks, script trees, control blocks.

Source: BIP-341 ("Constructing and spending Taproot outputs").
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin.primitives import compact_size
from foundation.errors import BadInput

TAPSCRIPT = 0xC0
"""Leaf version of tapscript (BIP-342)."""

_MAX_DEPTH = 128


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a script tree. Fields: script; version (even, see BIP-341)."""

    script: bytes
    version: int = TAPSCRIPT

    def hash(self) -> bytes:
        """The tagged hash of the leaf, 32 bytes."""
        return tagged_hash("TapLeaf", bytes([self.version]) + compact_size(len(self.script)) + self.script)


Tree: TypeAlias = "Leaf | tuple[Tree, Tree]"


@dataclass(frozen=True, slots=True)
class OutputKey:
    """The key in a Taproot output. Fields: key (32 bytes, x-only); parity (of its y coordinate: 0 even, 1 odd)."""

    key: bytes
    parity: int


@functools.lru_cache(maxsize=64)
def _tag(name: str) -> bytes:
    digest = hashlib.sha256(name.encode()).digest()
    return digest + digest


def tagged_hash(tag: str, data: bytes) -> bytes:
    """SHA-256 with its domain separated by `tag` (BIP-340), 32 bytes."""
    return hashlib.sha256(_tag(tag) + data).digest()


def branch_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node; the order of the children does not matter."""
    return tagged_hash("TapBranch", min(left, right) + max(left, right))


def tap_tweak(internal_key: bytes, merkle_root: bytes = b"") -> bytes:
    """The 32 bytes by which the internal key is tweaked: an x-only tweak for FROST (BIP-445) and for BIP-341 alike.

    Args:
        internal_key: 32 bytes, x-only.
        merkle_root: 32 bytes; empty where there is no script tree.
    """
    if len(internal_key) != 32 or len(merkle_root) not in (0, 32):
        raise BadInput("internal key or Merkle root", "has a wrong length", "32 bytes")
    return tagged_hash("TapTweak", internal_key + merkle_root)


def output_key(internal_key: bytes, merkle_root: bytes = b"") -> OutputKey:
    """The tweaked key that a Taproot output carries.

    Raises:
        BadInput: the internal key is not the x coordinate of a point.
    """
    tweak = tap_tweak(internal_key, merkle_root)
    try:
        key = PublicKeyXOnly(internal_key)
        key.tweak_add(tweak)
    except ValueError as error:
        raise BadInput("internal key", "is not the x coordinate of a point on the curve") from error
    return OutputKey(key.format(), int(key.parity))


def tweak_secret(secret: bytes, merkle_root: bytes = b"") -> PrivateKey:
    """The secret key behind `output_key`, of one party that holds the internal key's secret (32 bytes) alone."""
    public = PublicKeyXOnly.from_secret(secret)
    # PrivateKey.add works modulo the group order; the internal key counts as the point with the even y.
    even = PrivateKey(secret) if not public.parity else _negated(PrivateKey(secret))
    return even.add(tap_tweak(public.format(), merkle_root))


def _negated(key: PrivateKey) -> PrivateKey:
    minus_one = (_ORDER - 1).to_bytes(32, "big")
    return key.multiply(minus_one)


_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The number of points of secp256k1."""


def merkle_root(tree: Tree) -> bytes:
    """The root of a script tree, 32 bytes."""
    return _walk(tree)[0]


def control_blocks(internal_key: bytes, tree: Tree) -> list[tuple[Leaf, bytes]]:
    """Each leaf, in the order of the tree, with the control block that a spend through it has to show."""
    root, paths = _walk(tree)
    parity = output_key(internal_key, root).parity
    return [(leaf, bytes([leaf.version | parity]) + internal_key + path) for leaf, path in paths]


def _walk(tree: Tree, depth: int = 0) -> tuple[bytes, list[tuple[Leaf, bytes]]]:
    """The hash of a subtree, and its leaves with their Merkle paths within it."""
    if depth > _MAX_DEPTH:
        raise BadInput("script tree", f"is deeper than {_MAX_DEPTH}")
    if isinstance(tree, Leaf):
        return tree.hash(), [(tree, b"")]
    left, left_leaves = _walk(tree[0], depth + 1)
    right, right_leaves = _walk(tree[1], depth + 1)
    leaves = [(leaf, path + right) for leaf, path in left_leaves] + [(leaf, path + left) for leaf, path in right_leaves]
    return branch_hash(left, right), leaves
