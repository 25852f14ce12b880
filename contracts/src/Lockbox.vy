# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Lockbox
@license MIT
@notice The vault on an EVM chain: holds the native coin and ERC-20s that were locked to be minted elsewhere, and pays
        them out again on the signature of a group of storemen, one BIP-340 key.
@dev Invariants:
     1. A number is consumed once: it is paid, fails, or is cancelled, and never leaves that end but from failed to claimed
        or cancelled. No sequence of calls pays a number twice.
     2. What is held of an asset is at least what locks credited less what was paid, claimed and given to carriers, as long
        as the asset's own contract takes nothing: an ERC-20 payment that takes another sum from the Lockbox than was
        signed is undone as a whole.
     3. A signature counts on one chain, at one Lockbox, in one epoch of the key, for one kind of message.
     4. Nobody's payment can stop another's: whatever a payee or a token does, its payment fails alone, within bounded gas,
        and can be claimed by the payee or cancelled by the group. Too little gas from the carrier reverts the whole.
     5. A pause, a limit and a denial delay. None of them takes anything, and a claim works at all times.
     6. While a token or a payee is called, the Lockbox can be entered at no place but `transfer_token`, which only it
        itself may call.
     There is no owner, and no function takes coin but `lock`. Coin or tokens that are forced in belong to nobody.
