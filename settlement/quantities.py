"""What every part of the gateway counts and hashes with. Amounts are integers in an asset's base units, no floats."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType, TypeAlias

from foundation.errors import BadInput
from foundation.quantities import UnixMs

Units = NewType("Units", int)
"""Base units of an asset, 0 to 2^64−1, as an ILP packet carries them (RFC 27)."""

Scale = NewType("Scale", int)
"""Decimal places between an asset's unit and its base unit, 0 to 255 (RFC 27, RFC 31): cents have scale 2."""

PartyId = NewType("PartyId", str)
"""A party's short name in this gateway's configuration: 1 to 32 of `a-z`, `0-9` and `-`."""

Condition = NewType("Condition", bytes)
"""SHA-256 of a preimage, 32 bytes: money held under it leaves by the preimage or by the time-out."""

Preimage = NewType("Preimage", bytes)
"""32 bytes that hash to a condition. A secret until the payee fulfils."""

Clock: TypeAlias = Callable[[], UnixMs]
"""Tells the time at the shell; cores take `now` as an argument."""

MAX_UNITS = 2**64 - 1
HASH_BYTES = 32

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,255}))?", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9._-]{1,20}", re.ASCII)
_PARTY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asset:
    """What an account is denominated in.

    Fields: code (1 to 20 characters, an ISO 4217 code where there is one); scale (decimal places of a base unit).

    Raises:
        BadInput: the code or the scale is none.
    """

    code: str
    scale: Scale

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise BadInput("asset.code", f"{self.code!r} is no asset code", "1 to 20 letters, digits, dots or dashes")
        if not 0 <= self.scale <= 255:
            raise BadInput("asset.scale", f"{self.scale} is not between 0 and 255", "EUR in cents has scale 2")

    def units(self, text: str, field: str = "amount") -> Units:
        """Base units of a decimal number such as `10.00`; exact, never rounded.

        Raises:
            BadInput: no plain decimal number, negative, finer than the scale, or above 2^64−1 base units.
        """
        match = _AMOUNT.fullmatch(text)
        if match is None:
            raise BadInput(field, f"{text[:80]!r} is no amount", "write digits with a decimal point, such as 10.00")
        whole, fraction = match.group(1), match.group(2) or ""
        if len(fraction.rstrip("0")) > self.scale:
            raise BadInput(field, f"{text[:80]} is finer than {self.code}'s {self.scale} decimals", "round it")
        units = int(whole) * 10**self.scale + int(fraction.rstrip("0").ljust(self.scale, "0") or "0")
        if units > MAX_UNITS:
            raise BadInput(field, f"{text[:80]} {self.code} is more than a packet can carry", "split the payment")
        return Units(units)

    def text(self, units: int) -> str:
        """The decimal number of `units`, with all the scale's decimals; a balance may be negative."""
        sign, magnitude = ("-", -units) if units < 0 else ("", units)
        if self.scale == 0:
            return f"{sign}{magnitude}"
        whole, fraction = divmod(magnitude, 10**self.scale)
        return f"{sign}{whole}.{fraction:0{self.scale}d}"


def units(value: int, field: str = "amount") -> Units:
    """`value` as an amount that a packet can carry.

    Raises:
        BadInput: negative, or above 2^64−1.
    """
    if not 0 <= value <= MAX_UNITS:
        raise BadInput(field, f"{value} is not between 0 and 2^64−1", "amounts are whole base units")
    return Units(value)


def party_id(text: str, field: str = "party") -> PartyId:
    """`text` as a party's name.

    Raises:
        BadInput: not 1 to 32 of `a-z`, `0-9` and inner dashes.
    """
    if not _PARTY.fullmatch(text):
        raise BadInput(field, f"{text[:80]!r} is no party's name", "1 to 32 of a-z, 0-9 and inner dashes")
    return PartyId(text)


def condition_of(preimage: Preimage) -> Condition:
    """SHA-256 of the preimage."""
    return Condition(hashlib.sha256(preimage).digest())


def fulfils(preimage: bytes, condition: Condition) -> bool:
    """Whether `preimage` has 32 bytes and hashes to `condition`."""
    return len(preimage) == HASH_BYTES and hmac.compare_digest(hashlib.sha256(preimage).digest(), condition)


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """SHA-256, 32 bytes, of the parts under a domain: no two tags, and no two ways to split the parts, collide."""
    pieces = [_domain(tag)]
    for part in parts:
        pieces += (len(part).to_bytes(8, "big"), part)
    return hashlib.sha256(b"".join(pieces)).digest()


@lru_cache(maxsize=256)
def _domain(tag: str) -> bytes:
    """How the text begins that is hashed under a tag."""
    name = f"causeway/settlement/{tag}".encode()
    return len(name).to_bytes(8, "big") + name
