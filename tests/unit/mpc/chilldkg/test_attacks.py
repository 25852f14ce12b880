"""Attacks on key generation: what the adversary does, who notices, and whom they blame."""

import pytest

from mpc import chilldkg
from mpc.chilldkg import simplpedpop
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.curve import INFINITY, G, N, Point, point_sum, tagged_hash
from mpc.errors import (
    DuplicateHostPubkeyError,
    FaultyCoordinatorError,
    FaultyParticipantError,
    FaultyParticipantOrCoordinatorError,
    InvalidHostPubkeyError,
    MalformedInput,
    UnknownFaultyParticipantOrCoordinatorError,
)

T, N_PARTIES = 3, 5
ADVERSARY = 4


@pytest.fixture
def session(start):
    return start(T, N_PARTIES)


def constants(pmsgs1):
    """The commitments to the secrets: the first 33 bytes of each first message."""
    return [Point.from_bytes(pmsg[:33]) for pmsg in pmsgs1]


def replaced(message, start, part):
    return message[:start] + part + message[start + len(part) :]


def scalar_at(message, start):
    return int.from_bytes(message[start : start + 32], "big")


def share_offset(receiver):
    """Where a first message holds the encrypted share for `receiver`."""
    return 33 * T + 64 + 33 + 32 * receiver


def spoil_share(pmsg, receiver):
    start = share_offset(receiver)
    return replaced(pmsg, start, ((scalar_at(pmsg, start) + 1) % N).to_bytes(32, "big"))


def test_rogue_key(session):
    """Attack: the last one commits to a key minus the sum of all others, to own the group key; it cannot prove it."""
    others = point_sum(constants(session.pmsgs1[:ADVERSARY]))
    rogue = G * 1234 - others
    session.pmsgs1[ADVERSARY] = replaced(session.pmsgs1[ADVERSARY], 0, rogue.to_bytes())
    session.coordinator_step1()
    for i in range(ADVERSARY):
        with pytest.raises(FaultyParticipantOrCoordinatorError) as blame:
            session.step2(i)
        assert blame.value.participant_id == ADVERSARY


def test_cancelling_key(session):
    """Attack: the last one commits to minus the sum of all others; the coordinator names it instead of failing."""
    rogue = -point_sum(constants(session.pmsgs1[:ADVERSARY]))
    session.pmsgs1[ADVERSARY] = replaced(session.pmsgs1[ADVERSARY], 0, rogue.to_bytes())
    with pytest.raises(FaultyParticipantError) as blame:
        session.coordinator_step1()
    assert blame.value.participant_id == ADVERSARY


def test_replayed_proof_of_possession(session):
    """Attack: a participant copies another's commitment together with its proof; the proof names the other's index."""
    copied = session.pmsgs1[1][: 33 * T + 64]
    session.pmsgs1[ADVERSARY] = replaced(session.pmsgs1[ADVERSARY], 0, copied)
    session.coordinator_step1()
    for i in range(ADVERSARY):
        with pytest.raises(FaultyParticipantOrCoordinatorError) as blame:
            session.step2(i)
        assert blame.value.participant_id == ADVERSARY


def test_proof_of_possession_binds_the_index():
    """A proof of possession is valid for the index that it was made for and for no other."""
    secret = generate_coefficients(bytes(32), 1)[0]
    pop = simplpedpop.pop_prove(secret, 7, bytes(32))
    assert simplpedpop.pop_verify(pop, secret.point(), 7)
    assert not simplpedpop.pop_verify(pop, secret.point(), 8)


@pytest.mark.parametrize("points", [T + 1, T - 1, 0])
def test_commitment_of_another_degree(session, points):
    """Attack: a commitment with t+1, t-1 or 0 coefficients: the message is refused and the position named."""
    pmsg = session.pmsgs1[1]
    coefficients = (pmsg[: 33 * T] + pmsg[33:66])[: 33 * points]
    session.pmsgs1[1] = coefficients + pmsg[33 * T :]
    with pytest.raises(MalformedInput) as refusal:
        session.coordinator_step1()
    assert refusal.value.field == "pmsgs1[1]"


