"""A small typed layer over libsecp256k1: points, public scalars and secret scalars.

Secret scalars live in `SecretScalar` and touch libsecp256k1's constant-time functions only. Public scalars (Lagrange
coefficients, partial signatures, challenges) are Python integers modulo `N`. The point at infinity exists where
BIP-445 and ChillDKG allow it, serialised as 33 zero bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

# The compiled module of coincurve has no type stubs; every use is wrapped in this file and in `bip340`.
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]

from mpc.errors import MalformedInput

__all__ = [
    "CONTEXT",
    "INFINITY",
    "POINT_BYTES",
    "SCALAR_BYTES",
    "G",
    "N",
    "Point",
    "SecretScalar",
    "ffi",
    "inverse_all",
    "lib",
    "multi_mul",
    "point_sum",
    "public_base_mul",
    "scalar_from_bytes",
    "scalar_to_bytes",
    "secret_sum",
    "tagged_hash",
]

N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the group."""

POINT_BYTES: Final = 33
SCALAR_BYTES: Final = 32
_INFINITY_BYTES: Final = bytes(POINT_BYTES)
_N_BYTES: Final = N.to_bytes(SCALAR_BYTES, "big")
_ZERO: Final = bytes(SCALAR_BYTES)
_COMPRESSED: Final = lib.SECP256K1_EC_COMPRESSED


def _new_context() -> Any:
    """A context blinded with fresh randomness, which hinders side channels on multiplications of the base point."""
    context = ffi.gc(lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE), lib.secp256k1_context_destroy)
    assert lib.secp256k1_context_randomize(context, os.urandom(32)) == 1
    return context


CONTEXT: Final[Any] = _new_context()


