"""What is signed, and by whom: a kind, a text, and the circle of those who sign it together.

A statement's digest covers its kind (so that no signature on a quote serves as one on a receipt) and the circle (so
that nobody is added to, or dropped from, those who signed). What is hashed to the curve is P ‖ digest, where P is the
sum of the circle's keys: this is the message augmentation of the BLS signature draft (draft-irtf-cfrg-bls-signature,
3.2) applied to the sum, so that all sign one point, and one verification of two pairings serves any number of signers.
Sums of keys are safe only because each key has proved possession (Ristenpart, Yilek 2007; draft, 3.3): see `registry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final, NewType

from chia_rs import G1Element

from settlement.cosign.errors import BadKey, NotACircle
from settlement.quantities import PartyId, tagged_hash

PublicKey = NewType("PublicKey", bytes)
"""A compressed point of G1, 48 bytes, in the subgroup and not at infinity."""

KeyId = NewType("KeyId", bytes)
"""The first 16 bytes of a public key's tagged hash."""

PUBLIC_KEY_BYTES: Final = 48
KEY_ID_BYTES: Final = 16
_INFINITY: Final = G1Element()


class Kind(StrEnum):
    """What a signature says. A kind's name is part of what is hashed, and never changes."""

    QUOTE = "quote"
    INSTRUCTION = "instruction"
    ACCEPTANCE = "acceptance"
    RECEIPT = "receipt"
    ANCHOR = "anchor"
    CHANNEL_UPDATE = "channel-update"
    ENVELOPE = "envelope"
    POSSESSION = "proof-of-possession"


@lru_cache(maxsize=4096)
def key_id(key: PublicKey) -> KeyId:
    """The key's short name, 16 bytes."""
    return KeyId(tagged_hash("cosign/key", key)[:KEY_ID_BYTES])


def point_of(key: bytes) -> G1Element:
    """The point of a public key.

    Raises:
        BadKey: not 48 bytes, no point, not in the subgroup, or the point at infinity.
    """
    if len(key) != PUBLIC_KEY_BYTES:
        raise BadKey("public_key", f"it has {len(key)} bytes", "48 bytes, compressed")
    try:
        point = G1Element.from_bytes(key)
    except ValueError as error:
        raise BadKey("public_key", "it is no point of the group", "48 bytes, compressed") from error
    if point == _INFINITY:
        raise BadKey("public_key", "it is the point at infinity", "everybody could sign for it")
    return point


@dataclass(frozen=True, slots=True)
class Member:
    """One who signs: a party, and the key it signs with."""

    party: PartyId
    key: PublicKey
    point: G1Element = field(repr=False, compare=False)

    @classmethod
    def of(cls, party: PartyId, key: bytes) -> Member:
        """A member by the bytes of its key.

        Raises:
            BadKey: they are no public key.
        """
        return cls(party, PublicKey(key), point_of(key))


@dataclass(frozen=True)  # no slots: the sum is kept
class Circle:
    """Those who sign one text together, in the order of their names. Make one by `circle`."""

    members: tuple[Member, ...]

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Their names, ascending."""
        return tuple(member.party for member in self.members)

    def member(self, party: PartyId) -> Member | None:
        """The member of this name, if it is one."""
        return next((member for member in self.members if member.party == party), None)

    @cached_property
    def sum(self) -> G1Element:
        """The sum of all keys."""
        total = self.members[0].point
        for member in self.members[1:]:
            total = total + member.point
        return total

    @cached_property
    def sum_bytes(self) -> bytes:
        """The sum of all keys, 48 bytes."""
        return bytes(self.sum)


def circle(members: Sequence[Member]) -> Circle:
    """The circle of these members, in any order.

    Raises:
        NotACircle: there are none, a party or a key is there twice, or the keys sum up to nothing.
    """
    return _circle(tuple(sorted(members, key=lambda member: member.party)))


@lru_cache(maxsize=1024)
def _circle(members: tuple[Member, ...]) -> Circle:
    """The same banks pay each other again and again: their sum is kept."""
    if not members:
        raise NotACircle("signers", "there are none", "name at least one party")
    if len({member.party for member in members}) != len(members):
        raise NotACircle("signers", "a party is named twice", "name each once")
    if len({member.key for member in members}) != len(members):
        raise NotACircle("signers", "two parties have one key", "each party has keys of its own")
    made = Circle(members)
    if made.sum == _INFINITY:
        raise NotACircle("signers", "their keys cancel each other", "everybody could sign for them")
    return made


@dataclass(frozen=True)  # no slots: the digest is kept
class Statement:
    """A text of a kind, to be signed by all of a circle."""

    kind: Kind
    text: bytes
    circle: Circle

    @cached_property
    def digest(self) -> bytes:
        """32 bytes: what each of the circle signs, after the sum of the keys."""
        signers = (part for member in self.circle.members for part in (member.party.encode(), member.key))
        return tagged_hash(f"cosign/{self.kind}", self.text, *signers)

    @property
    def message(self) -> bytes:
        """What is hashed to the curve: the sum of the keys (48 bytes) and the digest (32)."""
        return self.circle.sum_bytes + self.digest
