"""The contracts' functions and events that we use, as docs/architecture.md fixes them."""

from __future__ import annotations

from typing import Final

from adapters.native.abi import Event, Function

POLICY: Final = "(uint256,uint256,uint256,bool)"
MEMBER: Final = "(address,bytes,bytes32,string)"
DEPOSIT: Final = "(bytes32,bytes32,uint256,uint256,address,bytes32)"
RESERVATION: Final = "(bytes32,bytes32,bytes32[],(bytes32,uint256)[])"


def _function(contract: str, name: str, inputs: str = "", outputs: str = "") -> Function:
    return Function(contract, name, _split(inputs), _split(outputs))


def _event(contract: str, name: str, inputs: str) -> Event:
    kinds = [(kind.removeprefix("indexed "), kind.startswith("indexed ")) for kind in _split(inputs)]
    return Event(contract, name, tuple(kinds))


def _split(types: str) -> tuple[str, ...]:
    """Types at commas and spaces that are in no parentheses."""
    found, depth, start = [], 0, 0
    for index, character in enumerate(types):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            found.append(types[start:index].strip())
            start = index + 1
    last = types[start:].strip()
    return (*found, last) if last else tuple(found)


class Registry:
    """Chains, assets, groups."""

    register_chain = _function("Registry", "register_chain", "string, bytes32", "bytes32")
    register_asset = _function(
        "Registry", "register_asset", f"string, bytes32, string, string, uint8, {POLICY}", "bytes32"
    )
    set_asset_policy = _function("Registry", "set_asset_policy", f"bytes32, {POLICY}")
    propose_group = _function("Registry", "propose_group", f"bytes32, uint256, {MEMBER}[]", "bytes32")
    activate_group = _function(
        "Registry", "activate_group", "bytes32, bytes32, (bytes32,bytes32,bytes32), (uint256,bytes)[]"
    )
    asset = _function("Registry", "asset", "bytes32", "(bytes32,string,string,string,uint8)")
    asset_policy = _function("Registry", "asset_policy", "bytes32", POLICY)
    chain_info = _function("Registry", "chain_info", "bytes32", "(string,bytes32)")
    group = _function("Registry", "group", "bytes32", "(bytes32,uint256,uint256,uint256,bytes32,uint256)")
    members = _function("Registry", "members", "bytes32", f"{MEMBER}[]")
    active_group = _function("Registry", "active_group", "bytes32", "bytes32")
    is_storeman = _function("Registry", "is_storeman", "bytes32, address", "bool")
    group_proof_message = _function("Registry", "group_proof_message", "bytes32, bytes32", "bytes32")

    ChainRegistered = _event("Registry", "ChainRegistered", "indexed bytes32, string, bytes32")
    AssetRegistered = _event(
        "Registry", "AssetRegistered", "indexed bytes32, indexed bytes32, string, string, string, uint8"
    )
    AssetPolicyChanged = _event("Registry", "AssetPolicyChanged", "indexed bytes32, uint256, uint256, uint256, bool")
    GroupProposed = _event("Registry", "GroupProposed", "indexed bytes32, indexed bytes32, uint256, uint256")
    GroupActivated = _event("Registry", "GroupActivated", "indexed bytes32, indexed bytes32, uint256, bytes32")


class Bonds:
    """The vouchers and their stakes."""

    admit = _function("Bonds", "admit", "address")
    join = _function("Bonds", "join", "bytes, bytes32, string")
    top_up = _function("Bonds", "top_up")
    weight_of = _function("Bonds", "weight_of", "address", "uint256")
    total_weight = _function("Bonds", "total_weight", "", "uint256")
    minimum_stake = _function("Bonds", "minimum_stake", "", "uint256")
    vouchers = _function("Bonds", "vouchers", "", "address[]")
    voucher = _function("Bonds", "voucher", "address", "(bytes,bytes32,string,uint256,bool,bool)")

    VoucherAdmitted = _event("Bonds", "VoucherAdmitted", "indexed address")
    VoucherJoined = _event("Bonds", "VoucherJoined", "indexed address, bytes, bytes32, string, uint256")
    WeightChanged = _event("Bonds", "WeightChanged", "indexed address, uint256, uint256")


