"""What the store gives out: swaps, offers, orders and what belongs to them, as the database has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from foundation.errors import Fatal
from foundation.quantities import Satoshi, UnixMs
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Swap
from settlement.swap.offers import SignedOffer
from settlement.swap.terms import Role

BITCOIN_CURSOR: Final = "watch/bitcoin"
EVM_CURSOR: Final = "watch/evm"
"""Where the watches of both chains stand: their cursors' names."""


class OtherWallet(Fatal):
    """The database belongs to another mnemonic, or to the same one's swaps elsewhere."""

    def __init__(self) -> None:
        super().__init__(
            "the folder's database belongs to another mnemonic, or to other chains or another Escrow than swap.toml "
            "names; use another folder"
        )


class OfferState(StrEnum):
    """What has become of an own offer."""

    OPEN = "open"
    SERVED = "served"
    """Open as long as the maker works that made it by itself: it alone knows the limits and the price of now."""
    TAKEN = "taken"
    WITHDRAWN = "withdrawn"

    @property
    def is_open(self) -> bool:
        """Whether it may be taken."""
        return self in (OfferState.OPEN, OfferState.SERVED)


@dataclass(frozen=True, slots=True)
class OwnOffer:
    """An offer of this trader's. Fields: index (of its keys); board (URL where it is published; empty: on none)."""

    index: int
    signed: SignedOffer
    state: OfferState
    board: str
    made_at: UnixMs

    @property
    def offer_id(self) -> bytes:
        """32 bytes."""
        return self.signed.offer.offer_id


class TakingState(StrEnum):
    """How far an offer was taken."""

    ASKED = "asked"
    REFUSED = "refused"
    GIVEN_UP = "given up"
    """By this trader, before the maker has answered: nothing comes of it unless the offer is taken again."""
    AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class Taking:
    """Somebody's offer that this trader takes.

    Fields: index (of its keys); signed; state; problem (why it was refused, or given up); swap_id (32 bytes once terms
    are complete; else None); made_at.
    """

    index: int
    signed: SignedOffer
    state: TakingState
    problem: str
    swap_id: bytes | None
    made_at: UnixMs

    @property
    def offer_id(self) -> bytes:
        """32 bytes."""
        return self.signed.offer.offer_id


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side. Fields: identity (x-only key that signs its letters; empty: unknown, after a recovery); letters
    (X25519 key); place (URL of the mailboxes where both read)."""

    identity: bytes
    letters: bytes
    place: str

    @property
    def is_known(self) -> bool:
        """Whether letters can be sent."""
        return bool(self.identity)


@dataclass(frozen=True, slots=True)
class SwapRow:
    """A swap as the database has it.

    Fields: swap_id; index (of its keys); is_maker; offer (the link; empty after a recovery); peer; peer_signature (over
    the swap's id, 64 bytes; empty: not yet); state; version (how often it has changed); created_at, updated_at.
    """

    swap_id: bytes
    index: int
    is_maker: bool
    offer: str
    peer: Peer
    peer_signature: bytes
    state: Swap
    version: int
    created_at: UnixMs
    updated_at: UnixMs

    @property
    def role(self) -> Role:
        """This side's."""
        return self.state.role

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.state.outcome is None


@dataclass(frozen=True, slots=True)
class DueOrder:
    """An order to carry out. Fields: number (of this giving); attempts (that failed for now); problem (of the last)."""

    swap_id: bytes
    key: str
    effect: Effect
    number: int
    due_at: UnixMs
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A bitcoin transaction that was signed for an order. Fields: txid (32 bytes, internal order); raw; fee."""

    swap_id: bytes
    key: str
    attempt: int
    txid: bytes
    raw: bytes
    fee: Satoshi
    made_at: UnixMs


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a swap's history."""

    at: UnixMs
    note: str
