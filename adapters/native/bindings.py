"""The contracts' functions and events that we use, as docs/architecture.md fixes them."""

from __future__ import annotations

from typing import Final

from adapters.evm.abi import event, function

POLICY: Final = "(uint256,uint256,uint256,bool,bool,uint256,uint256,uint256,uint256)"
CHAIN: Final = "(string,bytes32,uint256,uint256)"
ASSET: Final = "(bytes32,string,string,string,uint8)"
VAULT: Final = "(address,uint256,bytes32)"
MEMBER: Final = "(address,bytes,bytes32,string)"
PROOF: Final = "(bytes32,bytes32,bytes32)"
DEPOSIT: Final = "(bytes32,bytes32,uint256,uint256,address,bytes32)"
RESERVATION: Final = "(bytes32,bytes32,bytes32[],(bytes32,uint256)[])"
VOUCHER: Final = "(bytes,bytes32,string,uint256,bool,bool)"
OPERATOR: Final = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,bool,bool,bool,bool)"
POSITION: Final = "(address,address,uint256,uint256,uint256)"
UNBONDING: Final = "(address,address,uint256,uint256)"
WITHDRAWAL: Final = "(bytes32,address,uint256,uint256,bytes,uint256,bytes32,uint256,uint256)"
PAYOUT: Final = "(bytes32,bytes32,bytes32,uint256,uint256,bytes32[],bytes32[],uint256)"
STATEMENT: Final = "(uint256,bytes32[],bytes)"


class Registry:
    """Chains, vaults, assets, groups."""

    register_chain = function("Registry", "register_chain", "string, bytes32, uint256", "bytes32")
    register_vault = function("Registry", "register_vault", "bytes32, address, uint256, bytes32")
    register_asset = function(
        "Registry", "register_asset", f"string, bytes32, string, string, uint8, {POLICY}", "bytes32"
    )
    set_asset_policy = function("Registry", "set_asset_policy", f"bytes32, {POLICY}")
    set_chain_policy = function("Registry", "set_chain_policy", f"bytes32, {POLICY}, bool")
    set_registrar = function("Registry", "set_registrar", "address")
    propose_group = function("Registry", "propose_group", f"bytes32, uint256, {MEMBER}[]", "bytes32")
    activate_group = function("Registry", "activate_group", f"bytes32, bytes32, {PROOF}, (uint256,bytes)[]")
    asset = function("Registry", "asset", "bytes32", ASSET)
    asset_policy = function("Registry", "asset_policy", "bytes32", POLICY)
    asset_count = function("Registry", "asset_count", "", "uint256")
    asset_at = function("Registry", "asset_at", "uint256", "bytes32")
    asset_by_text = function("Registry", "asset_by_text", "string", f"bytes32, {ASSET}, {POLICY}")
    chain_info = function("Registry", "chain_info", "bytes32", CHAIN)
    chain_count = function("Registry", "chain_count", "", "uint256")
    chain_at = function("Registry", "chain_at", "uint256", "bytes32")
    chain_by_text = function("Registry", "chain_by_text", "string", f"bytes32, {CHAIN}")
    chain_policy = function("Registry", "chain_policy", "bytes32", f"{POLICY}, bool")
    vault = function("Registry", "vault", "bytes32", VAULT)
    registrar = function("Registry", "registrar", "", "address")
    quorum = function("Registry", "quorum", "bytes32, address[]", "bool, uint256")
    group = function("Registry", "group", "bytes32", "(bytes32,uint256,uint256,uint256,bytes32,uint256)")
    members = function("Registry", "members", "bytes32", f"{MEMBER}[]")
    active_group = function("Registry", "active_group", "bytes32", "bytes32")
    is_storeman = function("Registry", "is_storeman", "bytes32, address", "bool")
    group_proof_message = function("Registry", "group_proof_message", "bytes32, bytes32", "bytes32")

    ChainRegistered = event("Registry", "ChainRegistered", "indexed bytes32, string, bytes32, uint256, uint256")
    VaultRegistered = event("Registry", "VaultRegistered", "indexed bytes32, address, uint256, bytes32")
    AssetRegistered = event(
        "Registry", "AssetRegistered", "indexed bytes32, indexed bytes32, string, string, string, uint8"
    )
    AssetPolicyChanged = event("Registry", "AssetPolicyChanged", f"indexed bytes32, {POLICY}")
    ChainPolicyChanged = event("Registry", "ChainPolicyChanged", f"indexed bytes32, bool, {POLICY}")
    RegistrarSet = event("Registry", "RegistrarSet", "indexed address")
    GroupProposed = event("Registry", "GroupProposed", "indexed bytes32, indexed bytes32, uint256, uint256")
    GroupActivated = event("Registry", "GroupActivated", "indexed bytes32, indexed bytes32, uint256, bytes32")


