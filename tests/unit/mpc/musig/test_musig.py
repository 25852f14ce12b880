"""MuSig2 between honest signers and dishonest ones: `mpc.musig.keys`, `nonces` and `session`."""

import contextlib
import copy
import pickle
import threading

import pytest

from mpc import bip340, musig
from mpc.curve import N, Point, SecretScalar
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput, NonceReused
from tests.support.musig import MESSAGE, keys_of, partials_of, secret_of

SECRETS = (secret_of(7), secret_of(11), secret_of(13))
KEYS = keys_of(SECRETS, b"\x05" * 32)
OTHER = b"\x09" * 32


def test_all_together_sign():
    """The parts of all signers make a BIP-340 signature under the tweaked aggregate."""
    session, partials, public = partials_of(SECRETS, KEYS)
    assert bip340.verify(MESSAGE, KEYS.xonly_key, musig.aggregate(partials, public, session))


def test_a_tweak_leaves_the_aggregate_it_came_from_as_it_was():
    """A tweaked aggregate is a new one."""
    keys = keys_of(SECRETS)
    before = keys.plain_key
    assert keys.tweaked(OTHER).plain_key != before
    session, partials, public = partials_of(SECRETS, keys)
    assert keys.plain_key == before
    assert bip340.verify(MESSAGE, before[1:], musig.aggregate(partials, public, session))


def test_a_nonce_signs_once():
    """A nonce that has signed signs nothing more, not even the same."""
    nonce = musig.SecNonce.fresh(SECRETS[0], KEYS)
    others = [musig.SecNonce.fresh(secret, KEYS).public for secret in SECRETS[1:]]
    session = musig.Session(KEYS, musig.nonce_agg([nonce.public, *others]), MESSAGE)
    musig.sign(nonce, SECRETS[0], session)
    with pytest.raises(NonceReused):
        musig.sign(nonce, SECRETS[0], session)


def test_a_nonce_is_spent_by_an_attempt_that_fails():
    """A refused signature consumes the nonce as well."""
    nonce = musig.SecNonce.fresh(SECRETS[0], KEYS)
    session = musig.Session(KEYS, nonce.public, MESSAGE)
    with pytest.raises(MalformedInput, match="another key"):
        musig.sign(nonce, SECRETS[1], session)
    assert nonce.is_used


def test_a_nonce_that_was_erased_signs_nothing():
    """An erased nonce is a used one."""
    nonce = musig.SecNonce.fresh(SECRETS[0], KEYS)
    nonce.erase()
    with pytest.raises(NonceReused):
        musig.sign(nonce, SECRETS[0], musig.Session(KEYS, nonce.public, MESSAGE))


def test_threads_that_race_for_a_nonce_get_one_signature():
    """However many threads sign with one nonce at once, one of them succeeds."""
    nonce = musig.SecNonce.fresh(SECRETS[0], KEYS)
    session = musig.Session(KEYS, nonce.public, MESSAGE)
    start, made = threading.Barrier(8), []

    def race():
        start.wait()
        with contextlib.suppress(NonceReused):
            made.append(musig.sign(nonce, SECRETS[0], session))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_nonce_cannot_be_duplicated(duplicate):
    """A nonce is neither copied nor serialised."""
    with pytest.raises(TypeError):
        duplicate(musig.SecNonce.fresh(SECRETS[0], KEYS))


def test_a_nonce_tells_nothing_about_itself():
    """The text form of a nonce shows no secret, and two nonces differ."""
    one, two = (musig.SecNonce.fresh(SECRETS[0], KEYS, MESSAGE, OTHER) for _ in range(2))
    assert repr(one) == "SecNonce(hidden, is_used=False)"
    assert one.public != two.public


def test_a_key_that_does_not_sign_is_refused():
    """Whoever is not among the keys gets no partial signature."""
    stranger = secret_of(17)
    nonce = musig.SecNonce.fresh(stranger, KEYS)
    with pytest.raises(MalformedInput, match="not among"):
        musig.sign(nonce, stranger, musig.Session(KEYS, nonce.public, MESSAGE))


