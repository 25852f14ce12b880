"""A connection's keys, encryption, conditions and fulfillments. Source: RFC 29, 5.1 and 6."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from foundation.errors import BadInput
from settlement.ilp.errors import BadPacket
from settlement.quantities import Condition, Preimage

SECRET_BYTES: Final = 32
IV_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = IV_BYTES + TAG_BYTES
MAX_SEALED: Final = 2**31
"""Packets that one endpoint may encrypt under one shared secret (RFC 29, 5.1.3): both encrypt with the same key."""

Randomness: TypeAlias = Callable[[int], bytes]
"""So many unpredictable bytes, fresh each time."""


class Keys:
    """What a connection's shared secret is used for: nothing of it is kept but the two keys derived from it.

    `shared_secret`: 32 bytes, known to both endpoints alone. `randomness` makes the IVs: two packets under one IV would
    give both away, so it is replaced in tests only.

    Raises:
        BadInput: the secret has not 32 bytes.
    """

    __slots__ = ("_cipher", "_fulfillment_key", "_randomness")

    def __init__(self, shared_secret: bytes, randomness: Randomness = os.urandom) -> None:
        if len(shared_secret) != SECRET_BYTES:
            raise BadInput("shared_secret", f"{len(shared_secret)} bytes, not {SECRET_BYTES}")
        self._cipher = AESGCM(hmac.digest(shared_secret, b"ilp_stream_encryption", "sha256"))
        self._fulfillment_key = hmac.digest(shared_secret, b"ilp_stream_fulfillment", "sha256")
        self._randomness = randomness

    def seal(self, plain: bytes) -> bytes:
        """IV (12 bytes), tag (16 bytes) and ciphertext of `plain`, under a fresh IV."""
        iv = self._randomness(IV_BYTES)
        sealed = self._cipher.encrypt(iv, plain, None)
        return b"".join((iv, sealed[-TAG_BYTES:], sealed[:-TAG_BYTES]))

    def open(self, data: bytes) -> bytes:
        """What was sealed.

        Raises:
            BadPacket: too short, altered, or sealed under another secret.
        """
        if len(data) < OVERHEAD_BYTES:
            raise BadPacket("stream.data", "too short to be encrypted")
        try:
            return self._cipher.decrypt(data[:IV_BYTES], data[OVERHEAD_BYTES:] + data[IV_BYTES:OVERHEAD_BYTES], None)
        except InvalidTag as wrong:
            raise BadPacket("stream.data", "altered, or encrypted under another secret") from wrong

    def fulfillment(self, data: bytes) -> Preimage:
        """The preimage, 32 bytes, that both endpoints derive from a Prepare's encrypted data."""
        return Preimage(hmac.digest(self._fulfillment_key, data, "sha256"))

    def condition(self, data: bytes) -> Condition:
        """SHA-256 of the fulfillment, 32 bytes: what the sender puts into a Prepare that can be fulfilled."""
        return Condition(hashlib.sha256(self.fulfillment(data)).digest())
