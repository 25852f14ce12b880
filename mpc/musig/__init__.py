"""MuSig2 (BIP-327): several keys sign as one, with a BIP-340 signature; and signatures that a point locks.

All over libsecp256k1's own module: no secret passes through Python's integers. Keys and points are 33 bytes compressed,
secret keys and partial signatures 32 bytes, public and aggregate nonces 66 bytes, messages 32 bytes (a digest: that is
what libsecp256k1 signs), signatures 64 bytes. The public face:

    sort_keys(keys) -> tuple[bytes, ...]               # BIP-327's order, where no other is agreed on
    with_even_y(secret) -> SecretScalar                # the secret behind 02 ‖ x of an x-only key
    KeyAggregate.of(keys) -> KeyAggregate(.plain_key 33, .xonly_key 32); .tweaked(tweak, is_xonly) -> KeyAggregate

    SecNonce.fresh(secret, keys, message=None, extra=None)   # .public 66 bytes; one use; neither copied nor stored
    nonce_agg(public_nonces) -> bytes
    Session(keys, aggnonce, message, adaptor=None)
    sign(nonce, secret, session) -> bytes              # the nonce is consumed, whatever happens
    verify_partial(partial, public_nonce, position, session) -> bool
    aggregate(partials, public_nonces, session) -> bytes     # verified, or InvalidPartialSignature names who is wrong

    pre_signature(partials, public_nonces, session) -> PreSignature   # of a session with an adaptor
    PreSignature(.nonce 33, .scalar 32): .holds(adaptor, key, message), .complete(secret), .extract(signature, adaptor)

Errors: `MalformedInput` (the caller's fault), `NonceReused`, `InvalidContributionError(signer_index, contrib)`,
`InvalidPartialSignature(participant_ids: positions)`; all in `mpc.errors`.
"""

from mpc.musig.adaptor import PreSignature, pre_signature
from mpc.musig.keys import KeyAggregate, sort_keys, with_even_y
from mpc.musig.nonces import SecNonce, nonce_agg
from mpc.musig.session import Session, aggregate, partial_sig_agg, sign, verify_partial

__all__ = [
    "KeyAggregate",
    "PreSignature",
    "SecNonce",
    "Session",
    "aggregate",
    "nonce_agg",
    "partial_sig_agg",
    "pre_signature",
    "sign",
    "sort_keys",
    "verify_partial",
    "with_even_y",
]
