"""Whose keys are whose, and from when to when: nobody signs with a key that has not proved possession.

Without the proof, a bank could register the key "mine minus yours", whose sum with yours is mine alone, and sign for
both (the rogue-key attack; Ristenpart, Yilek 2007).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chia_rs import AugSchemeMPL

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import CoSignature, verify
from settlement.cosign.errors import (
    KeyConflict,
    KeyNotValid,
    MalformedSignature,
    MissingSigners,
    NoPossession,
    UnknownSigner,
)
from settlement.cosign.keys import Possession
from settlement.cosign.points import signature_point
from settlement.cosign.statements import Circle, KeyId, Kind, Member, PublicKey, Statement, circle, key_id
from settlement.quantities import PartyId


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A registered key as it is stored and sent: its proof, and when it was retired (Unix ms; None: it was not)."""

    possession: Possession
    retired_at: UnixMs | None


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key that has proved possession. It counts for what is dated from `valid_from` until before `retired_at`."""

    member: Member
    possession: Possession
    retired_at: UnixMs | None

    def is_valid(self, at: UnixMs) -> bool:
        """Whether it may sign what is dated `at`."""
        return self.possession.valid_from <= at and (self.retired_at is None or at < self.retired_at)


class KeyRegistry:
    """The keys of all parties that this node deals with. It holds nothing secret."""

    def __init__(self, possessions: Iterable[Possession] = ()) -> None:
        """Register each of `possessions`; raises what `register` does."""
        self._keys: dict[tuple[PartyId, KeyId], RegisteredKey] = {}
        self._owners: dict[PublicKey, PartyId] = {}
        self._of_party: dict[PartyId, list[KeyId]] = {}
        for possession in possessions:
            self.register(possession)

    def register(self, possession: Possession) -> RegisteredKey:
        """Take a party's key, if it comes with the proof. The same again answers as the first time.

        The caller has made sure, outside of this protocol, that it is the party who sent it.

        Raises:
            BadKey: it is no public key.
            BadInput: it ends before it begins.
            NoPossession: the proof is not the owner's.
            KeyConflict: the key is another party's, or is registered with another validity.
        """
        moments = (possession.valid_from, possession.valid_until or 0)
        if not all(0 <= moment < 1 << 63 for moment in moments):
            raise BadInput("valid_from or valid_until", "it is no moment", "Unix milliseconds")
        if possession.valid_until is not None and possession.valid_until <= possession.valid_from:
            raise BadInput("valid_until", "it is not after valid_from", "give a later time, or none")
        member = Member.of(possession.party, possession.key)
        if not _is_proved(possession):
            raise NoPossession(possession.party)
        owner = self._owners.get(possession.key)
        if owner not in (None, possession.party):
            raise KeyConflict(possession.party, "it is another party's key")
        place = (possession.party, key_id(possession.key))
        held = self._keys.get(place)
        if held is not None:
            if held.possession != possession:
                raise KeyConflict(possession.party, "it is registered with another validity")
            return held
        registered = RegisteredKey(member, possession, possession.valid_until)
        self._keys[place] = registered
        self._owners[possession.key] = possession.party
        self._of_party.setdefault(possession.party, []).append(place[1])
        return registered

    def retire(self, party: PartyId, key: KeyId, at: UnixMs) -> None:
        """Let the key count for nothing dated `at` or later. It is never made to count for longer again.

        Raises:
            UnknownSigner: there is no such key.
        """
        held = self._held(party, key)
        if held.retired_at is None or at < held.retired_at:
            self._keys[party, key] = replace(held, retired_at=at)

    def current(self, party: PartyId, at: UnixMs) -> Member:
        """The party with its newest key (by `valid_from`) that is valid at `at`.

        Raises:
            UnknownSigner: it has no key at all.
            KeyNotValid: it has none that is valid then.
        """
        keys = [self._keys[party, key] for key in self._of_party.get(party, ())]
        if not keys:
            raise UnknownSigner(party)
        valid = [key for key in keys if key.is_valid(at)]
        if not valid:
            raise KeyNotValid(party, at)
        return max(valid, key=lambda key: (key.possession.valid_from, key.member.key)).member

    def circle(self, parties: Sequence[PartyId], at: UnixMs) -> Circle:
        """The circle of these parties with their current keys, for a new statement dated `at`.

        Raises:
            UnknownSigner, KeyNotValid: as `current` says.
            NotACircle: none, one twice, or the keys cancel each other.
        """
        return circle([self.current(party, at) for party in parties])

    def circle_of(self, signature: CoSignature, at: UnixMs) -> Circle:
        """The circle that a signature names, on a statement dated `at`. Nothing is verified yet.

        Raises:
            UnknownSigner: a key is not registered for the party.
            KeyNotValid: a key was not valid then.
            NotACircle: a party is named twice.
        """
        members = []
        for signer in signature.signers:
            held = self._held(signer.party, signer.key_id)
            if not held.is_valid(at):
                raise KeyNotValid(signer.party, at)
            members.append(held.member)
        return circle(members)

    def statement(
        self, kind: Kind, text: bytes, signature: CoSignature, at: UnixMs, required: Sequence[PartyId]
    ) -> Statement:
        """The statement that `signature` is on, if it names all of `required`; verify it then, alone or in a batch.

        Raises:
            MissingSigners: names who is not among those who signed.
            UnknownSigner, KeyNotValid, NotACircle: as `circle_of` says.
        """
        missing = [party for party in required if party not in signature.parties]
        if missing:
            raise MissingSigners(missing)
        return Statement(kind, text, self.circle_of(signature, at))

    def verify(
        self, kind: Kind, text: bytes, signature: CoSignature, at: UnixMs, required: Sequence[PartyId]
    ) -> Statement:
        """The statement, once it is verified that all of `required` (and whoever else is named) signed it.

        Raises:
            MissingSigners, UnknownSigner, KeyNotValid, NotACircle: as `statement` says.
            BadSignature, MalformedSignature: it does not verify.
        """
        statement = self.statement(kind, text, signature, at, required)
        verify(statement, signature)
        return statement

    def records(self) -> tuple[KeyRecord, ...]:
        """All keys with their proofs and retirements, so that another node, or an auditor, can check them itself."""
        return tuple(KeyRecord(key.possession, key.retired_at) for key in self._keys.values())

    @classmethod
    def restored(cls, records: Iterable[KeyRecord]) -> KeyRegistry:
        """A registry from `records`; every proof is verified again.

        Raises:
            BadKey, BadInput, NoPossession, KeyConflict: as `register` says.
        """
        registry = cls()
        for record in records:
            registered = registry.register(record.possession)
            if record.retired_at is not None:
                registry.retire(registered.member.party, key_id(registered.member.key), record.retired_at)
        return registry

    def _held(self, party: PartyId, key: KeyId) -> RegisteredKey:
        held = self._keys.get((party, key))
        if held is None:
            raise UnknownSigner(party, key)
        return held


def _is_proved(possession: Possession) -> bool:
    statement = possession.statement
    try:
        point = signature_point(possession.proof)
    except MalformedSignature:
        return False
    return AugSchemeMPL.verify(statement.circle.sum, statement.digest, point)
