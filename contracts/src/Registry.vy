# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Registry
@license MIT
@notice What the bridge knows by name: chains (CAIP-2), assets (CAIP-19) with their policy, and the storeman groups that
        hold the vaults. Ids are keccak256 of the CAIP text.
@dev Invariants:
     1. An id is the hash of its text, and once registered, a chain or an asset never changes but for an asset's policy.
     2. An asset belongs to one registered chain, and its text begins with that chain's text and a slash.
     3. For each asset minimum_deposit > deposit_fee: a deposit that is minted mints something.
     4. A group's members and threshold t never change; 1 ≤ t ≤ n < 2t, and no account or host key is in it twice.
     5. An active group has a key that every member confirmed with its account key (EIP-712 `GroupKey`) and that has
        itself signed for this group, epoch, Registry and chain (BIP-340): the members can sign with it, and each of
        them holds the same key.
     6. Only the group that the owner proposed last for a chain can be activated: confirmations of an older proposal
        that somebody kept cannot bring it back.
     The owner names chains, assets, policies and candidates; it cannot give a group a key.
"""


import bip340
import eip712
from snekmate.auth import ownable

initializes: eip712
initializes: ownable

exports: (
    eip712.eip712Domain,
    ownable.owner,
    ownable.transfer_ownership,
)


MAX_MEMBERS: constant(uint256) = 100

# @dev What `group(id).status` says.
GROUP_PROPOSED: constant(uint256) = 1
GROUP_ACTIVATED: constant(uint256) = 2

_GROUP_KEY_TYPE_HASH: constant(bytes32) = keccak256("GroupKey(bytes32 group,uint256 epoch,bytes32 key)")

# @dev sha256("Causeway/group-proof"): the tag of the message that a new key signs.
_GROUP_PROOF_TAG: constant(bytes32) = sha256("Causeway/group-proof")


struct Chain:
    caip2: String[64]
    # Hash of the first block, in the byte order of the chain's own nodes' wire format.
    genesis: bytes32


# Amounts in base units of the asset.
struct AssetPolicy:
    # The smallest deposit that is minted; smaller ones are returned.
    minimum_deposit: uint256
    # Kept from each deposit for its sweep; the depositor receives the rest.
    deposit_fee: uint256
    minimum_withdrawal: uint256
    # The Hub refuses mints and new withdrawals; what was begun is finished.
    paused: bool


struct Asset:
    chain: bytes32
    caip19: String[160]
    name: String[25]
    symbol: String[10]
    decimals: uint8


struct Member:
    # Signs structures for contracts.
    account: address
    # Compressed secp256k1 point: takes part in key generation and signs peer messages.
    host_key: Bytes[33]
    # Curve25519 key of the ZeroMQ transport.
    transport_key: bytes32
    # tcp://host:port
    endpoint: String[128]


struct Group:
    chain: bytes32
    threshold: uint256
    size: uint256
    epoch: uint256
    # x coordinate of the group's key (BIP-340); zero until activated.
    key: bytes32
    # 0 unknown, 1 proposed, 2 activated.
    status: uint256


# BIP-340 signature (rx, s) and the even y coordinate that belongs to rx.
struct Proof:
    rx: bytes32
    s: bytes32
    ry: bytes32


struct Confirmation:
    # Position of the member in its group, from 0.
    index: uint256
    signature: Bytes[65]


event ChainRegistered:
    id: indexed(bytes32)
    caip2: String[64]
    genesis: bytes32


event AssetRegistered:
    id: indexed(bytes32)
    chain: indexed(bytes32)
    caip19: String[160]
    name: String[25]
    symbol: String[10]
    decimals: uint8


event AssetPolicyChanged:
    asset: indexed(bytes32)
    minimum_deposit: uint256
    deposit_fee: uint256
    minimum_withdrawal: uint256
    paused: bool


event GroupProposed:
    id: indexed(bytes32)
    chain: indexed(bytes32)
    threshold: uint256
    size: uint256


event GroupActivated:
    id: indexed(bytes32)
    chain: indexed(bytes32)
    epoch: uint256
    key: bytes32


# @dev Chain id → chain. Vyper keeps the name `chain` for itself.
chain_info: public(HashMap[bytes32, Chain])

# @dev Asset id → what never changes about it.
asset: public(HashMap[bytes32, Asset])

# @dev Asset id → policy, which the owner may change.
asset_policy: public(HashMap[bytes32, AssetPolicy])

# @dev Group id → group.
group: public(HashMap[bytes32, Group])

# @dev Group id → index → member.
member: public(HashMap[bytes32, HashMap[uint256, Member]])

# @dev Group id → account → whether it is a member. True from the proposal on.
is_storeman: public(HashMap[bytes32, HashMap[address, bool]])

# @dev Chain id → the group activated last: the one that reserves payouts.
active_group: public(HashMap[bytes32, bytes32])

# @dev Chain id → the group proposed last: the only one that can be activated.
latest_proposal: public(HashMap[bytes32, bytes32])

# @dev How many groups were ever proposed.
group_count: public(uint256)

@deploy
def __init__():
    """
    @notice The deployer becomes the owner.
    """
    ownable.__init__()
    eip712.__init__()


@external
def register_chain(caip2: String[64], genesis: bytes32) -> bytes32:
    """
    @notice Registers a chain. Owner only.
    @param caip2 Its CAIP-2 text, like `bip122:000000000019d6689c085ae165831e93`.
    @param genesis Hash of its first block; nodes refuse an endpoint with another one.
    @return Its id.
    """
    ownable._check_owner()
    assert len(caip2) > 0, "Registry: empty CAIP text"
    assert genesis != empty(bytes32), "Registry: no genesis"
    id: bytes32 = keccak256(caip2)
    assert self.chain_info[id].genesis == empty(bytes32), "Registry: chain exists"
    self.chain_info[id] = Chain(caip2=caip2, genesis=genesis)
    log ChainRegistered(id=id, caip2=caip2, genesis=genesis)
    return id


@external
def register_asset(
    caip19: String[160],
    chain_id: bytes32,
    name: String[25],
    symbol: String[10],
    decimals: uint8,
    policy: AssetPolicy,
) -> bytes32:
    """
    @notice Registers an asset of a registered chain. Owner only.
    @param caip19 Its CAIP-19 text, like `bip122:000000000019d6689c085ae165831e93/slip44:0`.
    @param chain_id The chain that it comes from.
    @param name Name for people, 1 to 25 bytes; the mapping token adds " (Causeway)".
    @param symbol Ticker, 1 to 10 bytes; the mapping token puts "cw" before it.
    @param decimals Decimal places of its base unit.
    @param policy Its first policy.
    @return Its id.
    """
    ownable._check_owner()
    text: String[64] = self.chain_info[chain_id].caip2
    assert len(text) > 0, "Registry: unknown chain"
    assert len(caip19) > len(text) + 1, "Registry: asset not of chain"
    assert keccak256(slice(caip19, 0, len(text) + 1)) == keccak256(concat(text, "/")), "Registry: asset not of chain"
    assert len(name) > 0 and len(symbol) > 0, "Registry: empty name or symbol"
    id: bytes32 = keccak256(caip19)
    assert self.asset[id].chain == empty(bytes32), "Registry: asset exists"
    self.asset[id] = Asset(chain=chain_id, caip19=caip19, name=name, symbol=symbol, decimals=decimals)
    log AssetRegistered(id=id, chain=chain_id, caip19=caip19, name=name, symbol=symbol, decimals=decimals)
    self._set_policy(id, policy)
    return id


@external
def set_asset_policy(asset: bytes32, policy: AssetPolicy):
    """
    @notice Changes an asset's policy. Owner only.
    @param asset Its id.
    @param policy The new policy; it holds for everything that reaches the Hub from now on.
    """
    ownable._check_owner()
    assert self.asset[asset].chain != empty(bytes32), "Registry: unknown asset"
    self._set_policy(asset, policy)


@external
def propose_group(chain_id: bytes32, threshold: uint256, members: DynArray[Member, MAX_MEMBERS]) -> bytes32:
    """
    @notice Names the members of a new group, which then generate their key. Owner only.
    @param chain_id The chain whose vault they will hold.
    @param threshold How many of them sign: t with 1 ≤ t ≤ n < 2t.
    @param members Their identities, in the order of their indices.
    @return The group's id, keccak256(abi.encode(chainid, registry, count)), count from 1.
    """
    ownable._check_owner()
    assert self.chain_info[chain_id].genesis != empty(bytes32), "Registry: unknown chain"
    size: uint256 = len(members)
    assert threshold >= 1 and threshold <= size and 2 * threshold > size, "Registry: bad threshold"
    self.group_count += 1
    id: bytes32 = keccak256(abi_encode(chain.id, self, self.group_count))
    host_keys: DynArray[bytes32, MAX_MEMBERS] = []
    for index: uint256 in range(size, bound=MAX_MEMBERS):
        self._add_member(id, index, members[index])
        host_key: bytes32 = keccak256(members[index].host_key)
        assert host_key not in host_keys, "Registry: host key twice"
        host_keys.append(host_key)
    self.group[id] = Group(
        chain=chain_id, threshold=threshold, size=size, epoch=0, key=empty(bytes32), status=GROUP_PROPOSED
    )
    self.latest_proposal[chain_id] = id
    log GroupProposed(id=id, chain=chain_id, threshold=threshold, size=size)
    return id


@external
def activate_group(
    group: bytes32, key: bytes32, proof: Proof, confirmations: DynArray[Confirmation, MAX_MEMBERS]
):
    """
    @notice Gives a proposed group its key and makes it the active one of its chain. Anyone may bring the proof.
    @param group Its id.
    @param key x coordinate of its key.
    @param proof A BIP-340 signature by the key over `group_proof_message(group, key)`.
    @param confirmations A `GroupKey` signature of every member, in ascending order of their accounts.
    """
    found: Group = self.group[group]
    assert found.status != 0, "Registry: unknown group"
    assert found.status == GROUP_PROPOSED, "Registry: already activated"
    assert self.latest_proposal[found.chain] == group, "Registry: proposal superseded"
    assert len(confirmations) == found.size, "Registry: members missing"
    digest: bytes32 = eip712._digest(keccak256(abi_encode(_GROUP_KEY_TYPE_HASH, group, found.epoch, key)))
    signer: address = empty(address)
    for confirmation: Confirmation in confirmations:
        signer = eip712._next_signer(digest, confirmation.signature, signer)
        assert signer == self.member[group][confirmation.index].account, "Registry: not that member"
    message: bytes32 = self._group_proof_message(group, found.epoch, key)
    assert bip340._verify(key, message, proof.rx, proof.s, proof.ry), "Registry: bad key proof"

    self.group[group].key = key
    self.group[group].status = GROUP_ACTIVATED
    self.active_group[found.chain] = group
    log GroupActivated(id=group, chain=found.chain, epoch=found.epoch, key=key)


@external
@view
def group_proof_message(group: bytes32, key: bytes32) -> bytes32:
    """
    @notice The 32 bytes that a new key signs to show that its holders can sign.
    @param group The group's id.
    @param key x coordinate of its key.
    @return BIP-340's tagged hash, tag "Causeway/group-proof", of abi.encode(chainid, registry, group, epoch, key).
    """
    return self._group_proof_message(group, self.group[group].epoch, key)


@external
@view
def members(group: bytes32) -> DynArray[Member, MAX_MEMBERS]:
    """
    @notice All members of a group, in the order of their indices.
    @param group Its id.
    @return The members; empty for an unknown group.
    """
    found: DynArray[Member, MAX_MEMBERS] = []
    for index: uint256 in range(self.group[group].size, bound=MAX_MEMBERS):
        found.append(self.member[group][index])
    return found


@external
@view
def is_quorum(group: bytes32, accounts: DynArray[address, MAX_MEMBERS]) -> bool:
    """
    @notice Whether these accounts are members of an activated group, and at least as many as its threshold.
    @param group Its id.
    @param accounts Distinct accounts: the caller sees to that.
    @return False if there are too few, one is a stranger, or the group has no key.
    """
    if self.group[group].status != GROUP_ACTIVATED or len(accounts) < self.group[group].threshold:
        return False
    for account: address in accounts:
        if not self.is_storeman[group][account]:
            return False
    return True


@external
@view
def is_vault_of(group: bytes32, asset: bytes32) -> bool:
    """
    @notice Whether this group can hold this asset: both are known, on the same chain, and the group has a key.
    @param group The group's id.
    @param asset The asset's id.
    @return False also where either is unknown.
    """
    return self._is_vault_of(group, asset)


@external
@view
def is_active_vault_of(group: bytes32, asset: bytes32) -> bool:
    """
    @notice Whether this group is the active one of this asset's chain.
    @param group The group's id.
    @param asset The asset's id.
    @return False also where either is unknown.
    """
    origin: bytes32 = self.asset[asset].chain
    return group != empty(bytes32) and origin != empty(bytes32) and self.active_group[origin] == group


@external
@view
def deposit_terms(group: bytes32, asset: bytes32) -> (bool, AssetPolicy):
    """
    @notice `is_vault_of` and `asset_policy` in one call: what the Hub asks at each mint.
    @param group The group's id.
    @param asset The asset's id.
    @return Whether the group can hold the asset, and the asset's policy.
    """
    return self._is_vault_of(group, asset), self.asset_policy[asset]


@internal
@view
def _is_vault_of(group: bytes32, asset: bytes32) -> bool:
    """
    @notice See `is_vault_of`.
    @param group The group's id.
    @param asset The asset's id.
    @return Whether both are on one chain and the group has a key.
    """
    origin: bytes32 = self.asset[asset].chain
    return (
        origin != empty(bytes32)
        and self.group[group].chain == origin
        and self.group[group].status == GROUP_ACTIVATED
    )


@internal
@view
def _group_proof_message(group: bytes32, epoch: uint256, key: bytes32) -> bytes32:
    """
    @notice See `group_proof_message`.
    @param group The group's id.
    @param epoch The epoch in which the key is new.
    @param key x coordinate of its key.
    @return The message.
    """
    return sha256(concat(_GROUP_PROOF_TAG, _GROUP_PROOF_TAG, abi_encode(chain.id, self, group, epoch, key)))


@internal
def _set_policy(asset: bytes32, policy: AssetPolicy):
    """
    @notice Checks and stores a policy.
    @param asset The asset's id.
    @param policy The policy.
    """
    assert policy.minimum_deposit > policy.deposit_fee, "Registry: fee above minimum"
    self.asset_policy[asset] = policy
    log AssetPolicyChanged(
        asset=asset,
        minimum_deposit=policy.minimum_deposit,
        deposit_fee=policy.deposit_fee,
        minimum_withdrawal=policy.minimum_withdrawal,
        paused=policy.paused,
    )


@internal
def _add_member(group: bytes32, index: uint256, candidate: Member):
    """
    @notice Checks and stores one member of a group that is being proposed.
    @param group The group's id.
    @param index Its position, from 0.
    @param candidate Its identity.
    """
    assert candidate.account != empty(address), "Registry: zero account"
    assert not self.is_storeman[group][candidate.account], "Registry: member twice"
    self.is_storeman[group][candidate.account] = True

    assert len(candidate.host_key) == 33, "Registry: host key length"
    prefix: bytes1 = convert(slice(candidate.host_key, 0, 1), bytes1)
    assert prefix == 0x02 or prefix == 0x03, "Registry: host key form"
    assert candidate.transport_key != empty(bytes32), "Registry: no transport key"
    assert len(candidate.endpoint) > 0, "Registry: no endpoint"
    self.member[group][index] = candidate
