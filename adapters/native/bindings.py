"""The contracts' functions and events that we use, as docs/architecture.md fixes them."""

from __future__ import annotations

from typing import Final

from adapters.evm.abi import event, function

POLICY: Final = "(uint256,uint256,uint256,bool)"
MEMBER: Final = "(address,bytes,bytes32,string)"
DEPOSIT: Final = "(bytes32,bytes32,uint256,uint256,address,bytes32)"
RESERVATION: Final = "(bytes32,bytes32,bytes32[],(bytes32,uint256)[])"


class Registry:
    """Chains, assets, groups."""

    register_chain = function("Registry", "register_chain", "string, bytes32", "bytes32")
    register_asset = function(
        "Registry", "register_asset", f"string, bytes32, string, string, uint8, {POLICY}", "bytes32"
    )
    set_asset_policy = function("Registry", "set_asset_policy", f"bytes32, {POLICY}")
    propose_group = function("Registry", "propose_group", f"bytes32, uint256, {MEMBER}[]", "bytes32")
    activate_group = function(
        "Registry", "activate_group", "bytes32, bytes32, (bytes32,bytes32,bytes32), (uint256,bytes)[]"
    )
    asset = function("Registry", "asset", "bytes32", "(bytes32,string,string,string,uint8)")
    asset_policy = function("Registry", "asset_policy", "bytes32", POLICY)
    chain_info = function("Registry", "chain_info", "bytes32", "(string,bytes32)")
    group = function("Registry", "group", "bytes32", "(bytes32,uint256,uint256,uint256,bytes32,uint256)")
    members = function("Registry", "members", "bytes32", f"{MEMBER}[]")
    active_group = function("Registry", "active_group", "bytes32", "bytes32")
    is_storeman = function("Registry", "is_storeman", "bytes32, address", "bool")
    group_proof_message = function("Registry", "group_proof_message", "bytes32, bytes32", "bytes32")

    ChainRegistered = event("Registry", "ChainRegistered", "indexed bytes32, string, bytes32")
    AssetRegistered = event(
        "Registry", "AssetRegistered", "indexed bytes32, indexed bytes32, string, string, string, uint8"
    )
    AssetPolicyChanged = event("Registry", "AssetPolicyChanged", "indexed bytes32, uint256, uint256, uint256, bool")
    GroupProposed = event("Registry", "GroupProposed", "indexed bytes32, indexed bytes32, uint256, uint256")
    GroupActivated = event("Registry", "GroupActivated", "indexed bytes32, indexed bytes32, uint256, bytes32")


class Bonds:
    """The vouchers and their stakes."""

    admit = function("Bonds", "admit", "address")
    join = function("Bonds", "join", "bytes, bytes32, string")
    top_up = function("Bonds", "top_up")
    weight_of = function("Bonds", "weight_of", "address", "uint256")
    total_weight = function("Bonds", "total_weight", "", "uint256")
    minimum_stake = function("Bonds", "minimum_stake", "", "uint256")
    vouchers = function("Bonds", "vouchers", "", "address[]")
    voucher = function("Bonds", "voucher", "address", "(bytes,bytes32,string,uint256,bool,bool)")

    VoucherAdmitted = event("Bonds", "VoucherAdmitted", "indexed address")
    VoucherJoined = event("Bonds", "VoucherJoined", "indexed address, bytes, bytes32, string, uint256")
    WeightChanged = event("Bonds", "WeightChanged", "indexed address, uint256, uint256")


class Hub:
    """Deposits, withdrawals, payouts."""

    announce_deposit = function(
        "Hub", "announce_deposit", "bytes32, bytes32, address, bytes32, uint256, bytes32, uint256", "bytes32"
    )
    mint = function("Hub", "mint", f"{DEPOSIT}, bytes[]")
    return_deposit = function("Hub", "return_deposit", "bytes32, bytes32, uint256, uint256, bytes32, uint256, bytes[]")
    withdraw = function("Hub", "withdraw", "bytes32, uint256, uint256, bytes", "bytes32")
    cancel = function("Hub", "cancel", "bytes32")
    raise_max_fee = function("Hub", "raise_max_fee", "bytes32, uint256")
    reserve = function("Hub", "reserve", f"{RESERVATION}, bytes[]", "bytes32")
    void_payout = function("Hub", "void_payout", "bytes32, bytes32, bytes[]")
    settle = function("Hub", "settle", "bytes32, bytes32, uint256, bytes[]")
    deposit_status = function("Hub", "deposit_status", "bytes32", "uint256")
    deposit_statuses = function("Hub", "deposit_statuses", "bytes32[]", "uint256[]")
    withdrawal = function("Hub", "withdrawal", "bytes32", "(bytes32,address,uint256,uint256,bytes,uint256,bytes32)")
    payout = function("Hub", "payout", "bytes32", "(bytes32,bytes32,bytes32,uint256,uint256,bytes32[],bytes32[])")
    reserved_by = function("Hub", "reserved_by", "bytes32", "bytes32")
    supply = function("Hub", "supply", "bytes32", "uint256")
    token_of = function("Hub", "token_of", "bytes32", "address")
    asset_of = function("Hub", "asset_of", "address", "bytes32")

    DepositAnnounced = event(
        "Hub",
        "DepositAnnounced",
        "indexed bytes32, indexed bytes32, indexed bytes32, address, bytes32, uint256, bytes32, uint256",
    )
    TokenDeployed = event("Hub", "TokenDeployed", "indexed bytes32, indexed address")
    DepositMinted = event(
        "Hub",
        "DepositMinted",
        "indexed bytes32, indexed bytes32, indexed address, uint256, uint256, bytes32, uint256, bytes32",
    )
    DepositReturned = event(
        "Hub", "DepositReturned", "indexed bytes32, bytes32, bytes32, uint256, uint256, bytes32, uint256"
    )
    WithdrawalRequested = event(
        "Hub", "WithdrawalRequested", "indexed bytes32, indexed bytes32, indexed address, uint256, uint256, bytes"
    )
    WithdrawalCancelled = event("Hub", "WithdrawalCancelled", "indexed bytes32")
    MaxFeeRaised = event("Hub", "MaxFeeRaised", "indexed bytes32, uint256")
    PayoutReserved = event(
        "Hub",
        "PayoutReserved",
        "indexed bytes32, indexed bytes32, indexed bytes32, uint256, bytes32[], (bytes32,uint256)[]",
    )
    PayoutVoided = event("Hub", "PayoutVoided", "indexed bytes32, bytes32")
    PayoutSettled = event("Hub", "PayoutSettled", "indexed bytes32, bytes32, uint256, uint256")


class Token:
    """A mapping token: what the bridge and its command line use of ERC-20 and its permit (EIP-20, EIP-2612)."""

    balance_of = function("MappingToken", "balanceOf", "address", "uint256")
    allowance = function("MappingToken", "allowance", "address, address", "uint256")
    total_supply = function("MappingToken", "totalSupply", "", "uint256")
    approve = function("MappingToken", "approve", "address, uint256", "bool")
    transfer = function("MappingToken", "transfer", "address, uint256", "bool")
    permit = function("MappingToken", "permit", "address, address, uint256, uint256, uint8, bytes32, bytes32")
    nonces = function("MappingToken", "nonces", "address", "uint256")
    token_name = function("MappingToken", "name", "", "string")
    token_symbol = function("MappingToken", "symbol", "", "string")
    decimals = function("MappingToken", "decimals", "", "uint8")