class Hub:
    """Deposits, withdrawals, payouts."""

    announce_deposit = _function(
        "Hub", "announce_deposit", "bytes32, bytes32, address, bytes32, uint256, bytes32, uint256", "bytes32"
    )
    mint = _function("Hub", "mint", f"{DEPOSIT}, bytes[]")
    return_deposit = _function("Hub", "return_deposit", "bytes32, bytes32, uint256, uint256, bytes32, uint256, bytes[]")
    withdraw = _function("Hub", "withdraw", "bytes32, uint256, uint256, bytes", "bytes32")
    cancel = _function("Hub", "cancel", "bytes32")
    raise_max_fee = _function("Hub", "raise_max_fee", "bytes32, uint256")
    reserve = _function("Hub", "reserve", f"{RESERVATION}, bytes[]", "bytes32")
    void_payout = _function("Hub", "void_payout", "bytes32, bytes32, bytes[]")
    settle = _function("Hub", "settle", "bytes32, bytes32, uint256, bytes[]")
    deposit_status = _function("Hub", "deposit_status", "bytes32", "uint256")
    deposit_statuses = _function("Hub", "deposit_statuses", "bytes32[]", "uint256[]")
    withdrawal = _function("Hub", "withdrawal", "bytes32", "(bytes32,address,uint256,uint256,bytes,uint256,bytes32)")
    payout = _function("Hub", "payout", "bytes32", "(bytes32,bytes32,bytes32,uint256,uint256,bytes32[],bytes32[])")
    reserved_by = _function("Hub", "reserved_by", "bytes32", "bytes32")
    supply = _function("Hub", "supply", "bytes32", "uint256")
    token_of = _function("Hub", "token_of", "bytes32", "address")
    asset_of = _function("Hub", "asset_of", "address", "bytes32")

    DepositAnnounced = _event(
        "Hub",
        "DepositAnnounced",
        "indexed bytes32, indexed bytes32, indexed bytes32, address, bytes32, uint256, bytes32, uint256",
    )
    TokenDeployed = _event("Hub", "TokenDeployed", "indexed bytes32, indexed address")
    DepositMinted = _event(
        "Hub",
        "DepositMinted",
        "indexed bytes32, indexed bytes32, indexed address, uint256, uint256, bytes32, uint256, bytes32",
    )
    DepositReturned = _event(
        "Hub", "DepositReturned", "indexed bytes32, bytes32, bytes32, uint256, uint256, bytes32, uint256"
    )
    WithdrawalRequested = _event(
        "Hub", "WithdrawalRequested", "indexed bytes32, indexed bytes32, indexed address, uint256, uint256, bytes"
    )
    WithdrawalCancelled = _event("Hub", "WithdrawalCancelled", "indexed bytes32")
    MaxFeeRaised = _event("Hub", "MaxFeeRaised", "indexed bytes32, uint256")
    PayoutReserved = _event(
        "Hub",
        "PayoutReserved",
        "indexed bytes32, indexed bytes32, indexed bytes32, uint256, bytes32[], (bytes32,uint256)[]",
    )
    PayoutVoided = _event("Hub", "PayoutVoided", "indexed bytes32, bytes32")
    PayoutSettled = _event("Hub", "PayoutSettled", "indexed bytes32, bytes32, uint256, uint256")


class Token:
    """A mapping token: what the bridge and its command line use of ERC-20 and its permit (EIP-20, EIP-2612)."""

    balance_of = _function("MappingToken", "balanceOf", "address", "uint256")
    allowance = _function("MappingToken", "allowance", "address, address", "uint256")
    total_supply = _function("MappingToken", "totalSupply", "", "uint256")
    approve = _function("MappingToken", "approve", "address, uint256", "bool")
    transfer = _function("MappingToken", "transfer", "address, uint256", "bool")
    permit = _function("MappingToken", "permit", "address, address, uint256, uint256, uint8, bytes32, bytes32")
    nonces = _function("MappingToken", "nonces", "address", "uint256")
    token_name = _function("MappingToken", "name", "", "string")
    token_symbol = _function("MappingToken", "symbol", "", "string")
    decimals = _function("MappingToken", "decimals", "", "uint8")
