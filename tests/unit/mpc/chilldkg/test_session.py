"""Sessions without an adversary, recovery and acknowledgements."""

import os

import pytest

from mpc import bip340, chilldkg, frost
from mpc.errors import (
    FaultyCoordinatorError,
    FaultyParticipantError,
    HostSeckeyError,
    InvalidRecoveryAckError,
    MalformedInput,
    RecoveryDataError,
)


@pytest.mark.parametrize(("t", "n"), [(1, 1), (1, 2), (2, 2), (2, 3), (3, 5), (5, 5), (4, 9)])
def test_all_parties_agree_and_the_key_signs(start, t, n):
    """Every participant gets the same keys, its share fits, and any t of them sign for the threshold key."""
    outputs, output, _ = start(t, n).finish()
    assert {(own.thresh_pk, own.pubshares) for own in outputs} == {(output.thresh_pk, output.pubshares)}
    assert output.secshare is None
    frost.validate_threshold_info(frost.ThresholdInfo(t, output.thresh_pk, output.pubshares))
    ids = range(n - t, n)
    nonces = [frost.nonce_gen(outputs[i].secshare, None, None, None, None, os.urandom(32)) for i in ids]
    signers = frost.SignersContext(n, t, ids, [output.pubshares[i] for i in ids], output.thresh_pk)
    pubnonces = [pubnonce for _, pubnonce in nonces]
    session = frost.SessionContext(frost.nonce_agg(pubnonces), signers, (), (), b"m")
    psigs = [frost.sign(k, outputs[i].secshare, i, session) for i, (k, _) in zip(ids, nonces, strict=True)]
    signature = frost.aggregate_and_verify(psigs, pubnonces, None, session)
    assert bip340.verify(b"m", output.thresh_pk[1:], signature)


def test_message_sizes(start):
    """Messages have the sizes that the documentation promises."""
    t, n = 3, 5
    session = start(t, n)
    session.finish()
    assert {len(m) for m in session.pmsgs1} == {33 * t + 32 * n + 97}
    assert len(session.cmsg1) == 162 * n + 33 * (t - 1)
    assert {len(m) for m in session.pmsgs2} == {64}
    assert {len(m) for m in chilldkg.coordinator_investigate(session.pmsgs1, session.params)} == {65 * n}


def test_recovery_from_the_host_key(start):
    """The host key and the public recovery data give back the whole output."""
    session = start(3, 5)
    outputs, output, recovery_data = session.finish()
    for key, own in zip(session.hostseckeys, outputs, strict=True):
        assert chilldkg.participant_recover(key, recovery_data) == (own, session.params)
    assert chilldkg.coordinator_recover(recovery_data) == (output, session.params)
    with pytest.raises(HostSeckeyError):
        chilldkg.participant_recover(bytes(31) + b"\x05", recovery_data)


def test_recovery_data_cannot_be_changed(start):
    """Any changed byte of the recovery data is refused, wherever it is."""
    _, _, recovery_data = start(2, 3).finish()
    for position in range(0, len(recovery_data), 7):
        changed = bytearray(recovery_data)
        changed[position] ^= 1
        with pytest.raises(RecoveryDataError):
            chilldkg.coordinator_recover(bytes(changed))
    for length in (0, 3, 4, 100, len(recovery_data) - 1):
        with pytest.raises(RecoveryDataError):
            chilldkg.coordinator_recover(recovery_data[:length])


def test_secrets_do_not_show(start):
    """The text of states, outputs and errors holds no secret share."""
    session = start(2, 3)
    outputs, _, _ = session.finish()
    for shown, own in zip(session.states2, outputs, strict=True):
        assert own.secshare.hex() not in repr(shown) + repr(own)
        assert repr(own.secshare) not in repr(shown) + repr(own)


def test_acknowledgements(start):
    """All participants acknowledge the recovery data; a missing or foreign acknowledgement is named or refused."""
    session = start(2, 3)
    _, _, recovery_data = session.finish()
    acks = [
        chilldkg.participant_recovery_ack_sign(key, recovery_data, session.params, bytes(32))
        for key in session.hostseckeys
    ]
    chilldkg.participant_recovery_acks_verify(recovery_data, session.params, acks)
    with pytest.raises(InvalidRecoveryAckError) as blame:
        chilldkg.participant_recovery_acks_verify(recovery_data, session.params, [acks[0], acks[0], acks[2]])
    assert blame.value.participant_id == 1
    with pytest.raises(MalformedInput):
        chilldkg.participant_recovery_acks_verify(recovery_data, session.params, acks[:2])
    with pytest.raises(MalformedInput):
        chilldkg.participant_recovery_acks_verify(recovery_data, session.params, [*acks[:2], b""])
    with pytest.raises(RecoveryDataError):
        chilldkg.participant_recovery_acks_verify(
            recovery_data, chilldkg.SessionParams(session.params.hostpubkeys, 3), acks
        )


def test_acknowledging_refuses_bad_arguments(start):
    """A foreign host key and randomness of a wrong length are refused."""
    session = start(2, 3)
    _, _, recovery_data = session.finish()
    with pytest.raises(HostSeckeyError):
        chilldkg.participant_recovery_ack_sign(bytes(31) + b"\x05", recovery_data, session.params, bytes(32))
    with pytest.raises(MalformedInput):
        chilldkg.participant_recovery_ack_sign(session.hostseckeys[0], recovery_data, session.params, b"")


def test_a_wrong_certificate(start):
    """To the coordinator a wrong signature is the participant's fault; to a participant, the coordinator's."""
    session = start(2, 3)
    session.coordinator_step1()
    session.all_step2()
    wrong = [session.pmsgs2[0], session.pmsgs2[0], session.pmsgs2[2]]
    with pytest.raises(FaultyParticipantError) as blame:
        chilldkg.coordinator_finalize(session.coordinator, wrong)
    assert blame.value.participant_id == 1
    with pytest.raises(FaultyCoordinatorError):
        chilldkg.participant_finalize(session.states2[0], b"".join(wrong))


@pytest.mark.parametrize("change", [lambda m: m[:2], lambda m: [*m, m[0]], lambda m: [m[0], m[1][:63], m[2]]])
def test_coordinator_finalize_refuses_wrong_counts_and_lengths(start, change):
    """Too few, too many or too short second messages are refused."""
    session = start(2, 3)
    session.coordinator_step1()
    session.all_step2()
    with pytest.raises(MalformedInput):
        chilldkg.coordinator_finalize(session.coordinator, change(session.pmsgs2))


def test_participant_finalize_refuses_a_wrong_length(start):
    """A certificate of a wrong length is refused."""
    session = start(2, 3)
    session.coordinator_step1()
    session.all_step2()
    with pytest.raises(MalformedInput):
        chilldkg.participant_finalize(session.states2[0], b"".join(session.pmsgs2)[:-1])