class Bonds:
    """Operators (vouchers and storemen), their bonds and those of their delegators, and what they earn."""

    bind = function("Bonds", "bind", "address, address")
    admit = function("Bonds", "admit", "address")
    join = function("Bonds", "join", "bytes, bytes32, string, uint256")
    join_as_storeman = function("Bonds", "join_as_storeman", "bytes32, uint256")
    set_commission = function("Bonds", "set_commission", "uint256")
    leave = function("Bonds", "leave")
    deposit = function("Bonds", "deposit", "", "uint256")
    delegate = function("Bonds", "delegate", "address", "uint256")
    unbond = function("Bonds", "unbond", "uint256, uint256", "uint256")
    withdraw = function("Bonds", "withdraw", "uint256", "uint256")
    claim = function("Bonds", "claim", "uint256, address", "uint256")
    claim_commission = function("Bonds", "claim_commission", "address", "uint256")
    report = function("Bonds", "report", f"{STATEMENT}, {STATEMENT}")
    pay_insurance = function("Bonds", "pay_insurance", "address, uint256")
    weight_of = function("Bonds", "weight_of", "address", "uint256")
    total_weight = function("Bonds", "total_weight", "", "uint256")
    minimum_stake = function("Bonds", "minimum_stake", "", "uint256")
    unbonding_seconds = function("Bonds", "unbonding_seconds", "", "uint256")
    slash_bps = function("Bonds", "slash_bps", "", "uint256")
    reward_bps = function("Bonds", "reward_bps", "", "uint256")
    vouchers = function("Bonds", "vouchers", "", "address[]")
    voucher = function("Bonds", "voucher", "address", VOUCHER)
    voucher_at = function("Bonds", "voucher_at", "uint256", "address")
    operator = function("Bonds", "operator", "address", OPERATOR)
    registry = function("Bonds", "registry", "", "address")
    hub = function("Bonds", "hub", "", "address")
    position = function("Bonds", "position", "uint256", POSITION)
    position_count = function("Bonds", "position_count", "", "uint256")
    worth = function("Bonds", "worth", "uint256", "uint256")
    unbonding = function("Bonds", "unbonding", "uint256", UNBONDING)
    unbonding_count = function("Bonds", "unbonding_count", "", "uint256")
    unbonding_worth = function("Bonds", "unbonding_worth", "uint256", "uint256")
    claimable = function("Bonds", "claimable", "uint256, address", "uint256")
    commission_owed = function("Bonds", "commission_owed", "address, address", "uint256")
    insurance = function("Bonds", "insurance", "", "uint256")

    CompanionsBound = event("Bonds", "CompanionsBound", "indexed address, indexed address")
    VoucherAdmitted = event("Bonds", "VoucherAdmitted", "indexed address")
    VoucherJoined = event("Bonds", "VoucherJoined", "indexed address, bytes, bytes32, string, uint256")
    VoucherRemoved = event("Bonds", "VoucherRemoved", "indexed address")
    StoremanJoined = event("Bonds", "StoremanJoined", "indexed address, indexed bytes32")
    WeightChanged = event("Bonds", "WeightChanged", "indexed address, uint256, uint256")
    Bonded = event("Bonds", "Bonded", "indexed uint256, indexed address, indexed address, uint256")
    PositionClosed = event("Bonds", "PositionClosed", "indexed uint256, uint256")
    Unbonding = event("Bonds", "Unbonding", "indexed uint256, indexed address, indexed address, uint256, uint256")
    Withdrawn = event("Bonds", "Withdrawn", "indexed uint256, indexed address, uint256")
    CommissionChanged = event("Bonds", "CommissionChanged", "indexed address, uint256, uint256")
    FeesCredited = event("Bonds", "FeesCredited", "indexed address, indexed address, uint256")
    FeesClaimed = event("Bonds", "FeesClaimed", "indexed address, indexed address, uint256")
    Slashed = event("Bonds", "Slashed", "indexed address, indexed address, uint256, uint256")
    InsurancePaid = event("Bonds", "InsurancePaid", "indexed address, uint256")


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
    introduce = function("Hub", "introduce", "bytes32, string, string, string, uint8, bytes[]", "bytes32")
    restore = function("Hub", "restore", "bytes32, uint256, bytes[]")
    publish_release = function("Hub", "publish_release", f"bytes32, uint256, {PROOF}")
    halt = function("Hub", "halt", "bytes32, uint256, bytes[]")
    resume = function("Hub", "resume", "bytes32, uint256, bytes[]")
    distribute = function("Hub", "distribute", "bytes32, bytes32, uint256")
    deposit_status = function("Hub", "deposit_status", "bytes32", "uint256")
    deposit_statuses = function("Hub", "deposit_statuses", "bytes32[]", "uint256[]")
    withdrawal = function("Hub", "withdrawal", "bytes32", WITHDRAWAL)
    payout = function("Hub", "payout", "bytes32", PAYOUT)
    reserved_by = function("Hub", "reserved_by", "bytes32", "bytes32")
    supply = function("Hub", "supply", "bytes32", "uint256")
    token_of = function("Hub", "token_of", "bytes32", "address")
    asset_of = function("Hub", "asset_of", "address", "bytes32")
    halted_until = function("Hub", "halted_until", "bytes32", "uint256")
    pending_total = function("Hub", "pending_total", "bytes32", "uint256")
    pending_fees = function("Hub", "pending_fees", "bytes32, bytes32", "uint256")

    DepositAnnounced = event(
        "Hub",
        "DepositAnnounced",
        "indexed bytes32, indexed bytes32, indexed bytes32, address, bytes32, uint256, bytes32, uint256",
    )
    TokenDeployed = event("Hub", "TokenDeployed", "indexed bytes32, indexed address")
    DepositMinted = event(
        "Hub",
        "DepositMinted",
        "indexed bytes32, indexed bytes32, indexed address, "
        "uint256, uint256, uint256, uint256, bytes32, uint256, bytes32",
    )
    DepositReturned = event(
        "Hub", "DepositReturned", "indexed bytes32, bytes32, bytes32, uint256, uint256, bytes32, uint256"
    )
    WithdrawalRequested = event(
        "Hub",
        "WithdrawalRequested",
        "indexed bytes32, indexed bytes32, indexed address, uint256, uint256, bytes, uint256, uint256",
    )
    WithdrawalCancelled = event("Hub", "WithdrawalCancelled", "indexed bytes32")
    MaxFeeRaised = event("Hub", "MaxFeeRaised", "indexed bytes32, uint256")
    PayoutReserved = event(
        "Hub",
        "PayoutReserved",
        "indexed bytes32, indexed bytes32, indexed bytes32, uint256, bytes32[], (bytes32,uint256)[], uint256",
    )
    PayoutVoided = event("Hub", "PayoutVoided", "indexed bytes32, bytes32")
    PayoutSettled = event("Hub", "PayoutSettled", "indexed bytes32, bytes32, uint256, uint256, uint256, uint256")
    WithdrawalRestored = event("Hub", "WithdrawalRestored", "indexed bytes32, uint256")
    ReleasePublished = event("Hub", "ReleasePublished", "indexed bytes32, uint256, bytes32, bytes32, bytes32")
    Halted = event("Hub", "Halted", "indexed bytes32, uint256")
    Resumed = event("Hub", "Resumed", "indexed bytes32")
    FeesDistributed = event("Hub", "FeesDistributed", "indexed bytes32, indexed bytes32, uint256, uint256")


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