@pytest.mark.parametrize("points", [T + 1, T - 1, 0])
def test_sum_of_another_degree(session, points):
    """Attack: a coordinator that sends the sum of polynomials of another degree is refused by every participant."""
    session.coordinator_step1()
    start, end = 33 * N_PARTIES, 33 * (N_PARTIES + T - 1)
    sums = (session.cmsg1[start:end] + session.cmsg1[:33])[: 33 * max(points - 1, 0)]
    changed = session.cmsg1[:start] + sums + session.cmsg1[end:]
    if points == 0:
        changed = changed[33:]
    for i in range(N_PARTIES):
        with pytest.raises(MalformedInput):
            session.step2(i, changed)


def test_shares_of_a_polynomial_of_higher_degree(session):
    """Attack: t+1 coefficients behind a commitment to t: shares do not fit, and the investigation names the sender.

    Accepted, it would raise the threshold above t and lock the funds.
    """
    extra = 99
    pmsg = session.pmsgs1[ADVERSARY]
    for receiver in range(N_PARTIES):
        start = share_offset(receiver)
        share = (scalar_at(pmsg, start) + extra * (receiver + 1) ** T) % N
        pmsg = replaced(pmsg, start, share.to_bytes(32, "big"))
    session.pmsgs1[ADVERSARY] = pmsg
    session.coordinator_step1()
    cinvs = chilldkg.coordinator_investigate(session.pmsgs1, session.params)
    for i in range(ADVERSARY):
        with pytest.raises(UnknownFaultyParticipantOrCoordinatorError) as failure:
            session.step2(i)
        with pytest.raises(FaultyParticipantOrCoordinatorError) as blame:
            chilldkg.participant_investigate(failure.value, cinvs[i])
        assert blame.value.participant_id == ADVERSARY


def test_commitment_to_zero(session):
    """Attack: the constant coefficient is zero (infinity), which has no proof of possession; the sender is named."""
    session.pmsgs1[2] = replaced(session.pmsgs1[2], 0, bytes(33))
    session.coordinator_step1()
    with pytest.raises(FaultyParticipantOrCoordinatorError) as blame:
        session.step2(0)
    assert blame.value.participant_id == 2


@pytest.mark.parametrize(("participant_id", "t"), [(-1, T), (N_PARTIES, T), (0, 0), (0, N_PARTIES + 1)])
def test_identifiers_and_thresholds_out_of_range(participant_id, t):
    """Attack: an identifier outside 0…n-1 would take the share at x = 0, the secret; the threshold is checked too."""
    with pytest.raises(MalformedInput):
        simplpedpop.participant_step1(bytes(32), t, N_PARTIES, participant_id, bytes(32))


def test_doubled_identifier(session):
    """Attack: one participant that takes two places with one key would count twice; both places are named."""
    keys = list(session.params.hostpubkeys)
    keys[3] = keys[1]
    with pytest.raises(DuplicateHostPubkeyError) as refusal:
        chilldkg.params_hash(chilldkg.SessionParams(keys, T))
    assert (refusal.value.participant_id1, refusal.value.participant_id2) == (1, 3)


def test_host_key_that_is_no_point(session):
    """An invalid host key is refused before anything is encrypted to it."""
    keys = [*session.params.hostpubkeys[:4], bytes(33)]
    with pytest.raises(InvalidHostPubkeyError) as refusal:
        chilldkg.params_validate(chilldkg.SessionParams(keys, T))
    assert refusal.value.participant_id == 4


