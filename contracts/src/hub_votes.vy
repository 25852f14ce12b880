# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: votes
@license MIT
@notice Whose signatures move the Hub: vouchers by the weight that Bonds counts, storemen by the threshold of their
        group in the Registry. Nobody else has a say.
@dev Invariants:
     1. A signature counts for one structure, of one Hub, on one chain (EIP-712), and each signer counts once.
     2. Weight and membership are those of the moment of the call.
"""


import eip712

uses: eip712


MAX_VOUCHERS: constant(uint256) = 64
MAX_MEMBERS: constant(uint256) = 100

# @dev How many thirds of the weight signatures have to exceed.
A_THIRD: constant(uint256) = 1
TWO_THIRDS: constant(uint256) = 2


interface Bonds:
    # It takes 64; no list is longer, because no caller takes more signatures of vouchers.
    def weigh(accounts: DynArray[address, MAX_MEMBERS]) -> (uint256, uint256, uint256): view


interface Registry:
    def quorum(group: bytes32, accounts: DynArray[address, MAX_MEMBERS]) -> (bool, uint256): view


# @dev The contracts that the Hub believes.
registry: public(immutable(address))
bonds: public(immutable(address))


@deploy
def __init__(registry_: address, bonds_: address):
    """
    @notice Binds the Hub to its companions for ever.
    @param registry_ Knows assets and groups.
    @param bonds_ Knows the vouchers' weights.
    """
    assert registry_.is_contract and bonds_.is_contract, "Hub: not a contract"
    registry = registry_
    bonds = bonds_


@internal
@view
def _check_vouchers(
    struct_hash: bytes32, signatures: DynArray[Bytes[65], MAX_VOUCHERS], thirds: uint256
) -> uint256:
    """
    @notice Reverts unless vouchers of more than that many thirds of the weight signed.
    @param struct_hash What they signed, before the domain is added.
    @param signatures In ascending order of accounts.
    @param thirds `TWO_THIRDS` where something is decided, `A_THIRD` where it is only delayed.
    @return The bitmap of the signers' indices in Bonds.
    """
    weight: uint256 = 0
    total: uint256 = 0
    bitmap: uint256 = 0
    signers: DynArray[address, MAX_MEMBERS] = self._signers(eip712._digest(struct_hash), signatures)
    weight, total, bitmap = staticcall Bonds(bonds).weigh(signers)
    assert weight * 3 > total * thirds, "Hub: not enough weight"
    return bitmap


@internal
@view
def _check_storemen(group: bytes32, digest: bytes32, signatures: DynArray[Bytes[65], MAX_MEMBERS]) -> uint256:
    """
    @notice Reverts unless at least the threshold of a group's storemen, and nobody else, signed.
    @param group The group.
    @param digest What they signed.
    @param signatures In ascending order of accounts.
    @return The bitmap of the signers' indices in their group.
    """
    is_quorum: bool = False
    bitmap: uint256 = 0
    is_quorum, bitmap = staticcall Registry(registry).quorum(group, self._signers(digest, signatures))
    assert is_quorum, "Hub: no quorum of storemen"
    return bitmap


@internal
@pure
def _signers(digest: bytes32, signatures: DynArray[Bytes[65], MAX_MEMBERS]) -> DynArray[address, MAX_MEMBERS]:
    """
    @notice Who signed.
    @param digest What was signed.
    @param signatures In ascending order of accounts.
    @return The accounts, each once.
    """
    signers: DynArray[address, MAX_MEMBERS] = []
    signer: address = empty(address)
    for signature: Bytes[65] in signatures:
        signer = eip712._next_signer(digest, signature, signer)
        signers.append(signer)
    return signers
