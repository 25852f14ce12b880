# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: service fees
@license MIT
@notice What vouchers and storemen earned and was not yet handed to them. A fee is noted for those whose signatures did
        the work, by bitmap; only `distribute` creates its tokens, in Bonds, which shares them out.
@dev Invariants:
     1. `pending_total` of an asset is the sum of its `pending_fees`.
     2. A fee was kept back from a mint or burnt in a settlement before it is noted, and it is minted once: supply and
        pending fees together never exceed what deposits brought less what payouts took.
"""


import hub_tokens
import hub_votes

uses: hub_tokens
uses: hub_votes


MAX_OPERATORS: constant(uint256) = 100


interface Bonds:
    def voucher_at(index: uint256) -> address: view
    def credit(token: address, operators: DynArray[address, MAX_OPERATORS], amount: uint256): nonpayable


interface Registry:
    def accounts_at(group: bytes32, bitmap: uint256) -> DynArray[address, MAX_OPERATORS]: view


event FeesDistributed:
    asset: indexed(bytes32)
    group: indexed(bytes32)
    signers: uint256
    amount: uint256


# @dev Asset id → keccak256(abi.encode(group, bitmap)) → units; group zero: vouchers, by their indices in Bonds.
pending_fees: public(HashMap[bytes32, HashMap[bytes32, uint256]])

# @dev Asset id → the sum of its pending fees: what the reserves have to cover besides the supply.
pending_total: public(HashMap[bytes32, uint256])


@external
def distribute(asset: bytes32, group: bytes32, signers: uint256):
    """
    @notice Mints pending fees to Bonds, which credits them to those who earned them. Anyone.
    @param asset The asset.
    @param group The group whose storemen signed; zero: vouchers.
    @param signers The bitmap of those who signed.
    """
    key: bytes32 = keccak256(abi_encode(group, signers))
    amount: uint256 = self.pending_fees[asset][key]
    assert amount > 0, "Hub: nothing pending"
    self.pending_fees[asset][key] = 0
    self.pending_total[asset] -= amount
    operators: DynArray[address, MAX_OPERATORS] = []
    if group == empty(bytes32):
        operators = self._vouchers_at(signers)
    else:
        operators = staticcall Registry(hub_votes.registry).accounts_at(group, signers)
    hub_tokens._mint(asset, hub_votes.bonds, amount)
    extcall Bonds(hub_votes.bonds).credit(hub_tokens.token_of[asset], operators, amount)
    log FeesDistributed(asset=asset, group=group, signers=signers, amount=amount)


@internal
def _note(asset: bytes32, group: bytes32, signers: uint256, amount: uint256):
    """
    @notice Notes a fee for those who signed.
    @param asset The asset.
    @param group Their group; zero: vouchers.
    @param signers Their bitmap.
    @param amount In base units.
    """
    if amount != 0:
        self.pending_fees[asset][keccak256(abi_encode(group, signers))] += amount
        self.pending_total[asset] += amount


@internal
@view
def _vouchers_at(bitmap: uint256) -> DynArray[address, MAX_OPERATORS]:
    """
    @notice The vouchers that a bitmap names.
    @param bitmap One bit for each voucher's index in Bonds; at most 64 are set, because no tally takes more.
    @return Their accounts, in the order of their indices.
    """
    found: DynArray[address, MAX_OPERATORS] = []
    for index: uint256 in range(256):
        if bitmap >> index == 0:
            break
        if bitmap & (1 << index) != 0:
            found.append(staticcall Bonds(hub_votes.bonds).voucher_at(index))
    return found