@pytest.mark.parametrize("victim", [0, 3])
def test_bad_share_to_one_party_only(session, victim):
    """Attack: a bad share to one party only: the others go on, the victim stops and names the sender."""
    session.pmsgs1[ADVERSARY] = spoil_share(session.pmsgs1[ADVERSARY], victim)
    session.coordinator_step1()
    cinvs = chilldkg.coordinator_investigate(session.pmsgs1, session.params)
    for i in range(N_PARTIES):
        if i != victim:
            session.step2(i)
    with pytest.raises(UnknownFaultyParticipantOrCoordinatorError) as failure:
        session.step2(victim)
    with pytest.raises(FaultyParticipantOrCoordinatorError) as blame:
        chilldkg.participant_investigate(failure.value, cinvs[victim])
    assert blame.value.participant_id == ADVERSARY


def test_a_coordinator_that_spoils_a_share_is_named(session):
    """Attack: the coordinator changes one encrypted share; it cannot put the blame on a participant."""
    session.coordinator_step1()
    start = len(session.cmsg1) - 32 * N_PARTIES
    changed = replaced(session.cmsg1, start, ((scalar_at(session.cmsg1, start) + 1) % N).to_bytes(32, "big"))
    with pytest.raises(UnknownFaultyParticipantOrCoordinatorError) as failure:
        session.step2(0, changed)
    cinv = chilldkg.coordinator_investigate(session.pmsgs1, session.params)[0]
    with pytest.raises(FaultyCoordinatorError):
        chilldkg.participant_investigate(failure.value, cinv)


@pytest.mark.parametrize("part", ["own share", "own pubshare", "scalar", "point"])
def test_a_coordinator_that_forges_the_investigation_is_named(session, part):
    """Attack: the coordinator forges the investigation message of a bad share; it frames no honest participant."""
    session.pmsgs1[ADVERSARY] = spoil_share(session.pmsgs1[ADVERSARY], 0)
    session.coordinator_step1()
    with pytest.raises(UnknownFaultyParticipantOrCoordinatorError) as failure:
        session.step2(0)
    cinv = chilldkg.coordinator_investigate(session.pmsgs1, session.params)[0]
    if part == "own share":  # move the error of the adversary's share to the victim's own
        cinv = replaced(cinv, 0, ((scalar_at(cinv, 0) + 1) % N).to_bytes(32, "big"))
        cinv = replaced(cinv, 32 * ADVERSARY, ((scalar_at(cinv, 32 * ADVERSARY) - 1) % N).to_bytes(32, "big"))
    elif part == "own pubshare":
        cinv = replaced(cinv, 32 * N_PARTIES, G.to_bytes())
    elif part == "scalar":
        cinv = replaced(cinv, 0, b"\xff" * 32)
    else:
        cinv = replaced(cinv, 32 * N_PARTIES, b"\x05")
    with pytest.raises(FaultyCoordinatorError):
        chilldkg.participant_investigate(failure.value, cinv)


def test_investigation_without_a_fault(session):
    """An investigation with the arguments of a consistent session or of a wrong length accuses nobody."""
    session.pmsgs1[ADVERSARY] = spoil_share(session.pmsgs1[ADVERSARY], 0)
    session.coordinator_step1()
    with pytest.raises(UnknownFaultyParticipantOrCoordinatorError) as failure:
        session.step2(0)
    with pytest.raises(MalformedInput):
        chilldkg.participant_investigate(failure.value, b"")
    foreign = UnknownFaultyParticipantOrCoordinatorError(None, "")
    with pytest.raises(MalformedInput):
        chilldkg.participant_investigate(foreign, b"")


