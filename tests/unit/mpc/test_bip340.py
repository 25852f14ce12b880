"""BIP-340 beyond its vectors: bad arguments, and signatures with other tags."""

import pytest

from mpc import bip340
from mpc.curve import N, SecretScalar
from mpc.errors import MalformedInput

SECKEY = bytes(31) + b"\x07"
AUX = bytes(32)


@pytest.mark.parametrize("seckey", [bytes(32), bytes(31), N.to_bytes(32, "big")])
def test_invalid_secret_keys(seckey):
    """A secret key that is zero, too large or of a wrong length signs nothing."""
    with pytest.raises(MalformedInput):
        bip340.sign(b"m", seckey, AUX)


@pytest.mark.parametrize("sign", [bip340.sign_scalar, lambda m, k, a: bip340.sign_tagged("tag", m, k, a)])
def test_invalid_arguments_of_scalar_signers(sign):
    """A zero key and randomness of a wrong length are refused."""
    with pytest.raises(MalformedInput):
        sign(b"m", SecretScalar(), AUX)
    with pytest.raises(MalformedInput):
        sign(b"m", SecretScalar(SECKEY), AUX[1:])


def test_verify_never_raises():
    """Keys and signatures of a wrong length or form are invalid, not an error."""
    signature = bip340.sign(b"m", SECKEY, AUX)
    key = bip340.xonly_pubkey(SECKEY)
    assert bip340.verify(b"m", key, signature)
    for bad_key, bad_signature in ((b"", signature), (key, b""), (bytes(32), signature), (key, b"\xff" * 64)):
        assert not bip340.verify(b"m", bad_key, bad_signature)
        assert not bip340.verify_tagged("BIP0340", b"m", bad_key, bad_signature)


@pytest.mark.parametrize("seckey", [SECKEY, bytes(31) + b"\x05", (N - 1).to_bytes(32, "big")])
@pytest.mark.parametrize("message", [b"", b"m" * 32, b"m" * 100])
def test_the_tag_of_bip340_gives_the_same_signatures(seckey, message):
    """With the tag of BIP-340 the tagged signer makes exactly libsecp256k1's signature."""
    tagged = bip340.sign_tagged("BIP0340", message, SecretScalar(seckey), AUX)
    assert tagged == bip340.sign(message, seckey, AUX)
    assert bip340.verify_tagged("BIP0340", message, bip340.xonly_pubkey(seckey), tagged)


def test_tags_separate():
    """A signature with one tag is not one with another, nor over another message, nor under another key."""
    signature = bip340.sign_tagged("one", b"m", SecretScalar(SECKEY), AUX)
    key = bip340.xonly_pubkey(SECKEY)
    assert bip340.verify_tagged("one", b"m", key, signature)
    assert not bip340.verify_tagged("two", b"m", key, signature)
    assert not bip340.verify_tagged("one", b"n", key, signature)
    assert not bip340.verify_tagged("one", b"m", bip340.xonly_pubkey(bytes(31) + b"\x08"), signature)
    assert not bip340.verify(b"m", key, signature)
