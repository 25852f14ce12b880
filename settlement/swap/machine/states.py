"""The state of one side: what was agreed, what it has decided for good, and its view of both chains.

Decisions are stored in the same transaction as the orders that follow from them, and are never taken back; facts are
replaced by newer ones. What to do next is worked out from both alone (`initiator`, `follower`), so a crash, a repeat or
a reorganisation leaves nothing half done. No state holds a key, a secret nonce, or the initiator's secret.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.swap.machine.changes import BlockTimes, Wish
from settlement.swap.machine.facts import Lock, Output
from settlement.swap.planning.gates import Gates
from settlement.swap.terms import Role, SwapTerms

STATE_VERSION: Final = 1
MAX_ROUNDS: Final = 16
"""Point mode: how often the two begin anew before they give up."""
MAX_RUNGS: Final = 8
"""Point mode: pre-signed claims in a round, each at another fee."""


class Why(StrEnum):
    """Why a side will not trade any more."""

    OWNER = "its owner ended it"
    PEER = "the other side ended it"
    LATE = "too little time was left"
    WRONG_LOCK = "the lock is not the one that was agreed"
    RETURNED = "the lock has gone back"
    FAILED = "an order could not be carried out"


class Outcome(StrEnum):
    """How a swap has ended for a side."""

    NOTHING_MOVED = "nothing moved"
    SWAPPED = "swapped"
    RETURNED = "its money came back"
    WINDFALL = "it got the other's money, and its own came back"
    LOST = "its money is gone"


class Order(Struct, frozen=True):
    """An order that was given. Fields: at (when last, ms); times (how often)."""

    at: UnixMs
    times: int


class _Side(Struct, frozen=True, kw_only=True):
    """What both sides keep.

    Fields: terms_bytes (canonical); gates; began_at (ms); recovered (rebuilt from the chains: what it decided before is
    unknown, so it signs nothing that a decision could contradict); peer_agreed; times (None until blocks were seen);
    locks, outputs (newest facts); wish (the owner's last word); round (point mode's); orders (given, by key);
    failures (what could not be done, by key); outcome (None while something is left to do); wake_at (ms: when it wants
    a `Tick` if no other change comes; 0: never).
    """

    terms_bytes: bytes
    gates: Gates
    began_at: UnixMs
    recovered: bool = False
    peer_agreed: bool = False
    times: BlockTimes | None = None
    locks: tuple[Lock, ...] = ()
    outputs: tuple[Output, ...] = ()
    wish: Wish | None = None
    round: int = 0
    orders: dict[str, Order] = {}  # noqa: RUF012 # msgspec copies it, and nobody writes into it
    failures: dict[str, str] = {}  # noqa: RUF012 # as above
    outcome: Outcome | None = None
    wake_at: UnixMs = UnixMs(0)

    @property
    def terms(self) -> SwapTerms:
        """What was agreed."""
        return _decoded(self.terms_bytes)

    @property
    def own_lock(self) -> Lock | None:
        """The lock under the terms' id, as it was last seen, whatever it says besides."""
        for lock in self.locks:
            if lock.view.lock_id == self.terms.evm.lock_id:
                return lock
        return None

    def seconds(self, now: UnixMs) -> int:
        """The time that gates are compared with: the latest that the own clock or a chain tells."""
        wall = now // 1000
        return wall if self.times is None else max(wall, self.times.mtp, self.times.evm_time)


