"""ChillDKG: distributed key generation with host keys, certified equality, blame and recovery. Bytes in, bytes out.

States are frozen dataclasses and hold secrets; they are used once. `n` participants, threshold `t`, ids 0…n−1. The
public face (message sizes in bytes):

    SessionParams(hostpubkeys: Sequence[bytes], t: int)             # 33 bytes each
    DKGOutput(secshare: bytes | None, thresh_pk: bytes, pubshares: tuple[bytes, ...])   # 32; 33; 33 each
    hostpubkey_gen(hostseckey: bytes) -> bytes                      # 32 -> 33
    params_hash(params) -> bytes                                    # 32; `params_id` is the same function
    params_validate(params) -> None

    participant_step1(hostseckey, params, random: bytes) -> tuple[ParticipantState1, bytes]   # pmsg1: 33t + 32n + 97
    participant_step2(hostseckey, state1, cmsg1: bytes, aux_rand: bytes) -> tuple[ParticipantState2, bytes]  # pmsg2: 64
    participant_finalize(state2, cmsg2: bytes) -> tuple[DKGOutput, bytes]     # output, recovery data
    participant_investigate(error: UnknownFaultyParticipantOrCoordinatorError, cinv: bytes) -> NoReturn

    coordinator_step1(pmsgs1: Sequence[bytes], params) -> tuple[CoordinatorState, bytes]      # cmsg1: 162n + 33(t−1)
    coordinator_finalize(state, pmsgs2: Sequence[bytes]) -> tuple[bytes, DKGOutput, bytes]    # cmsg2: 64n; output; recovery
    coordinator_investigate(pmsgs1: Sequence[bytes], params) -> tuple[bytes, ...]             # one cinv a participant: 65n

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
