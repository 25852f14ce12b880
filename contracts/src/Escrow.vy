# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Escrow
@license MIT
@notice Holds coin and ERC-20s under a hash and a time-out: whoever shows the preimage in time has the beneficiary paid, and
        afterwards anyone has the money sent back. Serves settlement and swaps.
@dev Invariants:
     1. Of each asset the Escrow holds at least the sum of its open locks and of what it owes, as long as the asset's own
        contract takes nothing: a lock is made only if exactly its amount arrived, a payment only if exactly that left.
     2. A lock is named by its payer and an id of the payer's choice, for ever: it is made once and ends once, claimed or
        returned. Nobody can use up somebody else's ids.
     3. Before its time-out a lock pays its beneficiary, by the preimage of 32 bytes, or goes back by the beneficiary's word.
        From the time-out on it goes back, and to nowhere else.
     4. Who calls decides nothing: the terms name who is paid. The one exception is `withdraw`, by which an owner may have
        what it is owed sent elsewhere.
     5. Nobody's payment can stop another's: a beneficiary or a token that refuses a claim is owed the amount, for ever, for
        the preimage is out by then. A refund that is refused reverts, for it has no time-out.
     6. While a token or a payee is called, the Escrow can be entered at no place but `transfer_token`, which only it itself
        may call.
     There is no owner, nothing is paused, and nothing can be changed. Coin that is forced in belongs to nobody.
     A lock's slot holds a hash of its terms, so that locks of another kind (point locks) need other terms and functions,
     and no room here.
