"""How a claim that enough vouchers have signed is brought to the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapters.native.calls import Calls, NativeCall
from adapters.native.types import DepositClaim, VoucherSet
from bridge.messages import (
    AnchorSeen,
    AssetSeen,
    CancellationSeen,
    Claim,
    DepositSeen,
    HaltWanted,
    PayoutSeen,
    ResumeWanted,
    amount_of,
)


def is_enough(vouchers: VoucherSet, claim: Claim, signers: Iterable[bytes]) -> bool:
    """Whether the Hub takes the claim from these accounts: more than two thirds of the weight; a third for a halt.

    Who could refuse every mint by staying silent, a third, may as well say so.
    """
    if isinstance(claim, HaltWanted):
        return vouchers.is_alarm(signers)
    return vouchers.is_quorum(signers)


def is_urgent(claim: Claim) -> bool:
    """Whether every voucher that has a quorum submits it, without waiting for its turn."""
    return isinstance(claim, HaltWanted)


def submission(calls: Calls, claim: Claim, signatures: Sequence[bytes]) -> tuple[NativeCall, str]:
    """The call, and the verb for its key. `signatures`: in ascending order of their accounts."""
    match claim:
        case DepositSeen():
            c = claim
            deposit = DepositClaim(c.asset, c.txid, c.vout, amount_of(c.amount), c.recipient, c.group)
            return calls.mint(deposit, signatures), "mint"
        case PayoutSeen():
            return calls.settle(claim.payout, claim.txid, amount_of(claim.fee), signatures), "settle"
        case AnchorSeen():
            return calls.void_payout(claim.payout, claim.spender, signatures), "void"
        case AssetSeen():
            said = (claim.caip19, claim.name, claim.symbol, claim.decimals)
            return calls.introduce(claim.chain, *said, signatures), "introduce"
        case CancellationSeen():
            return calls.restore(claim.withdrawal, amount_of(claim.amount), signatures), "restore"
        case HaltWanted():
            return calls.halt(claim.asset, claim.until, signatures), "halt"
        case ResumeWanted():
            return calls.resume(claim.asset, claim.until, signatures), "resume"
