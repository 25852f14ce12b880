"""Nonces for one signature each (BIP-327, "Nonce Generation", "Nonce Aggregation").

They are never stored: a process that ends in the middle begins a new signature with new ones. So no backup, snapshot or
restart can make one of them sign twice, which would reveal the secret key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from mpc.curve import CONTEXT, POINT_BYTES, Point, SecretScalar, ffi, lib, point_sum
from mpc.errors import InvalidContributionError, MalformedInput, NonceReused
from mpc.musig.keys import KeyAggregate

PUBNONCE_BYTES: Final = 66
MESSAGE_BYTES: Final = 32
_SECNONCE_BYTES: Final = ffi.sizeof("secp256k1_musig_secnonce")


class SecNonce:
    """A secret nonce, made fresh, for one signature by one key. `sign` consumes it; it cannot be copied or stored.

    Attributes:
        public: what the other signers get, 66 bytes.
        key: whose it is.
    """

    __slots__ = ("_held", "key", "public")

    public: bytes
    key: Point

    def __init__(self, raw: Any, public: bytes, key: Point) -> None:
        """Use `fresh` instead. `raw`: a `secp256k1_musig_secnonce *` of `key` that nothing else refers to."""
        self._held = [raw]
        self.public = public
        self.key = key

    @classmethod
    def fresh(
        cls, secret: SecretScalar, keys: KeyAggregate, message: bytes | None = None, extra: bytes | None = None
    ) -> SecNonce:
        """A new nonce from the operating system's randomness (NonceGen).

        Args:
            secret: the signer's key; hashed in, should the randomness fail.
            keys, message (32 bytes, if known already), extra (32 bytes): hashed in for the same reason.

        Raises:
            MalformedInput: the secret is zero, or a length is wrong.
        """
        for name, value in (("message", message), ("extra", extra)):
            if value is not None and len(value) != MESSAGE_BYTES:
                raise MalformedInput(name, f"is not {MESSAGE_BYTES} bytes")
        key = secret.point()
        if key.is_infinity:
            raise MalformedInput("secret", "is zero")
        # libsecp256k1 overwrites the randomness, so that it cannot be used again.
        rand = ffi.new("unsigned char[32]", os.urandom(32))
        raw, public = ffi.new("secp256k1_musig_secnonce *"), ffi.new("secp256k1_musig_pubnonce *")
        others = (message or ffi.NULL, keys.raw, extra or ffi.NULL)
        if not lib.secp256k1_musig_nonce_gen(CONTEXT, raw, public, rand, secret.raw, key.raw, *others):
            raise MalformedInput("secret", "or the randomness is no valid one")
        encoded = ffi.new(f"unsigned char[{PUBNONCE_BYTES}]")
        assert lib.secp256k1_musig_pubnonce_serialize(CONTEXT, encoded, public) == 1
        return cls(raw, bytes(ffi.buffer(encoded)), key)

    @property
    def is_used(self) -> bool:
        """Whether it was consumed or erased."""
        return not self._held

    def erase(self) -> None:
        """Zero it: nothing can be signed with it any more."""
        for raw in self._held:
            _zero(raw)
        self._held.clear()

    def take(self) -> Any:
        """libsecp256k1's form of it, once; for `sign`, which has it zeroed. Raises `NonceReused`."""
        try:
            return self._held.pop()  # a single step for the interpreter: two threads never both get it
        except IndexError:
            raise NonceReused from None

    def __del__(self) -> None:
        for raw in self._held:
            _zero(raw)

    def __repr__(self) -> str:
        return f"SecNonce(hidden, is_used={self.is_used})"

    def __copy__(self) -> SecNonce:
        raise TypeError("a secret nonce is not copied")

    def __deepcopy__(self, memo: object) -> SecNonce:
        raise TypeError("a secret nonce is not copied")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret nonce is neither copied nor serialised")


def _zero(raw: Any, _move: Any = ffi.memmove, _zeros: bytes = bytes(_SECNONCE_BYTES)) -> None:
    # Bound as defaults because the module's names may be gone when the interpreter ends.
    _move(raw, _zeros, len(_zeros))


def zero_nonce(raw: Any) -> None:
    """Zero what `SecNonce.take` gave."""
    _zero(raw)


def nonce_agg(public_nonces: Sequence[bytes]) -> bytes:
    """The aggregate (66 bytes) of public nonces (66 bytes each); a half may be infinity, 33 zero bytes (NonceAgg).

    Raises:
        InvalidContributionError: one is not two points; names its position.
    """
    parsed = []
    for position, public in enumerate(public_nonces):
        try:
            parsed.append(_two_points(public))
        except MalformedInput as error:
            raise InvalidContributionError(position, "pubnonce") from error
    return b"".join(point_sum(pair[half] for pair in parsed).to_bytes() for half in (0, 1))


def parse_pubnonce(public: bytes) -> Any:
    """libsecp256k1's form of a public nonce (66 bytes). Raises `MalformedInput`: it is not two points."""
    raw = ffi.new("secp256k1_musig_pubnonce *")
    if len(public) != PUBNONCE_BYTES or not lib.secp256k1_musig_pubnonce_parse(CONTEXT, raw, bytes(public)):
        raise MalformedInput("pubnonce", "is not two points of the curve")
    return raw


def _two_points(public: bytes) -> tuple[Point, Point]:
    if len(public) != PUBNONCE_BYTES:
        raise MalformedInput("pubnonce", f"is not {PUBNONCE_BYTES} bytes")
    return Point.from_bytes(public[:POINT_BYTES]), Point.from_bytes(public[POINT_BYTES:])
