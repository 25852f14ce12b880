"""Signatures that a point locks: whoever knows its discrete logarithm completes one, and who sees both learns it.

For a point T = t·G the signers add T to the first half of their aggregate nonce, so that nobody can sum up their parts
to a signature: t is missing in its scalar. The construction is that of secp256k1-zkp's MuSig module; the form of a
pre-signature (the nonce with the parity of its y, then the scalar) is that of its adaptor module, so that a
pre-signature can be verified, completed and taken apart without the session that made it.

Sources: Aumayr et al., "Generalized Channels from Limited Blockchain Scripts and Adaptor Signatures" (2020), section 4;
Nick, Ruffing, Seurin, "MuSig2" (2021). That T may be chosen after the nonces were shown costs nothing: a signer that
shifts its own nonce by T could do the same, and MuSig2 holds against signers that choose their nonces last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mpc import bip340
from mpc.curve import (
    POINT_BYTES,
    SCALAR_BYTES,
    N,
    Point,
    SecretScalar,
    point_sum,
    public_base_mul,
    scalar_from_bytes,
    tagged_hash,
)
from mpc.errors import InvalidContributionError, MalformedInput
from mpc.musig.session import Session, add_up, blame, check_counts

PRE_SIGNATURE_BYTES: Final = POINT_BYTES + SCALAR_BYTES


@dataclass(frozen=True, slots=True)
class PreSignature:
    """A signature that lacks the discrete logarithm of a point. It is no signature: nothing accepts it as one.

    Fields: nonce (33 bytes: the final signature's nonce, the adaptor's point included); scalar (32 bytes).
    """

    nonce: bytes
    scalar: bytes

    def __post_init__(self) -> None:
        """Raises `MalformedInput`: the nonce is no compressed point, or the scalar is out of range."""
        Point.from_bytes(self.nonce)
        scalar_from_bytes(self.scalar, "pre-signature")

    def encode(self) -> bytes:
        """65 bytes: the nonce, then the scalar."""
        return self.nonce + self.scalar

    @classmethod
    def decode(cls, data: bytes) -> PreSignature:
        """The inverse of `encode`. Raises `MalformedInput`."""
        if len(data) != PRE_SIGNATURE_BYTES:
            raise MalformedInput("pre-signature", f"is not {PRE_SIGNATURE_BYTES} bytes")
        return cls(bytes(data[:POINT_BYTES]), bytes(data[POINT_BYTES:]))

    def holds(self, adaptor: bytes, key: bytes, message: bytes) -> bool:
        """Whether the discrete logarithm of `adaptor` (33 bytes), and only it, makes this a signature.

        Args:
            key: what the signature is to verify under, x-only, 32 bytes.
            message: 32 bytes.

        A malformed key or adaptor makes it False; nothing is raised.
        """
        try:
            public, point, nonce = Point.from_xonly(key), Point.from_bytes(adaptor), Point.from_bytes(self.nonce)
        except MalformedInput:
            return False
        rest = nonce - point
        if rest.is_infinity:
            return False  # the signers' own nonces cancel out: no honest ones do
        preimage = nonce.to_xonly() + key + message
        challenge = int.from_bytes(tagged_hash("BIP0340/challenge", preimage), "big") % N
        # s'·G = ±(R − T) + e·P, with the sign that makes R's y even, as in BIP-340.
        expected = point_sum((rest if nonce.has_even_y else -rest, public * challenge))
        return public_base_mul(int.from_bytes(self.scalar, "big")) == expected

    def complete(self, secret: SecretScalar) -> bytes:
        """The signature, 64 bytes, if `secret` is the adaptor's discrete logarithm; it is not verified here.

        Whoever has this pre-signature, and sees what this returns, knows the secret.
        """
        term = secret if self._is_even else secret.negate()
        return self.nonce[1:] + term.add_public(int.from_bytes(self.scalar, "big")).to_bytes()

    def extract(self, signature: bytes, adaptor: bytes) -> SecretScalar:
        """The discrete logarithm of `adaptor` (33 bytes), out of the signature (64 bytes) that completes this.

        Raises:
            MalformedInput: `signature` does not complete this pre-signature for this adaptor.
        """
        if len(signature) != bip340.SIGNATURE_BYTES or signature[:32] != self.nonce[1:]:
            raise MalformedInput("signature", "is another one: its nonce is not that of the pre-signature")
        term = SecretScalar(signature[32:]).add_public(-int.from_bytes(self.scalar, "big"))
        secret = term if self._is_even else term.negate()
        if secret.point() != Point.from_bytes(adaptor):
            raise MalformedInput("signature", "does not reveal the discrete logarithm of this adaptor")
        return secret

    @property
    def _is_even(self) -> bool:
        return self.nonce[0] == 2


def pre_signature(partials: Sequence[bytes], public_nonces: Sequence[bytes], session: Session) -> PreSignature:
    """Add up the partial signatures of a session with an adaptor. All lists are in the order of the keys.

    Raises:
        InvalidPartialSignature, InvalidContributionError: as `aggregate`.
        MalformedInput: there is not one part and one nonce for each key, or the session has no adaptor.
    """
    if session.adaptor is None:
        raise MalformedInput("session", "has no adaptor", "use aggregate")
    check_counts(partials, public_nonces, session)
    try:
        summed = add_up(partials, session)
    except InvalidContributionError:
        raise blame(partials, public_nonces, session) from None
    assert summed[:32] == session.nonce.to_xonly(), "libsecp256k1 and we agree on the nonce"
    made = PreSignature(session.nonce.to_bytes(), summed[32:])
    if not made.holds(session.adaptor.to_bytes(), session.keys.xonly_key, session.message):
        raise blame(partials, public_nonces, session)
    return made
