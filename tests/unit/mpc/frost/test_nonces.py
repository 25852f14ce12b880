"""Nonces are used once and never shown."""

import copy
import pickle

import pytest

from mpc import frost
from mpc.errors import InvalidContributionError, MalformedInput, NonceReused, RandomnessError

IDS = (0, 2, 4)


def test_a_nonce_signs_once(group):
    """Attack: a second signature with one nonce would give away the share; it is refused and the buffer is zero."""
    secnonces, pubnonces = group.nonces(IDS)
    session = group.session(IDS, pubnonces)
    frost.sign(secnonces[0], group.secshares[0], 0, session)
    assert secnonces[0].used
    assert bytes(secnonces[0]._buffer) == bytes(64)
    with pytest.raises(NonceReused):
        frost.sign(secnonces[0], group.secshares[0], 0, group.session(IDS, pubnonces, b"another message"))
    with pytest.raises(NonceReused):
        secnonces[0].expose()


def test_a_refused_signature_spends_the_nonce(group):
    """A nonce that was given to a signature that is refused cannot be used again."""
    secnonces, pubnonces = group.nonces(IDS)
    session = group.session(IDS, pubnonces)
    with pytest.raises(MalformedInput):
        frost.sign(secnonces[0], group.secshares[1], 0, session)
    with pytest.raises(NonceReused):
        frost.sign(secnonces[0], group.secshares[0], 0, session)


def test_a_zeroed_buffer_is_no_nonce(group):
    """A nonce restored from a zeroed buffer, as after a use, is refused."""
    session = group.session(IDS, group.nonces(IDS)[1])
    with pytest.raises(MalformedInput, match="first value"):
        frost.sign(frost.SecNonce.from_bytes(bytes(64)), group.secshares[0], 0, session)


def test_a_nonce_is_neither_copied_nor_pickled_nor_shown(group):
    """Copies of a nonce would be further uses; its text shows nothing of it."""
    (secnonce, *_), _ = group.nonces(IDS)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(secnonce)
    assert secnonce.expose().hex() not in repr(secnonce)


def test_an_exposed_nonce_comes_back(group):
    """A keystore can keep a nonce: what it exposes makes the same nonce again."""
    secnonces, pubnonces = group.nonces(IDS)
    session = group.session(IDS, pubnonces)
    restored = frost.SecNonce.from_bytes(secnonces[0].expose())
    psig = frost.sign(restored, group.secshares[0], 0, session)
    assert frost.verify_share(psig, pubnonces[0], 0, session)


def test_erase(group):
    """An erased nonce is spent."""
    (secnonce, *_), _ = group.nonces(IDS)
    secnonce.erase()
    with pytest.raises(NonceReused):
        secnonce.take()


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, bytes(31)), (1, bytes(32)), (2, bytes(33)), (5, bytes(31))],
    ids=["share", "pub", "key", "rand"],
)
def test_nonce_gen_refuses_wrong_lengths(index, value):
    """Arguments of a wrong length are refused."""
    arguments = [None, None, None, None, None, bytes(range(32))]
    arguments[index] = value
    with pytest.raises(MalformedInput):
        frost.nonce_gen(*arguments)


def test_nonce_gen_refuses_a_broken_source_of_randomness():
    """Randomness that is all zero is refused."""
    with pytest.raises(RandomnessError):
        frost.nonce_gen(None, None, None, None, None, bytes(32))


def test_nonce_agg_names_the_participant(group):
    """An invalid public nonce is blamed on the participant, not only on the position."""
    _, pubnonces = group.nonces(IDS)
    with pytest.raises(InvalidContributionError) as blame:
        frost.nonce_agg([pubnonces[0], pubnonces[1][:65], pubnonces[2]], IDS)
    assert (blame.value.signer_index, blame.value.participant_id, blame.value.contrib) == (1, 2, "pubnonce")
    with pytest.raises(MalformedInput):
        frost.nonce_agg(pubnonces, IDS[:2])
