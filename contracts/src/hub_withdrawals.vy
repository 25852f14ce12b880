# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: withdrawals
@license MIT
@notice How value is asked back: tokens are locked, given back while nothing was bound to them, or given back after
        their release was made impossible.
@dev Invariants:
     1. A withdrawal moves unknown → requested → reserved → settled; requested → cancelled; reserved → requested only
        through `void_payout`; settled → restored, at most once, and only for an EVM chain.
     2. The Hub holds, for each asset, at least amount and fee of its requested and reserved withdrawals.
     3. The service fee of a withdrawal is fixed when it is requested.
     4. Numbers count from 1 and are never used twice, cancelled withdrawals included: a Lockbox pays each at most once.
"""


import asset_policies
import hub_halts
import hub_limits
import hub_tokens
import hub_votes

uses: hub_halts
uses: hub_limits
uses: hub_tokens
uses: hub_votes


# @dev What `withdrawal(id).status` says.
WITHDRAWAL_REQUESTED: constant(uint256) = 1
WITHDRAWAL_RESERVED: constant(uint256) = 2
WITHDRAWAL_SETTLED: constant(uint256) = 3
WITHDRAWAL_CANCELLED: constant(uint256) = 4
WITHDRAWAL_RESTORED: constant(uint256) = 5

# @dev The highest dust limit of all output types that a withdrawal may name (P2PKH), in satoshi.
DUST: constant(uint256) = 546

# @dev The length of an account of an EVM chain; no script that a withdrawal may name is as short.
ACCOUNT_BYTES: constant(uint256) = 20

_RELEASE_CANCELLED_TYPE_HASH: constant(bytes32) = keccak256("ReleaseCancelled(bytes32 withdrawal,uint256 amount)")


interface Registry:
    def withdrawal_terms(asset: bytes32) -> (uint256, asset_policies.AssetPolicy): view


struct Withdrawal:
    asset: bytes32
    owner: address
    # What is paid out and what carrying it costs: all that was locked, less the service fee.
    amount: uint256
    # Bitcoin: the most of `amount` that may go to miners. EVM: exactly what goes to whoever carries the release.
    max_fee: uint256
    # scriptPubKey, or the 20 bytes of an account.
    destination: Bytes[42]
    # 0 unknown, 1 requested, 2 reserved, 3 settled, 4 cancelled, 5 restored.
    status: uint256
    # The payout that it is or was last in; zero before.
    payout: bytes32
    # Counts requests, from 1.
    number: uint256
    # The service fee, locked besides `amount`.
    fee: uint256


event WithdrawalRequested:
    id: indexed(bytes32)
    asset: indexed(bytes32)
    owner: indexed(address)
    amount: uint256
    max_fee: uint256
    destination: Bytes[42]
    number: uint256
    fee: uint256


event WithdrawalCancelled:
    id: indexed(bytes32)


event WithdrawalRestored:
    id: indexed(bytes32)
    amount: uint256


event MaxFeeRaised:
    id: indexed(bytes32)
    max_fee: uint256


# @dev How many withdrawals were ever requested.
withdrawal_count: public(uint256)

# @dev Withdrawal id → withdrawal.
withdrawal: public(HashMap[bytes32, Withdrawal])


@external
def withdraw(asset: bytes32, amount: uint256, max_fee: uint256, destination: Bytes[42]) -> bytes32:
    """
    @notice Locks the caller's mapping tokens, to be paid out on the asset's own chain. Needs an allowance for the Hub.
    @param asset What to withdraw.
    @param amount How much, all fees included; the service fee is taken out of it first.
    @param max_fee Bitcoin: the most of the rest that may go to miners; at least 547 units must be left to pay out. EVM:
           what whoever carries the release gets out of the rest, exactly; less than the rest.
    @param destination Bitcoin: a scriptPubKey of type P2PKH, P2SH, P2WPKH, P2WSH or P2TR. EVM: an account, 20 bytes.
    @return The withdrawal's id, keccak256(abi.encode(chainid, hub, number)), number from 1.
    """
    kind: uint256 = 0
    policy: asset_policies.AssetPolicy = empty(asset_policies.AssetPolicy)
    kind, policy = staticcall Registry(hub_votes.registry).withdrawal_terms(asset)
    assert hub_tokens.token_of[asset] != empty(address), "Hub: asset has no token"
    assert not policy.denied, "Hub: asset denied"
    assert not policy.paused, "Hub: asset paused"
    hub_halts._check_running(asset)
    fee: uint256 = asset_policies._service_fee(policy, amount)
    assert amount >= policy.minimum_withdrawal and amount > fee, "Hub: withdrawal too small"
    if kind == asset_policies.KIND_EVM:
        assert self._is_account(destination), "Hub: bad destination"
    else:
        assert self._is_standard_script(destination), "Hub: bad destination"
    self._check_max_fee(amount - fee, max_fee, kind == asset_policies.KIND_EVM)

    self.withdrawal_count += 1
    id: bytes32 = keccak256(abi_encode(chain.id, self, self.withdrawal_count))
    hub_limits._count_withdrawal(id, asset, amount, policy.withdrawal_limit)
    self.withdrawal[id] = Withdrawal(
        asset=asset,
        owner=msg.sender,
        amount=amount - fee,
        max_fee=max_fee,
        destination=destination,
        status=WITHDRAWAL_REQUESTED,
        payout=empty(bytes32),
        number=self.withdrawal_count,
        fee=fee,
    )
    log WithdrawalRequested(
        id=id,
        asset=asset,
        owner=msg.sender,
        amount=amount - fee,
        max_fee=max_fee,
        destination=destination,
        number=self.withdrawal_count,
        fee=fee,
    )
    hub_tokens._take(asset, msg.sender, amount)
    return id


@external
def cancel(id: bytes32):
    """
    @notice Gives the tokens of a withdrawal that no payout has reserved back, the service fee included. Only its owner.
    @param id The withdrawal.
    """
    assert self.withdrawal[id].owner == msg.sender, "Hub: not the owner"
    assert self.withdrawal[id].status == WITHDRAWAL_REQUESTED, "Hub: withdrawal not requested"
    self.withdrawal[id].status = WITHDRAWAL_CANCELLED
    log WithdrawalCancelled(id=id)
    asset: bytes32 = self.withdrawal[id].asset
    amount: uint256 = self.withdrawal[id].amount + self.withdrawal[id].fee
    hub_limits._uncount_withdrawal(id, asset, amount)
    hub_tokens._give_back(asset, msg.sender, amount)


@external
def raise_max_fee(id: bytes32, max_fee: uint256):
    """
    @notice Lets more of a withdrawal go to miners, or to whoever carries its release, to speed it up. Only its owner. A
            release says exactly what its carrier gets, so for an EVM chain that is fixed once it is reserved.
    @param id The withdrawal.
    @param max_fee The new limit, above the old.
    """
    assert self.withdrawal[id].owner == msg.sender, "Hub: not the owner"
    status: uint256 = self.withdrawal[id].status
    assert status == WITHDRAWAL_REQUESTED or status == WITHDRAWAL_RESERVED, "Hub: withdrawal is over"
    is_release: bool = len(self.withdrawal[id].destination) == ACCOUNT_BYTES
    assert status == WITHDRAWAL_REQUESTED or not is_release, "Hub: relay fee is fixed"
    assert max_fee > self.withdrawal[id].max_fee, "Hub: fee not raised"
    self._check_max_fee(self.withdrawal[id].amount, max_fee, is_release)
    self.withdrawal[id].max_fee = max_fee
    log MaxFeeRaised(id=id, max_fee=max_fee)


@external
def restore(withdrawal: bytes32, amount: uint256, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Mints tokens back for a withdrawal whose release the Lockbox cancelled for ever. Anyone may bring the
            attestations.
    @param withdrawal Its id. It is settled, and of an EVM chain.
    @param amount What the Lockbox did not pay and never will: at most the withdrawal's amount.
    @param signatures Vouchers' `ReleaseCancelled`, in ascending order of their accounts.
    """
    assert self.withdrawal[withdrawal].status == WITHDRAWAL_SETTLED, "Hub: not settled"
    assert len(self.withdrawal[withdrawal].destination) == ACCOUNT_BYTES, "Hub: not a release"
    assert amount > 0 and amount <= self.withdrawal[withdrawal].amount, "Hub: more than withdrawn"
    hub_votes._check_vouchers(
        keccak256(abi_encode(_RELEASE_CANCELLED_TYPE_HASH, withdrawal, amount)), signatures, hub_votes.TWO_THIRDS
    )
    self.withdrawal[withdrawal].status = WITHDRAWAL_RESTORED
    hub_tokens._mint(self.withdrawal[withdrawal].asset, self.withdrawal[withdrawal].owner, amount)
    log WithdrawalRestored(id=withdrawal, amount=amount)


