"""A connection's keys, and the attacks that they stop."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from foundation.errors import BadInput
from settlement.ilp.errors import BadPacket
from settlement.ilp.stream.crypto import Keys
from settlement.quantities import fulfils

SECRET = bytes(range(32))


def test_the_envelope_is_iv_tag_and_ciphertext() -> None:
    """What is sealed opens with the plain algorithm under the key that RFC 29 derives."""
    data = Keys(SECRET, lambda count: b"\x07" * count).seal(b"hello")
    key = hmac.digest(SECRET, b"ilp_stream_encryption", "sha256")
    assert data[:12] == b"\x07" * 12
    assert AESGCM(key).decrypt(data[:12], data[28:] + data[12:28], None) == b"hello"
    assert Keys(SECRET).open(data) == b"hello"


def test_every_altered_byte_is_noticed() -> None:
    """An intermediary that flips any bit, cuts, or uses another secret is refused."""
    data = Keys(SECRET).seal(b"pay me")
    for at in range(len(data)):
        with pytest.raises(BadPacket):
            Keys(SECRET).open(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(BadPacket):
            Keys(SECRET).open(data[:at])
    with pytest.raises(BadPacket):
        Keys(bytes(32)).open(data)


def test_ivs_are_fresh() -> None:
    """The same text twice is two different envelopes."""
    keys = Keys(SECRET)
    assert len({keys.seal(b"same")[:12] for _ in range(100)}) == 100


def test_both_ends_derive_the_fulfillment_from_the_data() -> None:
    """The condition is the hash of an HMAC of the encrypted data, as RFC 29 6.2 says."""
    keys = Keys(SECRET)
    data = keys.seal(b"x")
    key = hmac.digest(SECRET, b"ilp_stream_fulfillment", "sha256")
    assert keys.fulfillment(data) == hmac.digest(key, data, "sha256")
    assert keys.condition(data) == hashlib.sha256(keys.fulfillment(data)).digest()
    assert fulfils(keys.fulfillment(data), keys.condition(data))
    assert not fulfils(keys.fulfillment(data + b"\0"), keys.condition(data))


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_secrets_have_32_bytes(secret: bytes) -> None:
    """A secret of another length is refused."""
    with pytest.raises(BadInput):
        Keys(secret)
