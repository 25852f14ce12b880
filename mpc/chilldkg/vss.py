"""Verifiable secret sharing: polynomials, commitments to them, and fast evaluation at 1…n.

A polynomial of degree below t is shared; participant i holds its value at `x = i + 1`. Coefficients are secret
scalars, commitments are public points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mpc.chilldkg.params import tagged_hash_bip_dkg
from mpc.curve import (
    CONTEXT,
    INFINITY,
    POINT_BYTES,
    N,
    Point,
    SecretScalar,
    ffi,
    lib,
    point_sum,
    tagged_hash,
)
from mpc.errors import MalformedInput

_REPEAT_LIMIT: Final = 24
"""Up to this factor, adding a point that many times costs less than one multiplication."""
_STRIDE_WEIGHTS: Final = (1, 3, 3, 1)
"""Binomial coefficients: three steps of a difference table at once."""


def generate_coefficients(seed: bytes, t: int) -> list[SecretScalar]:
    """The t coefficients that a seed (32 bytes) stands for. Never fails but with probability 2**-128."""
    return [SecretScalar(tagged_hash_bip_dkg("vss coeffs", seed + i.to_bytes(4, "big"))) for i in range(t)]


def evaluate_secret(coefficients: Sequence[SecretScalar], x: int) -> SecretScalar:
    """The value of a secret polynomial at a public x > 0 (Horner)."""
    result = coefficients[-1].copy()
    factor = x.to_bytes(32, "big")
    for coefficient in reversed(coefficients[:-1]):
        if not (
            lib.secp256k1_ec_seckey_tweak_mul(CONTEXT, result.raw, factor)
            and lib.secp256k1_ec_seckey_tweak_add(CONTEXT, result.raw, coefficient.raw)
        ):
            return _evaluate_with_zeros(coefficients, x)
    return result


def _evaluate_with_zeros(coefficients: Sequence[SecretScalar], x: int) -> SecretScalar:
    """The same for polynomials where an intermediate value is zero, which libsecp256k1 refuses."""
    result = SecretScalar()
    for coefficient in reversed(coefficients):
        result = result.mul_public(x).add(coefficient)
    return result


@dataclass(frozen=True, slots=True)
class VSSCommitment:
    """Commitments to the coefficients of a polynomial, the constant first.

    Infinity is allowed: otherwise one participant could make the sum of valid commitments invalid.
    """

    points: tuple[Point, ...]

    @classmethod
    def from_bytes(cls, encoded: bytes, t: int) -> VSSCommitment:
        """Parse t points, 33 bytes each.

        Raises:
            MalformedInput: the length is wrong (a polynomial of another degree, say), or a point is invalid.
        """
        if len(encoded) != POINT_BYTES * t:
            raise MalformedInput("commitment", f"does not hold {t} points")
        return cls(tuple(Point.from_bytes_or_infinity(part) for part in split(encoded, POINT_BYTES)))

    @classmethod
    def of(cls, coefficients: Sequence[SecretScalar]) -> VSSCommitment:
        return cls(tuple(c.point() for c in coefficients))

    def to_bytes(self) -> bytes:
        return b"".join(point.to_bytes() for point in self.points)

    @property
    def to_secret(self) -> Point:
        """The commitment to the constant: the public key of the shared secret."""
        return self.points[0]

    def pubshare(self, participant_id: int) -> Point:
        """The public share of one participant."""
        return self._evaluate(participant_id + 1)

    def pubshares(self, n: int) -> tuple[Point, ...]:
        """The public shares of participants 0…n−1, much faster than one by one."""
        try:
            return _evaluate_at_1_to(n, self.points)
        except _InfinityMetError:
            return tuple(self.pubshare(i) for i in range(n))

    def _evaluate(self, x: int) -> Point:
        result = INFINITY
        for point in reversed(self.points):
            result = result * x + point
        return result

    def without_script_path(self) -> tuple[VSSCommitment, int]:
        """This commitment plus a Taproot commitment to no script at all, and the tweak that shares need.

        A participant could otherwise choose its share of the key such that the sum commits to a script of its own
        (BIP-341 recommends this commitment for keys that nobody should spend by script).

        Raises:
            MalformedInput: the key is the point at infinity.
        """
        if self.to_secret.is_infinity:
            raise MalformedInput("commitment", "the threshold key is the point at infinity")
        tweak = int.from_bytes(tagged_hash("TapTweak", self.to_secret.to_xonly()), "big")
        assert tweak < N  # fails with probability 2**-128
        pubtweak = SecretScalar(tweak.to_bytes(32, "big")).point()
        return VSSCommitment((self.to_secret + pubtweak, *self.points[1:])), tweak


def sum_commitments(commitments: Sequence[VSSCommitment]) -> VSSCommitment:
    """The commitment to the sum of polynomials."""
    return VSSCommitment(tuple(point_sum(column) for column in zip(*(c.points for c in commitments), strict=True)))


def split(encoded: bytes, size: int) -> list[bytes]:
    """Cut into parts of `size` bytes."""
    return [encoded[i : i + size] for i in range(0, len(encoded), size)]


class _InfinityMetError(Exception):
    """An intermediate value is infinity, which the fast evaluation cannot hold. Only crafted commitments do that."""


def _sum_raw(raws: list[Any]) -> Any:
    out = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_combine(CONTEXT, out, raws, len(raws)):
        raise _InfinityMetError
    return out


def _add_multiple(base: Any, factor: int, other: Any) -> Any:
    """base + factor * other, for a small factor."""
    if factor <= _REPEAT_LIMIT:
        return _sum_raw([base] + [other] * factor)
    product = ffi.new("secp256k1_pubkey *")
    product[0] = other[0]
    assert lib.secp256k1_ec_pubkey_tweak_mul(CONTEXT, product, factor.to_bytes(32, "big")) == 1
    return _sum_raw([base, product])


def _differences_at_0(points: Sequence[Point]) -> list[Any]:
    """The forward differences of the polynomial at 0: the k-th is `sum over i of (-1)^(k-i) binom(k, i) P(i)`.

    Repeated synthetic division by x, x - 1, x - 2, … turns the coefficients into Newton's; times k! they are the
    differences. Almost all multiplications are by numbers below t.
    """
    table = [point.raw for point in points]
    if any(raw is None for raw in table):
        raise _InfinityMetError
    last = len(table) - 1
    for node in range(1, last):
        for j in range(last - 1, node - 1, -1):
            table[j] = _add_multiple(table[j], node, table[j + 1])
    factorial = 1
    for k in range(2, last + 1):
        factorial = factorial * k % N
        table[k] = (Point(table[k]) * factorial).raw
    return table


def _evaluate_at_1_to(n: int, points: Sequence[Point]) -> tuple[Point, ...]:
    """The values at 1…n by a difference table that moves three places at a time.

    Additions alone: about n * t / 2 sums, where Horner's method takes n * t multiplications and sums.
    """
    table = _differences_at_0(points)
    values: list[Point] = []
    for start in range(0, n + 1, 3):
        # table[k] is the k-th difference at `start`; the values at start, start + 1 and start + 2 follow from it.
        for weights in ((1,), (1, 1), (1, 2, 1)):
            values.append(Point(_weighted(weights, table, 0)))
        reach = min(len(table), n - start)  # later values depend on no higher difference
        table = [_weighted(_STRIDE_WEIGHTS, table, k) for k in range(max(reach, 1))]
    return tuple(values[1 : n + 1])


def _weighted(weights: Sequence[int], table: list[Any], first: int) -> Any:
    """The sum of `weights[i] * table[first + i]`; entries past the end are zero."""
    raws: list[Any] = []
    for weight, raw in zip(weights, table[first : first + len(weights)], strict=False):
        raws += [raw] * weight
    return raws[0] if len(raws) == 1 else _sum_raw(raws)


def verify_secshare(secshare: SecretScalar, pubshare: Point) -> bool:
    """Whether a secret share belongs to a public share."""
    return secshare.point() == pubshare
