"""SimplPedPop, the innermost layer: it needs secure channels and an equality check from the layers around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from mpc import bip340
from mpc.chilldkg.params import BIP_TAG, DKGOutput
from mpc.chilldkg.vss import (
    VSSCommitment,
    evaluate_secret,
    generate_coefficients,
    split,
    sum_commitments,
    verify_secshare,
)
from mpc.curve import POINT_BYTES, Point, SecretScalar, point_sum
from mpc.errors import (
    FaultyCoordinatorError,
    FaultyParticipantError,
    FaultyParticipantOrCoordinatorError,
    MalformedInput,
    UnknownFaultyParticipantOrCoordinatorError,
)

POP_BYTES: Final = bip340.SIGNATURE_BYTES
_POP_TAG: Final = BIP_TAG + "pop message"


def pop_prove(secret: SecretScalar, participant_id: int, aux_rand: bytes) -> bytes:
    """A proof of possession (64 bytes) of the constant coefficient, valid for this participant alone."""
    return bip340.sign_tagged(_POP_TAG, participant_id.to_bytes(4, "big"), secret, aux_rand)


def pop_verify(pop: bytes, com_to_secret: Point, participant_id: int) -> bool:
    """Whether a proof of possession is valid for this commitment (not infinity) and this participant."""
    return bip340.verify_tagged(_POP_TAG, participant_id.to_bytes(4, "big"), com_to_secret.to_xonly(), pop)


@dataclass(frozen=True, slots=True)
class ParticipantMsg:
    """A participant's commitment and its proof of possession: 33t + 64 bytes."""

    commitment: VSSCommitment
    pop: bytes

    @staticmethod
    def size(t: int) -> int:
        return POINT_BYTES * t + POP_BYTES

    @classmethod
    def from_bytes(cls, encoded: bytes, t: int) -> ParticipantMsg:
        """Parse; the caller has checked the size. Raises MalformedInput for an invalid point."""
        end = POINT_BYTES * t
        return cls(VSSCommitment.from_bytes(encoded[:end], t), encoded[end:])

    def to_bytes(self) -> bytes:
        return self.commitment.to_bytes() + self.pop


@dataclass(frozen=True, slots=True)
class CoordinatorMsg:
    """Commitments to all secrets, the sums of all other commitments, all proofs: 97n + 33(t − 1) bytes."""

    coms_to_secrets: tuple[Point, ...]
    sum_coms_to_nonconst_terms: tuple[Point, ...]
    pops: tuple[bytes, ...]

    @staticmethod
    def size(t: int, n: int) -> int:
        return (POINT_BYTES + POP_BYTES) * n + POINT_BYTES * (t - 1)

    @classmethod
    def from_bytes(cls, encoded: bytes, t: int, n: int) -> CoordinatorMsg:
        """Parse; the caller has checked the size. Raises MalformedInput for an invalid point."""
        end = POINT_BYTES * (n + t - 1)
        points = tuple(Point.from_bytes_or_infinity(part) for part in split(encoded[:end], POINT_BYTES))
        return cls(points[:n], points[n:], tuple(split(encoded[end:], POP_BYTES)))

    def to_bytes(self) -> bytes:
        points = (*self.coms_to_secrets, *self.sum_coms_to_nonconst_terms)
        return b"".join(point.to_bytes() for point in points) + b"".join(self.pops)

    def sum_commitment(self) -> VSSCommitment:
        """The commitment to the sum of all polynomials."""
        return VSSCommitment((point_sum(self.coms_to_secrets), *self.sum_coms_to_nonconst_terms))


@dataclass(frozen=True, slots=True)
class ParticipantState:
    """What a participant keeps between its steps."""

    t: int
    n: int
    participant_id: int
    com_to_secret: Point


@dataclass(frozen=True, slots=True)
class Investigation:
    """What a participant needs to find out who sent a bad share."""

    n: int
    participant_id: int
    secshare: SecretScalar = field(repr=False)
    pubshare: Point


def participant_step1(
    seed: bytes, t: int, n: int, participant_id: int, aux_rand: bytes
) -> tuple[ParticipantState, ParticipantMsg, list[SecretScalar]]:
    """Make a polynomial from `seed` (32 bytes, fresh): state, message, and the partial share of each participant.

    Partial shares must reach their participants over secure channels. `aux_rand`: 32 bytes for the proof's nonce.

    Raises:
        MalformedInput: `t`, the identifier or a length is out of range.
    """
    if not 1 <= t <= n or not 0 <= participant_id < n:
        raise MalformedInput("t", f"threshold {t} of {n} or identifier {participant_id} is out of range")
    if len(seed) != 32:
        raise MalformedInput("seed", "is not 32 bytes")
    coefficients = generate_coefficients(seed, t)
    shares = [evaluate_secret(coefficients, i + 1) for i in range(n)]
    commitment = VSSCommitment.of(coefficients)
    msg = ParticipantMsg(commitment, pop_prove(coefficients[0], participant_id, aux_rand))
    return ParticipantState(t, n, participant_id, commitment.to_secret), msg, shares


