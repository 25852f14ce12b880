"""BIP-340 Schnorr signatures over messages of any length. Keys: 32 bytes secret, 32 bytes x-only public."""

from __future__ import annotations

from typing import Any, Final

from mpc.curve import (
    CONTEXT,
    N,
    Point,
    SecretScalar,
    ffi,
    lib,
    point_sum,
    public_base_mul,
    scalar_from_bytes,
    tagged_hash,
)
from mpc.errors import MalformedInput

SIGNATURE_BYTES: Final = 64
_EXTRA_MAGIC: Final = bytes.fromhex("da6fb38c")
"""Marks libsecp256k1's `secp256k1_schnorrsig_extraparams`."""


def xonly_pubkey(seckey: bytes) -> bytes:
    """The x-only public key (32 bytes) of a secret key (32 bytes).

    Raises:
        MalformedInput: the key is not 32 bytes, zero, or not below the group order.
    """
    return SecretScalar.nonzero(seckey).point().to_xonly()


def lift_x(xonly: bytes) -> Point:
    """The point with this x coordinate (32 bytes) and an even y.

    Raises:
        MalformedInput: not 32 bytes, or no point has this x coordinate.
    """
    return Point.from_xonly(xonly)


def sign(message: bytes, seckey: bytes, aux_rand: bytes) -> bytes:
    """Sign a message of any length; 64 bytes.

    `aux_rand`: 32 bytes, fresh randomness at best; it protects against side channels, not against nonce reuse. The
    signature is verified before it is returned, against faults.

    Raises:
        MalformedInput: the key is not 32 bytes, zero or not below the order; `aux_rand` is not 32 bytes.
    """
    return sign_scalar(message, SecretScalar.nonzero(seckey), aux_rand)


def sign_scalar(message: bytes, seckey: SecretScalar, aux_rand: bytes) -> bytes:
    """`sign` with a nonzero key that is held in a `SecretScalar`."""
    if len(aux_rand) != 32:
        raise MalformedInput("aux_rand", "is not 32 bytes")
    keypair = ffi.new("secp256k1_keypair *")
    try:
        if not lib.secp256k1_keypair_create(CONTEXT, keypair, seckey.raw):
            raise MalformedInput("seckey", "is zero")
        aux = ffi.new("unsigned char[32]", aux_rand)
        extra = ffi.new("secp256k1_schnorrsig_extraparams *")
        ffi.memmove(extra.magic, _EXTRA_MAGIC, len(_EXTRA_MAGIC))
        extra.noncefp = ffi.NULL
        extra.ndata = aux
        signature = ffi.new("unsigned char[64]")
        assert lib.secp256k1_schnorrsig_sign_custom(CONTEXT, signature, message, len(message), keypair, extra) == 1
        xonly = ffi.new("secp256k1_xonly_pubkey *")
        assert lib.secp256k1_keypair_xonly_pub(CONTEXT, xonly, ffi.NULL, keypair) == 1
        result = bytes(ffi.buffer(signature))
        assert _verify_parsed(message, xonly, result)
        return result
    finally:
        ffi.memmove(keypair, bytes(ffi.sizeof("secp256k1_keypair")), ffi.sizeof("secp256k1_keypair"))


def verify(message: bytes, xonly: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` (any length) is valid for the key `xonly` (32 bytes).

    A key or a signature of a wrong length, or a key that is no point, makes it invalid; nothing is raised.
    """
    if len(xonly) != 32 or len(signature) != SIGNATURE_BYTES:
        return False
    parsed = ffi.new("secp256k1_xonly_pubkey *")
    if not lib.secp256k1_xonly_pubkey_parse(CONTEXT, parsed, xonly):
        return False
    return _verify_parsed(message, parsed, signature)


def _verify_parsed(message: bytes, parsed: Any, signature: bytes) -> bool:
    return bool(lib.secp256k1_schnorrsig_verify(CONTEXT, signature, message, len(message), parsed))


def sign_tagged(tag: str, message: bytes, seckey: SecretScalar, aux_rand: bytes) -> bytes:
    """Sign as BIP-340 does, with `tag` instead of "BIP0340" in all of its hashes; 64 bytes.

    For protocols that separate their signatures from payments by the hash, as ChillDKG's proofs of possession do.
    libsecp256k1 fixes the tag, so this follows the default signing algorithm of BIP-340 over its scalar functions.

    Raises:
        MalformedInput: the key is zero, or `aux_rand` is not 32 bytes.
    """
    if len(aux_rand) != 32:
        raise MalformedInput("aux_rand", "is not 32 bytes")
    public = seckey.point()
    if public.is_infinity:
        raise MalformedInput("seckey", "is zero")
    d = seckey if public.has_even_y else seckey.negate()
    mask = tagged_hash(f"{tag}/aux", aux_rand)
    masked = bytes(a ^ b for a, b in zip(d.to_bytes(), mask, strict=True))
    nonce = SecretScalar.reduced(tagged_hash(f"{tag}/nonce", masked + public.to_xonly() + message))
    nonce_point = nonce.point()
    k = nonce if nonce_point.has_even_y else nonce.negate()
    challenge = _challenge(tag, nonce_point.to_xonly(), public.to_xonly(), message)
    signature = nonce_point.to_xonly() + k.add(d.mul_public(challenge)).to_bytes()
    assert verify_tagged(tag, message, public.to_xonly(), signature)
    return signature


def verify_tagged(tag: str, message: bytes, xonly: bytes, signature: bytes) -> bool:
    """Whether a signature (64 bytes) by `sign_tagged` with the same tag is valid for the key `xonly` (32 bytes)."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        public = Point.from_xonly(xonly)
        s = scalar_from_bytes(signature[32:])
    except MalformedInput:
        return False
    challenge = _challenge(tag, signature[:32], xonly, message)
    nonce_point = point_sum((public_base_mul(s), public * -challenge))
    return nonce_point.to_bytes() == b"\x02" + signature[:32]


def _challenge(tag: str, nonce: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(tagged_hash(f"{tag}/challenge", nonce + public + message), "big") % N
