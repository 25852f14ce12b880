"""Partial signatures: made, verified, and added up (BIP-327, "Signing", "Partial Signature Aggregation")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpc import bip340
from mpc.curve import (
    CONTEXT,
    POINT_BYTES,
    SCALAR_BYTES,
    G,
    N,
    Point,
    SecretScalar,
    ffi,
    lib,
    tagged_hash,
)
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput
from mpc.musig.keys import KeyAggregate
from mpc.musig.nonces import MESSAGE_BYTES, PUBNONCE_BYTES, SecNonce, nonce_agg, parse_pubnonce, zero_nonce


class Session:
    """What all signers of one signature agree on. Immutable; any party computes it alone.

    With an adaptor, its point is added to the first half of the aggregate nonce before anything is hashed (as
    secp256k1-zkp's MuSig module does): the partial signatures then add up to a pre-signature, see `mpc.musig.adaptor`.

    Attributes:
        keys: the aggregate that signs; message: 32 bytes; aggnonce: of the signers, 66 bytes, without the adaptor;
        adaptor: the point, None without; nonce: the signature's nonce, whose x a signature shows.
    """

    __slots__ = ("_raw", "adaptor", "aggnonce", "keys", "message", "nonce")

    keys: KeyAggregate
    aggnonce: bytes
    message: bytes
    adaptor: Point | None
    nonce: Point

    def __init__(self, keys: KeyAggregate, aggnonce: bytes, message: bytes, adaptor: bytes | None = None) -> None:
        """Begin a session.

        Raises:
            MalformedInput: the message is not 32 bytes, or the adaptor no compressed point (33 bytes).
            InvalidContributionError: the aggregate nonce is not two points or infinities (blames who added it up).
        """
        if len(message) != MESSAGE_BYTES:
            raise MalformedInput("message", f"is not {MESSAGE_BYTES} bytes")
        self.keys = keys
        self.aggnonce = bytes(aggnonce)
        self.message = bytes(message)
        self.adaptor = None if adaptor is None else Point.from_bytes(adaptor)
        first, second = _halves(self.aggnonce)
        if self.adaptor is not None:
            first = first + self.adaptor
        shifted = first.to_bytes() + second.to_bytes()
        raw = ffi.new("secp256k1_musig_aggnonce *")
        assert lib.secp256k1_musig_aggnonce_parse(CONTEXT, raw, shifted) == 1
        self._raw = ffi.new("secp256k1_musig_session *")
        assert lib.secp256k1_musig_nonce_process(CONTEXT, self._raw, raw, self.message, keys.raw) == 1
        # libsecp256k1 keeps the parity of the nonce to itself, and completing a pre-signature needs it.
        hashed = tagged_hash("MuSig/noncecoef", shifted + keys.xonly_key + self.message)
        nonce = first + second * (int.from_bytes(hashed, "big") % N)
        self.nonce = G if nonce.is_infinity else nonce

    @property
    def raw(self) -> Any:
        """libsecp256k1's form of it, to be read only."""
        return self._raw

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a session is computed from its parts, not serialised")


def sign(nonce: SecNonce, secret: SecretScalar, session: Session) -> bytes:
    """This signer's partial signature, 32 bytes (Sign). The nonce is consumed, even if this raises.

    The caller must know that it wants to sign the message; nothing here asks. The result is verified before it is
    returned, against faults.

    Raises:
        NonceReused: the nonce was used already.
        MalformedInput: the nonce is another key's, or the secret's key is not among those that sign.
    """
    raw = nonce.take()
    keypair = ffi.new("secp256k1_keypair *")
    try:
        # libsecp256k1 ends the whole process where the nonce is another key's, so it is asked before.
        if secret.point() != nonce.key:
            raise MalformedInput("secnonce", "was made for another key")
        if nonce.key not in session.keys.points:
            raise MalformedInput("secret", "its key is not among those that sign")
        assert lib.secp256k1_keypair_create(CONTEXT, keypair, secret.raw) == 1
        partial = ffi.new("secp256k1_musig_partial_sig *")
        if not lib.secp256k1_musig_partial_sign(CONTEXT, partial, raw, keypair, session.keys.raw, session.raw):
            raise MalformedInput("secnonce", "is no valid one")
    finally:
        zero_nonce(raw)
        ffi.memmove(keypair, bytes(ffi.sizeof("secp256k1_keypair")), ffi.sizeof("secp256k1_keypair"))
    encoded = ffi.new("unsigned char[32]")
    assert lib.secp256k1_musig_partial_sig_serialize(CONTEXT, encoded, partial) == 1
    result = bytes(ffi.buffer(encoded))
    assert verify_partial(result, nonce.public, session.keys.points.index(nonce.key), session)
    return result


def verify_partial(partial: bytes, public_nonce: bytes, position: int, session: Session) -> bool:
    """Whether `partial` (32 bytes) is that of the signer at `position` with its nonce (66 bytes) (PartialSigVerify).

    A partial signature that is malformed does not verify. It holds in this session only: another aggregate nonce makes
    another signature.

    Raises:
        InvalidContributionError: the nonce is not two points; names the position.
        MalformedInput: there is no signer at this position.
    """
    if not 0 <= position < len(session.keys.points):
        raise MalformedInput("position", f"{position} is out of range")
    try:
        nonce = parse_pubnonce(public_nonce)
    except MalformedInput as error:
        raise InvalidContributionError(position, "pubnonce") from error
    parsed = _parse_partial(partial)
    if parsed is None:
        return False
    key = session.keys.points[position].raw
    return bool(
        lib.secp256k1_musig_partial_sig_verify(CONTEXT, parsed, nonce, key, session.keys.raw, session.raw),
    )


def partial_sig_agg(partials: Sequence[bytes], session: Session) -> bytes:
    """Add up partial signatures (32 bytes each) to a signature (64 bytes) that is NOT verified (PartialSigAgg).

    Raises:
        InvalidContributionError: one is not 32 bytes or not below the group order; names its position.
        MalformedInput: there is not one for each key, or the session has an adaptor (see `pre_signature`).
    """
    if session.adaptor is not None:
        raise MalformedInput("session", "has an adaptor", "use pre_signature")
    return add_up(partials, session)


def add_up(partials: Sequence[bytes], session: Session) -> bytes:
    """`partial_sig_agg` whatever the session: with an adaptor, x of the nonce and the scalar of a pre-signature."""
    if len(partials) != len(session.keys.keys):
        raise MalformedInput("partials", f"{len(partials)} for {len(session.keys.keys)} keys")
    parsed = []
    for position, partial in enumerate(partials):
        one = _parse_partial(partial)
        if one is None:
            raise InvalidContributionError(position, "psig")
        parsed.append(one)
    signature = ffi.new("unsigned char[64]")
    assert lib.secp256k1_musig_partial_sig_agg(CONTEXT, signature, session.raw, parsed, len(parsed)) == 1
    return bytes(ffi.buffer(signature))


def aggregate(partials: Sequence[bytes], public_nonces: Sequence[bytes], session: Session) -> bytes:
    """Add up partial signatures to a verified signature, 64 bytes. All lists are in the order of the keys.

    Only the signature itself is verified; if it is wrong, each part is, and all wrong signers are named.

    Raises:
        InvalidPartialSignature: names the position of every signer whose part is malformed or wrong.
        InvalidContributionError: the session has not the aggregate of `public_nonces`, or one is not two points.
        MalformedInput: there is not one part and one nonce for each key, or the session has an adaptor.
    """
    check_counts(partials, public_nonces, session)
    try:
        signature = partial_sig_agg(partials, session)
    except InvalidContributionError:
        signature = b""  # a malformed part: name it together with the wrong ones
    if bip340.verify(session.message, session.keys.xonly_key, signature):
        return signature
    raise blame(partials, public_nonces, session)


def check_counts(partials: Sequence[bytes], public_nonces: Sequence[bytes], session: Session) -> None:
    """Raises `MalformedInput` unless there is a partial signature and a nonce for each key."""
    if not len(partials) == len(public_nonces) == len(session.keys.keys):
        raise MalformedInput("partials", "partials, nonces and keys differ in number")


def blame(
    partials: Sequence[bytes], public_nonces: Sequence[bytes], session: Session
) -> InvalidPartialSignature | InvalidContributionError:
    """Why the sum of partial signatures is wrong."""
    if nonce_agg(public_nonces) != session.aggnonce:
        return InvalidContributionError(None, "aggnonce")
    pairs = enumerate(zip(partials, public_nonces, strict=True))
    wrong = [at for at, (partial, public) in pairs if not verify_partial(partial, public, at, session)]
    return InvalidPartialSignature(wrong or range(len(partials)))


def _parse_partial(partial: bytes) -> Any:
    parsed = ffi.new("secp256k1_musig_partial_sig *")
    if len(partial) != SCALAR_BYTES or not lib.secp256k1_musig_partial_sig_parse(CONTEXT, parsed, bytes(partial)):
        return None
    return parsed


def _halves(aggnonce: bytes) -> tuple[Point, Point]:
    if len(aggnonce) != PUBNONCE_BYTES:
        raise InvalidContributionError(None, "aggnonce")
    try:
        first = Point.from_bytes_or_infinity(aggnonce[:POINT_BYTES])
        return first, Point.from_bytes_or_infinity(aggnonce[POINT_BYTES:])
    except MalformedInput as error:
        raise InvalidContributionError(None, "aggnonce") from error
