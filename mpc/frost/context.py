"""Who signs: the signer set and the key material of the group, checked against the threshold key (BIP-445)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

from mpc.curve import N, Point, inverse_all, multi_mul, tagged_hash
from mpc.errors import MalformedInput

MAX_IDENTIFIERS: Final = 2**32
"""Identifiers are serialised in 4 bytes."""


def lagrange_coefficients(ids: Sequence[int], at: int = 0) -> tuple[int, ...]:
    """The coefficient of each identifier for the interpolation at `x = at` (0 is the secret), modulo the group order.

    Participant `id` holds the value at `x = id + 1`. One inversion serves all of them.

    Raises:
        MalformedInput: an identifier is out of range or doubled.
    """
    if any(not 0 <= i < MAX_IDENTIFIERS for i in ids):
        raise MalformedInput("ids", "an identifier is out of range")
    if len(set(ids)) != len(ids):
        raise MalformedInput("ids", "an identifier is doubled")
    if at - 1 in ids:
        return tuple(int(i == at - 1) for i in ids)
    positions = [i + 1 for i in ids]
    # l_i(at) = prod_{j != i} (at - x_j) / (x_i - x_j); the numerators share the product over all j.
    denominators = [(at - x) * prod(x - y for y in positions if y != x) % N for x in positions]
    numerator = prod(at - x for x in positions) % N
    return tuple(numerator * inverse % N for inverse in inverse_all(denominators))


@dataclass(frozen=True, slots=True)
class SignersContext:
    """A signer set of u signers, t <= u <= n, and the key material that they sign with. Valid once it exists.

    Attributes:
        n: participants of the group; t: the threshold, 1 <= t <= n.
        ids: the signers' identifiers, 0…n−1, none twice, in any order.
        pubshares: their public shares (33 bytes each), in the order of `ids`.
        thresh_pk: the untweaked threshold public key (33 bytes).

    Raises:
        MalformedInput: a count or an identifier is out of range, an identifier is doubled, a public share is not a
            point, or the shares do not interpolate to the threshold key (they mix epochs or groups, for instance).
    """

    n: int
    t: int
    ids: Sequence[int]
    pubshares: Sequence[bytes]
    thresh_pk: bytes
    points: tuple[Point, ...] = field(init=False, repr=False, compare=False)
    coefficients: tuple[int, ...] = field(init=False, repr=False, compare=False)
    thresh_point: Point = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids, pubshares = tuple(self.ids), tuple(bytes(p) for p in self.pubshares)
        if not 1 <= self.t <= self.n < MAX_IDENTIFIERS:
            raise MalformedInput("t", f"threshold {self.t} of {self.n} is not possible", "1 <= t <= n")
        if not self.t <= len(ids) <= self.n:
            raise MalformedInput("ids", f"{len(ids)} signers are not between t = {self.t} and n = {self.n}")
        if len(pubshares) != len(ids):
            raise MalformedInput("pubshares", "differs from ids in length")
        points = []
        for position, (i, pubshare) in enumerate(zip(ids, pubshares, strict=True)):
            if not 0 <= i < self.n:
                raise MalformedInput(f"ids[{position}]", f"identifier {i} is out of range 0…{self.n - 1}")
            points.append(_parse_key(pubshare, f"pubshares[{position}]"))
        coefficients = lagrange_coefficients(ids)
        thresh_point = multi_mul(coefficients, points)
        if thresh_point.is_infinity or thresh_point.to_bytes() != self.thresh_pk:
            raise MalformedInput("pubshares", "do not interpolate to the threshold public key")
        for name, value in (
            ("ids", ids),
            ("pubshares", pubshares),
            ("thresh_pk", bytes(self.thresh_pk)),
            ("points", tuple(points)),
            ("coefficients", coefficients),
            ("thresh_point", thresh_point),
        ):
            object.__setattr__(self, name, value)

    def position_of(self, participant_id: int) -> int:
        """Where this signer stands in `ids`.

        Raises:
            MalformedInput: it is not in the signer set.
        """
        try:
            return self.ids.index(participant_id)
        except ValueError:
            raise MalformedInput("my_id", f"participant {participant_id} is not in the signer set") from None


@dataclass(frozen=True, slots=True)
class ThresholdInfo:
    """The public key material of a whole group.

    Attributes:
        t: the threshold.
        thresh_pk: the threshold public key (33 bytes).
        pubshares: n entries, the public share (33 bytes) of participant i at position i, None where it is unknown.
    """

    t: int
    thresh_pk: bytes
    pubshares: Sequence[bytes | None]


def validate_threshold_info(info: ThresholdInfo) -> None:
    """Check that all known public shares lie on one polynomial of degree below t whose constant is the threshold key.

    Raises:
        MalformedInput: t is out of range, fewer than t shares are known, a key is not a point, the shares are not on
            one polynomial, or they do not match the threshold key.
    """
    n = len(info.pubshares)
    if not 1 <= info.t <= n < MAX_IDENTIFIERS:
        raise MalformedInput("t", f"threshold {info.t} of {n} is not possible", "1 <= t <= n")
    thresh_point = _parse_key(info.thresh_pk, "thresh_pk")
    known = {i: _parse_key(p, f"pubshares[{i}]") for i, p in enumerate(info.pubshares) if p is not None}
    if len(known) < info.t:
        raise MalformedInput("pubshares", f"{len(known)} are known, fewer than the threshold {info.t}")
    ids, points = list(known), list(known.values())
    first = slice(0, info.t)
    if multi_mul(lagrange_coefficients(ids[first]), points[first]) != thresh_point:
        raise MalformedInput("pubshares", "do not interpolate to the threshold public key")
    if len(ids) > info.t and not _on_one_polynomial(ids, points, info.t):
        raise MalformedInput("pubshares", "do not lie on one polynomial of degree t - 1")


def _on_one_polynomial(ids: Sequence[int], points: Sequence[Point], t: int) -> bool:
    """Whether the points are values of one polynomial of degree below t; wrong with probability 2**-128 at most.

    The words of the dual Reed-Solomon code are `v_i f(x_i)` with `v_i = 1 / prod_{j != i} (x_i - x_j)` and f of degree
    below m - t; a word of the code is orthogonal to all of them, another to a random one with probability 1/N
    (the test of SCRAPE, Cascudo and David, 2017). f is derived from the input, so that the check is a pure function.
    """
    m = len(ids)
    seed = b"".join(i.to_bytes(4, "big") + p.to_bytes() for i, p in zip(ids, points, strict=True))
    seed = tagged_hash("Causeway/frost/dual code seed", t.to_bytes(4, "big") + seed)
    f = [
        int.from_bytes(tagged_hash("Causeway/frost/dual code", seed + k.to_bytes(4, "big")), "big")
        for k in range(m - t)
    ]
    positions = [i + 1 for i in ids]
    inverses = inverse_all([prod(x - y for y in positions if y != x) % N for x in positions])
    factors = []
    for x, inverse in zip(positions, inverses, strict=True):
        value = 0
        for coefficient in reversed(f):
            value = (value * x + coefficient) % N
        factors.append(value * inverse % N)
    return multi_mul(factors, points).is_infinity


def _parse_key(encoded: bytes, name: str) -> Point:
    try:
        return Point.from_bytes(encoded)
    except MalformedInput as error:
        raise MalformedInput(name, error.problem) from error
