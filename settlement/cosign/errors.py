"""Why a signature, a key or a set of signatures is refused. Each names the party it is about."""

from __future__ import annotations

from collections.abc import Sequence

from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.quantities import PartyId


class BadKey(BadInput):
    """48 bytes are no public key: no point of the group, the point at infinity, or outside of the subgroup."""


class MalformedSignature(BadInput):
    """Bytes are no signature, or no message that carries one."""


class NoPossession(Fatal):
    """A key came without a proof that its owner knows the secret of it: it could be made to cancel another's key.

    Fields: party (who was to be registered).
    """

    def __init__(self, party: PartyId) -> None:
        self.party = party
        super().__init__(f"the key of {party} has no valid proof of possession")


class KeyConflict(Fatal):
    """A key is registered already: for another party, or for this one with another validity.

    Fields: party (who was to be registered).
    """

    def __init__(self, party: PartyId, problem: str) -> None:
        self.party = party
        super().__init__(f"the key of {party} cannot be registered: {problem}")


class UnknownSigner(Fatal):
    """No such key is registered for this party.

    Fields: party; key_id (16 bytes; empty where the party has none at all).
    """

    def __init__(self, party: PartyId, key_id: bytes = b"") -> None:
        self.party = party
        self.key_id = key_id
        super().__init__(f"{party} has no registered key {key_id.hex()}".rstrip())


class KeyNotValid(Fatal):
    """The key is registered, and was not valid at the time that the statement names.

    Fields: party; at (Unix milliseconds).
    """

    def __init__(self, party: PartyId, at: UnixMs) -> None:
        self.party = party
        self.at = at
        super().__init__(f"the key of {party} is not valid at {at}")


class MissingSigners(Fatal):
    """Not all have signed that have to.

    Fields: missing (the parties whose signature is not there).
    """

    def __init__(self, missing: Sequence[PartyId]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"the signature is missing of {', '.join(missing)}")


class BadSignature(Fatal):
    """A signature does not verify.

    Fields: parties (whose it claims to be; a single one where it could be told which part is bad).
    """

    def __init__(self, parties: Sequence[PartyId]) -> None:
        self.parties = tuple(parties)
        super().__init__(f"the signature of {', '.join(parties)} does not verify")


class BadBatch(Fatal):
    """Some signatures of a batch do not verify; all others do.

    Fields: bad (their places in the batch, ascending).
    """

    def __init__(self, bad: Sequence[int]) -> None:
        self.bad = tuple(bad)
        super().__init__(f"signatures {', '.join(map(str, bad))} of the batch do not verify")


class NotACircle(BadInput):
    """Parties cannot sign together: none, one twice, or their keys cancel each other."""
