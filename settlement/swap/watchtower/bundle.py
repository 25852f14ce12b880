"""What a watchtower is given for one swap. Whoever has it can do for the trader what it says, and nothing else.

- The follower's: refunds of its bitcoin output to itself, signed at a ladder of fees, each valid only after T2; and in
  a private swap the pre-signatures by which the initiator's claim shows the secret. With the secret anybody may have
  the lock paid out to the follower: once the follower knows it, it is in the bundle too, for a claim that both sign
  shows it on no chain.
- The initiator's: its claims of the bitcoin, at a ladder of fees, once it has shown the secret; never before, for they
  hold it. After T1 anybody may have the lock returned to the initiator.

What it discloses: the terms (both chains' amounts, accounts and keys, so that the legs of a private swap are linked for
whoever has it), and where the trader's bitcoin goes to. It holds no key, and no secret that the other side does not
have. A bundle that was made earlier is never harmful: what it holds is invalid by then, or what the trader would do as
well. A follower's secret helps nobody against it: the initiator has it, alone gets the bitcoin by it, and the lock that
it opens pays the follower.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

import msgspec
from coincurve import PrivateKey, PublicKeyXOnly
from msgspec import Meta, Struct

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput, Fatal
from foundation.unreadable import UNREADABLE
from mpc.errors import MalformedInput
from settlement.quantities import tagged_hash
from settlement.swap.bitcoin.output import Path, SwapOutput, output_of
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.machine.guards import secret_opens
from settlement.swap.machine.states import MAX_ROUNDS, MAX_RUNGS
from settlement.swap.terms import Mode, Role, SwapTerms

BUNDLE_BYTES_MAX: Final = 4 << 20
LADDERS_MAX: Final = 64
"""Outputs that a bundle refunds: a tower takes no more, for strangers may pay to the swap's script too."""
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


_Whole = Annotated[int, Meta(ge=0, lt=1 << 48)]


class _Content(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    terms: bytes
    role: Role
    owner: Annotated[bytes, Meta(min_length=32, max_length=32)]
    made_at: _Whole
    act_by: _Whole
    since: _Whole
    birth: _Whole
    refunds: Annotated[tuple[Ladder, ...], Meta(max_length=LADDERS_MAX)]
    claims: Annotated[tuple[Ladder, ...], Meta(max_length=8)]
    presignatures: Annotated[tuple[bytes, ...], Meta(max_length=MAX_ROUNDS * MAX_RUNGS)]
    # Left out where there is none: a tower that does not know of it reads all other bundles.
    secret: Annotated[bytes, Meta(max_length=32)] = b""


@dataclass(frozen=True)  # no slots: the cached property lives in the instance's dictionary
class Bundle:
    """See the module.

    Fields: terms; role (the trader's); owner (x-only key that signed it: the trader's identity in this swap alone);
    made_at (seconds since 1970); act_by (by then a follower's claim of the lock has to be under way and its refund in a
    block, an initiator's claim of the bitcoin in a block); since (nothing of the swap is older; 0: unknown); birth (the
    bitcoin block before which there is no output of the swap; 0: unknown); refunds (of the follower's outputs); claims
    (of the initiator's target); presignatures (of a private swap's follower, encoded); secret (32 bytes, that a
    follower knows; empty: it does not).
    """

    terms: SwapTerms
    role: Role
    owner: bytes
    made_at: int
    act_by: int
    since: int
    birth: int
    refunds: tuple[Ladder, ...]
    claims: tuple[Ladder, ...]
    presignatures: tuple[bytes, ...]
    secret: bytes = b""

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
                self.act_by,
                self.since,
                self.birth,
                self.refunds,
                self.claims,
                self.presignatures,
                self.secret,
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
            content.act_by,
            content.since,
            content.birth,
            content.refunds,
            content.claims,
            content.presignatures,
            content.secret,
        )
        made.check()
        return made

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """The pre-signatures, decoded. Raises `BadInput`."""
        return tuple(Rung.decode(one) for one in self.presignatures)

    def check(self) -> None:
        """Make sure that every transaction spends the output that it is for, the way that its role spends it, and
        nothing else; and that a secret opens the lock. Raises `BundleDamaged`."""
        if (self.refunds and self.role is not Role.FOLLOWER) or (self.claims and self.role is not Role.INITIATOR):
            raise BundleDamaged("holds what its role never signs")
        if self.presignatures and (self.role, self.terms.mode) != (Role.FOLLOWER, Mode.POINT):
            raise BundleDamaged("holds pre-signatures that its role has no use for")
        if self.secret and not (self.role is Role.FOLLOWER and secret_opens(self.terms, self.secret)):
            raise BundleDamaged("holds a secret that opens no lock for its role")
        try:
            tuple(Rung.decode(one) for one in self.presignatures)
        except (MalformedInput, BadInput) as error:
            raise BundleDamaged("holds what is no pre-signature") from error
        wanted = {ladder.outpoint for ladder in self.ladders}
        if len(wanted) != len(self.ladders):
            raise BundleDamaged("has two ladders for one output")
        for ladder in self.ladders:
            for raw in ladder.rungs:
                self._check_spend(OutPoint.parse(ladder.outpoint), raw)

    def _check_spend(self, wanted: OutPoint, raw: bytes) -> None:
        try:
            parsed = parse_transaction(raw)
        except Fatal as error:
            raise BundleDamaged("holds what is no transaction") from error
        if parsed.inputs != (wanted,) or len(parsed.outputs) != 1:
            raise BundleDamaged("holds a transaction that does something else")
        path = self.output.read(parsed.witnesses[0]).path
        if self.role is Role.FOLLOWER:
            holds = path is Path.REFUND and parsed.locktime >= self.terms.bitcoin.expires_at
        else:
            holds = path is (Path.CLAIM if self.terms.mode is Mode.HASH else Path.KEY)
        if not holds:
            raise BundleDamaged("holds a transaction that does something else")


def _digest(content: bytes) -> bytes:
    return tagged_hash("swap/watchtower", content)
