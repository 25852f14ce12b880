"""From shares to a BIP-340 signature, and who is named when it fails."""

import itertools
from dataclasses import replace

import pytest

from mpc import bip340, frost
from mpc.curve import N, SecretScalar, tagged_hash
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput

IDS = (4, 0, 2)


def signed(group, ids=IDS, **kwargs):
    """Partial signatures, public nonces and session of a run without faults."""
    secnonces, pubnonces = group.nonces(ids)
    session = group.session(ids, pubnonces, **kwargs)
    return group.sign(ids, secnonces, session), pubnonces, session


@pytest.mark.parametrize("seed", [b"a", b"b", b"c", b"d"])
def test_any_threshold_of_signers_makes_a_signature(deal, seed):
    """Every set of t or more signers makes a signature under the group's key, for keys of either parity."""
    group = deal(2, 4, seed)
    for size in (2, 3, 4):
        for ids in itertools.combinations(range(4), size):
            psigs, pubnonces, session = signed(group, ids)
            signature = frost.aggregate_and_verify(psigs, pubnonces, ids, session)
            assert bip340.verify(session.msg, group.thresh_pk[1:], signature)


@pytest.mark.parametrize("modes", [(True,), (False,), (True, False, True), (False, True, True)])
@pytest.mark.parametrize("seed", [b"a", b"b", b"c"])
def test_tweaked_keys_sign(deal, seed, modes):
    """A signature under a tweaked key verifies under the key that the tweaks give."""
    group = deal(3, 5, seed)
    tweaks = [tagged_hash("test tweak", bytes([i])) for i in range(len(modes))]
    psigs, pubnonces, session = signed(group, tweaks=tweaks, is_xonly=modes)
    signature = frost.aggregate_and_verify(psigs, pubnonces, None, session)
    key = frost.thresh_pubkey_and_tweak(group.thresh_pk, tweaks, modes)
    assert session.output_key == key.xonly_key == key.plain_key[1:]
    assert bip340.verify(session.msg, key.xonly_key, signature)


def test_deterministic_signer_completes_a_signature(group):
    """A stateless last signer makes its nonce and its share at once, and they fit the others'."""
    *others, last = IDS
    secnonces, pubnonces = group.nonces(others)
    aggothernonce = frost.nonce_agg(pubnonces)
    signers = group.signers(IDS)
    pubnonce, psig = frost.deterministic_sign(group.secshares[last], last, aggothernonce, signers, (), (), b"m", None)
    session = frost.SessionContext(frost.nonce_agg([*pubnonces, pubnonce]), signers, (), (), b"m")
    psigs = [*group.sign(others, secnonces, session), psig]
    frost.aggregate_and_verify(psigs, [*pubnonces, pubnonce], IDS, session)


def test_sole_deterministic_signer(deal):
    """In a 1-of-n group one signer signs alone without another's nonce."""
    group = deal(1, 3)
    signers = group.signers((1,))
    pubnonce, psig = frost.deterministic_sign(group.secshares[1], 1, None, signers, (), (), b"m", bytes(32))
    session = frost.SessionContext(pubnonce, signers, (), (), b"m")
    frost.aggregate_and_verify([psig], [pubnonce], None, session)


def test_deterministic_signer_blames_a_bad_aggregate(group):
    """An invalid aggregate of the other nonces is the coordinator's fault."""
    with pytest.raises(InvalidContributionError) as blame:
        frost.deterministic_sign(group.secshares[4], 4, bytes(66), group.signers(IDS), (), (), b"m", None)
    assert (blame.value.signer_index, blame.value.contrib) == (None, "aggothernonce")


def test_every_wrong_signer_is_named(group):
    """Wrong and malformed partial signatures are all named by participant, honest ones are not."""
    psigs, pubnonces, session = signed(group)
    psigs[0] = ((int.from_bytes(psigs[0], "big") + 1) % N).to_bytes(32, "big")
    psigs[2] = b"\xff" * 32
    with pytest.raises(InvalidPartialSignature) as blame:
        frost.aggregate_and_verify(psigs, pubnonces, IDS, session)
    assert blame.value.participant_ids == (4, 2)


def test_shares_are_verified_only_if_the_signature_is_wrong(group, monkeypatch):
    """The fast path: a valid signature costs no verification of shares."""
    psigs, pubnonces, session = signed(group)

    def refuse(*args):
        raise AssertionError("a share was verified")

    monkeypatch.setattr("mpc.frost.aggregation.verify_share", refuse)
    frost.aggregate_and_verify(psigs, pubnonces, IDS, session)


def test_a_changed_aggregate_nonce_is_the_coordinators_fault(group):
    """Attack: a coordinator that announces another aggregate nonce cannot make a signer look guilty."""
    secnonces, pubnonces = group.nonces(IDS)
    _, other = group.nonces(IDS, b"other")
    session = group.session(IDS, other)
    psigs = group.sign(IDS, secnonces, session)
    with pytest.raises(InvalidContributionError) as blame:
        frost.aggregate_and_verify(psigs, pubnonces, IDS, session)
    assert (blame.value.signer_index, blame.value.contrib) == (None, "aggnonce")


