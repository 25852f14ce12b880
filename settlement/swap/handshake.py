"""How an offer becomes terms: the taker names its keys, the maker fills in its own and the time-outs, both check.

Pure. The maker computes the terms, because it is there to answer at once; the taker makes sure that every field is the
offer's or its own, and (by `planning`) that the time-outs are safe. Both then sign the swap's id, and neither moves
money before it has the other's signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coincurve import PrivateKey, PublicKeyXOnly

from foundation.errors import BadInput, Fatal
from settlement.quantities import tagged_hash
from settlement.swap.letters.bodies import Take
from settlement.swap.offers import Offer
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, Role, SwapTerms, point_condition
from settlement.swap.wallet.secrets import SwapSecrets

SKEW_SECONDS: Final = 900
"""How far the two sides' clocks may be apart when terms are agreed."""


class TermsDiffer(Fatal):
    """The maker's terms are not what its offer and the taker's answer say. Fields: field."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"the maker's terms differ from its offer: {field}; no money has moved")


@dataclass(frozen=True, slots=True)
class Part:
    """What one side brings into the terms.

    Fields: bitcoin_key (x-only); account (EVM address); condition (32 bytes), point (33 bytes or empty) and lock_id
    (32 bytes) of an initiator; else empty.
    """

    bitcoin_key: bytes
    account: bytes
    condition: bytes = b""
    point: bytes = b""
    lock_id: bytes = b""

    @classmethod
    def of(cls, secrets: SwapSecrets, account: bytes, role: Role, mode: Mode) -> Part:
        """This trader's part."""
        if role is Role.FOLLOWER:
            return cls(secrets.bitcoin_key, account)
        if mode is Mode.POINT:
            condition = point_condition(secrets.point)
            return cls(secrets.bitcoin_key, account, condition, secrets.point, secrets.lock_key)
        return cls(secrets.bitcoin_key, account, secrets.condition, b"", secrets.bitcoin_key)

    @classmethod
    def in_take(cls, take: Take) -> Part:
        """The taker's."""
        return cls(take.bitcoin_key, take.account, take.condition, take.point, take.lock_id)

    def take(self, letters: bytes) -> Take:
        """As the taker says it. `letters`: the key that answers are sealed to."""
        return Take(letters, self.bitcoin_key, self.account, self.condition, self.point, self.lock_id)


def make_terms(
    offer: Offer, maker: Part, taker: Part, *, bitcoin_expires_at: int, evm_expires_at: int, agreed_at: int
) -> SwapTerms:
    """Whole terms. Times in seconds since 1970.

    Raises:
        BadInput: a part does not fit: a key that is none, a missing condition, times in the wrong order.
    """
    initiator, follower = (taker, maker) if offer.gives_bitcoin else (maker, taker)
    bitcoin = BitcoinLeg(
        chain=offer.bitcoin_chain,
        amount=offer.satoshi,
        claimer=initiator.bitcoin_key,
        refunder=follower.bitcoin_key,
        expires_at=bitcoin_expires_at,
        confirmations=offer.bitcoin_confirmations,
    )
    evm = EvmLeg(
        chain=offer.evm_chain,
        escrow=offer.escrow,
        lock_id=initiator.lock_id,
        payer=initiator.account,
        beneficiary=follower.account,
        refund_to=initiator.account,
        asset=offer.asset,
        amount=offer.amount,
        expires_at=evm_expires_at,
        confirmations=offer.evm_confirmations,
    )
    return SwapTerms(offer.mode, initiator.condition, initiator.point, offer.offer_id, bitcoin, evm, agreed_at)


def check_accepted(offer: Offer, taker: Part, terms: SwapTerms, now: int) -> None:
    """Make sure that the maker's terms are the offer's and the taker's in everything but the maker's keys and times.

    Args:
        offer: as its maker signed it.
        taker: what this side said.
        terms: the maker's answer.
        now: seconds since 1970.

    Raises:
        TermsDiffer: names the first field that differs.
    """
    maker_key = terms.key_of(offer.maker_role)
    part = Part(maker_key, offer.account, terms.condition, terms.point, terms.evm.lock_id)
    maker = Part(maker_key, offer.account) if offer.gives_bitcoin else part
    try:
        expected = make_terms(
            offer,
            maker,
            taker,
            bitcoin_expires_at=terms.bitcoin.expires_at,
            evm_expires_at=terms.evm.expires_at,
            agreed_at=terms.agreed_at,
        )
    except BadInput as error:
        raise TermsDiffer(error.field) from error
    for field in ("mode", "condition", "point", "offer_id", "bitcoin", "evm"):
        if getattr(terms, field) != getattr(expected, field):
            raise TermsDiffer(field)
    if abs(terms.agreed_at - now) > SKEW_SECONDS:
        raise TermsDiffer("agreed_at: the clocks of the two sides are too far apart")


def sign_terms(swap_id: bytes, secret: bytes) -> bytes:
    """This side's word that it agrees, 64 bytes. `secret`: of its identity."""
    return PrivateKey(secret).sign_schnorr(_agreed(swap_id))


def terms_are_signed(swap_id: bytes, identity: bytes, signature: bytes) -> bool:
    """Whether the one with that identity (x-only key) agreed."""
    try:
        return bool(PublicKeyXOnly(identity).verify(signature, _agreed(swap_id)))
    except ValueError:
        return False


def _agreed(swap_id: bytes) -> bytes:
    return tagged_hash("swap/agreed", swap_id)
