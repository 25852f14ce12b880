# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Registry
@license MIT
@notice What the bridge knows by name: chains (CAIP-2) with the vaults on them, assets (CAIP-19) with their policy, and
        the storeman groups that hold the vaults. Ids are keccak256 of the CAIP text.
@dev Put together from `registry_chains`, `registry_assets` and `registry_groups`, whose invariants hold here. Besides:
     1. An EVM chain has at most one vault, a Lockbox, and it never changes; it was given to an activated group of that
        chain.
     2. A group is asked only about assets of its own chain.
     The owner names chains, vaults, assets, policies and candidates; it cannot give a group a key.
"""


from snekmate.auth import ownable

import asset_policies
import eip712
import registry_assets
import registry_chains
import registry_groups

initializes: ownable
initializes: eip712
initializes: registry_chains[ownable := ownable]
initializes: registry_assets[ownable := ownable, registry_chains := registry_chains]
initializes: registry_groups[eip712 := eip712, ownable := ownable, registry_chains := registry_chains]

exports: (
    eip712.eip712Domain,
    ownable.owner,
    ownable.transfer_ownership,
    registry_assets.__interface__,
    registry_chains.__interface__,
    registry_groups.__interface__,
)


struct Vault:
    # Holds the chain's coin and tokens.
    lockbox: address
    # The block from which it can have been used.
    start_block: uint256
    # The group whose key it was deployed with.
    group: bytes32


event VaultRegistered:
    chain: indexed(bytes32)
    lockbox: address
    start_block: uint256
    group: bytes32


# @dev Chain id → its vault, all zero if there is none.
vault: public(HashMap[bytes32, Vault])


@deploy
def __init__():
    """
    @notice The deployer becomes the owner.
    """
    ownable.__init__()
    eip712.__init__()


@external
def register_vault(chain_id: bytes32, lockbox: address, start_block: uint256, group: bytes32):
    """
    @notice Names the contract that holds an EVM chain's coin and tokens. Owner only, once for each chain.
    @param chain_id The chain's id.
    @param lockbox The Lockbox's address there.
    @param start_block The block from which nodes look for its events: that of its deployment, or one before.
    @param group The group whose key it was deployed with: activated, and of this chain.
    """
    ownable._check_owner()
    assert registry_chains.chain_info[chain_id].kind == asset_policies.KIND_EVM, "Registry: not an EVM chain"
    assert lockbox != empty(address), "Registry: no lockbox"
    assert self.vault[chain_id].lockbox == empty(address), "Registry: vault exists"
    assert self._is_group_of(group, chain_id), "Registry: group not of chain"
    self.vault[chain_id] = Vault(lockbox=lockbox, start_block=start_block, group=group)
    log VaultRegistered(chain=chain_id, lockbox=lockbox, start_block=start_block, group=group)


@external
@view
def is_vault_of(group: bytes32, asset: bytes32) -> bool:
    """
    @notice Whether this group can hold this asset: both are known, on the same chain, and the group has a key.
    @param group The group's id.
    @param asset The asset's id.
    @return False also where either is unknown.
    """
    return self._is_group_of(group, registry_assets.asset[asset].chain)


@external
@view
def is_active_vault_of(group: bytes32, asset: bytes32) -> bool:
    """
    @notice Whether this group is the active one of this asset's chain.
    @param group The group's id.
    @param asset The asset's id.
    @return False also where either is unknown.
    """
    return self._is_active_group_of(group, registry_assets.asset[asset].chain)


@external
@view
def deposit_terms(group: bytes32, asset: bytes32) -> (bool, asset_policies.AssetPolicy):
    """
    @notice `is_vault_of` and `asset_policy` in one call: what the Hub asks at each mint.
    @param group The group's id.
    @param asset The asset's id.
    @return Whether the group can hold the asset, and the asset's policy.
    """
    return self._is_group_of(group, registry_assets.asset[asset].chain), registry_assets.asset_policy[asset]


@external
@view
def reservation_terms(group: bytes32, asset: bytes32) -> (bool, uint256):
    """
    @notice What the Hub asks at each reservation.
    @param group The group's id.
    @param asset The asset's id.
    @return Whether the group is the active one of the asset's chain, and the kind of that chain.
    """
    origin: bytes32 = registry_assets.asset[asset].chain
    return self._is_active_group_of(group, origin), registry_chains.chain_info[origin].kind


@internal
@view
def _is_group_of(group: bytes32, chain_id: bytes32) -> bool:
    """
    @notice Whether a group is of a chain and has a key.
    @param group The group's id.
    @param chain_id The chain's id.
    @return False also where either is unknown.
    """
    return (
        chain_id != empty(bytes32)
        and registry_groups.group[group].chain == chain_id
        and registry_groups.group[group].status == registry_groups.GROUP_ACTIVATED
    )


@internal
@view
def _is_active_group_of(group: bytes32, chain_id: bytes32) -> bool:
    """
    @notice Whether a group is the active one of a chain.
    @param group The group's id.
    @param chain_id The chain's id.
    @return False also where either is unknown.
    """
    return group != empty(bytes32) and chain_id != empty(bytes32) and registry_groups.active_group[chain_id] == group
