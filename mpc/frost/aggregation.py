"""From partial signatures to a signature, and from a failure to those who caused it (BIP-445)."""

from __future__ import annotations

from collections.abc import Sequence

from mpc import bip340
from mpc.curve import scalar_from_bytes, scalar_to_bytes
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput
from mpc.frost.nonces import nonce_agg
from mpc.frost.session import SessionContext
from mpc.frost.signing import verify_share


def partial_sig_agg(psigs: Sequence[bytes], ids: Sequence[int] | None, session: SessionContext) -> bytes:
    """Add up partial signatures (32 bytes each) to a signature (64 bytes) that is NOT verified.

    `ids`: whose they are, in the same order; None: in the order of the signer set.

    Raises:
        InvalidContributionError: a partial signature is not 32 bytes or not below the group order; names the signer.
        MalformedInput: there is not one signature for each signer.
    """
    ids = _matching_ids(ids, session)
    if len(psigs) != len(ids):
        raise MalformedInput("psigs", "differs from ids in length")
    total = session.tweak_term
    for position, psig in enumerate(psigs):
        try:
            total += scalar_from_bytes(psig, "psig")
        except MalformedInput as error:
            raise InvalidContributionError(position, "psig", ids[position]) from error
    return session.nonce_point.to_xonly() + scalar_to_bytes(total)


def aggregate_and_verify(
    psigs: Sequence[bytes], pubnonces: Sequence[bytes], ids: Sequence[int] | None, session: SessionContext
) -> bytes:
    """Add up partial signatures to a verified signature (64 bytes) under `session.output_key`.

    Only the signature itself is verified; if it is wrong, each share is, and all wrong signers are named.
    `pubnonces` (66 bytes each) and `psigs` (32 bytes each) are in the order of `ids`.

    Raises:
        InvalidPartialSignature: names every signer whose partial signature is malformed or wrong.
        InvalidContributionError: all shares verify, but the session's aggregate nonce is not the sum of `pubnonces`
            (blames the coordinator), or a nonce is not two points (names the signer).
        MalformedInput: there is not one signature and one nonce for each signer.
    """
    ids = _matching_ids(ids, session)
    if not len(psigs) == len(pubnonces) == len(ids):
        raise MalformedInput("psigs", "psigs, pubnonces and ids differ in length")
    try:
        signature = partial_sig_agg(psigs, ids, session)
    except InvalidContributionError:
        signature = b""  # a malformed share: name it together with the wrong ones
    if bip340.verify(session.msg, session.output_key, signature):
        return signature
    if nonce_agg(pubnonces, ids) != session.aggnonce:
        raise InvalidContributionError(None, "aggnonce")
    wrong = [
        i
        for i, psig, pubnonce in zip(ids, psigs, pubnonces, strict=True)
        if not verify_share(psig, pubnonce, i, session)
    ]
    # Valid shares add up to a valid signature unless the nonces cancel, and nobody can cancel an honest signer's nonce
    # and know the share that goes with it: then the whole signer set conspires.
    raise InvalidPartialSignature(wrong or ids)


def _matching_ids(ids: Sequence[int] | None, session: SessionContext) -> Sequence[int]:
    if ids is None:
        return session.signers.ids
    if sorted(ids) != sorted(session.signers.ids):
        raise MalformedInput("ids", "are not the identifiers of the signer set")
    return ids
