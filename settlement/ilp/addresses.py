"""ILP addresses: how they are written, and which lie below which. Source: RFC 15 (draft 4)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NewType

from foundation.errors import BadInput

Address = NewType("Address", str)
"""An ILP address: an allocation scheme and at least one segment, at most 1,023 characters, case-sensitive."""

Prefix = NewType("Prefix", str)
"""What a route covers: empty (everything), a scheme, or an address. Never ends in a dot."""

SCHEMES: Final = ("g", "private", "example", "peer", "self", "test", "test1", "test2", "test3", "local")
MAX_CHARACTERS: Final = 1023

_SEGMENTS = r"(?:\.[a-zA-Z0-9_~-]+)"
_SCHEME = r"(?:g|private|example|peer|self|test[1-3]?|local)"
_ADDRESS = re.compile(f"{_SCHEME}{_SEGMENTS}+", re.ASCII)
_PREFIX = re.compile(f"(?:{_SCHEME}{_SEGMENTS}*)?", re.ASCII)
_TAIL = re.compile(r"[a-zA-Z0-9_~-]+(?:\.[a-zA-Z0-9_~-]+)*", re.ASCII)
_CURE = "such as g.bank.alice"


def is_address(text: str) -> bool:
    """Whether `text` is an address as RFC 15 writes one."""
    return len(text) <= MAX_CHARACTERS and _ADDRESS.fullmatch(text) is not None


def parse_address(text: str, field: str = "address") -> Address:
    """`text` as an address.

    Raises:
        BadInput: no known scheme, no segment after it, a character that is not allowed, or too long.
    """
    if not is_address(text):
        raise BadInput(field, f"{text[:80]!r} is no ILP address", _CURE)
    return Address(text)


def parse_prefix(text: str, field: str = "prefix") -> Prefix:
    """`text` as a route's prefix: an address, a scheme alone, or nothing. One dot at the end is dropped.

    Raises:
        BadInput: as `parse_address`.
    """
    bare = text.removesuffix(".")
    if len(bare) > MAX_CHARACTERS or (text and not bare) or not _PREFIX.fullmatch(bare):
        raise BadInput(field, f"{text[:80]!r} is no prefix of ILP addresses", "such as g.bank, or empty for all")
    return Prefix(bare)


@lru_cache(maxsize=4096)
def address_of(raw: bytes) -> Address | None:
    """The address that a packet's bytes spell, or None. Remembered, because a connector sees the same ones again."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    return Address(text) if is_address(text) else None


def scheme_of(address: str) -> str:
    """The allocation scheme: the first segment."""
    return address.partition(".")[0]


def covers(prefix: str, address: str) -> bool:
    """Whether `address` lies at or below `prefix`, by whole segments: `g.a` covers `g.a.b`, not `g.ab`."""
    return not prefix or address == prefix or address.startswith(prefix + ".")


def child_of(parent: Address, *segments: str) -> Address:
    """The address below `parent` with these segments added.

    Raises:
        BadInput: a segment is empty or holds a character that is not allowed, or the whole is too long.
    """
    return parse_address(".".join((parent, *segments)))


def tail_of(parent: Address, address: Address) -> str | None:
    """What follows `parent` in an address below it, without the dot; None where it lies elsewhere or is the same."""
    return address[len(parent) + 1 :] if address.startswith(parent + ".") else None


def is_tail(text: str) -> bool:
    """Whether `text` may follow an address and a dot."""
    return _TAIL.fullmatch(text) is not None
