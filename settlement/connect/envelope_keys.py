"""Keys with which parties write to each other: X25519 seals, Ed25519 signs; the party's BLS key certifies both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import CoSignature
from settlement.cosign.errors import KeyNotValid
from settlement.cosign.keys import Signer, sign_alone
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind
from settlement.quantities import PartyId

SEED_BYTES: Final = 32
_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


@dataclass(frozen=True, slots=True)
class EnvelopeKeys:
    """What others need to write to a party and to know its hand.

    Fields: party; seal_key (X25519, 32 bytes), sign_key (Ed25519, 32 bytes); valid_from, valid_until (Unix ms).
    """

    party: PartyId
    seal_key: _Key
    sign_key: _Key
    valid_from: UnixMs
    valid_until: UnixMs

    @property
    def text(self) -> bytes:
        """The canonical bytes that are certified."""
        return msgspec.msgpack.encode(self)

    def is_valid(self, at: UnixMs) -> bool:
        """Whether they are in use at `at`."""
        return self.valid_from <= at < self.valid_until

    def sealing(self) -> X25519PublicKey:
        """The key to seal with."""
        return X25519PublicKey.from_public_bytes(self.seal_key)

    def verifying(self) -> Ed25519PublicKey:
        """The key that tells its hand."""
        return Ed25519PublicKey.from_public_bytes(self.sign_key)


@dataclass(frozen=True, slots=True)
class CertifiedKeys:
    """Envelope keys with the signature of their party's BLS key on them."""

    keys: EnvelopeKeys
    certificate: CoSignature


@dataclass(frozen=True, slots=True)
class EnvelopeSecrets:
    """The secrets of a party's envelope keys. They do not show themselves."""

    party: PartyId
    sealing: X25519PrivateKey = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def derive(cls, party: PartyId, seed: bytes, number: int = 0) -> EnvelopeSecrets:
        """The `number`-th keys (from 0) of a seed of 32 secret bytes, which may serve for `cosign` as well.

        Raises:
            BadInput: the seed has another length, or the number is none.
        """
        if len(seed) != SEED_BYTES or not 0 <= number < 1 << 31:
            raise BadInput("seed", "not 32 bytes, or no number from 0 to 2^31−1", "give 32 secret bytes")

        def derived(use: bytes) -> bytes:
            return HKDF(SHA256(), 32, None, b"causeway/connect/1/" + use + number.to_bytes(4, "big")).derive(seed)

        sealing = X25519PrivateKey.from_private_bytes(derived(b"seal/"))
        return cls(party, sealing, Ed25519PrivateKey.from_private_bytes(derived(b"sign/")))

    def keys(self, valid_from: UnixMs, valid_until: UnixMs) -> EnvelopeKeys:
        """The public keys, for the given time."""
        seal, sign = self.sealing.public_key(), self.signing.public_key()
        return EnvelopeKeys(self.party, seal.public_bytes_raw(), sign.public_bytes_raw(), valid_from, valid_until)


def certify(signer: Signer, keys: EnvelopeKeys) -> CertifiedKeys:
    """The keys with the certificate of `signer`, who is their party.

    Raises:
        BadInput: they are another party's.
    """
    if signer.party != keys.party:
        raise BadInput("party", f"the keys are {keys.party}'s", "each party certifies its own")
    return CertifiedKeys(keys, sign_alone(signer, Kind.ENVELOPE, keys.text))


def check_certificate(certified: CertifiedKeys, registry: KeyRegistry, now: UnixMs) -> EnvelopeKeys:
    """The keys, once it is verified that their party has certified them and that they are in use.

    Raises:
        KeyNotValid: they are not in use at `now`, or the BLS key is not valid now.
        UnknownSigner, MissingSigners, BadSignature, MalformedSignature: the certificate is not their party's.
    """
    keys = certified.keys
    if not keys.is_valid(now):
        raise KeyNotValid(keys.party, now)
    registry.verify(Kind.ENVELOPE, keys.text, certified.certificate, now, (keys.party,))
    return keys
