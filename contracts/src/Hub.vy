# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Hub
@license MIT
@notice Where bridged value enters and leaves the native chain. Deposits that vouchers attested become mapping tokens;
        tokens locked for a withdrawal are burnt when vouchers attested its payout.
@dev Invariants:
     1. A deposit id moves once: unknown → minted or unknown → returned. What the Hub ever minted for an asset is
        at most the sum of its attested deposits.
     2. A withdrawal moves unknown → requested → reserved → settled; requested → cancelled; and reserved → requested only
        through `void_payout`. It is in at most one live payout, and burnt at most once.
     3. The Hub holds, for each asset, at least the sum of the amounts of its requested and reserved withdrawals.
     4. An outpoint is reserved by at most one live payout. The anchor of a payout is never free again: every version
        of the payout spends it, so at most one version of all can ever confirm.
     5. A payout's withdrawals, group, asset and anchor never change; a later version changes the other inputs.
     6. A reservation is accepted once. Its signatures carry no version, so without this anybody could bring an old
        version back.
     7. Acts of vouchers need more than two thirds of the weight that `Bonds` counts at that moment; acts of storemen
        need the threshold of their group.
     Whoever sends a transaction has no say in it: signatures or ownership of a withdrawal count. The only contracts called
     are Registry, Bonds and the mapping tokens, which call nobody; the lock against re-entrance is a second wall.
