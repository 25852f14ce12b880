# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Registry: groups
@license MIT
@notice The storeman groups that hold the vaults: who is in them, and which key is theirs.
@dev Invariants:
     1. A group's members and threshold t never change; 1 ≤ t ≤ n < 2t, and no account or host key is in it twice.
     2. An active group has a key that every member confirmed with its account key (EIP-712 `GroupKey`) and that has
        itself signed for this group, epoch, Registry and chain (BIP-340): the members can sign with it, and each of
        them holds the same key.
     3. Only the group that the owner proposed last for a chain can be activated: confirmations of an older proposal
        that somebody kept cannot bring it back.
"""


from snekmate.auth import ownable

import bip340
import eip712
import registry_chains

uses: eip712
uses: ownable
uses: registry_chains


MAX_MEMBERS: constant(uint256) = 100

# @dev What `group(id).status` says.
GROUP_PROPOSED: constant(uint256) = 1
GROUP_ACTIVATED: constant(uint256) = 2

_GROUP_KEY_TYPE_HASH: constant(bytes32) = keccak256("GroupKey(bytes32 group,uint256 epoch,bytes32 key)")

# @dev sha256("Causeway/group-proof"): the tag of the message that a new key signs.
_GROUP_PROOF_TAG: constant(bytes32) = sha256("Causeway/group-proof")


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


# @dev Group id → group.
group: public(HashMap[bytes32, Group])

# @dev Group id → index → member.
member: public(HashMap[bytes32, HashMap[uint256, Member]])

# @dev Group id → account → its index and one; zero for strangers. Set from the proposal on.
member_place: public(HashMap[bytes32, HashMap[address, uint256]])

# @dev Chain id → the group activated last: the one that reserves payouts.
active_group: public(HashMap[bytes32, bytes32])

# @dev Chain id → the group proposed last: the only one that can be activated.
latest_proposal: public(HashMap[bytes32, bytes32])

# @dev How many groups were ever proposed.
group_count: public(uint256)


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
    assert registry_chains.chain_info[chain_id].genesis != empty(bytes32), "Registry: unknown chain"
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
def is_storeman(group: bytes32, account: address) -> bool:
    """
    @notice Whether an account is a member of a group, from its proposal on.
    @param group Its id.
    @param account The account.
    @return False for strangers and unknown groups.
    """
    return self.member_place[group][account] != 0


@external
@view
def quorum(group: bytes32, accounts: DynArray[address, MAX_MEMBERS]) -> (bool, uint256):
    """
    @notice Whether these accounts are members of an activated group, and at least as many as its threshold; and which.
    @param group Its id.
    @param accounts Distinct accounts: the caller sees to that.
    @return False if there are too few, one is a stranger, or the group has no key; and then zero, else the bitmap of
            the members' indices.
    """
    if self.group[group].status != GROUP_ACTIVATED or len(accounts) < self.group[group].threshold:
        return False, 0
    bitmap: uint256 = 0
    for account: address in accounts:
        place: uint256 = self.member_place[group][account]
        if place == 0:
            return False, 0
        bitmap |= 1 << (place - 1)
    return True, bitmap


@external
@view
def accounts_at(group: bytes32, bitmap: uint256) -> DynArray[address, MAX_MEMBERS]:
    """
    @notice The accounts that a bitmap of `quorum` names: what the Hub asks when it pays their fees.
    @param group The group's id.
    @param bitmap One bit for each member's index.
    @return The accounts, in the order of their indices; bits that name nobody count for nothing.
    """
    found: DynArray[address, MAX_MEMBERS] = []
    for index: uint256 in range(self.group[group].size, bound=MAX_MEMBERS):
        if bitmap & (1 << index) != 0:
            found.append(self.member[group][index].account)
    return found


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
def _add_member(group: bytes32, index: uint256, candidate: Member):
    """
    @notice Checks and stores one member of a group that is being proposed.
    @param group The group's id.
    @param index Its position, from 0.
    @param candidate Its identity.
    """
    assert candidate.account != empty(address), "Registry: zero account"
    assert self.member_place[group][candidate.account] == 0, "Registry: member twice"
    self.member_place[group][candidate.account] = index + 1

    assert len(candidate.host_key) == 33, "Registry: host key length"
    prefix: bytes1 = convert(slice(candidate.host_key, 0, 1), bytes1)
    assert prefix == 0x02 or prefix == 0x03, "Registry: host key form"
    assert candidate.transport_key != empty(bytes32), "Registry: no transport key"
    assert len(candidate.endpoint) > 0, "Registry: no endpoint"
    self.member[group][index] = candidate
