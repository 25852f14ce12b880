"""MuSig2 and its adaptor signatures, for all parities of nonce, key, tweak and adaptor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc import bip340, musig
from mpc.curve import N, SecretScalar
from mpc.errors import InvalidPartialSignature, MalformedInput
from tests.support.musig import keys_of, partials_of, secret_of

SCALARS = st.integers(1, N - 1)
TWEAKS = st.none() | st.integers(0, N - 1).map(lambda tweak: tweak.to_bytes(32, "big"))
MESSAGES = st.binary(min_size=32, max_size=32)


@given(st.lists(SCALARS, min_size=1, max_size=4), TWEAKS, MESSAGES)
def test_any_signers_make_a_signature(numbers, tweak, message):
    """Any keys, also equal ones, with any tweak sign any digest together."""
    secrets = [secret_of(number) for number in numbers]
    keys = keys_of(secrets, tweak)
    session, partials, public = partials_of(secrets, keys, message=message)
    assert bip340.verify(message, keys.xonly_key, musig.aggregate(partials, public, session))


@given(SCALARS, SCALARS, SCALARS, TWEAKS, MESSAGES)
def test_a_pre_signature_is_completed_by_its_secret_and_reveals_it(one, two, number, tweak, message):
    """A pre-signature is no signature; its secret makes it one; and the signature reveals the secret."""
    secrets, locked = (secret_of(one), secret_of(two)), secret_of(number)
    adaptor, keys = locked.point().to_bytes(), keys_of(secrets, tweak)
    session, partials, public = partials_of(secrets, keys, adaptor, message)
    made = musig.PreSignature.decode(musig.pre_signature(partials, public, session).encode())
    assert made.holds(adaptor, keys.xonly_key, message)
    assert not bip340.verify(message, keys.xonly_key, made.nonce[1:] + made.scalar)
    signature = made.complete(locked)
    assert bip340.verify(message, keys.xonly_key, signature)
    assert made.extract(signature, adaptor).to_bytes() == locked.to_bytes()


@given(SCALARS, SCALARS, MESSAGES)
def test_a_wrong_secret_completes_nothing(number, wrong, message):
    """Another secret makes no signature, and nothing is learnt from what it makes."""
    secrets, locked = (secret_of(3), secret_of(5)), secret_of(number)
    adaptor, keys = locked.point().to_bytes(), keys_of(secrets)
    session, partials, public = partials_of(secrets, keys, adaptor, message)
    made = musig.pre_signature(partials, public, session)
    completed = made.complete(secret_of(wrong))
    assert bip340.verify(message, keys.xonly_key, completed) is (wrong == number)
    if wrong != number:
        with pytest.raises(MalformedInput):
            made.extract(completed, adaptor)


@given(SCALARS, SCALARS, MESSAGES)
def test_a_pre_signature_holds_for_its_adaptor_key_and_message_alone(number, other, message):
    """Another adaptor, its negation, another key or another message: the pre-signature does not hold."""
    secrets, locked = (secret_of(3), secret_of(5)), secret_of(number)
    adaptor, keys = locked.point(), keys_of(secrets)
    session, partials, public = partials_of(secrets, keys, adaptor.to_bytes(), message)
    made = musig.pre_signature(partials, public, session)
    flipped = bytes([message[0] ^ 1]) + message[1:]
    assert not made.holds((-adaptor).to_bytes(), keys.xonly_key, message)
    assert not made.holds(adaptor.to_bytes(), keys.xonly_key, flipped)
    assert not made.holds(adaptor.to_bytes(), adaptor.to_xonly(), message)
    assert made.holds(secret_of(other).point().to_bytes(), keys.xonly_key, message) is (other == number)


@given(SCALARS, st.integers(0, 1), st.integers(1, N - 1))
def test_a_wrong_part_of_a_pre_signature_is_found(number, liar, shift):
    """A partial signature that is off by anything is found before a pre-signature comes out, and its signer named."""
    secrets, adaptor = (secret_of(3), secret_of(5)), secret_of(number).point().to_bytes()
    session, partials, public = partials_of(secrets, keys_of(secrets), adaptor)
    partials[liar] = SecretScalar(partials[liar]).add_public(shift).to_bytes()
    with pytest.raises(InvalidPartialSignature) as caught:
        musig.pre_signature(partials, public, session)
    assert caught.value.participant_ids == (liar,)


@given(SCALARS)
def test_parts_for_a_pre_signature_make_no_signature(number):
    """The parts that were made for an adaptor do not add up to a signature in the session without it."""
    secrets, keys = (secret_of(3), secret_of(5)), keys_of((secret_of(3), secret_of(5)))
    session, partials, public = partials_of(secrets, keys, secret_of(number).point().to_bytes())
    with pytest.raises(MalformedInput):
        musig.aggregate(partials, public, session)
    with pytest.raises(InvalidPartialSignature):
        musig.aggregate(partials, public, musig.Session(keys, session.aggnonce, session.message))
