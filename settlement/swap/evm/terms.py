"""A swap's lock as the Escrow has it, and as the machines see it. Pure."""

from __future__ import annotations

import hashlib
import hmac

from adapters.evm.escrow.types import AnyTerms, PointTerms, Terms, account_of_point
from foundation.errors import BadInput
from mpc.curve import SecretScalar
from mpc.errors import MalformedInput
from settlement.swap.evm.site import EscrowSite
from settlement.swap.machine.facts import LockView
from settlement.swap.terms import Mode, SwapTerms

SECRET_BYTES = 32
_ACCOUNT_PADDING = bytes(12)


def lock_terms(terms: SwapTerms) -> AnyTerms:
    """The lock that the initiator makes."""
    evm = terms.evm
    people = (evm.lock_id, evm.payer, evm.beneficiary, evm.refund_to, evm.asset, int(evm.amount))
    if terms.mode is Mode.HASH:
        return Terms(*people, terms.condition, evm.expires_at)
    return PointTerms(*people, terms.condition[len(_ACCOUNT_PADDING) :], evm.expires_at)


def view_of(site: EscrowSite, terms: AnyTerms) -> LockView:
    """A lock at that Escrow, for the machines."""
    is_hash = isinstance(terms, Terms)
    return LockView(
        chain=site.chain.caip2,
        escrow=site.escrow,
        mode=Mode.HASH if is_hash else Mode.POINT,
        lock_id=terms.id,
        payer=terms.payer,
        beneficiary=terms.beneficiary,
        refund_to=terms.refund_to,
        asset=terms.asset,
        amount=terms.amount.to_bytes(32, "big"),
        condition=terms.condition if isinstance(terms, Terms) else _ACCOUNT_PADDING + terms.point,
        expires_at=terms.expires_at,
    )


def terms_of(site: EscrowSite, view: LockView) -> AnyTerms:
    """The inverse of `view_of`.

    Raises:
        BadInput: the view is of another Escrow or chain, or no lock has such fields.
    """
    if (view.chain, view.escrow) != (site.chain.caip2, site.escrow):
        raise BadInput("lock", f"is at 0x{view.escrow.hex()} on {view.chain}", "a lock of this Escrow")
    amount = int.from_bytes(view.amount, "big")
    people = (view.lock_id, view.payer, view.beneficiary, view.refund_to, view.asset, amount)
    if view.mode is Mode.HASH:
        return Terms(*people, view.condition, view.expires_at)
    if not view.condition.startswith(_ACCOUNT_PADDING):
        raise BadInput("lock.condition", "is not that of a point", "twelve zeros and an account")
    return PointTerms(*people, view.condition[len(_ACCOUNT_PADDING) :], view.expires_at)


def opens(terms: AnyTerms, secret: bytes) -> bool:
    """Whether `secret` (the preimage, or the scalar, 32 bytes) is the one that claims the lock."""
    if len(secret) != SECRET_BYTES:
        return False
    if isinstance(terms, Terms):
        return hmac.compare_digest(hashlib.sha256(secret).digest(), terms.condition)
    try:
        point = SecretScalar.nonzero(secret).point()
    except MalformedInput:
        return False
    return hmac.compare_digest(account_of_point(point.to_bytes()), terms.point)
