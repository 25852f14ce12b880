"""What the native contracts refuse, typed.

They revert with short strings, `Contract: reason`, because Vyper 0.4.3 has no custom errors.
Those that agents act on have a class of their own; all others are plain `ContractRefused`.
"""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted


class ContractRefused(Reverted):
    """A contract of the bridge refused a call, and said why.

    Fields: contract (Hub, Registry, Bonds, MappingToken, or a library in them: eip712, erc20, ownable); reason (its
    words); label, data, transaction as `Reverted`.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        contract, _, words = reason.partition(": ")
        self.contract = contract
        self.reason = words


class DepositAlreadyFinal(ContractRefused):
    """The deposit is minted, or returned: `deposit_status` says which. Whoever wanted the same is done."""

    says = frozenset({"Hub: deposit already final"})


class DepositTooSmall(ContractRefused):
    """The deposit is below the asset's minimum; it has to be returned."""

    says = frozenset({"Hub: deposit too small"})


class AssetPaused(ContractRefused):
    """The asset takes no mints and no withdrawals until its owner resumes it."""

    says = frozenset({"Hub: asset paused"})


class BadRecipient(ContractRefused):
    """Tokens cannot be minted to that account."""

    says = frozenset({"Hub: bad recipient"})


class NoQuorum(ContractRefused):
    """Too few signatures, or too light ones, or one of a stranger. With more of them the call may succeed."""

    says = frozenset({"Hub: not enough weight", "Hub: no quorum of storemen", "Registry: members missing"})


class SignatureRefused(ContractRefused):
    """A signature is malformed, by nobody, out of order, or by another member than it says."""

    says = frozenset(
        {
            "eip712: invalid signature",
            "eip712: s is high",
            "eip712: signature length",
            "eip712: signers not ascending",
            "eip712: v is not 27 or 28",
            "Registry: not that member",
        }
    )


class GroupNotActive(ContractRefused):
    """The group does not serve that asset's chain (any more)."""

    says = frozenset({"Hub: group not active", "Hub: group not of asset"})


class ReservationUsed(ContractRefused):
    """Exactly this reservation was accepted before: it took effect, or a newer version replaced it."""

    says = frozenset({"Hub: reservation used"})


class InputReserved(ContractRefused):
    """A coin is reserved by a live payout, or barred as an anchor."""

    says = frozenset({"Hub: input reserved"})


class AnchorNotSpent(ContractRefused):
    """A replacement leaves out the payout's anchor: both versions could confirm."""

    says = frozenset({"Hub: anchor not spent"})


class OtherWithdrawals(ContractRefused):
    """A replacement is not of exactly the withdrawals, group and asset of its payout."""

    says = frozenset({"Hub: other withdrawals", "Hub: other group", "Hub: withdrawal of other asset"})


class WithdrawalNotRequested(ContractRefused):
    """The withdrawal is not waiting: unknown, reserved, settled or cancelled."""

    says = frozenset({"Hub: withdrawal not requested", "Hub: withdrawal is over"})


class PayoutNotLive(ContractRefused):
    """The payout is unknown, settled or voided: `payout` says which. Whoever wanted the same is done."""

    says = frozenset({"Hub: payout not live"})


class FeeRefused(ContractRefused):
    """A fee is above what withdrawals allow, leaves only dust, or is not higher than the one before."""

    says = frozenset({"Hub: fee above the limits", "Hub: fee leaves only dust", "Hub: fee not raised"})


class WithdrawalTooSmall(ContractRefused):
    """The withdrawal is below the asset's minimum."""

    says = frozenset({"Hub: withdrawal too small"})


class BadDestination(ContractRefused):
    """The destination is no scriptPubKey of a type that the Hub pays."""

    says = frozenset({"Hub: bad destination"})


class NoToken(ContractRefused):
    """The asset has no mapping token yet: nothing of it was ever minted."""

    says = frozenset({"Hub: asset has no token"})


class BalanceTooLow(ContractRefused):
    """The account has, or allows the Hub to take, fewer tokens than the call moves."""

    says = frozenset({"erc20: transfer amount exceeds balance", "erc20: insufficient allowance"})


class NotTheOwner(ContractRefused):
    """Only the owner, of the contract or of the withdrawal, may do this."""

    says = frozenset({"Hub: not the owner", "ownable: caller is not the owner"})


class AlreadyRegistered(ContractRefused):
    """The chain or the asset is registered already. Whoever wanted the same is done."""

    says = frozenset({"Registry: chain exists", "Registry: asset exists"})


class AlreadyActivated(ContractRefused):
    """The group has its key already. Whoever wanted the same is done."""

    says = frozenset({"Registry: already activated"})


class ProposalSuperseded(ContractRefused):
    """A newer group was proposed for the chain: this one can never be activated."""

    says = frozenset({"Registry: proposal superseded"})


class BadKeyProof(ContractRefused):
    """The group's signature by its new key does not verify."""

    says = frozenset({"Registry: bad key proof"})


class NotAdmitted(ContractRefused):
    """The account was not admitted as a voucher."""

    says = frozenset({"Bonds: not admitted"})


class AlreadyAVoucher(ContractRefused):
    """The account was admitted, or has joined, before. Whoever wanted the same is done."""

    says = frozenset({"Bonds: already admitted", "Bonds: already joined"})


class StakeTooSmall(ContractRefused):
    """The stake is below the minimum."""

    says = frozenset({"Bonds: stake too small", "Bonds: nothing sent"})


_CLASSES: Final = {words: kind for kind in ContractRefused.__subclasses__() for words in kind.says}
_CONTRACTS: Final = frozenset({"Hub", "Registry", "Bonds", "MappingToken", "eip712", "erc20", "ownable"})


def typed_revert(label: str, reason: str, data: bytes = b"") -> Reverted:
    """The typed error for a contract's reason; `Reverted` for words that none of our contracts says."""
    kind = _CLASSES.get(reason)
    if kind is not None:
        return kind(label, reason, data)
    if reason.partition(": ")[0] in _CONTRACTS:
        return ContractRefused(label, reason, data)
    return Reverted(label, reason, data)
