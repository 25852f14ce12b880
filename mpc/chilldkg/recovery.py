"""Recovery: the output of a session from the host key and the public recovery data; acknowledgements of the latter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mpc.chilldkg import certeq, encpedpop
from mpc.chilldkg.params import DKGOutput, SessionParams, host_scalar, own_id, params_validate, serialize_params
from mpc.chilldkg.vss import VSSCommitment, split, verify_secshare
from mpc.curve import POINT_BYTES, SCALAR_BYTES, Point, SecretScalar, scalar_from_bytes
from mpc.errors import (
    FaultyParticipantOrCoordinatorError,
    InvalidRecoveryAckError,
    MalformedInput,
    RecoveryDataError,
    SessionParamsError,
)

_BYTES_PER_PARTICIPANT: Final = POINT_BYTES + POINT_BYTES + SCALAR_BYTES + certeq.SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class _RecoveryData:
    """t (4 bytes) ‖ commitments (33t) ‖ host keys (33n) ‖ public nonces (33n) ‖ shares (32n) ‖ certificate (64n)."""

    params: SessionParams
    commitment: VSSCommitment
    pubnonces: list[bytes]
    enc_secshares: list[int]
    certificate: list[bytes]
    certified: bytes


def _parse(recovery_data: bytes) -> _RecoveryData:
    t = int.from_bytes(recovery_data[:4], "big")
    start = 4 + POINT_BYTES * t
    n, remainder = divmod(len(recovery_data) - start, _BYTES_PER_PARTICIPANT)
    if len(recovery_data) < start or remainder:
        raise RecoveryDataError("the recovery data has an impossible length")
    keys, nonces, shares = start + POINT_BYTES * n, start + 2 * POINT_BYTES * n, len(recovery_data) - 64 * n
    try:
        return _RecoveryData(
            SessionParams(split(recovery_data[start:keys], POINT_BYTES), t),
            VSSCommitment.from_bytes(recovery_data[4:start], t),
            split(recovery_data[keys:nonces], POINT_BYTES),
            [scalar_from_bytes(part) for part in split(recovery_data[nonces:shares], SCALAR_BYTES)],
            split(recovery_data[shares:], certeq.SIGNATURE_BYTES),
            recovery_data[:shares],
        )
    except MalformedInput as error:
        raise RecoveryDataError(f"the recovery data holds an invalid {error.field}") from error


def participant_recover(hostseckey: bytes, recovery_data: bytes) -> tuple[DKGOutput, SessionParams]:
    """The output and the parameters of a successful session, for the participant with this host key (32 bytes).

    It restores a node from its backup, and it convinces a participant whose last message got lost.

    Raises:
        RecoveryDataError: the data does not parse, or its parameters or its certificate are invalid.
        MalformedInput: the host key is not 32 bytes.
        HostSeckeyError: the host key is invalid or not among the session's.
    """
    return recover(hostseckey, recovery_data)


def coordinator_recover(recovery_data: bytes) -> tuple[DKGOutput, SessionParams]:
    """The output (without a share) and the parameters of a successful session.

    Raises:
        RecoveryDataError: the data does not parse, or its parameters or its certificate are invalid.
    """
    return recover(None, recovery_data)


def recover(hostseckey: bytes | None, recovery_data: bytes) -> tuple[DKGOutput, SessionParams]:
    """`participant_recover` with a host key, `coordinator_recover` without."""
    data = _parse(bytes(recovery_data))
    try:
        params_validate(data.params)
    except SessionParamsError as error:
        raise RecoveryDataError(f"the recovery data has invalid session parameters: {error}") from error
    if certeq.first_invalid(data.params.hostpubkeys, data.certified, data.certificate) is not None:
        raise RecoveryDataError("the recovery data has an invalid certificate")
    try:
        tweaked, tweak = data.commitment.without_script_path()
    except MalformedInput as error:
        raise RecoveryDataError(error.problem) from error
    pubshares = tweaked.pubshares(data.params.n)
    secshare = None if hostseckey is None else _recover_share(hostseckey, data, tweak, pubshares)
    encoded = tuple(share.to_bytes() for share in pubshares)
    return DKGOutput(secshare, tweaked.to_secret.to_bytes(), encoded), data.params


def _recover_share(hostseckey: bytes, data: _RecoveryData, tweak: int, pubshares: Sequence[Point]) -> bytes:
    deckey: SecretScalar = host_scalar(hostseckey)
    params = data.params
    my_id = own_id(deckey.point().to_bytes(), params)
    context = serialize_params(params.t, params.hostpubkeys)
    try:
        pads = encpedpop.receiving_pads(deckey, params.hostpubkeys[my_id], data.pubnonces, context, my_id)
    except FaultyParticipantOrCoordinatorError as error:
        raise RecoveryDataError("the recovery data holds an invalid public nonce") from error
    secshare = encpedpop.decrypt(data.enc_secshares[my_id], pads).add_public(tweak)
    # We signed the certificate after this very check, so it fails only if our host key signed something else.
    if not verify_secshare(secshare, pubshares[my_id]):
        raise RecoveryDataError("the share in the recovery data does not match its public share")
    return secshare.to_bytes()


def participant_recovery_ack_sign(
    hostseckey: bytes, recovery_data: bytes, params: SessionParams, aux_rand: bytes
) -> bytes:
    """Acknowledge (64 bytes) that we hold the recovery data. `aux_rand`: 32 bytes, fresh at best.

    Raises:
        MalformedInput: a length is wrong.
        HostSeckeyError: the host key is invalid or not among the session's.
        SessionParamsError: see `params_validate`.
        RecoveryDataError: the data does not parse or is of a session with other parameters.
    """
    seckey = host_scalar(hostseckey)
    params_validate(params)
    my_id = own_id(seckey.point().to_bytes(), params)
    if len(aux_rand) != 32:
        raise MalformedInput("aux_rand", "is not 32 bytes")
    _check_belongs(recovery_data, params)
    return certeq.acknowledge(seckey, my_id, recovery_data, aux_rand)


def participant_recovery_acks_verify(recovery_data: bytes, params: SessionParams, ack_sigs: Sequence[bytes]) -> None:
    """Check that all participants acknowledged (64 bytes each, in order): then the key may be used.

    Raises:
        MalformedInput: the number of acknowledgements or a length is wrong.
        SessionParamsError: see `params_validate`.
        RecoveryDataError: the data does not parse or is of a session with other parameters.
        InvalidRecoveryAckError: an acknowledgement is invalid; names the participant. The key generation stands.
    """
    params_validate(params)
    if len(ack_sigs) != params.n:
        raise MalformedInput("ack_sigs", f"are {len(ack_sigs)}, not {params.n}")
    if any(len(signature) != certeq.SIGNATURE_BYTES for signature in ack_sigs):
        raise MalformedInput("ack_sigs", f"one is not {certeq.SIGNATURE_BYTES} bytes")
    _check_belongs(recovery_data, params)
    invalid = certeq.first_invalid_ack(params.hostpubkeys, recovery_data, ack_sigs)
    if invalid is not None:
        raise InvalidRecoveryAckError(invalid, "its acknowledgement of the recovery data is invalid")


def _check_belongs(recovery_data: bytes, params: SessionParams) -> None:
    if _parse(recovery_data).params != params:
        raise RecoveryDataError("the recovery data is of a session with other parameters")
