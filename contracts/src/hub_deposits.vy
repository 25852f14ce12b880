# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: deposits
@license MIT
@notice How value enters: deposits are announced, minted on the word of the vouchers, or barred on that of the storemen.
@dev Invariants:
     1. A deposit id moves once: unknown → minted or unknown → returned.
     2. A mint creates at most the deposit's amount: the recipient's tokens and the noted fee are that amount less the
        deposit fee.
"""


import asset_policies
import eip712
import hub_fees
import hub_halts
import hub_limits
import hub_tokens
import hub_votes

uses: eip712
uses: hub_fees
uses: hub_halts
uses: hub_limits
uses: hub_tokens
uses: hub_votes


# @dev What `deposit_status` says.
DEPOSIT_MINTED: constant(uint256) = 1
DEPOSIT_RETURNED: constant(uint256) = 2

_DEPOSIT_ATTESTATION_TYPE_HASH: constant(bytes32) = keccak256(
    "DepositAttestation(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,address recipient,bytes32 group)"
)
_DEPOSIT_RETURN_TYPE_HASH: constant(bytes32) = keccak256(
    "DepositReturn(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,bytes32 group,uint256 reason)"
)
_ASSET_INTRODUCTION_TYPE_HASH: constant(bytes32) = keccak256(
    "AssetIntroduction(bytes32 chain,string caip19,string name,string symbol,uint256 decimals)"
)


interface Registry:
    def deposit_terms(group: bytes32, asset: bytes32) -> (bool, asset_policies.AssetPolicy): view
    def is_vault_of(group: bytes32, asset: bytes32) -> bool: view
    def introduce_asset(
        caip19: String[160], chain_id: bytes32, name: String[25], symbol: String[10], decimals: uint8
    ) -> bytes32: nonpayable


struct Deposit:
    asset: bytes32
    # The transaction; on an EVM chain the Lockbox's lock id, which names chain, Lockbox and number.
    txid: bytes32
    # The output; 0 on an EVM chain.
    vout: uint256
    # What arrived on the other chain, before the fees.
    amount: uint256
    recipient: address
    group: bytes32


event DepositAnnounced:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    group: indexed(bytes32)
    recipient: address
    reclaim_key: bytes32
    delay: uint256
    salt: bytes32
    birthday: uint256


event DepositMinted:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    recipient: indexed(address)
    amount: uint256
    minted: uint256
    # The service fee, noted for the attesters; `amount - minted - fee` is the deposit fee.
    fee: uint256
    # Bitmap of their indices in Bonds.
    attesters: uint256
    txid: bytes32
    vout: uint256
    group: bytes32


event DepositReturned:
    id: indexed(bytes32)
    asset: bytes32
    txid: bytes32
    vout: uint256
    amount: uint256
    group: bytes32
    reason: uint256


# @dev Deposit id → 0 unknown, 1 minted, 2 returned.
deposit_status: public(HashMap[bytes32, uint256])


@external
def announce_deposit(
    asset: bytes32,
    group: bytes32,
    recipient: address,
    reclaim_key: bytes32,
    delay: uint256,
    salt: bytes32,
    birthday: uint256,
) -> bytes32:
    """
    @notice Publishes the terms of a deposit address, so that every node can recompute and watch it. Anyone; repeats are
            allowed. Nothing is stored.
    @param asset What will be deposited.
    @param group The group whose key is in the address.
    @param recipient Who will receive the mapping tokens.
    @param reclaim_key x coordinate of the key that can take the deposit back.
    @param delay Blocks after which it can, 1 to 65,535 (BIP-68).
    @param salt Makes the address unlike others with the same terms.
    @param birthday Height from which the address can have been paid.
    @return keccak256(abi.encode(asset, group, recipient, reclaim_key, delay, salt)).
    """
    assert staticcall Registry(hub_votes.registry).is_vault_of(group, asset), "Hub: group not of asset"
    assert self._can_receive(recipient), "Hub: bad recipient"
    assert reclaim_key != empty(bytes32), "Hub: no reclaim key"
    assert delay >= 1 and delay <= 65535, "Hub: bad delay"
    id: bytes32 = keccak256(abi_encode(asset, group, recipient, reclaim_key, delay, salt))
    log DepositAnnounced(
        id=id,
        asset=asset,
        group=group,
        recipient=recipient,
        reclaim_key=reclaim_key,
        delay=delay,
        salt=salt,
        birthday=birthday,
    )
    return id


@external
def introduce(
    chain_id: bytes32,
    caip19: String[160],
    name: String[25],
    symbol: String[10],
    decimals: uint8,
    signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS],
) -> bytes32:
    """
    @notice Registers an ERC-20 that nobody has bridged before, if its chain is open. Anyone may bring the attestations.
    @param chain_id The EVM chain that it comes from.
    @param caip19 Its CAIP-19 text, the contract's address in lower case.
    @param name Its name, as the vouchers read it.
    @param symbol Its symbol.
    @param decimals Its decimal places.
    @param signatures Vouchers' `AssetIntroduction`, in ascending order of their accounts.
    @return The asset's id.
    """
    struct_hash: bytes32 = keccak256(
        abi_encode(
            _ASSET_INTRODUCTION_TYPE_HASH,
            chain_id,
            keccak256(caip19),
            keccak256(name),
            keccak256(symbol),
            convert(decimals, uint256),
        )
    )
    hub_votes._check_vouchers(struct_hash, signatures, hub_votes.TWO_THIRDS)
    return extcall Registry(hub_votes.registry).introduce_asset(caip19, chain_id, name, symbol, decimals)


@external
def mint(deposit: Deposit, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Mints a final deposit, less the asset's deposit fee and service fee, to its recipient. Anyone may bring the
            attestations.
    @param deposit What arrived.
    @param signatures Vouchers' `DepositAttestation`, in ascending order of their accounts.
    """
    id: bytes32 = self._deposit_id(deposit.asset, deposit.txid, deposit.vout)
    assert self.deposit_status[id] == 0, "Hub: deposit already final"
    is_vault: bool = False
    policy: asset_policies.AssetPolicy = empty(asset_policies.AssetPolicy)
    is_vault, policy = staticcall Registry(hub_votes.registry).deposit_terms(deposit.group, deposit.asset)
    assert is_vault, "Hub: group not of asset"
    assert not policy.denied, "Hub: asset denied"
    assert not policy.paused, "Hub: asset paused"
    hub_halts._check_running(deposit.asset)
    assert deposit.amount >= policy.minimum_deposit, "Hub: deposit too small"
    assert self._can_receive(deposit.recipient), "Hub: bad recipient"
    attesters: uint256 = hub_votes._check_vouchers(
        keccak256(abi_encode(_DEPOSIT_ATTESTATION_TYPE_HASH, deposit)), signatures, hub_votes.TWO_THIRDS
    )

    self.deposit_status[id] = DEPOSIT_MINTED
    hub_limits._count_deposit(deposit.asset, deposit.amount, policy.deposit_limit)
    # The Registry sees to it that something is left of every deposit of at least the minimum.
    rest: uint256 = deposit.amount - policy.deposit_fee
    fee: uint256 = asset_policies._service_fee(policy, rest)
    hub_fees._note(deposit.asset, empty(bytes32), attesters, fee)
    hub_tokens._mint(deposit.asset, deposit.recipient, rest - fee)
    log DepositMinted(
        id=id,
        asset=deposit.asset,
        recipient=deposit.recipient,
        amount=deposit.amount,
        minted=rest - fee,
        fee=fee,
        attesters=attesters,
        txid=deposit.txid,
        vout=deposit.vout,
        group=deposit.group,
    )


