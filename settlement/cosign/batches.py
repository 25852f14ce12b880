"""Many signatures verified at once, and the bad ones found.

Each signature i is multiplied by a random r_i of 64 bits before all are summed, so that nobody can make bad ones that
cancel each other (they pass with a probability of 2^-64; Bellare, Garay, Rabin 1998). With P_i the sum of the keys and
H_i the hashed message of i, it is checked that

    e(G, Σ r_i·S_i) = Π over each different P of e(P, Σ r_i·H_i, of all i whose P_i is P)

Payments between the same parties have the same P, so the pairings are as many as there are circles, plus one. If the
equation does not hold, the halves are tried, down to the bad ones.

One signature may stand on many things, such as the quotes of one letter. It is verified once: whether a signature is
good depends on its 96 bytes, the keys and the message alone, and those that were good are remembered.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chia_rs import AugSchemeMPL, G1Element, G2Element, GTElement

from foundation.errors import Fatal
from settlement.cosign.cosignatures import GENERATOR, CoSignature, check_signers
from settlement.cosign.errors import BadBatch
from settlement.cosign.points import signature_point
from settlement.cosign.statements import Statement

_COEFFICIENT_BITS: Final = 64
_WINDOW_BITS: Final = 4
_GOOD_MAX: Final = 4_096
_good: dict[tuple[bytes, bytes], None] = {}
"""Messages, with the keys in them, and signatures."""

_ALONE: Final = 2
"""Up to so many signatures are verified one by one: a pairing on its own costs more than half of a verification."""


@dataclass(frozen=True, slots=True)
class _Weighted:
    place: int
    statement: Statement
    coefficient: int
    hashed: G2Element
    signature: G2Element


def verify_batch(items: Sequence[tuple[Statement, CoSignature]]) -> None:
    """Verify that each statement is signed by all of its circle, for a fraction of what `verify` costs for each.

    Raises:
        BadBatch: names the places of those that are not; all others are.
    """
    bad: list[int] = []
    places: dict[tuple[bytes, bytes], list[int]] = {}
    for place, (statement, signature) in enumerate(items):
        try:
            check_signers(statement, signature)
            signature_point(signature.signature)
        except Fatal:
            bad.append(place)
            continue
        places.setdefault((statement.message, signature.signature), []).append(place)
    unknown = [(items[of[0]][0], items[of[0]][1], of) for one, of in places.items() if one not in _good]
    weighted = [_weighted(of[0], statement, signature) for statement, signature, of in unknown]
    wrong = set(_bad_places(weighted))
    for statement, signature, of in unknown:
        if of[0] in wrong:
            bad.extend(of)
        else:
            _remember(statement.message, signature.signature)
    if bad:
        raise BadBatch(sorted(bad))


def _weighted(place: int, statement: Statement, signature: CoSignature) -> _Weighted:
    hashed, point = AugSchemeMPL.g2_from_message(statement.message), signature_point(signature.signature)
    return _Weighted(place, statement, secrets.randbits(_COEFFICIENT_BITS) or 1, hashed, point)


def _remember(message: bytes, signature: bytes) -> None:
    if len(_good) >= _GOOD_MAX:
        _good.clear()
    _good[message, signature] = None


def _bad_places(items: Sequence[_Weighted]) -> list[int]:
    if len(items) <= _ALONE:
        return [item.place for item in items if not _verifies(item)]
    if _hold_together(items):
        return []
    half = len(items) // 2
    return _bad_places(items[:half]) + _bad_places(items[half:])


def _verifies(item: _Weighted) -> bool:
    return AugSchemeMPL.verify(item.statement.circle.sum, item.statement.digest, item.signature)


def _hold_together(items: Sequence[_Weighted]) -> bool:
    circles: dict[bytes, tuple[G1Element, list[_Weighted]]] = {}
    for item in items:
        circles.setdefault(item.statement.circle.sum_bytes, (item.statement.circle.sum, []))[1].append(item)
    pairings = [
        key.pair(_weighted_sum([(item.coefficient, item.hashed) for item in of_circle]))
        for key, of_circle in circles.values()
    ]
    product: GTElement = pairings[0]
    for pairing in pairings[1:]:
        product = product * pairing
    return product == GENERATOR.pair(_weighted_sum([(item.coefficient, item.signature) for item in items]))


def _weighted_sum(terms: Sequence[tuple[int, G2Element]]) -> G2Element:
    """Σ r·S, by Pippenger's buckets: the library adds points and does not multiply them by numbers."""
    total = G2Element()
    for shift in range(_COEFFICIENT_BITS - _WINDOW_BITS, -1, -_WINDOW_BITS):
        for _ in range(_WINDOW_BITS):
            total = total + total
        buckets: dict[int, G2Element] = {}
        for coefficient, point in terms:
            digit = coefficient >> shift & (1 << _WINDOW_BITS) - 1
            if digit:
                buckets[digit] = buckets[digit] + point if digit in buckets else point
        running, window = G2Element(), G2Element()
        for digit in range((1 << _WINDOW_BITS) - 1, 0, -1):
            if digit in buckets:
                running = running + buckets[digit]
            window = window + running
        total = total + window
    return total
