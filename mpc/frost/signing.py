"""Partial signatures: made and verified (BIP-445)."""

from __future__ import annotations

from collections.abc import Sequence

from mpc.curve import Point, SecretScalar, point_sum, public_base_mul, scalar_from_bytes
from mpc.errors import InvalidContributionError, MalformedInput
from mpc.frost.context import SignersContext
from mpc.frost.nonces import SecNonce, mask_secret, nonce_agg, nonce_from_prefix, parse_pubnonce
from mpc.frost.session import SessionContext, serialize_ids
from mpc.frost.tweaks import tweak_key


def sign(secnonce: SecNonce, secshare: bytes, my_id: int, session: SessionContext) -> bytes:
    """This signer's partial signature (32 bytes). The nonce is spent, even if this raises.

    The caller must know that it wants to sign `session.msg`; nothing here asks. The result is verified before it is
    returned, against faults.

    Raises:
        NonceReused: the nonce was used already.
        MalformedInput: the nonce or the share (32 bytes) is out of range, this signer is not in the signer set, or
            the share does not belong to the public share that the signer set names (another epoch, another group).
    """
    k1, k2 = secnonce.take()
    try:
        share = SecretScalar.nonzero(secshare)
    except MalformedInput as error:
        raise MalformedInput("secshare", "is out of range") from error
    position = session.signers.position_of(my_id)
    if share.point() != session.signers.points[position]:
        raise MalformedInput("secshare", f"does not belong to the public share of participant {my_id}")
    pubnonce = (k1.point(), k2.point())
    bound = k1.add(k2.mul_public(session.binding))
    if not session.nonce_point.has_even_y:
        bound = bound.negate()
    psig = bound.add(share.mul_public(session.share_factor(position))).to_bytes()
    assert _equation_holds(psig, pubnonce, position, session)
    return psig


def deterministic_sign(
    secshare: bytes,
    my_id: int,
    aggothernonce: bytes | None,
    signers: SignersContext,
    tweaks: Sequence[bytes],
    is_xonly: Sequence[bool],
    msg: bytes,
    rand: bytes | None,
) -> tuple[bytes, bytes]:
    """Sign without state as the last signer: the nonce is a hash of everything. Returns (pubnonce, partial signature).

    `aggothernonce`: the aggregate (66 bytes) of all other signers' nonces; None for a sole signer. `rand`: 32 bytes,
    or None.

    Raises:
        InvalidContributionError: `aggothernonce` is not two points (blames the coordinator).
        MalformedInput: as for `sign`.
    """
    if len(secshare) != 32:
        raise MalformedInput("secshare", "is not 32 bytes")
    if rand is not None and len(rand) != 32:
        raise MalformedInput("rand", "is not 32 bytes")
    seed = secshare if rand is None else mask_secret(secshare, rand)
    output_key = tweak_key(signers.thresh_point, tweaks, is_xonly).xonly_key
    signers.position_of(my_id)
    prefix = b"".join(
        (
            seed,
            my_id.to_bytes(4, "big"),
            len(signers.ids).to_bytes(4, "big"),
            serialize_ids(signers.ids),
            aggothernonce or b"",
            output_key,
            len(msg).to_bytes(8, "big"),
            msg,
        )
    )
    secnonce, pubnonce = nonce_from_prefix("BIP0445/deterministic/nonce", prefix)
    try:
        aggnonce = pubnonce if aggothernonce is None else nonce_agg((pubnonce, aggothernonce))
    except InvalidContributionError as error:
        raise InvalidContributionError(None, "aggothernonce") from error
    session = SessionContext(aggnonce, signers, tweaks, is_xonly, msg)
    return pubnonce, sign(secnonce, secshare, my_id, session)


def partial_sig_verify(
    psig: bytes,
    pubnonces: Sequence[bytes],
    signers: SignersContext,
    tweaks: Sequence[bytes],
    is_xonly: Sequence[bool],
    msg: bytes,
    index: int,
) -> bool:
    """Whether `psig` is the partial signature of the signer at position `index` of `signers.ids`.

    It computes the whole session anew; `verify_share` checks many signatures of one session faster.

    Raises:
        InvalidContributionError: a public nonce is not two points; names the signer.
        MalformedInput: lists differ in length, `index` is out of range, or a tweak is invalid.
    """
    if len(pubnonces) != len(signers.ids):
        raise MalformedInput("pubnonces", "differs from ids in length")
    if not 0 <= index < len(signers.ids):
        raise MalformedInput("index", "is out of range")
    aggnonce = nonce_agg(pubnonces, signers.ids)
    session = SessionContext(aggnonce, signers, tweaks, is_xonly, msg)
    return _equation_holds(psig, parse_pubnonce(pubnonces[index]), index, session)


def verify_share(psig: bytes, pubnonce: bytes, participant_id: int, session: SessionContext) -> bool:
    """Whether `psig` (32 bytes) is participant `participant_id`'s partial signature with its nonce (66 bytes).

    A malformed signature or nonce is an invalid one.

    Raises:
        MalformedInput: the participant is not in the signer set.
    """
    position = session.signers.position_of(participant_id)
    try:
        return _equation_holds(psig, parse_pubnonce(pubnonce), position, session)
    except MalformedInput:
        return False


def _equation_holds(psig: bytes, pubnonce: tuple[Point, Point], position: int, session: SessionContext) -> bool:
    """s * G == +-(R1 + b * R2) + (e * lambda * g * gacc) * P, with the sign of the final nonce's y."""
    try:
        s = scalar_from_bytes(psig, "psig")
    except MalformedInput:
        return False
    nonce = pubnonce[0] + pubnonce[1] * session.binding
    if not session.nonce_point.has_even_y:
        nonce = -nonce
    expected = point_sum((nonce, session.signers.points[position] * session.share_factor(position)))
    return public_base_mul(s) == expected
