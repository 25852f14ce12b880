"""What is kept of payments is sealed: shared secrets and preimages are in it, and whoever has a preimage may claim.

Each payment has a key of its own under the party's key, so that no key seals so much that random nonces meet (NIST
SP 800-38D, 8.3), and no sealed text can be put in place of another payment's, or of another kind of text.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from enum import StrEnum
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from foundation.errors import BadInput, Fatal
from settlement.custody.terms import PaymentId

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_CIPHERS_MAX: Final = 2_048
_DOMAIN: Final = b"causeway/custody/at-rest/1/"


class What(StrEnum):
    """What kind of text is sealed."""

    STATE = "state"
    EFFECT = "effect"


class StateDamaged(Fatal):
    """What is stored of a payment does not open: it was changed, moved, or sealed under another key.

    Fields: payment_id (32 bytes); what.
    """

    def __init__(self, payment: PaymentId, what: What) -> None:
        self.payment_id = payment
        self.what = what
        super().__init__(f"the {what} of payment {payment.hex()} cannot be opened: is it this party's database?")


class Sealer:
    """Seals and opens what is kept of payments. It does not show its key."""

    __slots__ = ("__ciphers", "__key")

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes, kept outside of the database.

        Raises:
            BadInput: it has another length.
        """
        if len(key) != KEY_BYTES:
            raise BadInput("state_key", f"it has {len(key)} bytes", "32 secret bytes")
        self.__key = key
        self.__ciphers: dict[PaymentId, AESGCM] = {}

    def seal(self, payment: PaymentId, what: What, plain: bytes) -> bytes:
        """AES-256-GCM under the payment's key: 12 bytes of nonce, the text, 16 bytes of tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(payment).encrypt(nonce, plain, what.encode())

    def open(self, payment: PaymentId, what: What, sealed: bytes) -> bytes:
        """The text.

        Raises:
            StateDamaged: it is not what was sealed for this payment and kind.
        """
        try:
            return self._cipher(payment).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], what.encode())
        except (InvalidTag, ValueError):
            raise StateDamaged(payment, what) from None

    def _cipher(self, payment: PaymentId) -> AESGCM:
        """The payment's cipher; a payment is sealed some fifteen times in a few seconds."""
        found = self.__ciphers.get(payment)
        if found is None:
            if len(self.__ciphers) >= _CIPHERS_MAX:
                self.__ciphers.clear()
            found = self.__ciphers[payment] = AESGCM(hmac.digest(self.__key, _DOMAIN + payment, hashlib.sha256))
        return found

    def __repr__(self) -> str:
        return "Sealer(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealer is not copied")