"""


import bip340
from ethereum.ercs import IERC20


MAX_PAYMENTS: constant(uint256) = 64

# @dev Longest pause, and shortest time between two, in seconds.
PAUSE: constant(uint256) = 86_400

# @dev Longest window of the limits, in seconds.
MAX_WINDOW: constant(uint256) = 30 * 86_400

# @dev Gas for a payee of coin (a smart account needs some), and for a whole ERC-20 payment with its two checks.
_COIN_GAS: constant(uint256) = 50_000
_TOKEN_GAS: constant(uint256) = 300_000

# @dev What has to be left before each call: its gas · 64/63 (EIP-150), and what the call itself costs at most (9,000 for
#      the value, 25,000 for a new account, 2,600 for a cold one). With less, a carrier could make a payment fail.
_COIN_GAS_LEFT: constant(uint256) = 90_000
_TOKEN_GAS_LEFT: constant(uint256) = 310_000

# @dev SHA-256 of the tags of BIP-340's tagged hash.
_RELEASE_TAG: constant(bytes32) = sha256("Causeway/release")
_CANCEL_TAG: constant(bytes32) = sha256("Causeway/cancel")
_CONFIGURE_TAG: constant(bytes32) = sha256("Causeway/configure")
_ROTATE_TAG: constant(bytes32) = sha256("Causeway/rotate")
_ACCEPT_TAG: constant(bytes32) = sha256("Causeway/accept")
_UNPAUSE_TAG: constant(bytes32) = sha256("Causeway/unpause")

# @dev A budget is one word: limit (112 bits), spent in the window (112), number of the window (31), denied (1). Windows are
#      only compared, so that it does no harm that their number is cut.
_AMOUNT_MASK: constant(uint256) = 2**112 - 1
_WINDOW_MASK: constant(uint256) = 2**31 - 1
_SPENT_AT: constant(uint256) = 112
_WINDOW_AT: constant(uint256) = 224
_DENIED: constant(uint256) = 2**255

# @dev Set in the number of a payment that sends a lock back; the other bits are the lock's number.
_RETURN: constant(uint256) = 2**255

# @dev The state is one word: epoch (64 bits), end of the last pause (64), count of pauses (64), count of locks (64).
_COUNT_MASK: constant(uint256) = 2**64 - 1
_PAUSED_UNTIL_AT: constant(uint256) = 64
_PAUSES_AT: constant(uint256) = 128
_LOCKS_AT: constant(uint256) = 192


# @dev A BIP-340 signature, and the even y of `rx` (see bip340).
struct Proof:
    rx: bytes32
    s: bytes32
    ry: bytes32


struct Payment:
    # The withdrawal's number at the Hub, or 2**255 | the number of a lock that is sent back.
    number: uint256
    # Zero for the native coin.
    asset: address
    payee: address
    # What the payee gets.
    amount: uint256
    # What the carrier gets besides.
    fee: uint256


event Locked:
    id: indexed(bytes32)
    asset: indexed(address)
    sender: indexed(address)
    number: uint256
    amount: uint256
    recipient: address


event Released:
    number: indexed(uint256)
    asset: indexed(address)
    payee: indexed(address)
    amount: uint256
    fee: uint256


event PaymentFailed:
    number: indexed(uint256)
    asset: indexed(address)
    payee: indexed(address)
    amount: uint256
    fee: uint256


event PaymentDelayed:
    number: indexed(uint256)


event PaymentClaimed:
    number: indexed(uint256)
    to: address
    amount: uint256


event PaymentCancelled:
    number: indexed(uint256)
    amount: uint256


event FeeOwed:
    carrier: indexed(address)
    asset: indexed(address)
    amount: uint256


event FeeClaimed:
    carrier: indexed(address)
    asset: indexed(address)
    to: address
    amount: uint256


event AssetConfigured:
    asset: indexed(address)
    deposit_limit: uint256
    withdrawal_limit: uint256
    denied: bool
    nonce: uint256


event KeyRotated:
    epoch: uint256
    key: bytes32


event Paused:
    until: uint256


event Unpaused:
    pass


# @dev May pause, and nothing else. Zero: nobody may.
guardian: public(immutable(address))

# @dev Length of a window of the limits, in seconds.
window_seconds: public(immutable(uint256))

# @dev The group's key: the x coordinate of its point.
key: public(bytes32)

# @dev Number of a failed payment that is neither claimed nor cancelled → keccak256(abi.encode(asset, payee, amount)).
failed: public(HashMap[uint256, bytes32])

# @dev The same → its amount.
failed_amount: public(HashMap[uint256, uint256])

# @dev Carrier → asset → fees that could not be paid to it.
fees_owed: public(HashMap[address, HashMap[address, uint256]])

# @dev Asset → how often it was configured.
configuration_nonce: public(HashMap[address, uint256])

# @dev Packed as said above.
_state: uint256

# @dev Asset → its budgets, packed as said above; zero: no limit, not denied. Both carry the mark of a denied asset.
_deposits: HashMap[address, uint256]
_withdrawals: HashMap[address, uint256]

# @dev Number // 256 → one bit for each of 256 numbers.
_consumed: HashMap[uint256, uint256]


@deploy
def __init__(key_: bytes32, guardian_: address, window_seconds_: uint256):
    """
    @notice Creates an empty vault of a group.
    @param key_ The group's x-only key. Nothing is proved here: whoever registers the vault compares it.
    @param guardian_ May pause.
    @param window_seconds_ Length of a window of the limits: 1 second to 30 days.
    """
    assert key_ != empty(bytes32), "Lockbox: no key"
    assert window_seconds_ >= 1 and window_seconds_ <= MAX_WINDOW, "Lockbox: bad window"
    self.key = key_
    guardian = guardian_
    window_seconds = window_seconds_


# --- Locking ----------------------------------------------------------------------------------------------------------


@external
@payable
def lock(asset: address, amount: uint256, recipient: address) -> bytes32:
    """
    @notice Takes coin or tokens in, to be minted on the native chain. Tokens need an allowance for the Lockbox.
    @param asset The token; zero for the coin that is sent along.
    @param amount How much; for coin exactly what is sent. Of a token that keeps a fee less arrives, and that is credited.
    @param recipient The account on the native chain that is to receive the mapping tokens.
    @return keccak256(abi.encode(chainid, lockbox, number)); locks are numbered from 1.
    """
    if asset != empty(address):
        assert msg.value == 0, "Lockbox: coin sent with a token"
        return self._lock_token(asset, amount, recipient)
    assert amount == msg.value, "Lockbox: amount is not what was sent"
    return self._credit(asset, amount, recipient)


@external
def lock_with_permit(
    asset: address, amount: uint256, recipient: address, deadline: uint256, v: uint8, r: bytes32, s: bytes32
) -> bytes32:
    """
    @notice As `lock` of a token, with the caller's permit (EIP-2612) for the Lockbox instead of an allowance. A permit that
            is refused, perhaps because somebody has brought it before, does not matter if the allowance is there.
    @param asset The token.
    @param amount How much.
    @param recipient The account on the native chain that is to receive the mapping tokens.
    @param deadline The permit's, in seconds of Unix time.
    @param v Of its signature.
    @param r Of its signature.
    @param s Of its signature.
    @return As `lock`.
    """
    success: bool = raw_call(
        asset,
        abi_encode(
            msg.sender,
            self,
            amount,
            deadline,
            v,
            r,
            s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )
    return self._lock_token(asset, amount, recipient)


# --- Releasing --------------------------------------------------------------------------------------------------------


@external
def release(payments: DynArray[Payment, MAX_PAYMENTS], proof: Proof):
    """
    @notice Pays what the group signed. Anyone may bring it, and gets the fees. What is consumed already is passed over,
            and so is, until a later time, what is over the limit or of a denied asset, but for locks that are sent
            back. A payment that its payee or its token refuses fails alone.
    @param payments In the order in which they were signed; those of one asset together save gas.
    @param proof The group's signature `Causeway/release` over keccak256(abi.encode(payments)).
    """
    state: uint256 = self._state
    assert not self._is_paused(state), "Lockbox: paused"
    digest: bytes32 = keccak256(abi_encode(payments))
    epoch: uint256 = state & _COUNT_MASK
    message: bytes32 = sha256(abi_encode(_RELEASE_TAG, _RELEASE_TAG, chain.id, self, epoch, digest))
    self._check_signature(message, proof)

    consumed: uint256 = 0
    asset: address = empty(address)
    fees: uint256 = 0
    for payment: Payment in payments:
        if payment.asset != asset:
            self._pay_carrier(asset, fees)
            asset = payment.asset
            fees = 0
        if self._pay(payment):
            fees += payment.fee
            consumed += 1
    assert consumed > 0, "Lockbox: nothing to release"
    self._pay_carrier(asset, fees)


@external
def claim(number: uint256, asset: address, amount: uint256, to: address):
    """
    @notice Pays a payment that failed: to wherever its payee likes if the payee calls, and to the payee whoever calls (a
            payee may be a contract that cannot). Also while the Lockbox is paused.
    @param number The payment's.
    @param asset The payment's.
    @param amount The payment's.
    @param to Receives it.
    """
    assert to != empty(address), "Lockbox: no recipient"
    failure: bytes32 = self.failed[number]
    is_to_payee: bool = failure == keccak256(abi_encode(asset, to, amount))
    is_by_payee: bool = failure == keccak256(abi_encode(asset, msg.sender, amount))
    assert is_to_payee or is_by_payee, "Lockbox: no such failed payment"
    self._forget_failure(number)
    log PaymentClaimed(number=number, to=to, amount=amount)
    self._transfer(asset, to, amount)


@external
def claim_fee(asset: address, to: address):
    """
    @notice Pays the fees that the caller earned as a carrier and that could not be paid at once.
    @param asset What they are in.
    @param to Receives them.
    """
    assert to != empty(address), "Lockbox: no recipient"
    amount: uint256 = self.fees_owed[msg.sender][asset]
    assert amount > 0, "Lockbox: no fee owed"
    self.fees_owed[msg.sender][asset] = 0
    log FeeClaimed(carrier=msg.sender, asset=asset, to=to, amount=amount)
    self._transfer(asset, to, amount)


@external
@reentrant
def transfer_token(asset: address, to: address, amount: uint256):
    """
    @notice One ERC-20 payment, as a call that can fail alone. Only the Lockbox itself, which is locked meanwhile.
    @param asset The token.
    @param to Receives it.
    @param amount How much.
    """
    assert msg.sender == self, "Lockbox: not the Lockbox"
    self._transfer_token(asset, to, amount)


# --- The group --------------------------------------------------------------------------------------------------------


@external
def cancel(numbers: DynArray[uint256, MAX_PAYMENTS], proof: Proof):
    """
    @notice Ends payments that will not be made, so that they can be given back elsewhere. Anyone may bring the signature.
            What is not consumed is consumed; what failed and was not claimed cannot be claimed any more; what was paid,
            claimed or cancelled is passed over. Also while the Lockbox is paused.
    @param numbers The payments'.
    @param proof The group's signature `Causeway/cancel` over keccak256(abi.encode(numbers)).
    """
    digest: bytes32 = keccak256(abi_encode(numbers))
    message: bytes32 = sha256(abi_encode(_CANCEL_TAG, _CANCEL_TAG, chain.id, self, self._epoch(), digest))
    self._check_signature(message, proof)
    cancelled: uint256 = 0
    for number: uint256 in numbers:
        if not self._is_consumed(number):
            self._consumed[number >> 8] |= 1 << (number & 255)
            log PaymentCancelled(number=number, amount=0)
            cancelled += 1
        elif self.failed[number] != empty(bytes32):
            log PaymentCancelled(number=number, amount=self.failed_amount[number])
            self._forget_failure(number)
            cancelled += 1
    assert cancelled > 0, "Lockbox: nothing to cancel"


@external
def configure(
    asset: address, deposit_limit: uint256, withdrawal_limit: uint256, denied: bool, nonce: uint256, proof: Proof
):
    """
    @notice Sets an asset's limits a window, or refuses it. Anyone may bring the signature. What the present window has
            spent under a limit stays spent.
    @param asset The token; zero for the native coin.
    @param deposit_limit The most that may be locked in a window; 0: no limit. Below 2**112.
    @param withdrawal_limit The most that may be released in a window, fees included, locks that are sent back not; 0: no
           limit. Below 2**112.
    @param denied Whether it is refused: no locks and no releases, but what was locked is sent back.
    @param nonce `configuration_nonce(asset)` + 1.
    @param proof The group's signature `Causeway/configure`.
    """
    assert deposit_limit <= _AMOUNT_MASK and withdrawal_limit <= _AMOUNT_MASK, "Lockbox: limit too large"
    assert nonce == self.configuration_nonce[asset] + 1, "Lockbox: bad nonce"
    message: bytes32 = sha256(
        abi_encode(
            _CONFIGURE_TAG,
            _CONFIGURE_TAG,
            chain.id,
            self,
            self._epoch(),
            asset,
            deposit_limit,
            withdrawal_limit,
            denied,
            nonce,
        )
    )
    self._check_signature(message, proof)
    self.configuration_nonce[asset] = nonce
    self._deposits[asset] = self._reconfigured(self._deposits[asset], deposit_limit, denied)
    self._withdrawals[asset] = self._reconfigured(self._withdrawals[asset], withdrawal_limit, denied)
    log AssetConfigured(
        asset=asset, deposit_limit=deposit_limit, withdrawal_limit=withdrawal_limit, denied=denied, nonce=nonce
    )


@external
def rotate(key: bytes32, proof: Proof, acceptance: Proof):
    """
    @notice Hands the vault to another key. Whatever the old one signed is void. Anyone may bring the signatures.
    @param key The new key's x coordinate.
    @param proof The old key's signature `Causeway/rotate`.
    @param acceptance The new key's signature `Causeway/accept`: so nobody hands the vault to a key that nobody has.
    """
    epoch: uint256 = self._epoch()
    self._check_signature(sha256(abi_encode(_ROTATE_TAG, _ROTATE_TAG, chain.id, self, epoch, key)), proof)
    message: bytes32 = sha256(abi_encode(_ACCEPT_TAG, _ACCEPT_TAG, chain.id, self, epoch, key))
    assert bip340._verify(key, message, acceptance.rx, acceptance.s, acceptance.ry), "Lockbox: key not accepted"
    self.key = key
    # 2**64 rotations are out of reach.
    self._state += 1
    log KeyRotated(epoch=epoch + 1, key=key)


@external
def pause():
    """
    @notice Stops locks and releases for a day, and not again before a day after the end of that. Only the guardian.
    """
    assert msg.sender == guardian, "Lockbox: not the guardian"
    state: uint256 = self._state
    assert block.timestamp >= self._paused_until(state) + PAUSE, "Lockbox: paused too recently"
    until: uint256 = block.timestamp + PAUSE
    self._state = self._with_pause(state, until) + (1 << _PAUSES_AT)
    log Paused(until=until)


@external
def unpause(nonce: uint256, proof: Proof):
    """
    @notice Ends a pause early. Anyone may bring the signature.
    @param nonce Which pause: the present `pause_count()`. A later pause needs another signature.
    @param proof The group's signature `Causeway/unpause`.
    """
    state: uint256 = self._state
    assert self._is_paused(state), "Lockbox: not paused"
    assert nonce == (state >> _PAUSES_AT) & _COUNT_MASK, "Lockbox: bad nonce"
    epoch: uint256 = state & _COUNT_MASK
    message: bytes32 = sha256(abi_encode(_UNPAUSE_TAG, _UNPAUSE_TAG, chain.id, self, epoch, nonce))
    self._check_signature(message, proof)
    self._state = self._with_pause(state, block.timestamp)
    log Unpaused()


# --- Views ------------------------------------------------------------------------------------------------------------


@external
@view
def consumed(number: uint256) -> bool:
    """
    @notice Whether a payment was made, failed or was cancelled.
    @param number The payment's.
    @return Whether it was.
    """
    return self._is_consumed(number)


@external
@view
def epoch() -> uint256:
    """
    @notice How often the key was rotated.
    @return The number, which signatures name.
    """
    return self._epoch()


@external
@view
def lock_count() -> uint256:
    """
    @notice How many locks there were.
    @return The number of the last, zero before the first.
    """
    return self._state >> _LOCKS_AT


@external
@view
def paused_until() -> uint256:
    """
    @notice When the last pause ended or will end.
    @return Seconds of Unix time; zero if there was none.
    """
    return self._paused_until(self._state)


@external
@view
def pause_count() -> uint256:
    """
    @notice How many pauses there were, the present one included.
    @return The nonce with which the last of them is ended.
    """
    return (self._state >> _PAUSES_AT) & _COUNT_MASK


@external
@view
def limits(asset: address) -> (uint256, uint256, uint256, uint256, bool):
    """
    @notice What may be locked and released of an asset in a window, and how much of it the present window has used.
    @param asset The token; zero for the native coin.
    @return Deposit limit, locked, withdrawal limit, released, whether the asset is denied. A limit of 0 is none; without
            one nothing is counted.
    """
    deposits: uint256 = self._deposits[asset]
    withdrawals: uint256 = self._withdrawals[asset]
    return (
        deposits & _AMOUNT_MASK,
        self._spent(deposits),
        withdrawals & _AMOUNT_MASK,
        self._spent(withdrawals),
        deposits & _DENIED != 0,
    )


# --- Inside: locking --------------------------------------------------------------------------------------------------


@internal
def _lock_token(asset: address, amount: uint256, recipient: address) -> bytes32:
    """
    @notice Pulls a token from the caller and credits what arrived.
    @param asset The token.
    @param amount How much to ask for.
    @param recipient The account on the native chain.
    @return The lock's id.
    """
    # Also keeps the coin out, whose address, zero, is no contract.
    assert asset.is_contract, "Lockbox: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset,
        abi_encode(msg.sender, self, amount, method_id=method_id("transferFrom(address,address,uint256)")),
        max_outsize=32,
    )
    assert self._is_consent(answer), "Lockbox: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after > before, "Lockbox: nothing arrived"
    return self._credit(asset, after - before, recipient)


@internal
def _credit(asset: address, amount: uint256, recipient: address) -> bytes32:
    """
    @notice Records what arrived, if it may be locked now; else all is reverted.
    @param asset The asset.
    @param amount What arrived.
    @param recipient The account on the native chain.
    @return The lock's id.
    """
    state: uint256 = self._state
    assert not self._is_paused(state), "Lockbox: paused"
    assert recipient != empty(address), "Lockbox: no recipient"
    assert amount > 0, "Lockbox: nothing arrived"
    assert amount <= _AMOUNT_MASK, "Lockbox: amount too large"
    budget: uint256 = self._deposits[asset]
    if budget != 0:
        assert budget & _DENIED == 0, "Lockbox: asset denied"
        fits: bool = False
        fits, budget = self._spend(budget, amount, 0)
        assert fits, "Lockbox: over the limit"
        self._deposits[asset] = budget
    number: uint256 = (state >> _LOCKS_AT) + 1
    self._state = state + (1 << _LOCKS_AT)
    id: bytes32 = keccak256(abi_encode(chain.id, self, number))
    log Locked(id=id, asset=asset, sender=msg.sender, number=number, amount=amount, recipient=recipient)
    return id


# --- Inside: paying ---------------------------------------------------------------------------------------------------


@internal
def _pay(payment: Payment) -> bool:
    """
    @notice Makes one payment of a batch, if it is due and may be made now.
    @param payment The payment.
    @return Whether its number was consumed, by a payment or by one that failed.
    """
    place: uint256 = payment.number >> 8
    bit: uint256 = 1 << (payment.number & 255)
    numbers: uint256 = self._consumed[place]
    if numbers & bit != 0:
        return False
    budget: uint256 = self._withdrawals[payment.asset]
    # A lock that is sent back passes every denial and limit, and is not counted: else the bridge would keep what it does
    # not take, and whoever locks what is refused, for nothing but gas, would use up the window of all who withdraw.
    if budget != 0 and payment.number < _RETURN:
        fits: bool = False
        fits, budget = self._spend(budget, payment.amount, payment.fee)
        if not fits:
            log PaymentDelayed(number=payment.number)
            return False
        self._withdrawals[payment.asset] = budget
    self._consumed[place] = numbers | bit
    if self._send(payment.asset, payment.payee, payment.amount):
        log Released(
            number=payment.number,
            asset=payment.asset,
            payee=payment.payee,
            amount=payment.amount,
            fee=payment.fee,
        )
    else:
        self.failed[payment.number] = keccak256(abi_encode(payment.asset, payment.payee, payment.amount))
        self.failed_amount[payment.number] = payment.amount
        log PaymentFailed(
            number=payment.number,
            asset=payment.asset,
            payee=payment.payee,
            amount=payment.amount,
            fee=payment.fee,
        )
    return True


@internal
def _pay_carrier(asset: address, fees: uint256):
    """
    @notice Pays the fees of a run of payments to whoever brought them, or owes them: neither a token that refuses nor a
            carrier's own contract shall stop the others.
    @param asset What they are in.
    @param fees How much.
    """
    if fees == 0 or self._send(asset, msg.sender, fees):
        return
    self.fees_owed[msg.sender][asset] += fees
    log FeeOwed(carrier=msg.sender, asset=asset, amount=fees)


@internal
def _send(asset: address, to: address, amount: uint256) -> bool:
    """
    @notice Pays within bounded gas. Nothing that comes back is looked at, however long it is. Reverts only if the carrier
            sent too little gas to grant the bound.
    @param asset The token, or zero.
    @param to Receives it.
    @param amount How much.
    @return Whether it was paid.
    """
    if asset == empty(address):
        assert msg.gas >= _COIN_GAS_LEFT, "Lockbox: more gas"
        return raw_call(to, b"", value=amount, gas=_COIN_GAS, revert_on_failure=False)
    assert msg.gas >= _TOKEN_GAS_LEFT, "Lockbox: more gas"
    return raw_call(
        self,
        abi_encode(asset, to, amount, method_id=method_id("transfer_token(address,address,uint256)")),
        gas=_TOKEN_GAS,
        revert_on_failure=False,
    )


@internal
def _transfer(asset: address, to: address, amount: uint256):
    """
    @notice Pays with all the gas there is, or reverts.
    @param asset The token, or zero.
    @param to Receives it.
    @param amount How much.
    """
    if asset != empty(address):
        self._transfer_token(asset, to, amount)
        return
    assert raw_call(to, b"", value=amount, revert_on_failure=False), "Lockbox: payee refused"


@internal
def _transfer_token(asset: address, to: address, amount: uint256):
    """
    @notice Transfers a token, and reverts unless exactly the amount has left. The balance is asked because a token may
            claim success and move nothing, or take more than was signed.
    @param asset The token.
    @param to Receives it; the Lockbox itself cannot, for then nothing leaves.
    @param amount How much.
    """
    assert asset.is_contract, "Lockbox: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset, abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")), max_outsize=32
    )
    assert self._is_consent(answer), "Lockbox: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after <= before and before - after == amount, "Lockbox: another amount left"


@internal
@pure
def _is_consent(answer: Bytes[32]) -> bool:
    """
    @notice Whether a token's answer means success: true, or nothing at all, as tokens older than the standard answer.
    @param answer The first 32 bytes of it.
    @return Whether it does.
    """
    return len(answer) == 0 or (len(answer) == 32 and convert(answer, uint256) == 1)


@internal
def _forget_failure(number: uint256):
    """
    @notice Ends a failed payment, before it is claimed or because it is cancelled.
    @param number The payment's.
    """
    self.failed[number] = empty(bytes32)
    self.failed_amount[number] = 0


# --- Inside: limits ---------------------------------------------------------------------------------------------------


@internal
@view
def _window() -> uint256:
    """
    @notice The number of the present window.
    @return As it is kept in a budget.
    """
    return (block.timestamp // window_seconds) & _WINDOW_MASK


@internal
@view
def _spent(budget: uint256) -> uint256:
    """
    @notice How much of a budget the present window has used.
    @param budget The packed word.
    @return The amount.
    """
    if (budget >> _WINDOW_AT) & _WINDOW_MASK != self._window():
        return 0
    return (budget >> _SPENT_AT) & _AMOUNT_MASK


@internal
@view
def _spend(budget: uint256, amount: uint256, fee: uint256) -> (bool, uint256):
    """
    @notice Takes amounts from a budget. Never reverts, whatever the amounts.
    @param budget The packed word.
    @param amount The first amount.
    @param fee The second amount.
    @return Whether they fit and the asset is not denied, and the new word.
    """
    if budget & _DENIED != 0:
        return False, budget
    limit: uint256 = budget & _AMOUNT_MASK
    if limit == 0:
        return True, budget
    if amount > limit or fee > limit:
        return False, budget
    spent: uint256 = self._spent(budget) + amount + fee
    if spent > limit:
        return False, budget
    return True, limit | (spent << _SPENT_AT) | (self._window() << _WINDOW_AT)


@internal
@view
def _reconfigured(budget: uint256, limit: uint256, denied: bool) -> uint256:
    """
    @notice A budget with another limit. An asset without limit and not denied gets zero, which is the cheapest to read.
    @param budget The packed word.
    @param limit The new limit.
    @param denied Whether the asset is denied.
    @return The new word.
    """
    mark: uint256 = _DENIED if denied else 0
    spent: uint256 = self._spent(budget)
    if spent == 0:
        return limit | mark
    return limit | (spent << _SPENT_AT) | (self._window() << _WINDOW_AT) | mark


# --- Inside: the state ------------------------------------------------------------------------------------------------


@internal
@view
def _epoch() -> uint256:
    """
    @notice How often the key was rotated.
    @return The number.
    """
    return self._state & _COUNT_MASK


@internal
@pure
def _paused_until(state: uint256) -> uint256:
    """
    @notice When the last pause ended or will end.
    @param state The packed word.
    @return Seconds of Unix time.
    """
    return (state >> _PAUSED_UNTIL_AT) & _COUNT_MASK


@internal
@view
def _is_paused(state: uint256) -> bool:
    """
    @notice Whether a pause is running.
    @param state The packed word.
    @return Whether one is.
    """
    return block.timestamp < self._paused_until(state)


@internal
@pure
def _with_pause(state: uint256, until: uint256) -> uint256:
    """
    @notice The state with another end of the last pause.
    @param state The packed word.
    @param until Seconds of Unix time.
    @return The new word.
    """
    return (state & ~(_COUNT_MASK << _PAUSED_UNTIL_AT)) | (until << _PAUSED_UNTIL_AT)


@internal
@view
def _is_consumed(number: uint256) -> bool:
    """
    @notice Whether a payment was made, failed or was cancelled.
    @param number The payment's.
    @return Whether it was.
    """
    return self._consumed[number >> 8] & (1 << (number & 255)) != 0


@internal
@view
def _check_signature(message: bytes32, proof: Proof):
    """
    @notice Reverts unless the group signed.
    @param message The 32 bytes.
    @param proof Its signature.
    """
    assert bip340._verify(self.key, message, proof.rx, proof.s, proof.ry), "Lockbox: bad signature"
