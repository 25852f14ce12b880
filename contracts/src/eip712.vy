# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title Signatures over EIP-712 structures
@license MIT
@notice The domain {name: "Causeway", version: "1", chainId, verifyingContract} of the contract that uses the module, and
        the one form of signature that Causeway's contracts accept: 65 bytes `r ‖ s ‖ v` with v 27 or 28 and s in the
        lower half of the group order. Source: EIP-712, EIP-2.
@dev Invariants:
     1. A digest is bound to the chain id at the time of the call and to the contract's address.
     2. `_next_signer` never returns the zero address, nor a signer that is not above the one before: a loop over it
        counts each signer once.
"""


from snekmate.utils import eip712_domain_separator

initializes: eip712_domain_separator

exports: eip712_domain_separator.eip712Domain


# @dev Half of the order of secp256k1; s above it is the malleated twin of a valid s.
_HALF_ORDER: constant(uint256) = (
    57_896_044_618_658_097_711_785_492_504_343_953_926_418_782_139_537_452_191_302_581_570_759_080_747_168
)


@deploy
def __init__():
    """
    @notice Fixes the domain's name and version.
    """
    eip712_domain_separator.__init__("Causeway", "1")


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    """
    @notice What a signer signs for a structure with the hash `struct_hash`, in this contract's domain.
    @param struct_hash keccak256(typeHash ‖ encoded fields), see EIP-712 `hashStruct`.
    @return The digest.
    """
    return eip712_domain_separator._hash_typed_data_v4(struct_hash)


@internal
@pure
def _recover(digest: bytes32, signature: Bytes[65]) -> address:
    """
    @notice The account that signed `digest`; reverts if the signature is malformed.
    @param digest The 32 bytes that were signed.
    @param signature 65 bytes `r ‖ s ‖ v`.
    @return The account; never the zero address.
    """
    assert len(signature) == 65, "eip712: signature length"
    r: uint256 = extract32(signature, 0, output_type=uint256)
    s: uint256 = extract32(signature, 32, output_type=uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    assert v == 27 or v == 28, "eip712: v is not 27 or 28"
    assert s <= _HALF_ORDER, "eip712: s is high"
    signer: address = ecrecover(digest, v, r, s)
    assert signer != empty(address), "eip712: invalid signature"
    return signer


@internal
@pure
def _next_signer(digest: bytes32, signature: Bytes[65], previous: address) -> address:
    """
    @notice The account that signed `digest`, which must lie above the signer before it.
    @param digest The 32 bytes that were signed.
    @param signature 65 bytes `r ‖ s ‖ v`.
    @param previous The signer before, or the zero address for the first.
    @return The account.
    """
    signer: address = self._recover(digest, signature)
    assert convert(signer, uint160) > convert(previous, uint160), "eip712: signers not ascending"
    return signer


@internal
@pure
def _hash_list(words: DynArray[bytes32, 64]) -> bytes32:
    """
    @notice The EIP-712 encoding of a field of type `bytes32[]`: the hash of its elements, one after the other.
    @param words The elements.
    @return keccak256 of their concatenation.
    """
    # abi_encode puts an offset and the length, 32 bytes each, before the elements.
    return keccak256(slice(abi_encode(words), 64, 32 * len(words)))