"""


import eip712

initializes: eip712

exports: eip712.eip712Domain


MAX_VOUCHERS: constant(uint256) = 64
MAX_MEMBERS: constant(uint256) = 100
MAX_WITHDRAWALS: constant(uint256) = 32
MAX_INPUTS: constant(uint256) = 64

# @dev What `deposit_status` says.
DEPOSIT_MINTED: constant(uint256) = 1
DEPOSIT_RETURNED: constant(uint256) = 2

# @dev What `withdrawal(id).status` says.
WITHDRAWAL_REQUESTED: constant(uint256) = 1
WITHDRAWAL_RESERVED: constant(uint256) = 2
WITHDRAWAL_SETTLED: constant(uint256) = 3
WITHDRAWAL_CANCELLED: constant(uint256) = 4

# @dev What `payout(id).status` says.
PAYOUT_LIVE: constant(uint256) = 1
PAYOUT_SETTLED: constant(uint256) = 2
PAYOUT_VOIDED: constant(uint256) = 3

# @dev The highest dust limit of all output types that a withdrawal may name (P2PKH), in satoshi.
DUST: constant(uint256) = 546

_DEPOSIT_ATTESTATION_TYPE_HASH: constant(bytes32) = keccak256(
    "DepositAttestation(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,address recipient,bytes32 group)"
)
_DEPOSIT_RETURN_TYPE_HASH: constant(bytes32) = keccak256(
    "DepositReturn(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,bytes32 group,uint256 reason)"
)
_PAYOUT_RESERVATION_TYPE_HASH: constant(bytes32) = keccak256(
    "PayoutReservation(bytes32 group,bytes32 asset,bytes32[] withdrawals,bytes32[] inputs)"
)
_ANCHOR_SPENT_TYPE_HASH: constant(bytes32) = keccak256("AnchorSpent(bytes32 payout,bytes32 spender)")
_PAYOUT_SETTLEMENT_TYPE_HASH: constant(bytes32) = keccak256(
    "PayoutSettlement(bytes32 payout,bytes32 txid,uint256 fee)"
)


# As in Registry.
struct AssetPolicy:
    minimum_deposit: uint256
    deposit_fee: uint256
    minimum_withdrawal: uint256
    paused: bool


# As in Registry.
struct Asset:
    chain: bytes32
    caip19: String[160]
    name: String[25]
    symbol: String[10]
    decimals: uint8


interface Registry:
    def asset(id: bytes32) -> Asset: view
    def asset_policy(id: bytes32) -> AssetPolicy: view
    def deposit_terms(group: bytes32, asset: bytes32) -> (bool, AssetPolicy): view
    def is_vault_of(group: bytes32, asset: bytes32) -> bool: view
    def is_active_vault_of(group: bytes32, asset: bytes32) -> bool: view
    def is_quorum(group: bytes32, accounts: DynArray[address, MAX_MEMBERS]) -> bool: view


interface Bonds:
    def weigh(accounts: DynArray[address, MAX_VOUCHERS]) -> (uint256, uint256): view


interface MappingToken:
    def mint(recipient: address, amount: uint256): nonpayable
    def burn(amount: uint256): nonpayable
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(owner: address, to: address, amount: uint256) -> bool: nonpayable
    def totalSupply() -> uint256: view


struct Deposit:
    asset: bytes32
    txid: bytes32
    vout: uint256
    # What arrived on the other chain, before the deposit fee.
    amount: uint256
    recipient: address
    group: bytes32


struct Withdrawal:
    asset: bytes32
    owner: address
    amount: uint256
    # The most of `amount` that may go to miners.
    max_fee: uint256
    # scriptPubKey
    destination: Bytes[42]
    # 0 unknown, 1 requested, 2 reserved, 3 settled, 4 cancelled.
    status: uint256
    # The payout that it is or was last in; zero before.
    payout: bytes32


struct Outpoint:
    txid: bytes32
    vout: uint256


struct Reservation:
    group: bytes32
    asset: bytes32
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    inputs: DynArray[Outpoint, MAX_INPUTS]


struct Payout:
    group: bytes32
    asset: bytes32
    # Outpoint id of the first input of the first version.
    anchor: bytes32
    # Counts accepted reservations, from 1.
    version: uint256
    # 0 unknown, 1 live, 2 settled, 3 voided.
    status: uint256
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    # Outpoint ids of the current version.
    inputs: DynArray[bytes32, MAX_INPUTS]


event DepositAnnounced:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    group: indexed(bytes32)
    recipient: address
    reclaim_key: bytes32
    delay: uint256
    salt: bytes32
    birthday: uint256


event TokenDeployed:
    asset: indexed(bytes32)
    token: indexed(address)


event DepositMinted:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    recipient: indexed(address)
    amount: uint256
    minted: uint256
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


event WithdrawalRequested:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    owner: indexed(address)
    amount: uint256
    max_fee: uint256
    destination: Bytes[42]


event WithdrawalCancelled:
    id: indexed(bytes32)


event MaxFeeRaised:
    id: indexed(bytes32)
    max_fee: uint256


event PayoutReserved:
    id: indexed(bytes32)
    group: indexed(bytes32)
    asset: indexed(bytes32)
    version: uint256
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    inputs: DynArray[Outpoint, MAX_INPUTS]


event PayoutVoided:
    id: indexed(bytes32)
    spender: bytes32


event PayoutSettled:
    id: indexed(bytes32)
    txid: bytes32
    fee: uint256
    burnt: uint256


# @dev The contracts that the Hub believes.
registry: public(immutable(address))
bonds: public(immutable(address))

# @dev ERC-5202 blueprint of MappingToken.
token_blueprint: public(immutable(address))

# @dev Deposit id → 0 unknown, 1 minted, 2 returned.
deposit_status: public(HashMap[bytes32, uint256])

# @dev Asset id → its mapping token, zero before its first mint.
token_of: public(HashMap[bytes32, address])

# @dev Mapping token → asset id, zero for any other address.
asset_of: public(HashMap[address, bytes32])

# @dev How many withdrawals were ever requested.
withdrawal_count: public(uint256)

# @dev Withdrawal id → withdrawal.
withdrawal: public(HashMap[bytes32, Withdrawal])

# @dev Payout id → payout.
payout: public(HashMap[bytes32, Payout])

# @dev Outpoint id → the payout that reserves or bars it, zero if it is free.
reserved_by: public(HashMap[bytes32, bytes32])

# @dev EIP-712 digest of a reservation → whether it was accepted before.
reservation_used: public(HashMap[bytes32, bool])


@deploy
def __init__(registry_: address, bonds_: address, token_blueprint_: address):
    """
    @notice Binds the Hub to its companions for ever.
    @param registry_ Knows assets and groups.
    @param bonds_ Knows the vouchers' weights.
    @param token_blueprint_ ERC-5202 blueprint of MappingToken.
    """
    assert registry_.is_contract and bonds_.is_contract, "Hub: not a contract"
    assert token_blueprint_.is_contract, "Hub: not a contract"
    registry = registry_
    bonds = bonds_
    token_blueprint = token_blueprint_
    eip712.__init__()


# --- Deposits ---------------------------------------------------------------------------------------------------------


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
    assert staticcall Registry(registry).is_vault_of(group, asset), "Hub: group not of asset"
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
def mint(deposit: Deposit, signatures: DynArray[Bytes[65], MAX_VOUCHERS]):
    """
    @notice Mints a final deposit, less the asset's deposit fee, to its recipient. Anyone may bring the attestations.
    @param deposit What arrived.
    @param signatures Vouchers' `DepositAttestation`, in ascending order of their accounts.
    """
    id: bytes32 = self._deposit_id(deposit.asset, deposit.txid, deposit.vout)
    assert self.deposit_status[id] == 0, "Hub: deposit already final"
    is_vault: bool = False
    policy: AssetPolicy = empty(AssetPolicy)
    is_vault, policy = staticcall Registry(registry).deposit_terms(deposit.group, deposit.asset)
    assert is_vault, "Hub: group not of asset"
    assert not policy.paused, "Hub: asset paused"
    assert deposit.amount >= policy.minimum_deposit, "Hub: deposit too small"
    assert self._can_receive(deposit.recipient), "Hub: bad recipient"
    self._check_vouchers(keccak256(abi_encode(_DEPOSIT_ATTESTATION_TYPE_HASH, deposit)), signatures)

    self.deposit_status[id] = DEPOSIT_MINTED
    token: address = self.token_of[deposit.asset]
    if token == empty(address):
        token = self._deploy_token(deposit.asset)
    # The Registry holds minimum_deposit > deposit_fee.
    minted: uint256 = deposit.amount - policy.deposit_fee
    extcall MappingToken(token).mint(deposit.recipient, minted)
    log DepositMinted(
        id=id,
        asset=deposit.asset,
        recipient=deposit.recipient,
        amount=deposit.amount,
        minted=minted,
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
    signatures: DynArray[Bytes[65], MAX_MEMBERS],
):
    """
    @notice Bars the mint of a deposit for ever, so that its coin can be sent back. Anyone may bring the signatures.
    @param asset What was deposited.
    @param txid Its transaction.
    @param vout Its output.
    @param amount What arrived.
    @param group The group that holds it; it need not be the active one.
    @param reason The storemen's code for why.
    @param signatures `DepositReturn` of at least the threshold of that group's storemen, in ascending order of accounts.
    """
    id: bytes32 = self._deposit_id(asset, txid, vout)
    assert self.deposit_status[id] == 0, "Hub: deposit already final"
    assert staticcall Registry(registry).is_vault_of(group, asset), "Hub: group not of asset"
    struct_hash: bytes32 = keccak256(abi_encode(_DEPOSIT_RETURN_TYPE_HASH, asset, txid, vout, amount, group, reason))
    self._check_storemen(group, eip712._digest(struct_hash), signatures)

    self.deposit_status[id] = DEPOSIT_RETURNED
    log DepositReturned(id=id, asset=asset, txid=txid, vout=vout, amount=amount, group=group, reason=reason)


# --- Withdrawals ------------------------------------------------------------------------------------------------------


@external
def withdraw(asset: bytes32, amount: uint256, max_fee: uint256, destination: Bytes[42]) -> bytes32:
    """
    @notice Locks the caller's mapping tokens, to be paid out on the asset's own chain. Needs an allowance for the Hub.
    @param asset What to withdraw.
    @param amount How much, miner's fee included.
    @param max_fee The most of it that may go to miners; at least 547 units must be left to pay out.
    @param destination scriptPubKey of type P2PKH, P2SH, P2WPKH, P2WSH or P2TR.
    @return The withdrawal's id, keccak256(abi.encode(chainid, hub, count)), count from 1.
    """
    policy: AssetPolicy = staticcall Registry(registry).asset_policy(asset)
    token: address = self.token_of[asset]
    assert token != empty(address), "Hub: asset has no token"
    assert not policy.paused, "Hub: asset paused"
    assert amount >= policy.minimum_withdrawal, "Hub: withdrawal too small"
    self._check_max_fee(amount, max_fee)
    assert self._is_standard_script(destination), "Hub: bad destination"

    self.withdrawal_count += 1
    id: bytes32 = keccak256(abi_encode(chain.id, self, self.withdrawal_count))
    self.withdrawal[id] = Withdrawal(
        asset=asset,
        owner=msg.sender,
        amount=amount,
        max_fee=max_fee,
        destination=destination,
        status=WITHDRAWAL_REQUESTED,
        payout=empty(bytes32),
    )
    log WithdrawalRequested(
        id=id, asset=asset, owner=msg.sender, amount=amount, max_fee=max_fee, destination=destination
    )
    assert extcall MappingToken(token).transferFrom(msg.sender, self, amount), "Hub: transfer failed"
    return id


@external
def cancel(id: bytes32):
    """
    @notice Gives the tokens of a withdrawal that no payout has reserved back. Only its owner.
    @param id The withdrawal.
    """
    assert self.withdrawal[id].owner == msg.sender, "Hub: not the owner"
    assert self.withdrawal[id].status == WITHDRAWAL_REQUESTED, "Hub: withdrawal not requested"
    self.withdrawal[id].status = WITHDRAWAL_CANCELLED
    log WithdrawalCancelled(id=id)
    token: address = self.token_of[self.withdrawal[id].asset]
    assert extcall MappingToken(token).transfer(msg.sender, self.withdrawal[id].amount), "Hub: transfer failed"


@external
def raise_max_fee(id: bytes32, max_fee: uint256):
    """
    @notice Lets more of a withdrawal go to miners, to speed it up. Only its owner.
    @param id The withdrawal.
    @param max_fee The new limit, above the old.
    """
    assert self.withdrawal[id].owner == msg.sender, "Hub: not the owner"
    status: uint256 = self.withdrawal[id].status
    assert status == WITHDRAWAL_REQUESTED or status == WITHDRAWAL_RESERVED, "Hub: withdrawal is over"
    assert max_fee > self.withdrawal[id].max_fee, "Hub: fee not raised"
    self._check_max_fee(self.withdrawal[id].amount, max_fee)
    self.withdrawal[id].max_fee = max_fee
    log MaxFeeRaised(id=id, max_fee=max_fee)


# --- Payouts ----------------------------------------------------------------------------------------------------------


@external
def reserve(reservation: Reservation, signatures: DynArray[Bytes[65], MAX_MEMBERS]) -> bytes32:
    """
    @notice Binds withdrawals to the coins that will pay them, before anybody signs the payment. Anyone may bring the
            signatures. If the withdrawals are all requested, it is a new payout; if they are exactly those of a live
            payout, it is its next version, which must spend the anchor and frees the inputs of the version before.
    @param reservation The group, which must be active, the asset, the withdrawals and the coins.
    @param signatures `PayoutReservation` of at least the threshold of storemen, in ascending order of accounts.
    @return keccak256(abi.encode(group, withdrawals, anchor)); a new payout's anchor is its first input.
    """
    assert len(reservation.withdrawals) > 0, "Hub: no withdrawals"
    assert len(reservation.inputs) > 0, "Hub: no inputs"
    assert staticcall Registry(registry).is_active_vault_of(reservation.group, reservation.asset), "Hub: group not active"
    inputs: DynArray[bytes32, MAX_INPUTS] = []
    for outpoint: Outpoint in reservation.inputs:
        inputs.append(keccak256(abi_encode(outpoint.txid, outpoint.vout)))
    digest: bytes32 = eip712._digest(
        keccak256(
            abi_encode(
                _PAYOUT_RESERVATION_TYPE_HASH,
                reservation.group,
                reservation.asset,
                eip712._hash_list(reservation.withdrawals),
                eip712._hash_list(inputs),
            )
        )
    )
    assert not self.reservation_used[digest], "Hub: reservation used"
    self._check_storemen(reservation.group, digest, signatures)
    self.reservation_used[digest] = True

    id: bytes32 = empty(bytes32)
    first: bytes32 = reservation.withdrawals[0]
    if self.withdrawal[first].status == WITHDRAWAL_RESERVED:
        id = self.withdrawal[first].payout
        self._replace(id, reservation, inputs)
    else:
        id = keccak256(abi_encode(reservation.group, reservation.withdrawals, inputs[0]))
        self._open(id, reservation, inputs)
    for outpoint: bytes32 in inputs:
        assert self.reserved_by[outpoint] == empty(bytes32), "Hub: input reserved"
        self.reserved_by[outpoint] = id
    log PayoutReserved(
        id=id,
        group=reservation.group,
        asset=reservation.asset,
        version=self.payout[id].version,
        withdrawals=reservation.withdrawals,
        inputs=reservation.inputs,
    )
    return id


@external
def void_payout(payout: bytes32, spender: bytes32, signatures: DynArray[Bytes[65], MAX_VOUCHERS]):
    """
    @notice Ends a payout that can never confirm, because something else finally spent its anchor. Its withdrawals are
            requested again and its inputs are free, but for the anchor. Anyone may bring the attestations.
    @param payout Its id.
    @param spender The transaction that spent the anchor and is no version of the payout.
    @param signatures Vouchers' `AnchorSpent`, in ascending order of their accounts.
    """
    assert self.payout[payout].status == PAYOUT_LIVE, "Hub: payout not live"
    self._check_vouchers(keccak256(abi_encode(_ANCHOR_SPENT_TYPE_HASH, payout, spender)), signatures)

    self.payout[payout].status = PAYOUT_VOIDED
    for id: bytes32 in self.payout[payout].withdrawals:
        self.withdrawal[id].status = WITHDRAWAL_REQUESTED
    self._free_inputs(payout, self.payout[payout].anchor)
    log PayoutVoided(id=payout, spender=spender)


@external
def settle(payout: bytes32, txid: bytes32, fee: uint256, signatures: DynArray[Bytes[65], MAX_VOUCHERS]):
    """
    @notice Burns the tokens of a payout that is final on the other chain. Anyone may bring the attestations.
    @param payout Its id.
    @param txid The transaction that paid it, of whichever version.
    @param fee What the withdrawals bore: the sum of their amounts less the sum of what their destinations received. Dust
           that the vault left to the miner is not in it.
    @param signatures Vouchers' `PayoutSettlement`, in ascending order of their accounts.
    """
    assert self.payout[payout].status == PAYOUT_LIVE, "Hub: payout not live"
    self._check_vouchers(keccak256(abi_encode(_PAYOUT_SETTLEMENT_TYPE_HASH, payout, txid, fee)), signatures)

    self.payout[payout].status = PAYOUT_SETTLED
    amount: uint256 = 0
    max_fee: uint256 = 0
    for id: bytes32 in self.payout[payout].withdrawals:
        self.withdrawal[id].status = WITHDRAWAL_SETTLED
        amount += self.withdrawal[id].amount
        max_fee += self.withdrawal[id].max_fee
    assert fee <= max_fee, "Hub: fee above the limits"
    # The inputs of an only version are spent and stay barred. Of several, an older one may have confirmed, and then the
    # coins of the newest are unspent: they must not be barred for ever. The coins that were spent, bitcoin bars itself.
    if self.payout[payout].version > 1:
        self._free_inputs(payout, self.payout[payout].anchor)
    extcall MappingToken(self.token_of[self.payout[payout].asset]).burn(amount)
    log PayoutSettled(id=payout, txid=txid, fee=fee, burnt=amount)


# --- Views ------------------------------------------------------------------------------------------------------------


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


@external
@view
def supply(asset: bytes32) -> uint256:
    """
    @notice How much of an asset's mapping token exists, the locked tokens included.
    @param asset The asset's id.
    @return Base units; zero before its first mint.
    """
    token: address = self.token_of[asset]
    if token == empty(address):
        return 0
    return staticcall MappingToken(token).totalSupply()


# --- Inside -----------------------------------------------------------------------------------------------------------


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


@internal
@pure
def _check_max_fee(amount: uint256, max_fee: uint256):
    """
    @notice Reverts unless more than dust is left of a withdrawal that bears the whole of its fee limit.
    @param amount The withdrawal's amount.
    @param max_fee Its fee limit.
    """
    assert amount > DUST and max_fee < amount - DUST, "Hub: fee leaves only dust"


@internal
@pure
def _is_standard_script(script: Bytes[42]) -> bool:
    """
    @notice Whether a scriptPubKey is of one of the five types that wallets show as an address.
    @param script The script.
    @return True for P2PKH, P2SH (BIP-16), P2WPKH, P2WSH (BIP-141) and P2TR (BIP-341).
    """
    size: uint256 = len(script)
    if size == 22:
        return slice(script, 0, 2) == x"0014"
    if size == 34:
        head: Bytes[2] = slice(script, 0, 2)
        return head == x"5120" or head == x"0020"
    if size == 23:
        return slice(script, 0, 2) == x"a914" and slice(script, 22, 1) == x"87"
    if size == 25:
        return slice(script, 0, 3) == x"76a914" and slice(script, 23, 2) == x"88ac"
    return False


@internal
@view
def _check_vouchers(struct_hash: bytes32, signatures: DynArray[Bytes[65], MAX_VOUCHERS]):
    """
    @notice Reverts unless vouchers of more than two thirds of the weight signed.
    @param struct_hash What they signed, before the domain is added.
    @param signatures In ascending order of accounts.
    """
    digest: bytes32 = eip712._digest(struct_hash)
    signers: DynArray[address, MAX_VOUCHERS] = []
    signer: address = empty(address)
    for signature: Bytes[65] in signatures:
        signer = eip712._next_signer(digest, signature, signer)
        signers.append(signer)
    weight: uint256 = 0
    total: uint256 = 0
    weight, total = staticcall Bonds(bonds).weigh(signers)
    assert weight * 3 > total * 2, "Hub: not enough weight"


@internal
@view
def _check_storemen(group: bytes32, digest: bytes32, signatures: DynArray[Bytes[65], MAX_MEMBERS]):
    """
    @notice Reverts unless at least the threshold of a group's storemen, and nobody else, signed.
    @param group The group.
    @param digest What they signed.
    @param signatures In ascending order of accounts.
    """
    signers: DynArray[address, MAX_MEMBERS] = []
    signer: address = empty(address)
    for signature: Bytes[65] in signatures:
        signer = eip712._next_signer(digest, signature, signer)
        signers.append(signer)
    assert staticcall Registry(registry).is_quorum(group, signers), "Hub: no quorum of storemen"


@internal
def _deploy_token(asset: bytes32) -> address:
    """
    @notice Deploys an asset's mapping token.
    @param asset The asset, which is registered and has no token yet.
    @return The token's address.
    """
    info: Asset = staticcall Registry(registry).asset(asset)
    token: address = create_from_blueprint(
        token_blueprint, concat(info.name, " (Causeway)"), concat("cw", info.symbol), info.decimals
    )
    self.token_of[asset] = token
    self.asset_of[token] = asset
    log TokenDeployed(asset=asset, token=token)
    return token


@internal
def _open(id: bytes32, reservation: Reservation, inputs: DynArray[bytes32, MAX_INPUTS]):
    """
    @notice Stores a new payout and marks its withdrawals as reserved.
    @param id The payout's id. It is new, because its anchor is: an anchor is never free again.
    @param reservation What is reserved.
    @param inputs The outpoint ids of its inputs.
    """
    for id_: bytes32 in reservation.withdrawals:
        assert self.withdrawal[id_].status == WITHDRAWAL_REQUESTED, "Hub: withdrawal not requested"
        assert self.withdrawal[id_].asset == reservation.asset, "Hub: withdrawal of other asset"
        self.withdrawal[id_].status = WITHDRAWAL_RESERVED
        self.withdrawal[id_].payout = id
    self.payout[id] = Payout(
        group=reservation.group,
        asset=reservation.asset,
        anchor=inputs[0],
        version=1,
        status=PAYOUT_LIVE,
        withdrawals=reservation.withdrawals,
        inputs=inputs,
    )


@internal
def _replace(id: bytes32, reservation: Reservation, inputs: DynArray[bytes32, MAX_INPUTS]):
    """
    @notice Makes a reservation the next version of a live payout and frees the inputs of the version before.
    @param id The payout's id.
    @param reservation What is reserved.
    @param inputs The outpoint ids of its inputs.
    """
    assert self.payout[id].group == reservation.group, "Hub: other group"
    assert self.payout[id].asset == reservation.asset, "Hub: withdrawal of other asset"
    old: DynArray[bytes32, MAX_WITHDRAWALS] = self.payout[id].withdrawals
    assert keccak256(abi_encode(old)) == keccak256(abi_encode(reservation.withdrawals)), "Hub: other withdrawals"
    assert self.payout[id].anchor in inputs, "Hub: anchor not spent"
    self._free_inputs(id, empty(bytes32))
    self.payout[id].version += 1
    self.payout[id].inputs = inputs


@internal
def _free_inputs(payout: bytes32, barred: bytes32):
    """
    @notice Frees the inputs of a payout's current version.
    @param payout Its id.
    @param barred The outpoint id that stays reserved.
    """
    for outpoint: bytes32 in self.payout[payout].inputs:
        if outpoint != barred:
            self.reserved_by[outpoint] = empty(bytes32)
