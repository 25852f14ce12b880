"""One key out of several, and its tweaks (BIP-327, "Key Generation and Aggregation", "Tweaking")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mpc.curve import CONTEXT, Point, SecretScalar, ffi, lib, scalar_from_bytes
from mpc.errors import InvalidContributionError, MalformedInput


def sort_keys(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """The keys (33 bytes each) in the order of their bytes (KeySort)."""
    return tuple(sorted(keys))


def with_even_y(secret: SecretScalar) -> SecretScalar:
    """`secret` or its negation: the one whose point has an even y, so that an x-only key names it.

    Raises:
        MalformedInput: the secret is zero.
    """
    point = secret.point()
    if point.is_infinity:
        raise MalformedInput("secret", "is zero")
    return secret.copy() if point.has_even_y else secret.negate()


class KeyAggregate:
    """The aggregate of keys, in their order, with all tweaks so far. Immutable; any party computes it alone.

    Whoever chose its key after seeing the others' gains nothing: the coefficients commit to all of them.

    Attributes:
        keys: as given (33 bytes each).
        points: the same, parsed.
        point: the aggregate after the tweaks.
    """

    __slots__ = ("_cache", "keys", "point", "points")

    keys: tuple[bytes, ...]
    points: tuple[Point, ...]
    point: Point

    def __init__(self, keys: tuple[bytes, ...], points: tuple[Point, ...], point: Point, cache: Any) -> None:
        """Use `of` and `tweaked` instead. `cache`: a `secp256k1_musig_keyagg_cache *` that nobody else changes."""
        self.keys = keys
        self.points = points
        self.point = point
        self._cache = cache

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> KeyAggregate:
        """Aggregate keys of 33 bytes each (KeyAgg); the order matters, and a key may be named twice.

        Raises:
            InvalidContributionError: a key is no compressed point; names its position.
            MalformedInput: there are no keys.
        """
        if not keys:
            raise MalformedInput("keys", "there are none")
        points = tuple(_parse(key, position) for position, key in enumerate(keys))
        cache = ffi.new("secp256k1_musig_keyagg_cache *")
        raws = [point.raw for point in points]
        assert lib.secp256k1_musig_pubkey_agg(CONTEXT, ffi.NULL, cache, raws, len(raws)) == 1
        raw = ffi.new("secp256k1_pubkey *")
        assert lib.secp256k1_musig_pubkey_get(CONTEXT, raw, cache) == 1
        return cls(tuple(bytes(key) for key in keys), points, Point(raw), cache)

    def tweaked(self, tweak: bytes, is_xonly: bool = True) -> KeyAggregate:
        """With `tweak` (32 bytes) times the generator added (ApplyTweak).

        An x-only tweak, such as Taproot's (BIP-341), is added to the point with this x and an even y.

        Raises:
            MalformedInput: the tweak is not 32 bytes or not below the group order, or the result is infinity.
        """
        scalar_from_bytes(tweak, "tweak")
        cache, raw = ffi.new("secp256k1_musig_keyagg_cache *"), ffi.new("secp256k1_pubkey *")
        cache[0] = self._cache[0]
        add = lib.secp256k1_musig_pubkey_xonly_tweak_add if is_xonly else lib.secp256k1_musig_pubkey_ec_tweak_add
        if not add(CONTEXT, raw, cache, bytes(tweak)):
            raise MalformedInput("tweak", "the tweaked key is the point at infinity")
        return KeyAggregate(self.keys, self.points, Point(raw), cache)

    @property
    def plain_key(self) -> bytes:
        """The aggregate, 33 bytes compressed."""
        return self.point.to_bytes()

    @property
    def xonly_key(self) -> bytes:
        """The aggregate, 32 bytes: what a signature verifies under."""
        return self.point.to_xonly()

    @property
    def raw(self) -> Any:
        """libsecp256k1's form of it, to be read only."""
        return self._cache

    def __repr__(self) -> str:
        return f"KeyAggregate({self.plain_key.hex()} of {len(self.keys)})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an aggregate is computed from its keys and tweaks, not serialised")


def _parse(key: bytes, position: int) -> Point:
    try:
        return Point.from_bytes(key)
    except MalformedInput as error:
        raise InvalidContributionError(position, "pubkey") from error
