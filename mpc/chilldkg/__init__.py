"""ChillDKG: distributed key generation with host keys, certified equality, blame and recovery. Bytes in, bytes out.

States are frozen dataclasses and hold secrets; they are used once. `n` participants, threshold `t`, ids 0…n−1. The
public face (message sizes in bytes):

    SessionParams(hostpubkeys: Sequence[bytes], t: int)             # 33 bytes each
    DKGOutput(secshare: bytes | None, thresh_pk: bytes, pubshares: tuple[bytes, ...])   # 32; 33; 33 each
    hostpubkey_gen(hostseckey: bytes) -> bytes                      # 32 -> 33
    params_hash(params) -> bytes                                    # 32
    params_validate(params) -> None

    participant_step1(hostseckey, params, random: bytes) -> tuple[ParticipantState1, bytes]   # pmsg1: 33t + 32n + 97
    participant_step2(hostseckey, state1, cmsg1: bytes, aux_rand: bytes) -> tuple[ParticipantState2, bytes]  # pmsg2: 64
    participant_finalize(state2, cmsg2: bytes) -> tuple[DKGOutput, bytes]     # output, recovery data
    participant_investigate(error: UnknownFaultyParticipantOrCoordinatorError, cinv: bytes) -> NoReturn

    coordinator_step1(pmsgs1: Sequence[bytes], params) -> tuple[CoordinatorState, bytes]      # cmsg1: 162n + 33(t−1)
    coordinator_finalize(state, pmsgs2: Sequence[bytes]) -> tuple[bytes, DKGOutput, bytes]    # 64n; …; recovery data
    coordinator_investigate(pmsgs1: Sequence[bytes], params) -> tuple[bytes, ...]             # one a participant: 65n

    participant_recover(hostseckey, recovery_data) -> tuple[DKGOutput, SessionParams]
    coordinator_recover(recovery_data) -> tuple[DKGOutput, SessionParams]
    recover(hostseckey: bytes | None, recovery_data)                # either of the two
    participant_recovery_ack_sign(hostseckey, recovery_data, params, aux_rand) -> bytes       # 64
    participant_recovery_acks_verify(recovery_data, params, ack_sigs) -> None

Errors are in `mpc.errors`: MalformedInput (wrong length or count), HostSeckeyError, SessionParamsError and its kinds
(ThresholdOrCountError, InvalidHostPubkeyError, DuplicateHostPubkeyError), RandomnessError, FaultyParticipantError,
FaultyParticipantOrCoordinatorError, FaultyCoordinatorError, UnknownFaultyParticipantOrCoordinatorError,
RecoveryDataError, InvalidRecoveryAckError, SessionNotFinalizedError.
"""

from mpc.chilldkg.coordinator import (
    CoordinatorState,
    coordinator_finalize,
    coordinator_investigate,
    coordinator_step1,
)
from mpc.chilldkg.params import DKGOutput, SessionParams, hostpubkey_gen, params_hash, params_validate
from mpc.chilldkg.participant import (
    ParticipantState1,
    ParticipantState2,
    participant_finalize,
    participant_investigate,
    participant_step1,
    participant_step2,
)
from mpc.chilldkg.recovery import (
    coordinator_recover,
    participant_recover,
    participant_recovery_ack_sign,
    participant_recovery_acks_verify,
    recover,
)

__all__ = [
    "CoordinatorState",
    "DKGOutput",
    "ParticipantState1",
    "ParticipantState2",
    "SessionParams",
    "coordinator_finalize",
    "coordinator_investigate",
    "coordinator_recover",
    "coordinator_step1",
    "hostpubkey_gen",
    "params_hash",
    "params_validate",
    "participant_finalize",
    "participant_investigate",
    "participant_recover",
    "participant_recovery_ack_sign",
    "participant_recovery_acks_verify",
    "participant_step1",
    "participant_step2",
    "recover",
]