def test_who_signed_wrongly_is_named():
    """A wrong part and a malformed one are both named, the right one is not."""
    session, partials, public = partials_of(SECRETS, KEYS)
    wrong = [partials[0], bytes(31) + b"\x01", b"\xff" * 32]
    with pytest.raises(InvalidPartialSignature) as caught:
        musig.aggregate(wrong, public, session)
    assert caught.value.participant_ids == (1, 2)


def test_who_added_up_other_nonces_is_blamed():
    """If the session's aggregate nonce is another, no signer is to blame."""
    _, partials, public = partials_of(SECRETS, KEYS)
    session = musig.Session(KEYS, musig.nonce_agg(public[:2]), MESSAGE)
    with pytest.raises(InvalidContributionError) as caught:
        musig.aggregate(partials, public, session)
    assert (caught.value.signer_index, caught.value.contrib) == (None, "aggnonce")


def test_a_partial_signature_holds_in_its_session_alone():
    """For another message, another aggregate nonce, or another signer it does not verify."""
    session, partials, public = partials_of(SECRETS, KEYS)
    assert musig.verify_partial(partials[0], public[0], 0, session)
    assert not musig.verify_partial(partials[0], public[0], 0, musig.Session(KEYS, session.aggnonce, OTHER))
    assert not musig.verify_partial(partials[0], public[0], 0, musig.Session(KEYS, public[0], MESSAGE))
    assert not musig.verify_partial(partials[0], public[1], 1, session)
    assert not musig.verify_partial(
        partials[0], public[0], 0, musig.Session(keys_of(SECRETS), session.aggnonce, MESSAGE)
    )


def test_a_key_chosen_last_does_not_cancel_the_others():
    """The sum of a rogue key (another's negation, plus an own one) and the others is not the aggregate."""
    own = secret_of(23)
    rogue = (own.point() - SECRETS[0].point()).to_bytes()
    keys = musig.KeyAggregate.of([SECRETS[0].point().to_bytes(), rogue])
    assert keys.point != own.point()


def test_even_secrets_belong_to_x_only_keys():
    """The secret with the even y signs for 02 and the x coordinate, whichever it was before."""
    for number in range(1, 20):
        secret = musig.with_even_y(secret_of(number))
        assert secret.point() == Point.from_xonly(secret_of(number).point().to_xonly())
    with pytest.raises(MalformedInput):
        musig.with_even_y(SecretScalar())


@pytest.mark.parametrize(
    "call",
    [
        lambda: musig.KeyAggregate.of([]),
        lambda: KEYS.tweaked(b"\x05" * 31),
        lambda: KEYS.tweaked(N.to_bytes(32, "big")),
        lambda: musig.SecNonce.fresh(SecretScalar(), KEYS),
        lambda: musig.SecNonce.fresh(SECRETS[0], KEYS, b"short"),
        lambda: musig.SecNonce.fresh(SECRETS[0], KEYS, extra=b"short"),
        lambda: musig.Session(KEYS, musig.SecNonce.fresh(SECRETS[0], KEYS).public, b"short"),
        lambda: musig.Session(KEYS, musig.SecNonce.fresh(SECRETS[0], KEYS).public, MESSAGE, bytes(33)),
        lambda: musig.verify_partial(bytes(32), bytes(66), 3, partials_of(SECRETS, KEYS)[0]),
        lambda: musig.partial_sig_agg([bytes(32)], partials_of(SECRETS, KEYS)[0]),
        lambda: musig.aggregate([bytes(32)], [], partials_of(SECRETS, KEYS)[0]),
        lambda: musig.pre_signature([], [], partials_of(SECRETS, KEYS)[0]),
        lambda: musig.PreSignature.decode(bytes(64)),
        lambda: musig.PreSignature(bytes(33), bytes(32)),
        lambda: musig.PreSignature(SECRETS[0].point().to_bytes(), b"\xff" * 32),
    ],
)
def test_malformed_arguments_are_refused(call):
    """What has not the form that the specification asks for is refused, and never reaches libsecp256k1."""
    with pytest.raises(MalformedInput):
        call()


@pytest.mark.parametrize("value", [KEYS, partials_of(SECRETS, KEYS)[0]], ids=["keys", "session"])
def test_what_is_computed_is_not_serialised(value):
    """Aggregates and sessions are computed by every party alone."""
    with pytest.raises(TypeError):
        pickle.dumps(value)