@internal
@pure
def _check_max_fee(amount: uint256, max_fee: uint256, is_release: bool):
    """
    @notice Reverts unless something can be paid out of a withdrawal that bears the whole of its fee.
    @param amount The withdrawal's amount.
    @param max_fee Its fee limit, or relay fee.
    @param is_release Whether a Lockbox pays it.
    """
    if is_release:
        assert max_fee < amount, "Hub: relay fee too high"
    else:
        assert amount > DUST and max_fee < amount - DUST, "Hub: fee leaves only dust"


@internal
@pure
def _is_account(destination: Bytes[42]) -> bool:
    """
    @notice Whether a destination is an account of an EVM chain that can be paid.
    @param destination The destination.
    @return True for 20 bytes that are not all zero.
    """
    return len(destination) == ACCOUNT_BYTES and convert(slice(destination, 0, 20), bytes20) != empty(bytes20)


@internal
@pure
def _is_standard_script(script: Bytes[42]) -> bool:
    """
    @notice Whether a scriptPubKey is of one of the five types that wallets show as an address.
    @param script The script.
    @return True for P2PKH, P2SH (BIP-16), P2WPKH, P2WSH (BIP-141) and P2TR (BIP-341).
    """
    size: uint256 = len(script)
    if size < 22:
        return False
    head: bytes3 = convert(slice(script, 0, 3), bytes3)
    push: bytes2 = convert(slice(script, 0, 2), bytes2)
    tail: bytes2 = convert(slice(script, size - 2, 2), bytes2)
    return (
        (size == 22 and push == 0x0014)
        or (size == 34 and (push == 0x5120 or push == 0x0020))
        or (size == 23 and push == 0xa914 and slice(script, 22, 1) == x"87")
        or (size == 25 and head == 0x76a914 and tail == 0x88ac)
    )