class Initiator(_Side, frozen=True, kw_only=True, tag="initiator"):
    """Gives the EVM asset, gets bitcoin, and holds the secret.

    Decisions: locking (the lock was ordered); revealed_at (ms; it decided to show the secret; 0: it did not); shown
    (the secret may be out: from then on nothing takes that back); target (the output that it claims, 36 bytes); exposed
    (the lock was claimed, so that the secret is public, whatever was decided); quit (it shows no secret any more);
    cosigned (it signed a refund of the follower's).

    From letters: planned (the follower's funding outpoint) and peer_nonces (of `round`), offered_nonces and
    offered_partials (the own part), peer_partials (the follower's), presignatures (complete: it may lock); answer (the
    follower's part of the claim; empty: none); answer_bad; peer_quit; give_back (the follower's signature for the
    lock, 65 bytes).
    """

    locking: bool = False
    revealed_at: UnixMs = UnixMs(0)
    shown: bool = False
    target: bytes = b""
    exposed: bool = False
    quit: Why | None = None
    cosigned: bool = False
    planned: bytes = b""
    peer_nonces: tuple[bytes, ...] = ()
    offered_nonces: tuple[bytes, ...] = ()
    offered_partials: tuple[bytes, ...] = ()
    peer_partials: tuple[bytes, ...] = ()
    presignatures: tuple[bytes, ...] = ()
    answer: bytes = b""
    answer_bad: bool = False
    peer_quit: bool = False
    give_back: bytes = b""

    @property
    def role(self) -> Role:
        return Role.INITIATOR


class Follower(_Side, frozen=True, kw_only=True, tag="follower"):
    """Gives bitcoin, gets the EVM asset.

    Decisions: funding (its payment was ordered); never_fund (it will never order it); given_back (it signed that the
    lock goes back).

    From the chains and from letters: abandoned (its funding can never confirm); secret (32 bytes; empty: unknown);
    peer_quit; give_back_asked; prepared (the outpoint of its funding transaction, point mode), nonces (public, of
    `round`), peer_nonces, peer_partials (the initiator's, of `round`), partials (its own), and presignatures (of every
    round that it signed: each can show the secret); refund_answers (outpoint → the initiator's part; empty: it did not
    hold); claim_request (the initiator's newest call to sign its claim with it, hash mode; empty: none waits).
    """

    funding: bool = False
    never_fund: Why | None = None
    given_back: bool = False
    abandoned: bool = False
    secret: bytes = b""
    peer_quit: bool = False
    give_back_asked: bool = False
    prepared: bytes = b""
    nonces: tuple[bytes, ...] = ()
    peer_nonces: tuple[bytes, ...] = ()
    peer_partials: tuple[bytes, ...] = ()
    partials: tuple[bytes, ...] = ()
    presignatures: tuple[tuple[bytes, ...], ...] = ()
    refund_answers: dict[bytes, bytes] = {}  # noqa: RUF012 # as above
    claim_request: bytes = b""

    @property
    def role(self) -> Role:
        return Role.FOLLOWER


Swap: TypeAlias = Initiator | Follower


def new_swap(role: Role, terms: SwapTerms, gates: Gates, now: UnixMs, *, recovered: bool = False) -> Swap:
    """A side's state when the terms are complete and it has checked them (`planning.check`).

    `recovered`: rebuilt from a mnemonic and the chains. Such a follower never funds and such an initiator never locks
    or signs a refund, since it may have decided otherwise before; nor does an initiator show its secret before its
    owner says so. Whatever it may still claim or take back, it does.
    """
    if role is Role.INITIATOR:
        return Initiator(terms_bytes=terms.encoded, gates=gates, began_at=now, recovered=recovered, locking=recovered)
    return Follower(terms_bytes=terms.encoded, gates=gates, began_at=now, recovered=recovered, funding=recovered)


class _Stored(Struct, frozen=True, array_like=True):
    version: int
    state: Swap


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)


def encode_state(state: Swap) -> bytes:
    """A state as a database keeps it."""
    return _encoder.encode(_Stored(STATE_VERSION, state))


def decode_state(data: bytes) -> Swap:
    """The inverse of `encode_state`.

    Raises:
        BadInput: it is of another version, or no state.
    """
    try:
        stored = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BadInput("swap.state", "cannot be read", "restore it from a rescue file or the mnemonic") from error
    if stored.version != STATE_VERSION:
        raise BadInput("swap.state", f"is of version {stored.version}", f"version {STATE_VERSION}")
    return stored.state


@lru_cache(maxsize=4096)
def _decoded(data: bytes) -> SwapTerms:
    return SwapTerms.decode(data)
