"""Plain and x-only tweaks of the threshold key (BIP-445): BIP-32 style derivation and Taproot commitments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpc.curve import N, Point, public_base_mul, scalar_from_bytes
from mpc.errors import MalformedInput


@dataclass(frozen=True, slots=True)
class TweakContext:
    """A threshold key after some tweaks: `point = sign * original + offset * G`.

    Attributes:
        point: the tweaked key; sign: 1 or -1 (`gacc` of the specification); offset: 0…N−1 (`tacc`).
    """

    point: Point
    sign: int = 1
    offset: int = 0

    @property
    def plain_key(self) -> bytes:
        """The tweaked key, 33 bytes compressed."""
        return self.point.to_bytes()

    @property
    def xonly_key(self) -> bytes:
        """The tweaked key, 32 bytes: what a signature verifies under."""
        return self.point.to_xonly()

    def apply(self, tweak: bytes, is_xonly: bool) -> TweakContext:
        """Add `tweak` (32 bytes); an x-only tweak first takes the key with an even y.

        Raises:
            MalformedInput: the tweak is not 32 bytes or not below the group order, or the result is infinity.
        """
        value = scalar_from_bytes(tweak, "tweak")
        negate = is_xonly and not self.point.has_even_y
        base = -self.point if negate else self.point
        point = base + public_base_mul(value)
        if point.is_infinity:
            raise MalformedInput("tweak", "the tweaked key is the point at infinity")
        sign = -1 if negate else 1
        return TweakContext(point, sign * self.sign, (value + sign * self.offset) % N)


def tweak_key(point: Point, tweaks: Sequence[bytes], is_xonly: Sequence[bool]) -> TweakContext:
    """Apply tweaks in order to a parsed key.

    Raises:
        MalformedInput: the two lists differ in length, or see `TweakContext.apply`.
    """
    if len(tweaks) != len(is_xonly):
        raise MalformedInput("is_xonly", "differs from tweaks in length")
    context = TweakContext(point)
    for tweak, xonly in zip(tweaks, is_xonly, strict=True):
        context = context.apply(tweak, xonly)
    return context


def thresh_pubkey_and_tweak(thresh_pk: bytes, tweaks: Sequence[bytes], is_xonly: Sequence[bool]) -> TweakContext:
    """Apply tweaks in order to a threshold key (33 bytes).

    Raises:
        MalformedInput: the key is no point, the two lists differ in length, or see `TweakContext.apply`.
    """
    return tweak_key(Point.from_bytes(thresh_pk), tweaks, is_xonly)
