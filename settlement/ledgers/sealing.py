"""What a chain's ledger keeps of preimages before they are public: sealed, each for its own place.

Whoever reads a database, or a copy of it, may otherwise claim with a preimage that is on its way to the chain, or claim
anew where the transaction never got there. Each place has a key of its own under the ledger's, so that no key seals so
much that random nonces meet (NIST SP 800-38D, 8.3), and nothing can be put in another's place.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from foundation.errors import BadInput, Fatal
from settlement.quantities import tagged_hash

KEY_BYTES: Final = 32
_MARK: Final = b"\xff\x01causeway"
"""No preimage that is kept open (32 bytes), no transaction and none of our calls begin so."""
_NONCE_BYTES: Final = 12


class RowDamaged(Fatal):
    """What is stored does not open: it was changed, moved, or sealed under another key. Fields: what."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"a {what} is damaged in the database, or of another party")


class RowSealer:
    """Seals what one party's ledgers keep."""

    def __init__(self, key: bytes | None) -> None:
        """`key`: 32 secret bytes; None: everything stays open, for ledgers that are nobody's. Raises `BadInput`."""
        if key is not None and len(key) != KEY_BYTES:
            raise BadInput("key", f"it has {len(key)} bytes", "32 secret bytes")
        self._key = key

    def __repr__(self) -> str:
        return "RowSealer(hidden)"

    def seal(self, what: str, place: bytes, text: bytes) -> bytes:
        """The text, sealed for a place; as it is where this sealer has no key."""
        if self._key is None:
            return text
        nonce = os.urandom(_NONCE_BYTES)
        return _MARK + nonce + AESGCM(self._of(what, place)).encrypt(nonce, text, what.encode())

    def open(self, what: str, place: bytes, kept: bytes) -> bytes:
        """The text that was sealed; what an earlier release kept open is as it is.

        Raises:
            RowDamaged: it does not open.
        """
        if not kept.startswith(_MARK):
            return kept
        if self._key is None:
            raise RowDamaged(what)
        nonce, sealed = kept[len(_MARK) :][:_NONCE_BYTES], kept[len(_MARK) + _NONCE_BYTES :]
        try:
            return AESGCM(self._of(what, place)).decrypt(nonce, sealed, what.encode())
        except (InvalidTag, ValueError) as error:
            raise RowDamaged(what) from error

    def _of(self, what: str, place: bytes) -> bytes:
        assert self._key is not None, "asked for only then"
        return hmac.digest(self._key, tagged_hash("ledgers/at-rest", what.encode(), place), hashlib.sha256)


OPEN: Final = RowSealer(None)
"""Keeps everything as it is."""
