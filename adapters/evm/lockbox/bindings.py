"""The Lockbox's functions and events, and what we use of ERC-20 (EIP-20) and its permits (EIP-2612)."""

from __future__ import annotations

from typing import Final

from adapters.evm.abi import event, function
from adapters.evm.lockbox.messages import PAYMENT

PROOF: Final = "(bytes32,bytes32,bytes32)"


class Lockbox:
    """The vault of an EVM chain."""

    lock = function("Lockbox", "lock", "address, uint256, address", "bytes32")
    lock_with_permit = function(
        "Lockbox", "lock_with_permit", "address, uint256, address, uint256, uint8, bytes32, bytes32", "bytes32"
    )
    release = function("Lockbox", "release", f"{PAYMENT}[], {PROOF}")
    claim = function("Lockbox", "claim", "uint256, address, uint256, address")
    claim_fee = function("Lockbox", "claim_fee", "address, address")
    cancel = function("Lockbox", "cancel", f"uint256[], {PROOF}")
    configure = function("Lockbox", "configure", f"address, uint256, uint256, bool, uint256, {PROOF}")
    rotate = function("Lockbox", "rotate", f"bytes32, {PROOF}, {PROOF}")
    pause = function("Lockbox", "pause")
    unpause = function("Lockbox", "unpause", f"uint256, {PROOF}")

    key = function("Lockbox", "key", "", "bytes32")
    epoch = function("Lockbox", "epoch", "", "uint256")
    consumed = function("Lockbox", "consumed", "uint256", "bool")
    failed = function("Lockbox", "failed", "uint256", "bytes32")
    failed_amount = function("Lockbox", "failed_amount", "uint256", "uint256")
    fees_owed = function("Lockbox", "fees_owed", "address, address", "uint256")
    configuration_nonce = function("Lockbox", "configuration_nonce", "address", "uint256")
    lock_count = function("Lockbox", "lock_count", "", "uint256")
    paused_until = function("Lockbox", "paused_until", "", "uint256")
    pause_count = function("Lockbox", "pause_count", "", "uint256")
    limits = function("Lockbox", "limits", "address", "uint256, uint256, uint256, uint256, bool")
    guardian = function("Lockbox", "guardian", "", "address")
    window_seconds = function("Lockbox", "window_seconds", "", "uint256")

    Locked = event("Lockbox", "Locked", "indexed bytes32, indexed address, indexed address, uint256, uint256, address")
    Released = event("Lockbox", "Released", "indexed uint256, indexed address, indexed address, uint256, uint256")
    PaymentFailed = event(
        "Lockbox", "PaymentFailed", "indexed uint256, indexed address, indexed address, uint256, uint256"
    )
    PaymentClaimed = event("Lockbox", "PaymentClaimed", "indexed uint256, address, uint256")
    PaymentCancelled = event("Lockbox", "PaymentCancelled", "indexed uint256, uint256")
    PaymentDelayed = event("Lockbox", "PaymentDelayed", "indexed uint256")
    FeeOwed = event("Lockbox", "FeeOwed", "indexed address, indexed address, uint256")
    FeeClaimed = event("Lockbox", "FeeClaimed", "indexed address, indexed address, address, uint256")
    AssetConfigured = event("Lockbox", "AssetConfigured", "indexed address, uint256, uint256, bool, uint256")
    KeyRotated = event("Lockbox", "KeyRotated", "uint256, bytes32")
    Paused = event("Lockbox", "Paused", "uint256")
    Unpaused = event("Lockbox", "Unpaused", "")


class Token:
    """An ERC-20, of anyone's making."""

    approve = function("ERC20", "approve", "address, uint256", "bool")
    balance_of = function("ERC20", "balanceOf", "address", "uint256")
    allowance = function("ERC20", "allowance", "address, address", "uint256")
    name = function("ERC20", "name", "", "string")
    symbol = function("ERC20", "symbol", "", "string")
    decimals = function("ERC20", "decimals", "", "uint8")
    nonces = function("ERC20", "nonces", "address", "uint256")
    domain_separator = function("ERC20", "DOMAIN_SEPARATOR", "", "bytes32")
