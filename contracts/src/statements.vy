# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title Statements that vouchers sign
@license MIT
@notice What a voucher says to the Hub about other chains, as evidence against it: two statements about one event that
        cannot both be true. Stateless.
@dev Invariants:
     1. A digest is that which the Hub checks: its EIP-712 domain, on this chain, now. What was signed for another Hub or
        for a fork with another chain id is no evidence.
     2. One statement has one digest: every field is as long as its type allows, so that nobody can make a second one from
        the same words.
"""


interface Registry:
    def group(id: bytes32) -> Group: view


# @dev Kinds of `Statement`.
DEPOSIT_ATTESTATION: constant(uint256) = 1
PAYOUT_SETTLEMENT: constant(uint256) = 2
ANCHOR_SPENT: constant(uint256) = 3

_DEPOSIT_ATTESTATION_TYPE_HASH: constant(bytes32) = keccak256(
    "DepositAttestation(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,address recipient,bytes32 group)"
)
_PAYOUT_SETTLEMENT_TYPE_HASH: constant(bytes32) = keccak256("PayoutSettlement(bytes32 payout,bytes32 txid,uint256 fee)")
_ANCHOR_SPENT_TYPE_HASH: constant(bytes32) = keccak256("AnchorSpent(bytes32 payout,bytes32 spender)")

_DOMAIN_TYPE_HASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


# Something that a voucher signed for the Hub.
struct Statement:
    kind: uint256
    # The fields of the EIP-712 structure, one word each.
    words: DynArray[bytes32, 8]
    signature: Bytes[65]


# As in the Registry.
struct Group:
    chain: bytes32
    threshold: uint256
    size: uint256
    epoch: uint256
    key: bytes32
    status: uint256


@internal
@view
def _digest(statement: Statement, hub: address) -> bytes32:
    """
    @notice What was signed of a statement, in the Hub's EIP-712 domain. Reverts if it is no statement that the Hub takes.
    @param statement The statement.
    @param hub The Hub.
    @return The digest.
    """
    words: uint256 = 0
    type_hash: bytes32 = empty(bytes32)
    if statement.kind == DEPOSIT_ATTESTATION:
        type_hash = _DEPOSIT_ATTESTATION_TYPE_HASH
        words = 6
    elif statement.kind == PAYOUT_SETTLEMENT:
        type_hash = _PAYOUT_SETTLEMENT_TYPE_HASH
        words = 3
    elif statement.kind == ANCHOR_SPENT:
        type_hash = _ANCHOR_SPENT_TYPE_HASH
        words = 2
    assert words > 0, "Bonds: unknown statement"
    assert len(statement.words) == words, "Bonds: malformed statement"
    if statement.kind == DEPOSIT_ATTESTATION:
        # The recipient: with anything above 20 bytes it would be the same statement with another hash.
        assert convert(statement.words[4], uint256) >> 160 == 0, "Bonds: malformed statement"
    # abi_encode puts an offset and the length, 32 bytes each, before the words.
    fields: Bytes[320] = slice(abi_encode(statement.words), 64, 32 * words)
    struct_hash: bytes32 = keccak256(concat(type_hash, fields))
    domain: bytes32 = keccak256(abi_encode(_DOMAIN_TYPE_HASH, keccak256("Causeway"), keccak256("1"), chain.id, hub))
    return keccak256(concat(b"\x19\x01", domain, struct_hash))


@internal
@view
def _in_conflict(first: Statement, second: Statement, registry: address) -> bool:
    """
    @notice Whether two well-formed statements with different digests are about one event.
    @param first A statement.
    @param second Another one.
    @param registry Knows which chain a group belongs to.
    @return True for two attestations of one deposit, and for two outcomes of one payout.
    """
    if first.kind == DEPOSIT_ATTESTATION and second.kind == DEPOSIT_ATTESTATION:
        if first.words[1] != second.words[1] or first.words[2] != second.words[2]:
            return False
        # One transaction can be on two chains that share their history: to attest both is honest.
        one: bytes32 = (staticcall Registry(registry).group(first.words[5])).chain
        other: bytes32 = (staticcall Registry(registry).group(second.words[5])).chain
        return one == other or one == empty(bytes32) or other == empty(bytes32)
    if first.kind == DEPOSIT_ATTESTATION or second.kind == DEPOSIT_ATTESTATION:
        return False
    return first.words[0] == second.words[0]
