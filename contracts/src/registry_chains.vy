# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Registry: chains
@license MIT
@notice The chains that the bridge knows, by their CAIP-2 text.
@dev Invariants:
     1. An id is the hash of its text, and a registered chain never changes.
     2. A chain is Bitcoin-like or an EVM chain, as its namespace says. A chain number has no leading zeros, so that no
        two texts name the same EVM chain.
     3. A chain without a finality of its own waits for at least one confirmation.
"""


from snekmate.auth import ownable

import asset_policies

uses: ownable


struct Chain:
    caip2: String[64]
    # Hash of the first block, in the byte order of the chain's own nodes' wire format.
    genesis: bytes32
    # 1 Bitcoin-like (`bip122:`), 2 an EVM chain (`eip155:`).
    kind: uint256
    # Confirmations that make a block final; zero: the chain says itself what is final (EVM chains only).
    confirmations: uint256


event ChainRegistered:
    id: indexed(bytes32)
    caip2: String[64]
    genesis: bytes32
    kind: uint256
    confirmations: uint256


# @dev Chain id → chain. Vyper keeps the name `chain` for itself.
chain_info: public(HashMap[bytes32, Chain])

# @dev How many chains are registered.
chain_count: public(uint256)

# @dev Position in the order of registration, from 0 → chain id.
chain_at: public(HashMap[uint256, bytes32])


@external
def register_chain(caip2: String[64], genesis: bytes32, confirmations: uint256) -> bytes32:
    """
    @notice Registers a chain. Owner only.
    @param caip2 Its CAIP-2 text, like `bip122:000000000019d6689c085ae165831e93` or `eip155:1`.
    @param genesis Hash of its first block; nodes refuse an endpoint with another one.
    @param confirmations Its finality rule: n ≥ 1 for n confirmations, 0 for the chain's own finality (EVM chains only).
    @return Its id.
    """
    ownable._check_owner()
    assert len(caip2) > 0, "Registry: empty CAIP text"
    assert genesis != empty(bytes32), "Registry: no genesis"
    kind: uint256 = self._kind_of(caip2)
    assert confirmations > 0 or kind == asset_policies.KIND_EVM, "Registry: bad finality"
    id: bytes32 = keccak256(caip2)
    assert self.chain_info[id].genesis == empty(bytes32), "Registry: chain exists"
    self.chain_info[id] = Chain(caip2=caip2, genesis=genesis, kind=kind, confirmations=confirmations)
    self.chain_at[self.chain_count] = id
    self.chain_count += 1
    log ChainRegistered(id=id, caip2=caip2, genesis=genesis, kind=kind, confirmations=confirmations)
    return id


@external
@view
def chain_by_text(caip2: String[64]) -> (bytes32, Chain):
    """
    @notice Finds a chain by its text.
    @param caip2 Its CAIP-2 text.
    @return Its id and the chain; all zero if it is not registered.
    """
    id: bytes32 = keccak256(caip2)
    if self.chain_info[id].genesis == empty(bytes32):
        return empty(bytes32), empty(Chain)
    return id, self.chain_info[id]


@internal
@pure
def _kind_of(caip2: String[64]) -> uint256:
    """
    @notice What kind of chain a text names; reverts if it is none that we know.
    @param caip2 The CAIP-2 text.
    @return 1 or 2.
    """
    size: uint256 = len(caip2)
    assert size > 7, "Registry: unknown namespace"
    namespace: String[7] = slice(caip2, 0, 7)
    if namespace == "bip122:":
        return asset_policies.KIND_BITCOIN
    assert namespace == "eip155:", "Registry: unknown namespace"
    for place: uint256 in range(7, size, bound=57):
        digit: uint256 = convert(slice(convert(caip2, Bytes[64]), place, 1), uint256)
        lowest: uint256 = 48
        if place == 7:
            lowest = 49
        assert digit >= lowest and digit <= 57, "Registry: bad chain number"
    return asset_policies.KIND_EVM
