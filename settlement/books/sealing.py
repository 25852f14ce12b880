"""Narratives at rest: sealed under the party's key, so that a copy of the database tells amounts and no stories."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foundation.errors import BadInput
from settlement.books.errors import NarrativeDamaged
from settlement.books.journal import EntryId

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class NarrativeKey:
    """Seals and opens narratives. It does not show itself.

    AES-256-GCM-SIV (RFC 8452): the same entry sealed again gives the same bytes, which a repeated posting needs, and
    two narratives under one id, should that ever happen, show nothing but that they differ.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes, kept outside of the database; what seals is derived from them, for this use alone.

        Raises:
            BadInput: it has another length.
        """
        if len(key) != KEY_BYTES:
            raise BadInput("narrative_key", f"it has {len(key)} bytes", "32 secret bytes")
        self._cipher = AESGCMSIV(HKDF(SHA256(), KEY_BYTES, None, b"causeway/books/1/narrative").derive(key))

    def seal(self, entry_id: EntryId, narrative: str) -> bytes:
        """The narrative of an entry, sealed and bound to its id; nothing for an empty one."""
        if not narrative:
            return b""
        return self._cipher.encrypt(entry_id[:_NONCE_BYTES], narrative.encode(), entry_id)

    def open(self, entry_id: EntryId, sealed: bytes) -> str:
        """The narrative.

        Raises:
            NarrativeDamaged: it does not open.
        """
        if not sealed:
            return ""
        try:
            return self._cipher.decrypt(entry_id[:_NONCE_BYTES], sealed, entry_id).decode()
        except (InvalidTag, ValueError):
            raise NarrativeDamaged(entry_id) from None

    def __repr__(self) -> str:
        return "NarrativeKey(hidden)"