def test_different_first_messages_to_different_parties(start, session):
    """Attack: a participant shows two polynomials, and the coordinator relays one to one party, the other to the rest.

    Every view is consistent in itself, so each participant signs what it saw; the signatures do not fit together,
    no certificate exists, and nobody accepts a key.
    """
    session.coordinator_step1()
    other = start(T, N_PARTIES)
    seckey, params = session.hostseckeys[ADVERSARY], session.params
    _, other.pmsgs1[ADVERSARY] = chilldkg.participant_step1(seckey, params, tagged_hash("test", b"second face"))
    other.coordinator_step1()
    assert session.cmsg1 != other.cmsg1
    views = {0: other.cmsg1, 1: session.cmsg1, 2: session.cmsg1, 3: session.cmsg1, 4: session.cmsg1}
    results = [session.step2(i, view) for i, view in views.items()]
    signatures = [pmsg for _, pmsg in results]
    with pytest.raises(FaultyParticipantError) as blame:
        chilldkg.coordinator_finalize(session.coordinator, signatures)
    assert blame.value.participant_id == 0
    for state, _ in results:
        with pytest.raises(FaultyCoordinatorError):
            chilldkg.participant_finalize(state, b"".join(signatures))


def test_a_relayed_share_of_another_session(start, session):
    """Attack: first messages of an earlier session are replayed; each party misses its own commitment in them."""
    earlier = start(T, N_PARTIES, b"earlier")
    earlier.coordinator_step1()
    for i in range(N_PARTIES):
        with pytest.raises(FaultyCoordinatorError):
            session.step2(i, earlier.cmsg1)


def test_changed_public_nonce(session):
    """Attack: another participant's encryption nonce is changed on the way; the share no longer decrypts."""
    session.coordinator_step1()
    start = len(session.cmsg1) - (32 + 33) * N_PARTIES + 33 * 2
    with pytest.raises(UnknownFaultyParticipantOrCoordinatorError):
        session.step2(0, replaced(session.cmsg1, start, G.to_bytes()))
    with pytest.raises(FaultyCoordinatorError):
        session.step2(2, replaced(session.cmsg1, start, G.to_bytes()))


def test_malformed_first_message_is_blamed(session):
    """A first message with an invalid point or scalar is blamed on its sender."""
    for change in (lambda m: replaced(m, 33, b"\x07"), lambda m: replaced(m, share_offset(0), b"\xff" * 32)):
        pmsgs1 = list(session.pmsgs1)
        pmsgs1[3] = change(pmsgs1[3])
        with pytest.raises(FaultyParticipantError) as blame:
            chilldkg.coordinator_step1(pmsgs1, session.params)
        assert blame.value.participant_id == 3


def test_hidden_script_path_is_impossible(start):
    """Attack: a key that commits to the adversary's script: the output key always carries a commitment to no script."""
    session = start(2, 3)
    _, output, _ = session.finish()
    internal = point_sum(constants(session.pmsgs1))
    tweak = int.from_bytes(tagged_hash("TapTweak", internal.to_xonly()), "big")
    assert output.thresh_pk == (internal + G * tweak).to_bytes()


@pytest.mark.parametrize("crafted", ["infinity inside", "cancelling differences", "all zero"])
def test_crafted_commitments_evaluate_correctly(crafted):
    """Attack: commitments that lead the fast evaluation through infinity give the same public shares."""
    points = [c.point() for c in generate_coefficients(bytes(32), 5)]
    if crafted == "infinity inside":
        points[2] = INFINITY
    elif crafted == "cancelling differences":
        points[1] = -point_sum(points[2:])
    else:
        points = [INFINITY] * 5
    commitment = VSSCommitment(tuple(points))
    assert commitment.pubshares(9) == tuple(commitment.pubshare(i) for i in range(9))


def test_shares_at_zero_intermediate_values():
    """A polynomial whose evaluation meets zero on the way is evaluated correctly."""
    coefficients = generate_coefficients(bytes(32), 3)
    coefficients[1] = coefficients[2].mul_public(-4)
    value = evaluate_secret(coefficients, 4)
    assert value.to_bytes() == coefficients[0].to_bytes()


def test_a_key_that_is_infinity_is_refused():
    """A sum of commitments whose secret is zero is no key, wherever it comes from."""
    with pytest.raises(MalformedInput):
        VSSCommitment((INFINITY, G)).without_script_path()
