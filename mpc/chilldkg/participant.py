"""The steps of a participant of a ChillDKG session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from mpc.chilldkg import certeq, encpedpop
from mpc.chilldkg.params import DKGOutput, SessionParams, host_scalar, own_id, params_validate
from mpc.chilldkg.vss import split
from mpc.curve import SCALAR_BYTES, scalar_from_bytes
from mpc.errors import (
    FaultyCoordinatorError,
    HostSeckeyError,
    MalformedInput,
    RandomnessError,
    UnknownFaultyParticipantOrCoordinatorError,
)


@dataclass(frozen=True, slots=True)
class ParticipantState1:
    """Between the first and the second step. Pass it to one `participant_step2` call only."""

    params: SessionParams
    participant_id: int
    enc_state: encpedpop.ParticipantState


@dataclass(frozen=True, slots=True)
class ParticipantState2:
    """Between the second and the last step. Pass it to one `participant_finalize` call only. Holds the secret share."""

    params: SessionParams
    equality_input: bytes
    output: DKGOutput = field(repr=False)


def participant_step1(hostseckey: bytes, params: SessionParams, random: bytes) -> tuple[ParticipantState1, bytes]:
    """Start a session: the state, and the message to the coordinator (33t + 32n + 97 bytes).

    `hostseckey`: 32 bytes. `random`: 32 bytes, FRESH for each session.

    Raises:
        MalformedInput: a length is wrong.
        HostSeckeyError: the key is invalid or not among the session's.
        SessionParamsError: see `params_validate`.
        RandomnessError: `random` is all zero.
    """
    deckey = host_scalar(hostseckey)
    enckeys = params_validate(params)
    participant_id = own_id(deckey.point().to_bytes(), params)
    if len(random) != 32:
        raise MalformedInput("random", "is not 32 bytes")
    if not any(random):
        raise RandomnessError
    # The seed is only hashed, so the host key serves as one; its use for signing and for key exchange is safe jointly.
    enc_state, pmsg = encpedpop.participant_step1(hostseckey, deckey, enckeys, params.t, participant_id, random)
    return ParticipantState1(params, participant_id, enc_state), pmsg.to_bytes()


def participant_step2(
    hostseckey: bytes, state1: ParticipantState1, cmsg1: bytes, aux_rand: bytes
) -> tuple[ParticipantState2, bytes]:
    """Check the coordinator's message and sign what we saw: the state, and the message to the coordinator (64 bytes).

    Once the signature is sent, NEVER erase the host key, even if no reply comes: another participant may hold the
    certificate, use the threshold key, and convince us later (`participant_recover`).

    `hostseckey`: as in the first step. `cmsg1`: 162n + 33(t − 1) bytes. `aux_rand`: 32 bytes, fresh at best.

    Raises:
        MalformedInput: a length is wrong.
        HostSeckeyError: the key is invalid or not the one of the first step.
        FaultyCoordinatorError: the coordinator is to blame.
        FaultyParticipantOrCoordinatorError: a named participant or the coordinator is.
        UnknownFaultyParticipantOrCoordinatorError: our share is wrong; pass the error to `participant_investigate`.
    """
    deckey = host_scalar(hostseckey)
    if len(aux_rand) != 32:
        raise MalformedInput("aux_rand", "is not 32 bytes")
    params, my_id = state1.params, state1.participant_id
    if deckey.point().to_bytes() != params.hostpubkeys[my_id]:
        raise HostSeckeyError("the host secret key is not the one that was used in participant_step1")
    enc_cmsg, enc_secshares = _parse_cmsg1(cmsg1, params.t, params.n)
    output, seen = encpedpop.participant_step2(state1.enc_state, deckey, enc_cmsg, enc_secshares[my_id])
    # All encrypted shares are part of the agreement: they are part of the recovery data.
    seen += cmsg1[-SCALAR_BYTES * params.n :]
    signature = certeq.certify(deckey, my_id, seen, aux_rand)
    return ParticipantState2(params, seen, output), signature


def _parse_cmsg1(cmsg1: bytes, t: int, n: int) -> tuple[encpedpop.CoordinatorMsg, list[int]]:
    end = encpedpop.CoordinatorMsg.size(t, n)
    if len(cmsg1) != end + SCALAR_BYTES * n:
        raise MalformedInput("cmsg1", f"is not {end + SCALAR_BYTES * n} bytes")
    try:
        enc_cmsg = encpedpop.CoordinatorMsg.from_bytes(cmsg1[:end], t, n)
        return enc_cmsg, [scalar_from_bytes(part, "encrypted share") for part in split(cmsg1[end:], SCALAR_BYTES)]
    except MalformedInput as error:
        raise FaultyCoordinatorError(f"it sent an invalid {error.field}") from error


def participant_finalize(state2: ParticipantState2, cmsg2: bytes) -> tuple[DKGOutput, bytes]:
    """Check the certificate (64n bytes): the output, and the recovery data, which is public.

    Success here does not mean success elsewhere: use the key only after everybody has acknowledged that it holds the
    recovery data (`participant_recovery_acks_verify`). Failure here does not mean failure elsewhere: keep the host
    key; recovery data from another party may still prove success.

    Raises:
        MalformedInput: the length is wrong.
        FaultyCoordinatorError: a signature of the certificate is invalid.
    """
    hostpubkeys = state2.params.hostpubkeys
    if len(cmsg2) != certeq.SIGNATURE_BYTES * len(hostpubkeys):
        raise MalformedInput("cmsg2", f"is not {certeq.SIGNATURE_BYTES * len(hostpubkeys)} bytes")
    invalid = certeq.first_invalid(hostpubkeys, state2.equality_input, split(cmsg2, certeq.SIGNATURE_BYTES))
    if invalid is not None:
        raise FaultyCoordinatorError(f"its certificate has an invalid signature (of participant {invalid})")
    return state2.output, state2.equality_input + cmsg2


def participant_investigate(error: UnknownFaultyParticipantOrCoordinatorError, cinv: bytes) -> NoReturn:
    """Narrow down who made `participant_step2` raise `error`. Always raises.

    `cinv`: the coordinator's investigation message for us (65n bytes).

    Raises:
        FaultyParticipantOrCoordinatorError: a named participant sent us a wrong share, or the coordinator lies.
        FaultyCoordinatorError: the coordinator is to blame.
        MalformedInput: the length is wrong, or the message belongs to a session without a fault.
    """
    investigation = error.investigation
    if not isinstance(investigation, encpedpop.Investigation):
        raise MalformedInput("error", "was not raised by participant_step2")
    n = investigation.simpl.n
    if len(cinv) != encpedpop.CoordinatorInvestigationMsg.size(n):
        raise MalformedInput("cinv", f"is not {encpedpop.CoordinatorInvestigationMsg.size(n)} bytes")
    try:
        parsed = encpedpop.CoordinatorInvestigationMsg.from_bytes(cinv, n)
    except MalformedInput as malformed:
        raise FaultyCoordinatorError(f"it sent an invalid {malformed.field}") from malformed
    encpedpop.participant_investigate(investigation, parsed)
