"""What a watchtower is given for one swap. Whoever has it can do for the trader what it says, and nothing else.

- The follower's: refunds of its bitcoin output to itself, signed at a ladder of fees, each valid only after T2; and in
  a private swap the pre-signatures by which the initiator's claim shows the secret. With the secret anybody may have
  the lock paid out to the follower.
- The initiator's: its claims of the bitcoin, at a ladder of fees, once it has shown the secret; never before, for they
  hold it. After T1 anybody may have the lock returned to the initiator.

It tells the terms of the swap, and where the trader's bitcoin goes to. It holds no key, and no secret that is not out.
A bundle that was made earlier is never harmful: what it holds is invalid by then, or what the trader would do as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from coincurve import PrivateKey, PublicKeyXOnly
from msgspec import Meta, Struct

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput, Fatal
from foundation.unreadable import UNREADABLE
from settlement.quantities import tagged_hash
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.terms import Role, SwapTerms

BUNDLE_BYTES_MAX: Final = 4 << 20
_MAGIC: Final = b"CWTOWER\x01"
_Outpoint = Annotated[bytes, Meta(min_length=36, max_length=36)]
_Raw = Annotated[bytes, Meta(max_length=4_000)]


class BundleDamaged(Fatal):
    """What claims to be a bundle is none, was changed, or would do something else than it says. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the bundle {problem}; make it anew: causeway swap bundle")


class Ladder(Struct, frozen=True, array_like=True):
    """Signed spends of one output, each paying more than the one before. Fields: outpoint (36 bytes); value (satoshi);
    rungs (raw transactions)."""

    outpoint: _Outpoint
    value: int
    rungs: Annotated[tuple[_Raw, ...], Meta(max_length=64)]


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    terms: bytes
    role: Role
    owner: Annotated[bytes, Meta(min_length=32, max_length=32)]
    made_at: int
    refunds: Annotated[tuple[Ladder, ...], Meta(max_length=64)]
    claims: Annotated[tuple[Ladder, ...], Meta(max_length=8)]
    presignatures: Annotated[tuple[bytes, ...], Meta(max_length=64)]


@dataclass(frozen=True, slots=True)
class Bundle:
    """See the module.

    Fields: terms; role (the trader's); owner (x-only key that signed it); made_at (seconds since 1970); refunds (of the
    follower's outputs); claims (of the initiator's target); presignatures (of a private swap's follower, encoded).
    """

    terms: SwapTerms
    role: Role
    owner: bytes
    made_at: int
    refunds: tuple[Ladder, ...]
    claims: tuple[Ladder, ...]
    presignatures: tuple[bytes, ...]

    @property
    def output(self) -> SwapOutput:
        """The swap's Taproot output."""
        return output_of(self.terms)

    @property
    def ladders(self) -> tuple[Ladder, ...]:
        """All signed spends."""
        return (*self.refunds, *self.claims)

    def encode(self, secret: bytes) -> bytes:
        """The file. `secret`: of the owner's identity, 32 bytes. Raises `BadInput`: another's."""
        if PublicKeyXOnly.from_secret(secret).format() != self.owner:
            raise BadInput("secret", "is not the owner's", "the swap's identity")
        content = msgspec.msgpack.encode(
            _Content(
                self.terms.encoded,
                self.role,
                self.owner,
                self.made_at,
                self.refunds,
                self.claims,
                self.presignatures,
            )
        )
        return _MAGIC + PrivateKey(secret).sign_schnorr(_digest(content)) + content

    @classmethod
    def decode(cls, data: bytes) -> Bundle:
        """The bundle in a file, whole and as it was signed.

        Raises:
            BundleDamaged: it is none, was changed, or holds what is no spend of this swap.
        """
        start = len(_MAGIC) + 64
        if len(data) > BUNDLE_BYTES_MAX or not data.startswith(_MAGIC) or len(data) <= start:
            raise BundleDamaged("is none of a version that is known")
        signature, body = data[len(_MAGIC) : start], data[start:]
        try:
            content = msgspec.msgpack.decode(body, type=_Content)
            holds = PublicKeyXOnly(content.owner).verify(signature, _digest(body))
            terms = SwapTerms.decode(content.terms)
        except (*UNREADABLE, BadInput, ValueError) as error:
            raise BundleDamaged(f"makes no sense: {error}") from error
        if not holds:
            raise BundleDamaged("is not as its owner signed it")
        made = cls(
            terms,
            content.role,
            content.owner,
            content.made_at,
            content.refunds,
            content.claims,
            content.presignatures,
        )
        made.check()
        return made

    def check(self) -> None:
        """Make sure that every transaction spends the output that it is for, and nothing else. Raises
        `BundleDamaged`."""
        if (self.refunds and self.role is not Role.FOLLOWER) or (self.claims and self.role is not Role.INITIATOR):
            raise BundleDamaged("holds what its role never signs")
        for ladder in self.ladders:
            wanted = OutPoint.parse(ladder.outpoint)
            for raw in ladder.rungs:
                try:
                    parsed = parse_transaction(raw)
                except Fatal as error:
                    raise BundleDamaged("holds what is no transaction") from error
                if parsed.inputs != (wanted,) or len(parsed.outputs) != 1:
                    raise BundleDamaged("holds a transaction that does something else")


def _digest(content: bytes) -> bytes:
    return tagged_hash("swap/watchtower", content)