class Point:
    """An immutable element of the group, parsed once. Comparison is not constant-time: points are public."""

    __slots__ = ("_encoded", "_raw")

    def __init__(self, raw: Any, encoded: bytes | None = None) -> None:
        """Wrap a parsed `secp256k1_pubkey *`, or None for infinity. Use `from_bytes` and the operators instead."""
        self._raw = raw
        self._encoded = encoded

    @classmethod
    def from_bytes(cls, encoded: bytes) -> Point:
        """Parse 33 bytes in compressed form.

        Raises:
            MalformedInput: not 33 bytes, an unknown first byte, or no point of the curve.
        """
        if len(encoded) != POINT_BYTES or encoded[0] not in (2, 3):
            raise MalformedInput("point", "is not 33 bytes in compressed form")
        raw = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_parse(CONTEXT, raw, encoded, POINT_BYTES):
            raise MalformedInput("point", "is not on the curve")
        return cls(raw, bytes(encoded))

    @classmethod
    def from_bytes_or_infinity(cls, encoded: bytes) -> Point:
        """Like `from_bytes`, and 33 zero bytes are the point at infinity."""
        return INFINITY if encoded == _INFINITY_BYTES else cls.from_bytes(encoded)

    @classmethod
    def from_xonly(cls, x: bytes) -> Point:
        """The point with the x coordinate `x` (32 bytes) and an even y (`lift_x` of BIP-340)."""
        return cls.from_bytes(b"\x02" + x)

    @property
    def is_infinity(self) -> bool:
        return self._raw is None

    @property
    def has_even_y(self) -> bool:
        """Whether y is even; not defined for infinity."""
        assert self._raw is not None
        return self.to_bytes()[0] == 2

    def to_bytes(self) -> bytes:
        """33 bytes in compressed form; infinity is 33 zero bytes."""
        if self._encoded is None:
            self._encoded = _INFINITY_BYTES if self._raw is None else _serialize(self._raw)
        return self._encoded

    def to_xonly(self) -> bytes:
        """The x coordinate, 32 bytes; not defined for infinity."""
        assert self._raw is not None
        return self.to_bytes()[1:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"Point({self.to_bytes().hex()})"

    def __reduce__(self) -> tuple[object, ...]:
        return Point.from_bytes_or_infinity, (self.to_bytes(),)

    def __add__(self, other: Point) -> Point:
        return point_sum((self, other))

    def __neg__(self) -> Point:
        if self._raw is None:
            return self
        raw = _copy(self._raw)
        assert lib.secp256k1_ec_pubkey_negate(CONTEXT, raw) == 1
        return Point(raw)

    def __sub__(self, other: Point) -> Point:
        return point_sum((self, -other))

    def __mul__(self, factor: int) -> Point:
        """Multiply by a PUBLIC scalar; the time depends on it. Small factors are several times faster."""
        factor %= N
        if self._raw is None or factor == 0:
            return INFINITY
        if factor == 1:
            return self
        raw = _copy(self._raw)
        assert lib.secp256k1_ec_pubkey_tweak_mul(CONTEXT, raw, factor.to_bytes(SCALAR_BYTES, "big")) == 1
        return Point(raw)

    __rmul__ = __mul__

    @property
    def raw(self) -> Any:
        """The parsed `secp256k1_pubkey *`, None for infinity: for functions of libsecp256k1 that have no wrapper."""
        return self._raw


INFINITY: Final = Point(None)


def _copy(raw: Any) -> Any:
    fresh = ffi.new("secp256k1_pubkey *")
    fresh[0] = raw[0]
    return fresh


def _serialize(raw: Any) -> bytes:
    out = ffi.new("unsigned char[33]")
    length = ffi.new("size_t *", POINT_BYTES)
    assert lib.secp256k1_ec_pubkey_serialize(CONTEXT, out, length, raw, _COMPRESSED) == 1
    return bytes(ffi.buffer(out))


def point_sum(points: Iterable[Point]) -> Point:
    """The sum of any number of points (infinity for none): one inversion for all of them, so prefer it to `+`."""
    raws = [p.raw for p in points if p.raw is not None]
    if not raws:
        return INFINITY
    out = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_combine(CONTEXT, out, raws, len(raws)):
        return INFINITY
    return Point(out)


def multi_mul(factors: Sequence[int], points: Sequence[Point]) -> Point:
    """The sum of `factors[i] * points[i]` for PUBLIC factors."""
    return point_sum(p * k for k, p in zip(factors, points, strict=True))


def public_base_mul(factor: int) -> Point:
    """`factor * G` for a PUBLIC scalar."""
    factor %= N
    if factor == 0:
        return INFINITY
    raw = ffi.new("secp256k1_pubkey *")
    assert lib.secp256k1_ec_pubkey_create(CONTEXT, raw, factor.to_bytes(SCALAR_BYTES, "big")) == 1
    return Point(raw)


G: Final = public_base_mul(1)
"""The generator of the group."""


class SecretScalar:
    """A secret integer modulo `N` in a buffer of its own, zeroed when it is dropped. It never shows itself in text."""

    __slots__ = ("_buffer",)

    def __init__(self, value: bytes | bytearray | memoryview = bytes(SCALAR_BYTES)) -> None:
        """Take 32 bytes, big-endian.

        Raises:
            MalformedInput: not 32 bytes, or not below the group order.
        """
        self._buffer = ffi.new("unsigned char[32]")
        if len(value) != SCALAR_BYTES:
            raise MalformedInput("scalar", "is not 32 bytes")
        ffi.memmove(self._buffer, value, SCALAR_BYTES)
        if not lib.secp256k1_ec_seckey_verify(CONTEXT, self._buffer) and any(value):
            raise MalformedInput("scalar", "is not below the group order")

    @classmethod
    def nonzero(cls, value: bytes | bytearray | memoryview) -> SecretScalar:
        """Like the constructor, and zero is refused too."""
        scalar = cls(value)
        if not lib.secp256k1_ec_seckey_verify(CONTEXT, scalar._buffer):
            raise MalformedInput("scalar", "is zero")
        return scalar

    @classmethod
    def reduced(cls, digest: bytes) -> SecretScalar:
        """Take 32 bytes of a hash modulo `N`. Overflow has probability 2**-128 and is the only branch on the value."""
        if digest >= _N_BYTES:
            digest = (int.from_bytes(digest, "big") - N).to_bytes(SCALAR_BYTES, "big")
        return cls(digest)

    def copy(self) -> SecretScalar:
        fresh = SecretScalar()
        ffi.memmove(fresh._buffer, self._buffer, SCALAR_BYTES)
        return fresh

    def add(self, other: SecretScalar) -> SecretScalar:
        """A new scalar, the sum of both."""
        result = self.copy()
        # libsecp256k1 refuses a zero first operand and a zero result; both are negligible for honest secrets.
        if not lib.secp256k1_ec_seckey_tweak_add(CONTEXT, result._buffer, other._buffer):
            return other.copy() if self.is_zero else SecretScalar()
        return result

    def add_public(self, term: int) -> SecretScalar:
        """A new scalar, the sum with a public integer."""
        return self.add(SecretScalar((term % N).to_bytes(SCALAR_BYTES, "big")))

    def mul_public(self, factor: int) -> SecretScalar:
        """A new scalar, the product with a public integer."""
        result = self.copy()
        tweak = (factor % N).to_bytes(SCALAR_BYTES, "big")
        # Refused only if one of the factors is zero, and then the product is.
        return result if lib.secp256k1_ec_seckey_tweak_mul(CONTEXT, result._buffer, tweak) else SecretScalar()

    def negate(self) -> SecretScalar:
        """A new scalar, the negation."""
        result = self.copy()
        return result if lib.secp256k1_ec_seckey_negate(CONTEXT, result._buffer) else SecretScalar()

    def subtract(self, other: SecretScalar) -> SecretScalar:
        """A new scalar, the difference."""
        return self.add(other.negate())

    @property
    def is_zero(self) -> bool:
        return not lib.secp256k1_ec_seckey_verify(CONTEXT, self._buffer)

    def point(self) -> Point:
        """The scalar times the generator, in constant time; infinity for zero."""
        raw = ffi.new("secp256k1_pubkey *")
        return Point(raw) if lib.secp256k1_ec_pubkey_create(CONTEXT, raw, self._buffer) else INFINITY

    def ecdh(self, point: Point) -> bytes:
        """SHA-256 of the compressed product with `point`, 32 bytes, in constant time. Neither may be zero."""
        out = ffi.new("unsigned char[32]")
        assert lib.secp256k1_ecdh(CONTEXT, out, point.raw, self._buffer, ffi.NULL, ffi.NULL) == 1
        return bytes(ffi.buffer(out))

    def to_bytes(self) -> bytes:
        """32 bytes, big-endian. The copy cannot be zeroed: hand it on and drop it."""
        return bytes(ffi.buffer(self._buffer))

    def erase(self) -> None:
        """Zero the buffer."""
        ffi.memmove(self._buffer, _ZERO, SCALAR_BYTES)

    def __del__(self, _move: Any = ffi.memmove, _zero: bytes = _ZERO) -> None:
        # Bound as defaults because the module's names may be gone when the interpreter ends.
        _move(self._buffer, _zero, len(_zero))

    @property
    def raw(self) -> Any:
        """The buffer, `unsigned char[32]`, for functions of libsecp256k1 that have no wrapper here."""
        return self._buffer

    def __repr__(self) -> str:
        return "SecretScalar(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret scalar is not serialised")


