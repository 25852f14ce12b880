"""Connections that a server need not remember: address and secret of each are derived from one secret of the server's.

The token is the last segment of the address that a client gets: encrypted and authenticated, so that nobody learns or
alters what the server put into it. The connection's shared secret is an HMAC of the token. Source: RFC 29, 4.1.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from foundation.errors import BadInput
from settlement.ilp.addresses import Address, child_of, tail_of
from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, var_octets
from settlement.ilp.stream.crypto import IV_BYTES, SECRET_BYTES, Randomness
from settlement.ilp.stream.receipts import ReceiptKey

MAX_TAG_CHARACTERS: Final = 64
_TAG = re.compile(r"[A-Za-z0-9_.~-]{0,64}", re.ASCII)
_MAX_TOKEN_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to connect; to be given to it alone, over an encrypted and authenticated channel.

    Fields: address (of this connection); shared_secret (32 bytes); receipts_enabled.
    """

    address: Address
    shared_secret: bytes
    receipts_enabled: bool = False

    def __repr__(self) -> str:
        return f"Credentials(address={self.address!r})"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the server put into a token. Fields: tag (its own words, at most 64 characters); receipts (None: none)."""

    tag: str
    receipts: ReceiptKey | None


class Inviter:
    """Makes and reads tokens. `server_secret`: 32 bytes, the same as long as invitations should stay good.

    Raises:
        BadInput: the secret has not 32 bytes.
    """

    __slots__ = ("_address", "_cipher", "_randomness", "_secret_key")

    def __init__(self, address: Address, server_secret: bytes, randomness: Randomness = os.urandom) -> None:
        if len(server_secret) != SECRET_BYTES:
            raise BadInput("server_secret", f"{len(server_secret)} bytes, not {SECRET_BYTES}")
        self._address = address
        self._cipher = AESGCM(hmac.digest(server_secret, b"causeway/stream/token", "sha256"))
        self._secret_key = hmac.digest(server_secret, b"causeway/stream/shared-secret", "sha256")
        self._randomness = randomness

    def invite(self, tag: str = "", receipts: ReceiptKey | None = None) -> Credentials:
        """Fresh credentials for one client.

        Raises:
            BadInput: the tag is too long or holds a character that is not allowed.
        """
        if not _TAG.fullmatch(tag):
            raise BadInput("connection_tag", f"{tag[:80]!r} is no tag", "at most 64 letters, digits or . _ ~ -")
        nonce, secret = (receipts.nonce, receipts.secret) if receipts else (b"", b"")
        plain = b"".join(var_octets(part) for part in (tag.encode(), nonce, secret))
        iv = self._randomness(IV_BYTES)
        token = iv + self._cipher.encrypt(iv, plain, None)
        address = child_of(self._address, _text(token))
        return Credentials(address, self._shared_secret(token), receipts is not None)

    def token_in(self, address: Address) -> str | None:
        """The segment after the server's own address, whatever follows it; None where the address is another's."""
        tail = tail_of(self._address, address)
        return None if tail is None else tail.partition(".")[0]

    def read(self, token: str) -> tuple[Invitation, bytes]:
        """What was put into a token, and its connection's shared secret (32 bytes).

        Raises:
            BadPacket: this server did not make it.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise BadPacket("destination", "no token of this server")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            if _text(raw) != token:  # another spelling of the same bytes would be the same connection twice
                raise BadPacket("destination", "no token of this server")
            plain = self._cipher.decrypt(raw[:IV_BYTES], raw[IV_BYTES:], None)
        except (InvalidTag, binascii.Error, ValueError) as wrong:
            raise BadPacket("destination", "no token of this server") from wrong
        reader = Reader(plain)
        tag, nonce, secret = reader.var_octets().decode(), reader.var_octets(), reader.var_octets()
        return Invitation(tag, ReceiptKey(nonce, secret) if nonce else None), self._shared_secret(raw)

    def _shared_secret(self, token: bytes) -> bytes:
        return hmac.digest(self._secret_key, token, "sha256")


def _text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()