def participant_step2(state: ParticipantState, cmsg: CoordinatorMsg, secshare: SecretScalar) -> tuple[DKGOutput, bytes]:
    """Check the coordinator's message and our share (the sum of all partial shares): output and equality-check input.

    The output counts only once the equality check has succeeded.

    Raises:
        FaultyCoordinatorError: our own commitment was changed, or the key is infinity.
        FaultyParticipantOrCoordinatorError: a commitment is infinity, or a proof of possession is invalid.
        UnknownFaultyParticipantOrCoordinatorError: our share does not match the commitments.
    """
    if cmsg.coms_to_secrets[state.participant_id] != state.com_to_secret:
        raise FaultyCoordinatorError("it sent an unexpected first group element for us")
    for i, (com_to_secret, pop) in enumerate(zip(cmsg.coms_to_secrets, cmsg.pops, strict=True)):
        if i == state.participant_id:
            continue  # ours, and it is unchanged
        if com_to_secret.is_infinity:
            raise FaultyParticipantOrCoordinatorError(i, "it sent an invalid commitment")
        if not pop_verify(pop, com_to_secret, i):
            raise FaultyParticipantOrCoordinatorError(i, "it sent an invalid proof of possession")
    commitment = cmsg.sum_commitment()
    try:
        tweaked, tweak = commitment.without_script_path()
    except MalformedInput as error:
        raise FaultyCoordinatorError(error.problem) from error
    pubshares = tweaked.pubshares(state.n)
    tweaked_secshare = secshare.add_public(tweak)
    if not verify_secshare(tweaked_secshare, pubshares[state.participant_id]):
        raise UnknownFaultyParticipantOrCoordinatorError(
            Investigation(state.n, state.participant_id, secshare, commitment.pubshare(state.participant_id)),
            "our share is invalid; participant_investigate finds a suspect",
        )
    output = DKGOutput(
        tweaked_secshare.to_bytes(), tweaked.to_secret.to_bytes(), tuple(share.to_bytes() for share in pubshares)
    )
    return output, equality_input(state.t, commitment)


def participant_investigate(
    investigation: Investigation, partial_pubshares: Sequence[Point], partial_secshares: Sequence[SecretScalar]
) -> NoReturn:
    """Find the participant whose partial share is wrong. The caller has checked that our share is their sum.

    Raises:
        FaultyCoordinatorError: the partial public shares do not add up to our public share, or ours was changed.
        FaultyParticipantOrCoordinatorError: a partial share does not match its public share; names the sender.
        MalformedInput: all is consistent, so the arguments do not belong to a failed session.
    """
    if point_sum(partial_pubshares) != investigation.pubshare:
        raise FaultyCoordinatorError("the partial public shares do not add up to our public share")
    for i, (secshare, pubshare) in enumerate(zip(partial_secshares, partial_pubshares, strict=True)):
        if verify_secshare(secshare, pubshare):
            continue
        if i == investigation.participant_id:
            raise FaultyCoordinatorError("it changed the share from us to ourselves")
        raise FaultyParticipantOrCoordinatorError(i, "it sent an invalid partial secret share")
    raise MalformedInput("cinv", "all shares are consistent; nothing is to be investigated")


def coordinator_step(pmsgs: Sequence[ParticipantMsg], t: int) -> tuple[CoordinatorMsg, DKGOutput, bytes]:
    """Aggregate: the message to all, the output (without a share) and the equality-check input.

    Raises:
        FaultyParticipantError: the commitments to the secrets cancel; names one whose proof of possession is invalid.
    """
    commitment = sum_commitments([pmsg.commitment for pmsg in pmsgs])
    cmsg = CoordinatorMsg(
        tuple(pmsg.commitment.to_secret for pmsg in pmsgs), commitment.points[1:], tuple(pmsg.pop for pmsg in pmsgs)
    )
    if commitment.to_secret.is_infinity:
        raise FaultyParticipantError(_first_unproven(pmsgs), "it sent a commitment without a proof of possession")
    tweaked, _ = commitment.without_script_path()
    pubshares = tuple(share.to_bytes() for share in tweaked.pubshares(len(pmsgs)))
    return cmsg, DKGOutput(None, tweaked.to_secret.to_bytes(), pubshares), equality_input(t, commitment)


def _first_unproven(pmsgs: Sequence[ParticipantMsg]) -> int:
    """Whose proof is missing when the secrets cancel: with all proofs valid, all would have to conspire."""
    for i, pmsg in enumerate(pmsgs):
        point = pmsg.commitment.to_secret
        if point.is_infinity or not pop_verify(pmsg.pop, point, i):
            return i
    return len(pmsgs) - 1


def coordinator_investigate(pmsgs: Sequence[ParticipantMsg]) -> list[tuple[Point, ...]]:
    """For each participant, the partial public shares that the commitments of all participants imply for it."""
    by_sender = [pmsg.commitment.pubshares(len(pmsgs)) for pmsg in pmsgs]
    return list(zip(*by_sender, strict=True))


def equality_input(t: int, commitment: VSSCommitment) -> bytes:
    """This layer's part of what all participants must agree on."""
    return t.to_bytes(4, "big") + commitment.to_bytes()
