"""FROST signing that makes BIP-340 signatures, as BIP-445 specifies it. Bytes in, bytes out; no I/O.

Points are 33 bytes compressed, scalars 32 bytes big-endian, public nonces and aggregate nonces 66 bytes, partial
signatures 32 bytes, signatures 64 bytes. Identifiers are 0…n−1. The public face:

    # a context is checked when it is made; a context that exists is valid. Both cache what many calls share.
    SignersContext(n: int, t: int, ids: Sequence[int], pubshares: Sequence[bytes], thresh_pk: bytes)
    SessionContext(aggnonce: bytes, signers: SignersContext, tweaks: Sequence[bytes], is_xonly: Sequence[bool],
                   msg: bytes)
        .output_key -> bytes          # 32 bytes x-only: the tweaked threshold key that the signature verifies under
    ThresholdInfo(t: int, thresh_pk: bytes, pubshares: Sequence[bytes | None]); validate_threshold_info(info) -> None

    nonce_gen(secshare: bytes | None, pubshare: bytes | None, thresh_pk: bytes | None,   # thresh_pk 32 bytes x-only
              msg: bytes | None, extra_in: bytes | None, rand: bytes) -> tuple[SecNonce, bytes]
    SecNonce                          # single use: zeroed by `sign`; a second use raises NonceReused
        SecNonce.from_bytes(raw: bytes) ; .expose() -> bytes (64) ; .erase() ; .used -> bool
    nonce_agg(pubnonces: Sequence[bytes], ids: Sequence[int] | None = None) -> bytes

    sign(secnonce: SecNonce, secshare: bytes, my_id: int, session: SessionContext) -> bytes
    deterministic_sign(secshare, my_id, aggothernonce, signers, tweaks, is_xonly, msg, rand) -> tuple[bytes, bytes]
    partial_sig_verify(psig, pubnonces, signers, tweaks, is_xonly, msg, index) -> bool   # as BIP-445 words it
    verify_share(psig: bytes, pubnonce: bytes, participant_id: int, session: SessionContext) -> bool
    partial_sig_agg(psigs: Sequence[bytes], ids: Sequence[int] | None, session: SessionContext) -> bytes   # unverified!
    aggregate_and_verify(psigs, pubnonces, ids, session) -> bytes   # verified, or raises InvalidPartialSignature
    thresh_pubkey_and_tweak(thresh_pk, tweaks, is_xonly) -> TweakContext(.plain_key 33 bytes, .xonly_key 32 bytes)
    lagrange_coefficients(ids: Sequence[int]) -> tuple[int, ...]    # at x = 0, modulo the group order

Errors: `MalformedInput` (a ValueError; the caller's fault), `NonceReused`, `InvalidContributionError(signer_index,
contrib, participant_id)`, `InvalidPartialSignature(participant_ids)`; all in `mpc.errors`.
"""

from mpc.frost.aggregation import aggregate_and_verify, partial_sig_agg
from mpc.frost.context import SignersContext, ThresholdInfo, lagrange_coefficients, validate_threshold_info
from mpc.frost.nonces import SecNonce, nonce_agg, nonce_gen
from mpc.frost.session import SessionContext
from mpc.frost.signing import deterministic_sign, partial_sig_verify, sign, verify_share
from mpc.frost.tweaks import TweakContext, thresh_pubkey_and_tweak

__all__ = [
    "SecNonce",
    "SessionContext",
    "SignersContext",
    "ThresholdInfo",
    "TweakContext",
    "aggregate_and_verify",
    "deterministic_sign",
    "lagrange_coefficients",
    "nonce_agg",
    "nonce_gen",
    "partial_sig_agg",
    "partial_sig_verify",
    "sign",
    "thresh_pubkey_and_tweak",
    "validate_threshold_info",
    "verify_share",
]
