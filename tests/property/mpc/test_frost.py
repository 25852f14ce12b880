"""FROST for any group, signer set, message and tweaks."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import bip340, frost
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.curve import N, tagged_hash
from mpc.errors import InvalidContributionError, InvalidPartialSignature


@st.composite
def signings(draw):
    """(t, n, ids, seed, message, tweaks with their modes)."""
    n = draw(st.integers(1, 6))
    t = draw(st.integers(1, n))
    ids = draw(st.permutations(range(n)))[: draw(st.integers(t, n))]
    tweaks = draw(st.lists(st.tuples(st.integers(0, N - 1), st.booleans()), max_size=3))
    return t, n, ids, draw(st.binary(min_size=1, max_size=8)), draw(st.binary(max_size=80)), tweaks


@given(signings(), st.integers(0, 5), st.integers(0, N - 1))
@settings(max_examples=40, deadline=None)
def test_any_signer_set_signs_and_a_wrong_share_is_named(signing, wrong, error):
    """Any signer set signs anything under any tweaks; if one share is off by any amount, its signer alone is named."""
    t, n, ids, seed, msg, tweaks = signing
    coefficients = generate_coefficients(tagged_hash("test", seed), t)
    thresh_pk = VSSCommitment.of(coefficients).to_secret.to_bytes()
    shares = {i: evaluate_secret(coefficients, i + 1) for i in ids}
    signers = frost.SignersContext(n, t, ids, [shares[i].point().to_bytes() for i in ids], thresh_pk)
    made = [frost.nonce_gen(None, None, None, None, None, tagged_hash("test nonce", seed + bytes([i]))) for i in ids]
    pubnonces = [pubnonce for _, pubnonce in made]
    encoded = [tweak.to_bytes(32, "big") for tweak, _ in tweaks]
    aggnonce = frost.nonce_agg(pubnonces)
    session = frost.SessionContext(aggnonce, signers, encoded, [mode for _, mode in tweaks], msg)
    psigs = [frost.sign(k, shares[i].to_bytes(), i, session) for i, (k, _) in zip(ids, made, strict=True)]
    assert bip340.verify(msg, session.output_key, frost.aggregate_and_verify(psigs, pubnonces, ids, session))
    wrong %= len(ids)
    psigs[wrong] = ((int.from_bytes(psigs[wrong], "big") + error) % N).to_bytes(32, "big")
    if error == 0:
        frost.aggregate_and_verify(psigs, pubnonces, ids, session)
        return
    with pytest.raises(InvalidPartialSignature) as blame:
        frost.aggregate_and_verify(psigs, pubnonces, ids, session)
    assert blame.value.participant_ids == (ids[wrong],)


@given(st.binary(max_size=70), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_parsers_of_contributions_refuse_or_accept(pubnonce, psig):
    """Whatever bytes a peer sends as a nonce or a share, the answer is a typed error or False."""
    with suppress(InvalidContributionError):
        frost.nonce_agg([pubnonce], [0])
    coefficients = generate_coefficients(bytes(32), 1)
    key = coefficients[0].point().to_bytes()
    signers = frost.SignersContext(1, 1, (0,), (key,), key)
    session = frost.SessionContext(bytes(66), signers, (), (), b"")
    assert frost.verify_share(psig, pubnonce, 0, session) is False