def secret_sum(scalars: Iterable[SecretScalar]) -> SecretScalar:
    """The sum of any number of secret scalars."""
    total = SecretScalar()
    for scalar in scalars:
        total = total.add(scalar)
    return total


def scalar_from_bytes(encoded: bytes, field: str = "scalar") -> int:
    """A PUBLIC scalar from 32 bytes, big-endian.

    Raises:
        MalformedInput: not 32 bytes, or not below the group order.
    """
    if len(encoded) != SCALAR_BYTES:
        raise MalformedInput(field, "is not 32 bytes")
    value = int.from_bytes(encoded, "big")
    if value >= N:
        raise MalformedInput(field, "is not below the group order")
    return value


def scalar_to_bytes(value: int) -> bytes:
    """32 bytes, big-endian, of a public scalar modulo `N`."""
    return (value % N).to_bytes(SCALAR_BYTES, "big")


@lru_cache(maxsize=64)
def _tag_state(tag: str) -> Any:
    digest = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(digest + digest)


def tagged_hash(tag: str, message: bytes) -> bytes:
    """SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ message), 32 bytes (BIP-340)."""
    state = _tag_state(tag).copy()
    state.update(message)
    digest: bytes = state.digest()
    return digest


def inverse_all(values: Sequence[int]) -> list[int]:
    """The inverses modulo `N` of public, nonzero integers, with a single inversion (Montgomery's trick)."""
    prefix = [1]
    for value in values:
        prefix.append(prefix[-1] * value % N)
    inverse = pow(prefix[-1], -1, N)
    result = [0] * len(values)
    for i in range(len(values) - 1, -1, -1):
        result[i] = prefix[i] * inverse % N
        inverse = inverse * values[i] % N
    return result
