"""Entries of the journal: lines that sum to zero per currency. Pure; what is posted is never changed, only reversed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NewType

import msgspec

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.errors import Unbalanced
from settlement.quantities import MAX_UNITS, Asset, tagged_hash

EntryId = NewType("EntryId", bytes)
"""32 bytes, chosen by who posts: the same entry under the same id is posted once."""

FIRST_LINK: Final = bytes(32)
"""What the first entry, and the first receipt, name as the one before."""

EVENT_CHARACTERS_MAX: Final = 24
NARRATIVE_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Line:
    """A debit (positive) or a credit (negative) of an account. Fields: account; change (base units, not zero)."""

    account: Account
    change: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened, as it is to be posted.

    Fields: entry_id; event (what kind of thing happened: `hold`, `paid`, …); lines (at least two, at most one of an
    account); payment_id (32 bytes; None: of no payment); narrative (for people; stored sealed, not shown); reverses
    (the number of the entry that this one takes back).

    Raises:
        BadInput: an id, an event or an amount is none, or a line is missing or there twice.
        Unbalanced: the lines of one asset do not sum to zero.
    """

    entry_id: EntryId
    event: str
    lines: tuple[Line, ...]
    payment_id: bytes | None = None
    narrative: str = field(default="", repr=False)
    reverses: int | None = None

    def __post_init__(self) -> None:
        if len(self.entry_id) != 32 or (self.payment_id is not None and len(self.payment_id) != 32):
            raise BadInput("entry.id", "an id has not 32 bytes", "32 bytes")
        if not 1 <= len(self.event) <= EVENT_CHARACTERS_MAX:
            raise BadInput("entry.event", f"{len(self.event)} characters", f"1 to {EVENT_CHARACTERS_MAX}")
        if len(self.narrative) > NARRATIVE_CHARACTERS_MAX:
            raise BadInput("entry.narrative", "too long", f"at most {NARRATIVE_CHARACTERS_MAX} characters")
        if len(self.lines) < 2 or len({line.account.name for line in self.lines}) != len(self.lines):
            raise BadInput("entry.lines", "fewer than two, or two of one account", "one line for each account")
        sums: defaultdict[Asset, int] = defaultdict(int)
        for line in self.lines:
            if line.change == 0 or abs(line.change) > MAX_UNITS:
                raise BadInput("entry.lines.change", f"{line.change}", "1 to 2^64−1 base units, either way")
            sums[line.account.asset] += line.change
        for asset, total in sums.items():
            if total:
                raise Unbalanced(asset, total)


@dataclass(frozen=True, slots=True)
class Posted:
    """An entry as the journal has it.

    Fields: number (from 1, without gaps); entry; at; digest (of the entry's content, 32 bytes); link (32 bytes: covers
    this entry and all before it); sealed (the narrative as it is stored). `entry.narrative` is empty for a reader
    without the key.
    """

    number: int
    entry: Entry
    at: UnixMs
    digest: bytes
    link: bytes
    sealed: bytes = field(default=b"", repr=False)


def entry_digest(entry: Entry, sealed: bytes) -> bytes:
    """32 bytes over all of an entry; of the narrative its sealed form, so that no guess at it can be confirmed."""
    lines = [(line.account.name, line.account.asset.code, line.account.asset.scale, str(line.change)) for line in
             entry.lines]  # fmt: skip
    content = (entry.entry_id, entry.event, entry.payment_id, entry.reverses, lines, sealed)
    return tagged_hash("books/entry", msgspec.msgpack.encode(content))


def entry_link(previous: bytes, number: int, at: UnixMs, digest: bytes) -> bytes:
    """32 bytes that change if any entry up to this one is changed, left out, or put elsewhere."""
    return tagged_hash("books/entry-link", previous, number.to_bytes(8, "big"), at.to_bytes(8, "big"), digest)


def reversal(posted: Posted, narrative: str = "") -> Entry:
    """The entry that takes `posted` back: the same lines the other way round. Each entry has one at most."""
    entry = posted.entry
    return Entry(
        entry_id=EntryId(tagged_hash("books/reversal", entry.entry_id)),
        event="reversal",
        lines=tuple(Line(line.account, -line.change) for line in entry.lines),
        payment_id=entry.payment_id,
        narrative=narrative,
        reverses=posted.number,
    )
