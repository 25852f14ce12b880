"""Points of signatures, remembered: to find out that 96 bytes are one costs a fifth of a signature.

A part is met when it comes, when it is joined, and when the sum is verified. What this process has made itself, a
signature of its own or a sum of points that were checked, is a point of the subgroup, and is not checked at all.
"""

from __future__ import annotations

from typing import Final

from chia_rs import G2Element

from settlement.cosign.errors import MalformedSignature

_POINTS_MAX: Final = 8_192
_points: dict[bytes, G2Element] = {}


def signature_point(signature: bytes) -> G2Element:
    """The point of 96 bytes.

    Raises:
        MalformedSignature: they are no point of the subgroup.
    """
    found = _points.get(signature)
    if found is None:
        try:
            found = G2Element.from_bytes(signature)
        except ValueError as error:
            raise MalformedSignature("signature", "it is no point of the group", "96 bytes, compressed") from error
        _remember(signature, found)
    return found


def signature_of(point: G2Element) -> bytes:
    """The 96 bytes of a point that was made here: by signing, or as a sum of what `signature_point` gave."""
    signature = bytes(point)
    _remember(signature, point)
    return signature


def _remember(signature: bytes, point: G2Element) -> None:
    if len(_points) >= _POINTS_MAX:
        _points.clear()
    _points[signature] = point
