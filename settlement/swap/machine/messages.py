"""What the letters between the two sides say, as the machines read them.

The engine opens a letter, checks who wrote it and for which swap, and hands over what it says. Signatures and nonces
pass through the machines as they are: the engine checks them where it uses them. What both signed in the beginning (the
hash of the terms) is a fact of its own: `changes.PeerAgreed`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

_Outpoint = Annotated[bytes, Meta(min_length=36, max_length=36)]
_Nonce = Annotated[bytes, Meta(min_length=66, max_length=66)]
_Round = Annotated[int, Meta(ge=0, le=255)]
"""What is checked where a letter is opened: who made up something else is not listened to."""


class _Message(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """All messages are immutable and accept nothing that they do not know."""


class RungNonces(_Message, frozen=True):
    """Follower, point mode: its funding transaction is signed. Fields: round (0, 1, …: grows where nonces were lost);
    outpoint (36 bytes: what the funding transaction will make); nonces (66 bytes, one for each fee rung)."""

    round: _Round
    outpoint: _Outpoint
    nonces: tuple[_Nonce, ...]


class RungPartials(_Message, frozen=True):
    """Initiator, point mode: its nonces (66 bytes) and partial signatures (32 bytes) of a round, one for each rung."""

    round: _Round
    nonces: tuple[bytes, ...]
    partials: tuple[bytes, ...]


class RungAnswers(_Message, frozen=True):
    """Follower, point mode: its partial signatures (32 bytes) of a round, one for each rung."""

    round: _Round
    partials: tuple[bytes, ...]


class Secret(_Message, frozen=True):
    """Initiator: the preimage or scalar (32 bytes). `request`: hash mode's call for a signature (its nonce and the
    claim, in the engine's form), or empty."""

    secret: bytes
    request: bytes


class ClaimCosigned(_Message, frozen=True):
    """Follower: its nonce and partial signature for the initiator's claim, in the engine's form."""

    answer: bytes


class RefundAsked(_Message, frozen=True):
    """Follower: a call for a signature that refunds it before T2. Fields: outpoint (36 bytes); request (its nonce and
    the refund, in the engine's form)."""

    outpoint: _Outpoint
    request: bytes


class RefundCosigned(_Message, frozen=True):
    """Initiator: its nonce and partial signature for the follower's refund, in the engine's form."""

    outpoint: _Outpoint
    answer: bytes


class GiveBackAsked(_Message, frozen=True):
    """Initiator: it will not go on, and asks for its lock before T1."""


class GiveBack(_Message, frozen=True):
    """Follower: its signature (EIP-712, 65 bytes) that the lock `lock_id` goes back. It has no money in the swap."""

    lock_id: bytes
    signature: bytes


class Quit(_Message, frozen=True):
    """Either: it will not go on. From the initiator: it has shown no secret and never will. From the follower: it has
    not funded and never will."""


Message: TypeAlias = (
    RungNonces
    | RungPartials
    | RungAnswers
    | Secret
    | ClaimCosigned
    | RefundAsked
    | RefundCosigned
    | GiveBackAsked
    | GiveBack
    | Quit
)
