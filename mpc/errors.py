"""Errors of the threshold protocols. Each names the party to blame, where one is known.

Every error here is `Fatal`: the same call with the same bytes fails again. Those that report a malformed argument are
also `ValueError`s, the type that the reference vectors of BIP-445 and ChillDKG name for them. Indices and identifiers
of participants are 0…n−1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from foundation.errors import BadInput, Fatal

Contribution = Literal["aggothernonce", "aggnonce", "psig", "pubkey", "pubnonce", "pubshare"]


class MalformedInput(BadInput, ValueError):  # noqa: N818 - named like its root, `BadInput`
    """An argument does not have the form that the specification asks for: the caller is at fault, not a peer.

    Fields: field, problem, cure (see `BadInput`).
    """


class NonceReused(MalformedInput):
    """A secret nonce was used a second time. Signing twice with one nonce reveals the secret share.

    Fields: field, problem, cure.
    """

    def __init__(self) -> None:
        super().__init__("secnonce", "this secret nonce was used already", "make a new nonce for each signature")


class InvalidContributionError(Fatal):
    """A signer, or the coordinator, sent a value that no honest party sends (BIP-445).

    Fields: signer_index (position in the list that was passed; None: the coordinator); participant_id (identifier of
    the signer, None where it is not known or it is the coordinator); contrib (which value).
    """

    def __init__(self, signer_index: int | None, contrib: Contribution, participant_id: int | None = None) -> None:
        self.signer_index = signer_index
        self.participant_id = participant_id
        self.contrib = contrib
        if signer_index is None:
            blamed = "the coordinator"
        elif participant_id is None:
            blamed = f"the signer at position {signer_index}"
        else:
            blamed = f"participant {participant_id}"
        super().__init__(f"{blamed} sent an invalid {contrib}")


class InvalidPartialSignature(Fatal):
    """Partial signatures that do not verify against their signers' public shares and nonces.

    It is proof only together with the signers' authenticated messages: a coordinator that changed a nonce makes an
    honest signer look guilty, so let it accuse nobody else with this alone.

    Fields: participant_ids (all wrong signers, in the order of the signer set).
    """

    def __init__(self, participant_ids: Sequence[int]) -> None:
        self.participant_ids = tuple(participant_ids)
        names = ", ".join(str(i) for i in self.participant_ids)
        super().__init__(f"invalid partial signature from participant(s) {names}")


class ProtocolError(Fatal):
    """Root of the errors of a ChillDKG session that blame somebody other than the caller."""


class FaultyParticipantError(ProtocolError):
    """Raised by the coordinator: participant `participant_id` is faulty, if the channel to it is authenticated.

    Fields: participant_id; problem.
    """

    def __init__(self, participant_id: int, problem: str) -> None:
        self.participant_id = participant_id
        self.problem = problem
        super().__init__(f"participant {participant_id} is faulty: {problem}")


class FaultyParticipantOrCoordinatorError(ProtocolError):
    """Raised by a participant: participant `participant_id` or the coordinator is faulty, or their channel is bad.

    Fields: participant_id (never our own); problem.
    """

    def __init__(self, participant_id: int, problem: str) -> None:
        self.participant_id = participant_id
        self.problem = problem
        super().__init__(f"participant {participant_id} or the coordinator is faulty: {problem}")


class FaultyCoordinatorError(ProtocolError):
    """Raised by a participant: the coordinator is faulty, or the channel to it is bad.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the coordinator is faulty: {problem}")


class UnknownFaultyParticipantOrCoordinatorError(ProtocolError):
    """Raised by a participant: somebody is faulty; `participant_investigate` narrows it down.

    Fields: problem; investigation (what `participant_investigate` needs; holds secrets: neither store nor send it).
    """

    def __init__(self, investigation: object, problem: str) -> None:
        self.investigation = investigation
        self.problem = problem
        super().__init__(f"an unknown participant or the coordinator is faulty: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("this error holds secrets and is not serialised")


class InvalidRecoveryAckError(FaultyParticipantError):
    """The acknowledgement of the recovery data by `participant_id` does not verify. The key generation stands.

    Fields: participant_id; problem.
    """


class SessionNotFinalizedError(ProtocolError):
    """The outputs of a session were asked for before its certificate was verified.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class HostSeckeyError(Fatal, ValueError):
    """A host secret key is zero, not below the group order, or not the one that the session names.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class RandomnessError(Fatal, ValueError):
    """Randomness is all zeroes: the source of randomness is broken."""

    def __init__(self) -> None:
        super().__init__("the random bytes are all zero: the source of randomness is broken")


class RecoveryDataError(Fatal, ValueError):
    """Recovery data does not parse, or its parameters or its certificate are invalid.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class SessionParamsError(Fatal, ValueError):
    """Root of the errors about the parameters of a key generation session."""


class ThresholdOrCountError(SessionParamsError):
    """`1 <= t <= n <= 2**32 - 1` does not hold.

    Fields: t; n.
    """

    def __init__(self, t: int, n: int) -> None:
        self.t = t
        self.n = n
        super().__init__(f"threshold {t} of {n} is not possible: 1 <= t <= n <= 2**32 - 1 must hold")


class InvalidHostPubkeyError(SessionParamsError):
    """A host public key is not a point in compressed form (33 bytes).

    Fields: participant_id.
    """

    def __init__(self, participant_id: int) -> None:
        self.participant_id = participant_id
        super().__init__(f"the host public key of participant {participant_id} is not a valid compressed point")


class DuplicateHostPubkeyError(SessionParamsError):
    """Two participants have the same host public key; at least one of them is faulty.

    Fields: participant_id1 (the first); participant_id2 (the second).
    """

    def __init__(self, participant_id1: int, participant_id2: int) -> None:
        self.participant_id1 = participant_id1
        self.participant_id2 = participant_id2
        super().__init__(f"participants {participant_id1} and {participant_id2} have the same host public key")
