"""What the native contracts refuse, typed: all classes, and the one that a contract's words mean."""

from __future__ import annotations

from typing import Final

from adapters.evm.errors import Reverted
from adapters.native.bonds_errors import (
    AlreadyAVoucher,
    AlreadySlashed,
    BadUnbonding,
    BelowMinimumStake,
    CommitteeFull,
    HostKeyTaken,
    NoConflict,
    NoSuchUnbonding,
    NotAdmitted,
    NotAnOperator,
    NothingToClaim,
    NotReadyYet,
    OperatorSlashed,
    PaymentRefused,
    PositionClosed,
    StakeTooSmall,
)
from adapters.native.hub_errors import (
    AlreadyReserved,
    AnchorNotSpent,
    AssetDenied,
    AssetHalted,
    AssetPaused,
    BadDestination,
    BadHalt,
    BadRecipient,
    BalanceTooLow,
    DepositAlreadyFinal,
    DepositTooSmall,
    FeeRefused,
    GroupNotActive,
    InputReserved,
    InputsNotExpected,
    MoreThanWithdrawn,
    NoAnchor,
    NoQuorum,
    NotHalted,
    NothingPending,
    NoToken,
    NotSettled,
    NotTheOwner,
    OtherWithdrawals,
    OverTheLimit,
    PayoutNotLive,
    ReservationUsed,
    WithdrawalNotRequested,
    WithdrawalTooSmall,
)
from adapters.native.refusal import ContractRefused
from adapters.native.registry_errors import (
    AlreadyActivated,
    AlreadyBound,
    AlreadyRegistered,
    BadAssetText,
    BadFinality,
    BadKeyProof,
    BadName,
    BadPolicy,
    ChainNotSupported,
    IntroductionsClosed,
    NotAnEvmChain,
    ProposalSuperseded,
    SignatureRefused,
    UnknownAsset,
    UnknownChain,
)

__all__ = [
    "AlreadyAVoucher",
    "AlreadyActivated",
    "AlreadyBound",
    "AlreadyRegistered",
    "AlreadyReserved",
    "AlreadySlashed",
    "AnchorNotSpent",
    "AssetDenied",
    "AssetHalted",
    "AssetPaused",
    "BadAssetText",
    "BadDestination",
    "BadFinality",
    "BadHalt",
    "BadKeyProof",
    "BadName",
    "BadPolicy",
    "BadRecipient",
    "BadUnbonding",
    "BalanceTooLow",
    "BelowMinimumStake",
    "ChainNotSupported",
    "CommitteeFull",
    "ContractRefused",
    "DepositAlreadyFinal",
    "DepositTooSmall",
    "FeeRefused",
    "GroupNotActive",
    "HostKeyTaken",
    "InputReserved",
    "InputsNotExpected",
    "IntroductionsClosed",
    "MoreThanWithdrawn",
    "NoAnchor",
    "NoConflict",
    "NoQuorum",
    "NoSuchUnbonding",
    "NoToken",
    "NotAdmitted",
    "NotAnEvmChain",
    "NotAnOperator",
    "NotHalted",
    "NotReadyYet",
    "NotSettled",
    "NotTheOwner",
    "NothingPending",
    "NothingToClaim",
    "OperatorSlashed",
    "OtherWithdrawals",
    "OverTheLimit",
    "PaymentRefused",
    "PayoutNotLive",
    "PositionClosed",
    "ProposalSuperseded",
    "ReservationUsed",
    "SignatureRefused",
    "StakeTooSmall",
    "UnknownAsset",
    "UnknownChain",
    "WithdrawalNotRequested",
    "WithdrawalTooSmall",
    "typed_revert",
]

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