@external
def return_deposit(
    asset: bytes32,
    txid: bytes32,
    vout: uint256,
    amount: uint256,
    group: bytes32,
    reason: uint256,
    signatures: DynArray[Bytes[65], hub_votes.MAX_MEMBERS],
):
    """
    @notice Bars the mint of a deposit for ever, so that its coin can be sent back. Anyone may bring the signatures.
    @param asset What was deposited.
    @param txid Its transaction.
    @param vout Its output.
    @param amount What arrived.
    @param group The group that holds it; it need not be the active one.
    @param reason The storemen's code for why.
    @param signatures `DepositReturn` of at least the threshold of that group's storemen, in ascending order of
           accounts.
    """
    id: bytes32 = self._deposit_id(asset, txid, vout)
    assert self.deposit_status[id] == 0, "Hub: deposit already final"
    assert staticcall Registry(hub_votes.registry).is_vault_of(group, asset), "Hub: group not of asset"
    struct_hash: bytes32 = keccak256(abi_encode(_DEPOSIT_RETURN_TYPE_HASH, asset, txid, vout, amount, group, reason))
    hub_votes._check_storemen(group, eip712._digest(struct_hash), signatures)

    self.deposit_status[id] = DEPOSIT_RETURNED
    log DepositReturned(id=id, asset=asset, txid=txid, vout=vout, amount=amount, group=group, reason=reason)


@external
@view
def deposit_statuses(ids: DynArray[bytes32, 256]) -> DynArray[uint256, 256]:
    """
    @notice `deposit_status` of many deposits in one call.
    @param ids Deposit ids.
    @return Their statuses, in the same order.
    """
    found: DynArray[uint256, 256] = []
    for id: bytes32 in ids:
        found.append(self.deposit_status[id])
    return found


@internal
@pure
def _deposit_id(asset: bytes32, txid: bytes32, vout: uint256) -> bytes32:
    """
    @notice The id of a deposit: of its coin, whatever is said about it.
    @param asset The asset.
    @param txid The transaction, in wire byte order.
    @param vout The output.
    @return The id.
    """
    return keccak256(abi_encode(asset, txid, vout))


@internal
@view
def _can_receive(recipient: address) -> bool:
    """
    @notice Whether tokens can be minted to an account: to zero they cannot, in the Hub they would be lost.
    @param recipient The account.
    @return Whether they can.
    """
    return recipient != empty(address) and recipient != self
