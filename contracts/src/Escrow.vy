# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Escrow
@license MIT
@notice Holds coin and ERC-20s under a hash, or a point of secp256k1, and a time-out: whoever shows the preimage (the
        point's scalar) in time has the beneficiary paid, and afterwards anyone has the money sent back. Serves settlement
        and swaps.
@dev Invariants:
     1. Of each asset the Escrow holds at least the sum of its open locks and of what it owes, as long as the asset's own
        contract takes nothing: a lock is made only if exactly its amount arrived, a payment only if exactly that left.
     2. A lock is named by its payer and an id of the payer's choice, for ever: it is made once and ends once, claimed or
        returned. Nobody can use up somebody else's ids.
     3. Before its time-out a lock pays its beneficiary, by the preimage of 32 bytes (the scalar), or goes back by the
        beneficiary's word. From the time-out on it goes back, and to nowhere else.
     4. Who calls decides nothing: the terms name who is paid. The one exception is `withdraw`, by which an owner may have
        what it is owed sent elsewhere.
     5. Nobody's payment can stop another's: a beneficiary or a token that refuses a claim is owed the amount, for ever, for
        the preimage is out by then. A refund that is refused reverts, for it has no time-out.
     6. While a token or a payee is called, the Escrow can be entered at no place but `transfer_token`, which only it itself
        may call.
     7. A hash lock ends by the functions for hash locks alone, a point lock by those for point locks: what their slots hash
        differs in length and in its first word, and what their beneficiaries sign is of another type.
     There is no owner, nothing is paused, and nothing can be changed. Coin that is forced in belongs to nobody.
"""


import eip712
import escrow_payments
import points

initializes: eip712

exports: eip712.eip712_domain_separator.eip712Domain


MAX_CLAIMS: constant(uint256) = 64

# @dev An ILP packet: 32,768 bytes of data, and what stands before them.
MAX_MEMO: constant(uint256) = 32_768 + 64

# @dev What a swap has to tell its two sides. Room for more would be paid for by every lock: memory is laid out for the most.
MAX_NOTE: constant(uint256) = 1_024

# @dev What a lock's slot holds once it has ended; no hash of terms that anybody can find is one of these.
CLAIMED: constant(bytes32) = 0x0000000000000000000000000000000000000000000000000000000000000001
RETURNED: constant(bytes32) = 0x0000000000000000000000000000000000000000000000000000000000000002

_GIVE_BACK_TYPE: constant(bytes32) = keccak256(
    "GiveBack(bytes32 id,address payer,address beneficiary,address refund_to,address asset,uint256 amount,bytes32 condition,uint256 expires_at)"
)
_GIVE_BACK_POINT_TYPE: constant(bytes32) = keccak256(
    "GiveBackPoint(bytes32 id,address payer,address beneficiary,address refund_to,address asset,uint256 amount,address point,uint256 expires_at)"
)

# @dev Stands before the terms in what a point lock's slot hashes. A hash lock's hashes the eight words of its terms alone.
_POINT_LOCK: constant(bytes32) = keccak256("Causeway: terms of a point lock")


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


struct PointTerms:
    # As those of `Terms`.
    id: bytes32
    payer: address
    beneficiary: address
    refund_to: address
    asset: address
    amount: uint256
    # The account of the point, which is what has to be multiplied out to: the last 20 bytes of keccak256(x ‖ y).
    point: address
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


event PointLocked:
    id: indexed(bytes32)
    payer: indexed(address)
    beneficiary: indexed(address)
    refund_to: address
    asset: address
    amount: uint256
    point: address
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


event PointClaimed:
    id: indexed(bytes32)
    payer: indexed(address)
    beneficiary: indexed(address)
    scalar: uint256


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


# @dev Payer → id → keccak256(abi.encode(terms)) of an open hash lock, keccak256(abi.encode(_POINT_LOCK, terms)) of an open
#      point lock, 1 if it was claimed, 2 if it was returned.
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
@payable
def lock_with_note(
    id: bytes32,
    beneficiary: address,
    refund_to: address,
    condition: bytes32,
    expires_at: uint256,
    memo: Bytes[MAX_NOTE],
):
    """
    @notice As `lock_with_memo`, for short ones: 5,000 gas less.
    @param id See `lock`.
    @param beneficiary See `lock`.
    @param refund_to See `lock`.
    @param condition See `lock`.
    @param expires_at See `lock`.
    @param memo Anything. Public.
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
    escrow_payments._pull(asset, amount)


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
    escrow_payments._pull(asset, amount)


# --- Locking by a point -----------------------------------------------------------------------------------------------


@external
@payable
def lock_point(
    id: bytes32,
    beneficiary: address,
    refund_to: address,
    point: address,
    expires_at: uint256,
    memo: Bytes[MAX_NOTE],
):
    """
    @notice Locks the coin that is sent along under a point, whose scalar pays the beneficiary. The caller is the payer.
    @param id Unlike that of any other lock that the caller ever made, of either kind.
    @param beneficiary Is paid by the scalar.
    @param refund_to Gets the money back otherwise.
    @param point The account of the point.
    @param expires_at Seconds of Unix time, later than now.
    @param memo Anything. Public; told beside the lock unless it is empty.
    """
    self._open_point(id, beneficiary, refund_to, empty(address), msg.value, point, expires_at, memo)


@external
def lock_point_token(
    id: bytes32,
    asset: address,
    amount: uint256,
    beneficiary: address,
    refund_to: address,
    point: address,
    expires_at: uint256,
    memo: Bytes[MAX_NOTE],
):
    """
    @notice As `lock_point`, for tokens of the caller: see `lock_token`.
    @param id See `lock_point`.
    @param asset The token.
    @param amount How much.
    @param beneficiary See `lock_point`.
    @param refund_to See `lock_point`.
    @param point See `lock_point`.
    @param expires_at See `lock_point`.
    @param memo See `lock_point`.
    """
    self._open_point(id, beneficiary, refund_to, asset, amount, point, expires_at, memo)
    escrow_payments._pull(asset, amount)


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
    self._claim(terms, preimage)


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
            self._claim(one.terms, one.preimage)
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
def claim_point(terms: PointTerms, scalar: uint256):
    """
    @notice As `claim`, for a point lock.
    @param terms The lock's.
    @param scalar Above 0 and below the group order; times the generator of secp256k1 it is the point.
    """
    assert self._is_open_point(terms), "Escrow: no such open lock"
    assert block.timestamp < terms.expires_at, "Escrow: too late"
    assert points._is_of(scalar, terms.point), "Escrow: wrong scalar"
    self.locks[terms.payer][terms.id] = CLAIMED
    log PointClaimed(id=terms.id, payer=terms.payer, beneficiary=terms.beneficiary, scalar=scalar)
    self._pay(terms.asset, terms.beneficiary, terms.amount)


@external
def refund_point(terms: PointTerms):
    """
    @notice As `refund`, for a point lock.
    @param terms The lock's.
    """
    assert block.timestamp >= terms.expires_at, "Escrow: too early"
    self._return_point(terms, False)


@external
def give_back_point(terms: PointTerms, signature: Bytes[65]):
    """
    @notice As `give_back`, for a point lock.
    @param terms The lock's.
    @param signature The beneficiary's EIP-712 signature `GiveBackPoint` of the terms; see `give_back`.
    """
    if msg.sender != terms.beneficiary:
        digest: bytes32 = eip712._digest(keccak256(abi_encode(_GIVE_BACK_POINT_TYPE, terms)))
        assert eip712._recover(digest, signature) == terms.beneficiary, "Escrow: not the beneficiary's word"
    self._return_point(terms, True)


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
    escrow_payments._transfer(asset, to, amount)


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
    escrow_payments._transfer_token(asset, to, amount)


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


@external
@view
def is_open_point(terms: PointTerms) -> bool:
    """
    @notice As `is_open`, for a point lock.
    @param terms The lock's.
    @return Whether it is.
    """
    return self._is_open_point(terms)


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
def _open_point(
    id: bytes32,
    beneficiary: address,
    refund_to: address,
    asset: address,
    amount: uint256,
    point: address,
    expires_at: uint256,
    memo: Bytes[MAX_NOTE],
):
    """
    @notice Writes a point lock down and tells of it.
    @param id See `lock_point`.
    @param beneficiary See `lock_point`.
    @param refund_to See `lock_point`.
    @param asset The token; zero for the coin.
    @param amount How much.
    @param point See `lock_point`.
    @param expires_at See `lock_point`.
    @param memo See `lock_point`.
    """
    assert amount > 0, "Escrow: nothing to lock"
    assert beneficiary != empty(address) and refund_to != empty(address), "Escrow: no recipient"
    assert point != empty(address), "Escrow: no point"
    assert expires_at > block.timestamp, "Escrow: time-out has passed"
    assert self.locks[msg.sender][id] == empty(bytes32), "Escrow: id is used"
    self.locks[msg.sender][id] = keccak256(
        abi_encode(_POINT_LOCK, id, msg.sender, beneficiary, refund_to, asset, amount, point, expires_at)
    )
    log PointLocked(
        id=id,
        payer=msg.sender,
        beneficiary=beneficiary,
        refund_to=refund_to,
        asset=asset,
        amount=amount,
        point=point,
        expires_at=expires_at,
    )
    if len(memo) > 0:
        log Memo(id=id, payer=msg.sender, memo=memo)


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
@view
def _is_open_point(terms: PointTerms) -> bool:
    """
    @notice Whether a point lock with exactly these terms is there and has not ended.
    @param terms The lock's.
    @return Whether it is.
    """
    return self.locks[terms.payer][terms.id] == keccak256(abi_encode(_POINT_LOCK, terms))


@internal
def _claim(terms: Terms, preimage: bytes32):
    """
    @notice Ends an open lock by its preimage, which is the caller's to check.
    @param terms The lock's.
    @param preimage Its preimage.
    """
    self.locks[terms.payer][terms.id] = CLAIMED
    log Claimed(id=terms.id, payer=terms.payer, beneficiary=terms.beneficiary, preimage=preimage)
    self._pay(terms.asset, terms.beneficiary, terms.amount)


@internal
def _pay(asset: address, beneficiary: address, amount: uint256):
    """
    @notice Pays what was claimed, or owes it.
    @param asset The token, or zero.
    @param beneficiary Receives it.
    @param amount How much.
    """
    if not escrow_payments._send(asset, beneficiary, amount):
        self.owed[beneficiary][asset] += amount
        log Owed(owner=beneficiary, asset=asset, amount=amount)


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
    escrow_payments._transfer(terms.asset, terms.refund_to, terms.amount)


@internal
def _return_point(terms: PointTerms, is_early: bool):
    """
    @notice Ends an open point lock by sending the money back, or reverts.
    @param terms The lock's.
    @param is_early Whether the beneficiary gave it back.
    """
    assert self._is_open_point(terms), "Escrow: no such open lock"
    self.locks[terms.payer][terms.id] = RETURNED
    log Returned(id=terms.id, payer=terms.payer, beneficiary=terms.beneficiary, is_early=is_early)
    escrow_payments._transfer(terms.asset, terms.refund_to, terms.amount)