def test_cancelled_nonces_name_the_conspirators(group):
    """Attack: signers whose nonces cancel (all conspire) make no signature, stop nothing, and are named."""
    (secnonce, *_), (pubnonce, *_) = group.nonces(IDS)
    raw = secnonce.expose()
    # The other two share the negation of the first one's nonce.
    half = b"".join(SecretScalar(part).mul_public(-pow(2, -1, N)).to_bytes() for part in (raw[:32], raw[32:]))
    half_point = b"".join(SecretScalar(part).point().to_bytes() for part in (half[:32], half[32:]))
    pubnonces = [pubnonce, half_point, half_point]
    assert frost.nonce_agg(pubnonces) == bytes(66)
    session = frost.SessionContext(bytes(66), group.signers(IDS), (), (), b"m")
    secnonces = [frost.SecNonce.from_bytes(k) for k in (raw, half, half)]
    psigs = group.sign(IDS, secnonces, session)
    with pytest.raises(InvalidPartialSignature) as blame:
        frost.aggregate_and_verify(psigs, pubnonces, IDS, session)
    assert blame.value.participant_ids == IDS


def test_partial_sig_agg_blames_a_malformed_share(group):
    """A share that is not below the group order is blamed by position and participant."""
    psigs, _, session = signed(group)
    with pytest.raises(InvalidContributionError) as blame:
        frost.partial_sig_agg([psigs[0], N.to_bytes(32, "big"), psigs[2]], IDS, session)
    assert (blame.value.signer_index, blame.value.participant_id, blame.value.contrib) == (1, 0, "psig")


def test_lists_must_fit_the_signer_set(group):
    """Too few shares, and identifiers of another set, are refused."""
    psigs, pubnonces, session = signed(group)
    for arguments in ((psigs[:2], pubnonces, None), (psigs, pubnonces[:2], None), (psigs, pubnonces, (0, 1, 2))):
        with pytest.raises(MalformedInput):
            frost.aggregate_and_verify(*arguments, session)
    with pytest.raises(MalformedInput):
        frost.partial_sig_verify(psigs[0], pubnonces, session.signers, (), (), session.msg, 3)


def test_order_of_the_contributions_is_the_callers(group):
    """Contributions may come in any order of the same signer set, and blame follows that order."""
    psigs, pubnonces, session = signed(group)
    order = (2, 4, 0)
    by_id = {i: (s, r) for i, s, r in zip(IDS, psigs, pubnonces, strict=True)}
    shuffled = [by_id[i] for i in order]
    frost.aggregate_and_verify([s for s, _ in shuffled], [r for _, r in shuffled], order, session)


def test_shares_of_mixed_epochs_do_not_sign(deal):
    """Attack: after a refresh (same key, new shares) an old share neither joins nor signs with new ones."""
    old = deal(3, 5)
    new = refreshed(old)
    assert new.thresh_pk == old.thresh_pk
    mixed = [old.pubshares[0], new.pubshares[1], new.pubshares[2]]
    with pytest.raises(MalformedInput, match="interpolate"):
        frost.SignersContext(5, 3, (0, 1, 2), mixed, new.thresh_pk)
    secnonces, pubnonces = new.nonces((0, 1, 2))
    session = new.session((0, 1, 2), pubnonces)
    with pytest.raises(MalformedInput, match="public share"):
        frost.sign(secnonces[0], old.secshares[0], 0, session)


def test_an_old_share_added_anyway_makes_no_signature(deal, group):
    """Attack: a signer that signs with an old share against the new signer set is named."""
    new = refreshed(group)
    ids = (0, 1, 2)
    secnonces, pubnonces = new.nonces(ids)
    stale_session = group.session(ids, pubnonces)
    session = new.session(ids, pubnonces)
    psigs = [frost.sign(secnonces[0], group.secshares[0], 0, stale_session)]
    psigs += new.sign(ids[1:], secnonces[1:], session)
    with pytest.raises(InvalidPartialSignature) as blame:
        frost.aggregate_and_verify(psigs, pubnonces, ids, session)
    assert blame.value.participant_ids == (0,)


def test_shares_of_mixed_groups_do_not_sign(deal, group):
    """Attack: shares of two groups do not make a signer set of either."""
    other = deal(3, 5, b"other")
    mixed = [group.pubshares[0], group.pubshares[1], other.pubshares[2]]
    for key in (group.thresh_pk, other.thresh_pk):
        with pytest.raises(MalformedInput, match="interpolate"):
            frost.SignersContext(5, 3, (0, 1, 2), mixed, key)


def refreshed(group):
    """The same key with new shares: a polynomial with constant zero is added (here x + 2 x**2)."""
    added = [SecretScalar(s).add_public((i + 1) + 2 * (i + 1) ** 2) for i, s in enumerate(group.secshares)]
    return replace(
        group,
        secshares=tuple(s.to_bytes() for s in added),
        pubshares=tuple(s.point().to_bytes() for s in added),
    )
