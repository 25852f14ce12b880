"""The steps of the coordinator of a ChillDKG session. It holds no secret and need not be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpc.chilldkg import certeq, encpedpop
from mpc.chilldkg.params import DKGOutput, SessionParams, params_validate
from mpc.curve import scalar_to_bytes
from mpc.errors import FaultyParticipantError, MalformedInput


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """Between the two steps. Pass it to one `coordinator_finalize` call only."""

    params: SessionParams
    equality_input: bytes
    output: DKGOutput


def coordinator_step1(pmsgs1: Sequence[bytes], params: SessionParams) -> tuple[CoordinatorState, bytes]:
    """Aggregate the first messages (33t + 32n + 97 bytes each, in order): state and message to all.

    The message has 162n + 33(t − 1) bytes.

    Raises:
        SessionParamsError: see `params_validate`.
        MalformedInput: the number of messages or a length is wrong (a commitment to a polynomial of another degree
            has another length); `field` says which message.
        FaultyParticipantError: a message does not parse; names the participant.
    """
    params_validate(params)
    pmsgs = _parse(pmsgs1, params)
    enc_cmsg, output, seen, enc_secshares = encpedpop.coordinator_step(pmsgs, params.t, params.hostpubkeys)
    encoded_shares = b"".join(scalar_to_bytes(share) for share in enc_secshares)
    return CoordinatorState(params, seen + encoded_shares, output), enc_cmsg.to_bytes() + encoded_shares


def coordinator_finalize(state: CoordinatorState, pmsgs2: Sequence[bytes]) -> tuple[bytes, DKGOutput, bytes]:
    """Assemble the certificate: the message to all (64n bytes), the output (without a share), the recovery data.

    `pmsgs2`: the second messages (64 bytes each, in order).

    Raises:
        MalformedInput: the number of messages or a length is wrong.
        FaultyParticipantError: a signature is invalid, as it is when a participant saw other first messages; names it.
    """
    if len(pmsgs2) != state.params.n:
        raise MalformedInput("pmsgs2", f"are {len(pmsgs2)}, not {state.params.n}")
    for i, signature in enumerate(pmsgs2):
        if len(signature) != certeq.SIGNATURE_BYTES:
            raise MalformedInput(f"pmsgs2[{i}]", f"is not {certeq.SIGNATURE_BYTES} bytes")
    invalid = certeq.first_invalid(state.params.hostpubkeys, state.equality_input, pmsgs2)
    if invalid is not None:
        raise FaultyParticipantError(invalid, "it sent an invalid signature for the certificate")
    certificate = b"".join(pmsgs2)
    return certificate, state.output, state.equality_input + certificate


def coordinator_investigate(pmsgs1: Sequence[bytes], params: SessionParams) -> tuple[bytes, ...]:
    """For each participant the message (65n bytes) that lets it find out who sent it a bad share. All are public.

    Raises:
        MalformedInput, FaultyParticipantError: see `coordinator_step1`.
    """
    return tuple(cinv.to_bytes() for cinv in encpedpop.coordinator_investigate(_parse(pmsgs1, params)))


def _parse(pmsgs1: Sequence[bytes], params: SessionParams) -> list[encpedpop.ParticipantMsg]:
    if len(pmsgs1) != params.n:
        raise MalformedInput("pmsgs1", f"are {len(pmsgs1)}, not {params.n}")
    size = encpedpop.ParticipantMsg.size(params.t, params.n)
    parsed = []
    for i, pmsg in enumerate(pmsgs1):
        if len(pmsg) != size:
            raise MalformedInput(f"pmsgs1[{i}]", f"is not {size} bytes")
        try:
            parsed.append(encpedpop.ParticipantMsg.from_bytes(pmsg, params.t, params.n))
        except MalformedInput as error:
            raise FaultyParticipantError(i, f"it sent an invalid {error.field}") from error
    return parsed
