"""Secret keys, what signs with them, and the proof that somebody has one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from chia_rs import AugSchemeMPL, PrivateKey

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import SIGNATURE_BYTES, CoSignature, Partial, SignedBy
from settlement.cosign.errors import NotACircle
from settlement.cosign.points import signature_of
from settlement.cosign.statements import Circle, Kind, Member, PublicKey, Statement, circle, key_id
from settlement.quantities import PartyId

SEED_BYTES: Final = 32
_PATH: Final = (12381, 0x63777301)
"""EIP-2334's purpose, then ours; the last step is the number of the key, which rotation counts up."""


@dataclass(frozen=True, slots=True)
class Possession:
    """A public key with its owner's proof that it knows the secret.

    Fields: party; key (48 bytes); valid_from and valid_until (Unix milliseconds; None: open); proof (96 bytes: the
    signature, by this key, on all of these).
    """

    party: PartyId
    key: PublicKey
    valid_from: UnixMs
    valid_until: UnixMs | None
    proof: bytes

    @property
    def statement(self) -> Statement:
        """What the proof signs.

        Raises:
            BadKey: the key is none.
        """
        return _possession(Member.of(self.party, self.key), self.valid_from, self.valid_until)


class Signer(Protocol):
    """Signs statements for one party. An implementation may keep its key in hardware."""

    @property
    def party(self) -> PartyId:
        """For whom it signs."""
        ...

    @property
    def member(self) -> Member:
        """The party with the key that it signs with now."""
        ...

    def sign(self, statement: Statement) -> Partial:
        """This party's part of the signature. It takes the statement, so that no bare digest is ever signed.

        Raises:
            NotACircle: the statement is not one that this key is to sign.
        """
        ...


class LocalSigner:
    """Signs with a key in this process's memory. It shows the secret nowhere: not in a repr, a log or a pickle."""

    __slots__ = ("__secret", "_member")

    def __init__(self, party: PartyId, seed: bytes, number: int = 0) -> None:
        """The `number`-th key (from 0) of a seed of 32 secret bytes, derived as EIP-2333 does, hardened all the way.

        Raises:
            BadInput: the seed has not 32 bytes, or the number is not one of 31 bits.
        """
        if len(seed) != SEED_BYTES:
            raise BadInput("seed", f"it has {len(seed)} bytes", "32 secret bytes")
        if not 0 <= number < 1 << 31:
            raise BadInput("key", f"{number} is no key's number", "count from 0")
        secret = AugSchemeMPL.key_gen(seed)
        for step in (*_PATH, number):
            secret = AugSchemeMPL.derive_child_sk(secret, step)
        self.__secret: PrivateKey = secret
        self._member = Member.of(party, bytes(secret.get_g1()))

    @property
    def party(self) -> PartyId:
        """For whom it signs."""
        return self._member.party

    @property
    def member(self) -> Member:
        """The party with its public key."""
        return self._member

    def sign(self, statement: Statement) -> Partial:
        """This party's part of the signature, 96 bytes; the same each time.

        Raises:
            NotACircle: this party, with this key, is not in the statement's circle; or it is a proof of possession.
        """
        if statement.kind is Kind.POSSESSION:
            raise NotACircle("kind", "a proof of possession is made by `possession`", "")
        return self._sign(statement)

    def possession(self, valid_from: UnixMs, valid_until: UnixMs | None = None) -> Possession:
        """The public key with the proof that this party knows the secret, to be registered by the others."""
        statement = _possession(self._member, valid_from, valid_until)
        proof = self._sign(statement).signature
        return Possession(self.party, self._member.key, valid_from, valid_until, proof)

    def _sign(self, statement: Statement) -> Partial:
        if statement.circle.member(self.party) != self._member:
            raise NotACircle("signers", f"{self.party} with this key is not among them", "ask for its current key")
        # The scheme's own `sign` takes the key that it hashes; the key's method first makes its public one, in vain.
        signature = signature_of(AugSchemeMPL.sign(self.__secret, statement.digest, statement.circle.sum))
        assert len(signature) == SIGNATURE_BYTES
        return Partial(self.party, key_id(self._member.key), signature)

    def __repr__(self) -> str:
        return f"LocalSigner({self.party}, key {key_id(self._member.key).hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not copied")


def new_seed() -> bytes:
    """32 fresh secret bytes from the operating system."""
    return os.urandom(SEED_BYTES)


def alone(signer: Signer) -> Circle:
    """The circle of one, for what a party signs by itself."""
    return circle((signer.member,))


def sign_alone(signer: Signer, kind: Kind, text: bytes) -> CoSignature:
    """The signature of `signer` alone, ready to be sent. It is not verified: the key is the signer's own."""
    part = signer.sign(Statement(kind, text, alone(signer)))
    return CoSignature((SignedBy(part.party, part.key_id),), part.signature)


def _possession(member: Member, valid_from: UnixMs, valid_until: UnixMs | None) -> Statement:
    until = b"" if valid_until is None else valid_until.to_bytes(8, "big")
    return Statement(Kind.POSSESSION, valid_from.to_bytes(8, "big") + until, circle((member,)))
