"""Signers of MuSig2 that live in one process."""

from __future__ import annotations

from collections.abc import Sequence

from mpc import musig
from mpc.curve import SecretScalar

MESSAGE = bytes(range(32))


def secret_of(number: int) -> SecretScalar:
    """A signer's secret key."""
    return SecretScalar.nonzero(number.to_bytes(32, "big"))


def keys_of(secrets: Sequence[SecretScalar], tweak: bytes | None = None) -> musig.KeyAggregate:
    """The aggregate of their keys, with an x-only tweak."""
    keys = musig.KeyAggregate.of([secret.point().to_bytes() for secret in secrets])
    return keys if tweak is None else keys.tweaked(tweak)


def partials_of(
    secrets: Sequence[SecretScalar], keys: musig.KeyAggregate, adaptor: bytes | None = None, message: bytes = MESSAGE
) -> tuple[musig.Session, list[bytes], list[bytes]]:
    """A session in which all have signed: the session, their partial signatures, their public nonces."""
    nonces = [musig.SecNonce.fresh(secret, keys, message) for secret in secrets]
    public = [nonce.public for nonce in nonces]
    session = musig.Session(keys, musig.nonce_agg(public), message, adaptor)
    return session, [musig.sign(nonce, one, session) for nonce, one in zip(nonces, secrets, strict=True)], public