"""


import eip712
from ethereum.ercs import IERC20

initializes: eip712

exports: eip712.eip712_domain_separator.eip712Domain


MAX_CLAIMS: constant(uint256) = 64

# @dev An ILP packet: 32,768 bytes of data, and what stands before them.
MAX_MEMO: constant(uint256) = 32_768 + 64

# @dev What a lock's slot holds once it has ended; no hash of terms that anybody can find is one of these.
CLAIMED: constant(bytes32) = 0x0000000000000000000000000000000000000000000000000000000000000001
RETURNED: constant(bytes32) = 0x0000000000000000000000000000000000000000000000000000000000000002

# @dev Gas for a payee of coin (a smart account needs some), and for a whole ERC-20 payment with its two checks.
_COIN_GAS: constant(uint256) = 50_000
_TOKEN_GAS: constant(uint256) = 300_000

# @dev What has to be left before each call: its gas · 64/63 (EIP-150), and what the call itself costs at most (9,000 for
#      the value, 25,000 for a new account, 2,600 for a cold one). With less, whoever calls could make a payment fail.
_COIN_GAS_LEFT: constant(uint256) = 90_000
_TOKEN_GAS_LEFT: constant(uint256) = 310_000

_GIVE_BACK_TYPE: constant(bytes32) = keccak256(
    "GiveBack(bytes32 id,address payer,address beneficiary,address refund_to,address asset,uint256 amount,bytes32 condition,uint256 expires_at)"
)


struct Terms:
    # Chosen by the payer, unique among the payer's locks for ever.
    id: bytes32
    # Who made the lock.
    payer: address
    # Who is paid.
    beneficiary: address
    # Where the money goes back to.
    refund_to: address
    # Zero for the coin.
    asset: address
    amount: uint256
    # SHA-256 of the preimage.
    condition: bytes32
    # Seconds of Unix time: from this block time on it is too late.
    expires_at: uint256


struct Claim:
    terms: Terms
    preimage: bytes32


event Locked:
    id: indexed(bytes32)
    payer: indexed(address)
    beneficiary: indexed(address)
    refund_to: address
    asset: address
    amount: uint256
    condition: bytes32
    expires_at: uint256


event Memo:
    id: indexed(bytes32)
    payer: indexed(address)
    memo: Bytes[MAX_MEMO]


event Claimed:
    id: indexed(bytes32)
    payer: indexed(address)
    beneficiary: indexed(address)
    preimage: bytes32


event Returned:
    id: indexed(bytes32)
    payer: indexed(address)
    beneficiary: indexed(address)
    is_early: bool


event Owed:
    owner: indexed(address)
    asset: indexed(address)
    amount: uint256


event Withdrawn:
    owner: indexed(address)
    asset: indexed(address)
    to: address
    amount: uint256


# @dev Payer → id → keccak256(abi.encode(terms)) of an open lock, 1 if it was claimed, 2 if it was returned.
locks: public(HashMap[address, HashMap[bytes32, bytes32]])

# @dev Beneficiary → asset → what it was to be paid and did not take.
owed: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__():
    """
    @notice Creates an empty Escrow. Whoever does it gets no power.
    """
    eip712.__init__()


# --- Locking ----------------------------------------------------------------------------------------------------------


@external
@payable
def lock(id: bytes32, beneficiary: address, refund_to: address, condition: bytes32, expires_at: uint256):
    """
    @notice Locks the coin that is sent along. The caller is the payer.
    @param id Unlike that of any other lock that the caller ever made.
    @param beneficiary Is paid by the preimage.
    @param refund_to Gets the money back otherwise.
    @param condition SHA-256 of the preimage of 32 bytes.
    @param expires_at Seconds of Unix time, later than now.
    """
    self._open(id, beneficiary, refund_to, empty(address), msg.value, condition, expires_at)


@external
@payable
def lock_with_memo(
    id: bytes32,
    beneficiary: address,
    refund_to: address,
    condition: bytes32,
    expires_at: uint256,
    memo: Bytes[MAX_MEMO],
):
    """
    @notice As `lock`, with bytes for the beneficiary that are told beside it.
    @param id See `lock`.
    @param beneficiary See `lock`.
    @param refund_to See `lock`.
    @param condition See `lock`.
    @param expires_at See `lock`.
    @param memo Anything, such as an ILP packet. Public.
    """
    self._open(id, beneficiary, refund_to, empty(address), msg.value, condition, expires_at)
    log Memo(id=id, payer=msg.sender, memo=memo)


@external
def lock_token(
    id: bytes32,
    asset: address,
    amount: uint256,
    beneficiary: address,
    refund_to: address,
    condition: bytes32,
    expires_at: uint256,
):
    """
    @notice Locks tokens of the caller, who has given the Escrow an allowance. Reverts unless exactly the amount arrives.
    @param id See `lock`.
    @param asset The token.
    @param amount How much.
    @param beneficiary See `lock`.
    @param refund_to See `lock`.
    @param condition See `lock`.
    @param expires_at See `lock`.
    """
    self._open(id, beneficiary, refund_to, asset, amount, condition, expires_at)
    self._pull(asset, amount)


@external
def lock_token_with_memo(
    id: bytes32,
    asset: address,
    amount: uint256,
    beneficiary: address,
    refund_to: address,
    condition: bytes32,
    expires_at: uint256,
    memo: Bytes[MAX_MEMO],
):
    """
    @notice As `lock_token`, with bytes for the beneficiary that are told beside it.
    @param id See `lock`.
    @param asset The token.
    @param amount How much.
    @param beneficiary See `lock`.
    @param refund_to See `lock`.
    @param condition See `lock`.
    @param expires_at See `lock`.
    @param memo Anything, such as an ILP packet. Public.
    """
    self._open(id, beneficiary, refund_to, asset, amount, condition, expires_at)
    log Memo(id=id, payer=msg.sender, memo=memo)
    self._pull(asset, amount)


# --- Ending -----------------------------------------------------------------------------------------------------------


@external
def claim(terms: Terms, preimage: bytes32):
    """
    @notice Pays the beneficiary, before the time-out. Anyone may bring the preimage. If the beneficiary does not take the
            money, or the token refuses, it is owed to it: see `withdraw`.
    @param terms The lock's.
    @param preimage Hashes to its condition.
    """
    assert self._is_open(terms), "Escrow: no such open lock"
    assert block.timestamp < terms.expires_at, "Escrow: too late"
    assert sha256(preimage) == terms.condition, "Escrow: wrong preimage"
    self._pay(terms, preimage)


@external
def claim_batch(claims: DynArray[Claim, MAX_CLAIMS]):
    """
    @notice As `claim` for several locks. What cannot be claimed (any more) is passed over; reverts if nothing can.
    @param claims Terms and preimages.
    """
    paid: uint256 = 0
    for one: Claim in claims:
        if (
            block.timestamp < one.terms.expires_at
            and sha256(one.preimage) == one.terms.condition
            and self._is_open(one.terms)
        ):
            self._pay(one.terms, one.preimage)
            paid += 1
    assert paid > 0, "Escrow: nothing to claim"


@external
def refund(terms: Terms):
    """
    @notice Sends the money back, once the time-out has passed. Anyone may call.
    @param terms The lock's.
    """
    assert block.timestamp >= terms.expires_at, "Escrow: too early"
    self._return(terms, False)


@external
def give_back(terms: Terms, signature: Bytes[65]):
    """
    @notice Sends the money back at any time, by the beneficiary's word. Anyone may bring its signature.
    @param terms The lock's.
    @param signature The beneficiary's EIP-712 signature `GiveBack` of the terms, 65 bytes `r ‖ s ‖ v`; anything if the
           beneficiary itself calls.
    """
    if msg.sender != terms.beneficiary:
        digest: bytes32 = eip712._digest(keccak256(abi_encode(_GIVE_BACK_TYPE, terms)))
        assert eip712._recover(digest, signature) == terms.beneficiary, "Escrow: not the beneficiary's word"
    self._return(terms, True)


@external
def withdraw(owner: address, asset: address, to: address):
    """
    @notice Pays what is owed to a beneficiary that did not take it: to wherever it likes if it calls, and to itself whoever
            calls (it may be a contract that cannot).
    @param owner The beneficiary.
    @param asset The token; zero for the coin.
    @param to Receives it.
    """
    assert to == owner or msg.sender == owner, "Escrow: not the owner"
    assert to != empty(address), "Escrow: no recipient"
    amount: uint256 = self.owed[owner][asset]
    assert amount > 0, "Escrow: nothing owed"
    self.owed[owner][asset] = 0
    log Withdrawn(owner=owner, asset=asset, to=to, amount=amount)
    self._transfer(asset, to, amount)


@external
@reentrant
def transfer_token(asset: address, to: address, amount: uint256):
    """
    @notice One ERC-20 payment, as a call that can fail alone. Only the Escrow itself, which is locked meanwhile.
    @param asset The token.
    @param to Receives it.
    @param amount How much.
    """
    assert msg.sender == self, "Escrow: not the Escrow"
    self._transfer_token(asset, to, amount)


# --- Views ------------------------------------------------------------------------------------------------------------


@external
@view
def is_open(terms: Terms) -> bool:
    """
    @notice Whether a lock with exactly these terms is there and has not ended; its time-out may have passed.
    @param terms The lock's.
    @return Whether it is.
    """
    return self._is_open(terms)


# --- Inside -----------------------------------------------------------------------------------------------------------


@internal
def _open(
    id: bytes32,
    beneficiary: address,
    refund_to: address,
    asset: address,
    amount: uint256,
    condition: bytes32,
    expires_at: uint256,
):
    """
    @notice Writes a lock down and tells of it.
    @param id See `lock`.
    @param beneficiary See `lock`.
    @param refund_to See `lock`.
    @param asset The token; zero for the coin.
    @param amount How much.
    @param condition See `lock`.
    @param expires_at See `lock`.
    """
    assert amount > 0, "Escrow: nothing to lock"
    assert beneficiary != empty(address) and refund_to != empty(address), "Escrow: no recipient"
    assert expires_at > block.timestamp, "Escrow: time-out has passed"
    assert self.locks[msg.sender][id] == empty(bytes32), "Escrow: id is used"
    # As `keccak256(abi_encode(terms))`, which takes a copy more.
    self.locks[msg.sender][id] = keccak256(
        abi_encode(id, msg.sender, beneficiary, refund_to, asset, amount, condition, expires_at)
    )
    log Locked(
        id=id,
        payer=msg.sender,
        beneficiary=beneficiary,
        refund_to=refund_to,
        asset=asset,
        amount=amount,
        condition=condition,
        expires_at=expires_at,
    )


@internal
def _pull(asset: address, amount: uint256):
    """
    @notice Takes tokens of the caller, and reverts unless exactly the amount arrives: terms say what is paid out.
    @param asset The token.
    @param amount How much.
    """
    assert asset.is_contract, "Escrow: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset,
        abi_encode(msg.sender, self, amount, method_id=method_id("transferFrom(address,address,uint256)")),
        max_outsize=32,
    )
    assert self._is_consent(answer), "Escrow: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after >= before and after - before == amount, "Escrow: another amount arrived"


@internal
@view
def _is_open(terms: Terms) -> bool:
    """
    @notice Whether a lock with exactly these terms is there and has not ended.
    @param terms The lock's.
    @return Whether it is.
    """
    return self.locks[terms.payer][terms.id] == keccak256(abi_encode(terms))


@internal
def _pay(terms: Terms, preimage: bytes32):
    """
    @notice Ends an open lock by its preimage, which is the caller's to check.
    @param terms The lock's.
    @param preimage Its preimage.
    """
    self.locks[terms.payer][terms.id] = CLAIMED
    log Claimed(id=terms.id, payer=terms.payer, beneficiary=terms.beneficiary, preimage=preimage)
    if not self._send(terms.asset, terms.beneficiary, terms.amount):
        self.owed[terms.beneficiary][terms.asset] += terms.amount
        log Owed(owner=terms.beneficiary, asset=terms.asset, amount=terms.amount)


@internal
def _return(terms: Terms, is_early: bool):
    """
    @notice Ends an open lock by sending the money back, or reverts.
    @param terms The lock's.
    @param is_early Whether the beneficiary gave it back.
    """
    assert self._is_open(terms), "Escrow: no such open lock"
    self.locks[terms.payer][terms.id] = RETURNED
    log Returned(id=terms.id, payer=terms.payer, beneficiary=terms.beneficiary, is_early=is_early)
    self._transfer(terms.asset, terms.refund_to, terms.amount)


@internal
def _send(asset: address, to: address, amount: uint256) -> bool:
    """
    @notice Pays within bounded gas. Nothing that comes back is looked at, however long it is. Reverts only if whoever calls
            sent too little gas to grant the bound.
    @param asset The token, or zero.
    @param to Receives it.
    @param amount How much.
    @return Whether it was paid.
    """
    if asset == empty(address):
        assert msg.gas >= _COIN_GAS_LEFT, "Escrow: more gas"
        return raw_call(to, b"", value=amount, gas=_COIN_GAS, revert_on_failure=False)
    assert msg.gas >= _TOKEN_GAS_LEFT, "Escrow: more gas"
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
    assert raw_call(to, b"", value=amount, revert_on_failure=False), "Escrow: payee refused"


@internal
def _transfer_token(asset: address, to: address, amount: uint256):
    """
    @notice Transfers a token, and reverts unless exactly the amount has left. The balance is asked because a token may
            claim success and move nothing, or take more.
    @param asset The token.
    @param to Receives it; the Escrow itself cannot, for then nothing leaves.
    @param amount How much.
    """
    assert asset.is_contract, "Escrow: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset, abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")), max_outsize=32
    )
    assert self._is_consent(answer), "Escrow: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after <= before and before - after == amount, "Escrow: another amount left"


@internal
@pure
def _is_consent(answer: Bytes[32]) -> bool:
    """
    @notice Whether a token's answer means success: true, or nothing at all, as tokens older than the standard answer.
    @param answer The first 32 bytes of it.
    @return Whether it does.
    """
    return len(answer) == 0 or (len(answer) == 32 and convert(answer, uint256) == 1)
