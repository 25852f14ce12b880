"""How the owner of a mailbox, or of a published offer, shows that it is the owner.

A signature over what is asked, where and when. The place is the authority (host and port) that the client talks to, so
that a board cannot use at another one what it was shown; the time keeps an old proof from serving for ever.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from coincurve import PrivateKey, PublicKeyXOnly

from foundation.errors import BadInput
from settlement.quantities import tagged_hash

SCHEME: Final = "Causeway-Owner"
SKEW_SECONDS: Final = 600
"""Clocks may differ by ten minutes. What an old proof opens is sealed, and what it removes was read."""


class Right(StrEnum):
    """What an owner may do."""

    READ = "read"
    FORGET = "forget"
    WITHDRAW = "withdraw"


def show(secret: bytes, right: Right, authority: str, subject: bytes, number: int, now: int) -> str:
    """The `Authorization` header of a request.

    Args:
        secret: the owner's, 32 bytes.
        right: what is asked.
        authority: `host:port` as in the URL.
        subject: the mailbox's address, or the offer's id, 32 bytes.
        number: after, or through, which letter; 0 for an offer.
        now: seconds since 1970.
    """
    signature = PrivateKey(secret).sign_schnorr(_digest(right, authority, subject, number, now))
    return f"{SCHEME} {now}.{signature.hex()}"


def holds(
    header: str, owner: bytes, right: Right, authorities: frozenset[str], subject: bytes, number: int, now: int
) -> bool:
    """Whether a header shows that `owner` (x-only key) asks this here (at one of `authorities`) and now."""
    scheme, _, shown = header.partition(" ")
    at, _, signature = shown.partition(".")
    if scheme != SCHEME or not at.isascii() or not at.isdigit() or len(at) > 12 or len(signature) != 128:
        return False
    if abs(int(at) - now) > SKEW_SECONDS:
        return False
    try:
        raw, key = bytes.fromhex(signature), PublicKeyXOnly(owner)
    except ValueError:
        return False
    return any(key.verify(raw, _digest(right, place, subject, number, int(at))) for place in authorities)


def check_address(text: str, field: str = "mailbox") -> bytes:
    """A mailbox's address: the x-only key of its owner, 64 hexadecimal digits. Raises `BadInput`."""
    try:
        address = bytes.fromhex(text)
        PublicKeyXOnly(address)
    except ValueError as error:
        raise BadInput(field, f"{text[:80]!r} is no key", "64 hexadecimal digits of an x-only key") from error
    return address


def _digest(right: Right, authority: str, subject: bytes, number: int, at: int) -> bytes:
    numbers = number.to_bytes(8, "big") + at.to_bytes(8, "big")
    return tagged_hash("swap/owner", right.encode(), authority.lower().encode(), subject, numbers)
