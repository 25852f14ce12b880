# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Channels
@license MIT
@notice Adjudicates channels between two banks: holds their deposits of the native coin or of an ERC-20, and pays out by
        the newest sheet of balances that both have signed (docs/channels.md).
@dev Invariants:
     1. What a channel pays out is what was deposited in it, once.
     2. A channel that is closing ends with the sheet of the highest number that was submitted, or gives everything to one
        bank: to the other of the one that submitted less than it provably held. Whoever submitted the newest sheet that it
        held is never punished: a bank's signature proves that it held the sheet it accepted, or the `held` of the sheet it
        proposed, or what it acknowledged, and no more.
     3. Each bank answers once, so that a close takes three challenge periods at most, and then the time-outs of sixteen
        conditional payments at most.
     4. A conditional payment is its payee's if its preimage was registered here before its time-out, else its payer's.
     5. Nobody's account can stop another's payment: what is paid out is credited, and collected by itself.
     There is no owner. Times are in seconds since 1970.
"""


import eip712
from ethereum.ercs import IERC20

initializes: eip712

exports: eip712.eip712Domain


MAX_LOCKS: constant(uint256) = 16
MAX_TOTAL: constant(uint256) = 2**128 - 1
MIN_CHALLENGE: constant(uint256) = 1
MAX_CHALLENGE: constant(uint256) = 30 * 86_400

_TERMS_TYPE: constant(bytes32) = keccak256(
    "ChannelTerms(address a,address b,address asset,uint256 deposit_a,uint256 deposit_b,uint256 challenge_seconds,bool one_way,bytes32 salt)"
)
_LOCK_TYPE: constant(bytes32) = keccak256(
    "Lock(bytes32 id,uint256 payer,uint256 amount,bytes32 condition,uint256 expires_at)"
)
_SHEET_TYPE: constant(bytes32) = keccak256(
    "Sheet(bytes32 channel,uint256 sequence,uint256 held,uint256 balance_a,uint256 balance_b,bytes32 locks)"
)
_HELD_TYPE: constant(bytes32) = keccak256("Held(bytes32 channel,uint256 sequence)")
_CLOSE_TYPE: constant(bytes32) = keccak256(
    "Close(bytes32 channel,uint256 sequence,uint256 balance_a,uint256 balance_b)"
)


flag Status:
    WAITING
    OPEN
    CLOSING
    CLOSED


struct Terms:
    a: address
    b: address
    # Zero for the native coin.
    asset: address
    deposit_a: uint256
    deposit_b: uint256
    challenge_seconds: uint256
    # A alone pays, and B deposits nothing.
    one_way: bool
    salt: bytes32


struct Lock:
    id: bytes32
    # 0 is A, 1 is B.
    payer: uint256
    amount: uint256
    # SHA-256 of the preimage.
    condition: bytes32
    expires_at: uint256


struct Sheet:
    sequence: uint256
    # Number of the newest sheet that its proposer held.
    held: uint256
    balance_a: uint256
    balance_b: uint256
    locks: DynArray[Lock, MAX_LOCKS]


struct Case:
    status: Status
    # The newest sheet that was submitted: its EIP-712 struct hash, and its number.
    sheet: bytes32
    sequence: uint256
    # Until then the other bank may answer.
    ends_at: uint256
    # Number of the sheet that each bank submitted, and one; 0 for none.
    submitted: uint256[2]
    answered: bool[2]
    cheated: bool[2]


event Opened:
    channel: indexed(bytes32)
    a: indexed(address)
    b: indexed(address)
    terms: Terms


event Joined:
    channel: indexed(bytes32)


event Closing:
    channel: indexed(bytes32)
    by: indexed(address)
    sheet: Sheet
    signature_a: Bytes[65]
    signature_b: Bytes[65]
    # The other bank's acknowledgement, as far as it was shown: with it the events tell all that decides.
    held: Bytes[65]
    ends_at: uint256


event Revealed:
    condition: indexed(bytes32)
    preimage: bytes32


event Closed:
    channel: indexed(bytes32)
    sequence: uint256
    paid_a: uint256
    paid_b: uint256


event Collected:
    account: indexed(address)
    asset: indexed(address)
    amount: uint256


# @dev Channel id → how it stands.
case: public(HashMap[bytes32, Case])

# @dev SHA-256 of a preimage → when it was first shown here; zero: never.
revealed_at: public(HashMap[bytes32, uint256])

# @dev Account → asset → what was paid out and not collected.
owed: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__():
    """
    @notice Fixes the domain of signatures.
    """
    eip712.__init__()


# --- Opening --------------------------------------------------------------------------------------------------------------


@external
@payable
def open(terms: Terms) -> bytes32:
    """
    @notice Opens a channel with A's deposit; where B deposits nothing it is open at once.
    @param terms The terms; A is the caller.
    @return The channel's id.
    """
    assert msg.sender == terms.a, "Channels: not A"
    assert terms.b != empty(address) and terms.a != terms.b, "Channels: one bank"
    assert terms.deposit_a <= MAX_TOTAL and terms.deposit_b <= MAX_TOTAL, "Channels: too much"
    assert terms.deposit_a + terms.deposit_b > 0, "Channels: nothing"
    assert not terms.one_way or terms.deposit_b == 0, "Channels: one way"
    assert terms.challenge_seconds >= MIN_CHALLENGE, "Channels: challenge period"
    assert terms.challenge_seconds <= MAX_CHALLENGE, "Channels: challenge period"
    channel: bytes32 = self._channel(terms)
    assert self.case[channel].status == empty(Status), "Channels: exists"
    self.case[channel].status = Status.OPEN if terms.deposit_b == 0 else Status.WAITING
    self._take(terms.asset, terms.deposit_a)
    log Opened(channel=channel, a=terms.a, b=terms.b, terms=terms)
    return channel


@external
@payable
def join(terms: Terms):
    """
    @notice B puts its deposit in, which opens the channel.
    @param terms The channel's terms; B is the caller.
    """
    channel: bytes32 = self._expect(terms, Status.WAITING)
    assert msg.sender == terms.b, "Channels: not B"
    self.case[channel].status = Status.OPEN
    self._take(terms.asset, terms.deposit_b)
    log Joined(channel=channel)


@external
def abandon(terms: Terms):
    """
    @notice A takes its deposit back, as B has not joined.
    @param terms The channel's terms; A is the caller.
    """
    channel: bytes32 = self._expect(terms, Status.WAITING)
    assert msg.sender == terms.a, "Channels: not A"
    self._pay(channel, terms, 0, terms.deposit_a, 0)


# --- Closing --------------------------------------------------------------------------------------------------------------


@external
def close(terms: Terms, sheet: Sheet, signature_a: Bytes[65], signature_b: Bytes[65]):
    """
    @notice A bank ends the channel by itself; the other may answer with a newer sheet for the challenge period.
    @param terms The channel's terms; one of its banks is the caller.
    @param sheet The newest sheet that the caller holds; number 0 are the deposits.
    @param signature_a A's signature, empty for sheet 0.
    @param signature_b B's signature, empty for sheet 0.
    """
    channel: bytes32 = self._expect(terms, Status.OPEN)
    side: uint256 = self._side(terms)
    struct_hash: bytes32 = self._check(channel, terms, sheet, signature_a, signature_b)
    ends_at: uint256 = block.timestamp + terms.challenge_seconds
    self.case[channel].status = Status.CLOSING
    self.case[channel].sheet = struct_hash
    self.case[channel].sequence = sheet.sequence
    self.case[channel].ends_at = ends_at
    self.case[channel].submitted[side] = sheet.sequence + 1
    log Closing(
        channel=channel,
        by=msg.sender,
        sheet=sheet,
        signature_a=signature_a,
        signature_b=signature_b,
        held=b"",
        ends_at=ends_at,
    )


@external
def challenge(terms: Terms, sheet: Sheet, signature_a: Bytes[65], signature_b: Bytes[65], held: Bytes[65]):
    """
    @notice A bank answers with a newer sheet, once.
    @param terms The channel's terms; one of its banks is the caller.
    @param sheet A sheet of a higher number than was submitted.
    @param signature_a A's signature.
    @param signature_b B's signature.
    @param held The other bank's acknowledgement that it held this sheet, or empty.
    """
    channel: bytes32 = self._expect(terms, Status.CLOSING)
    side: uint256 = self._side(terms)
    other: uint256 = 1 - side
    found: Case = self.case[channel]
    assert block.timestamp < found.ends_at, "Channels: too late"
    assert not found.answered[side], "Channels: answered"
    assert sheet.sequence > found.sequence, "Channels: not newer"
    struct_hash: bytes32 = self._check(channel, terms, sheet, signature_a, signature_b)
    if len(held) != 0:
        text: bytes32 = keccak256(concat(_HELD_TYPE, channel, convert(sheet.sequence, bytes32)))
        assert eip712._recover(eip712._digest(text), held) == self._bank(terms, other), "Channels: forged"
    if found.submitted[other] != 0:
        # What the other bank's signatures on this sheet say that it held.
        knew: uint256 = sheet.sequence
        if self._proposer(terms, sheet.sequence) == other and len(held) == 0:
            knew = sheet.held
        if knew + 1 > found.submitted[other]:
            self.case[channel].cheated[other] = True
    ends_at: uint256 = max(found.ends_at, block.timestamp + terms.challenge_seconds)
    self.case[channel].sheet = struct_hash
    self.case[channel].sequence = sheet.sequence
    self.case[channel].ends_at = ends_at
    self.case[channel].submitted[side] = sheet.sequence + 1
    self.case[channel].answered[side] = True
    log Closing(
        channel=channel,
        by=msg.sender,
        sheet=sheet,
        signature_a=signature_a,
        signature_b=signature_b,
        held=held,
        ends_at=ends_at,
    )


@external
def close_agreed(
    terms: Terms,
    sequence: uint256,
    balance_a: uint256,
    balance_b: uint256,
    signature_a: Bytes[65],
    signature_b: Bytes[65],
):
    """
    @notice Ends the channel at once, as both banks agreed. Anybody may carry it.
    @param terms The channel's terms.
    @param sequence The number of the sheet that they end with, which has no conditional payments.
    @param balance_a What A gets.
    @param balance_b What B gets.
    @param signature_a A's signature over the EIP-712 structure `Close`.
    @param signature_b B's.
    """
    channel: bytes32 = self._channel(terms)
    status: Status = self.case[channel].status
    assert status == Status.OPEN or status == Status.CLOSING, "Channels: wrong state"
    assert balance_a + balance_b == terms.deposit_a + terms.deposit_b, "Channels: bad sheet"
    digest: bytes32 = eip712._digest(
        keccak256(
            concat(
                _CLOSE_TYPE,
                channel,
                convert(sequence, bytes32),
                convert(balance_a, bytes32),
                convert(balance_b, bytes32),
            )
        )
    )
    assert eip712._recover(digest, signature_a) == terms.a, "Channels: forged"
    assert eip712._recover(digest, signature_b) == terms.b, "Channels: forged"
    self._pay(channel, terms, sequence, balance_a, balance_b)


@external
def reveal(preimage: bytes32):
    """
    @notice Registers a preimage with the time, for the conditional payments of all channels. Again changes nothing.
    @param preimage 32 bytes.
    """
    condition: bytes32 = sha256(preimage)
    if self.revealed_at[condition] == 0:
        self.revealed_at[condition] = block.timestamp
        log Revealed(condition=condition, preimage=preimage)


@external
def settle(terms: Terms, sheet: Sheet):
    """
    @notice Pays out, once the time to answer has passed and every conditional payment is decided. Anybody may ask.
    @param terms The channel's terms.
    @param sheet The newest sheet that was submitted.
    """
    channel: bytes32 = self._expect(terms, Status.CLOSING)
    found: Case = self.case[channel]
    assert block.timestamp >= found.ends_at, "Channels: too early"
    total: uint256 = terms.deposit_a + terms.deposit_b
    if found.cheated[0] != found.cheated[1]:
        self._pay(channel, terms, found.sequence, 0 if found.cheated[0] else total, 0 if found.cheated[1] else total)
        return
    assert self._hash_sheet(channel, sheet) == found.sheet, "Channels: bad sheet"
    balances: uint256[2] = [sheet.balance_a, sheet.balance_b]
    for lock: Lock in sheet.locks:
        at: uint256 = self.revealed_at[lock.condition]
        if at != 0 and at < lock.expires_at:
            balances[1 - lock.payer] += lock.amount
        else:
            assert block.timestamp >= lock.expires_at, "Channels: too early"
            balances[lock.payer] += lock.amount
    self._pay(channel, terms, found.sequence, balances[0], balances[1])


@external
def collect(asset: address, account: address):
    """
    @notice Sends an account what was paid out to it. Anybody may ask.
    @param asset The token, zero for the native coin.
    @param account Whose money it is.
    """
    amount: uint256 = self.owed[account][asset]
    assert amount != 0, "Channels: nothing"
    self.owed[account][asset] = 0
    if asset == empty(address):
        raw_call(account, b"", value=amount)
    else:
        sent: bool = extcall IERC20(asset).transfer(account, amount, default_return_value=True)
        assert sent, "Channels: refused by token"
    log Collected(account=account, asset=asset, amount=amount)


@external
@view
def channel_id(terms: Terms) -> bytes32:
    """
    @notice The id of a channel: the EIP-712 digest of its terms.
    @param terms The terms.
    @return The id.
    """
    return self._channel(terms)


# --- Inside ---------------------------------------------------------------------------------------------------------------


@internal
@view
def _channel(terms: Terms) -> bytes32:
    """
    @notice See `channel_id`.
    @param terms The terms.
    @return The id.
    """
    return eip712._digest(keccak256(concat(_TERMS_TYPE, abi_encode(terms))))


@internal
@view
def _expect(terms: Terms, status: Status) -> bytes32:
    """
    @notice Reverts unless the channel of these terms stands so.
    @param terms The terms.
    @param status How it must stand.
    @return The channel's id.
    """
    channel: bytes32 = self._channel(terms)
    assert self.case[channel].status == status, "Channels: wrong state"
    return channel


@internal
@view
def _side(terms: Terms) -> uint256:
    """
    @notice Which bank calls; reverts for a stranger.
    @param terms The terms.
    @return 0 for A, 1 for B.
    """
    assert msg.sender == terms.a or msg.sender == terms.b, "Channels: not a party"
    return 0 if msg.sender == terms.a else 1


@internal
@pure
def _bank(terms: Terms, side: uint256) -> address:
    """
    @notice A side's account.
    @param terms The terms.
    @param side 0 for A, 1 for B.
    @return The account.
    """
    return terms.a if side == 0 else terms.b


@internal
@pure
def _proposer(terms: Terms, sequence: uint256) -> uint256:
    """
    @notice Who alone may propose the sheet of this number.
    @param terms The terms.
    @param sequence The number.
    @return 0 for A, 1 for B.
    """
    return 0 if terms.one_way or sequence % 2 == 1 else 1


@internal
@view
def _check(
    channel: bytes32, terms: Terms, sheet: Sheet, signature_a: Bytes[65], signature_b: Bytes[65]
) -> bytes32:
    """
    @notice Reverts unless a sheet adds up to the deposits, and both banks signed it or it is number 0.
    @param channel The channel's id.
    @param terms Its terms.
    @param sheet The sheet.
    @param signature_a A's signature.
    @param signature_b B's signature.
    @return The sheet's EIP-712 struct hash.
    """
    struct_hash: bytes32 = self._hash_sheet(channel, sheet)
    if sheet.sequence == 0:
        assert sheet.held == 0 and len(sheet.locks) == 0, "Channels: bad sheet"
        assert sheet.balance_a == terms.deposit_a and sheet.balance_b == terms.deposit_b, "Channels: bad sheet"
        return struct_hash
    # 2**64 − 1 is the highest number, so that one can be added to it.
    assert sheet.held < sheet.sequence and sheet.sequence < 2**64, "Channels: bad sheet"
    total: uint256 = sheet.balance_a + sheet.balance_b
    for lock: Lock in sheet.locks:
        assert lock.payer == 0 or (lock.payer == 1 and not terms.one_way), "Channels: bad sheet"
        total += lock.amount
    assert total == terms.deposit_a + terms.deposit_b, "Channels: bad sheet"
    digest: bytes32 = eip712._digest(struct_hash)
    assert eip712._recover(digest, signature_a) == terms.a, "Channels: forged"
    assert eip712._recover(digest, signature_b) == terms.b, "Channels: forged"
    return struct_hash


@internal
@pure
def _hash_sheet(channel: bytes32, sheet: Sheet) -> bytes32:
    """
    @notice EIP-712's hash of a sheet.
    @param channel The channel's id.
    @param sheet The sheet.
    @return The struct hash.
    """
    hashes: DynArray[bytes32, 64] = []
    for lock: Lock in sheet.locks:
        hashes.append(keccak256(concat(_LOCK_TYPE, abi_encode(lock))))
    return keccak256(
        concat(
            _SHEET_TYPE,
            channel,
            convert(sheet.sequence, bytes32),
            convert(sheet.held, bytes32),
            convert(sheet.balance_a, bytes32),
            convert(sheet.balance_b, bytes32),
            eip712._hash_list(hashes),
        )
    )


@internal
@payable
def _take(asset: address, amount: uint256):
    """
    @notice Takes a deposit from the caller; reverts unless exactly so much arrives.
    @param asset The token, zero for the native coin.
    @param amount How much.
    """
    if asset == empty(address):
        assert msg.value == amount, "Channels: wrong value"
        return
    assert msg.value == 0, "Channels: wrong value"
    if amount == 0:
        return
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    taken: bool = extcall IERC20(asset).transferFrom(msg.sender, self, amount, default_return_value=True)
    assert taken, "Channels: refused by token"
    assert staticcall IERC20(asset).balanceOf(self) == before + amount, "Channels: not what arrived"


@internal
def _pay(channel: bytes32, terms: Terms, sequence: uint256, amount_a: uint256, amount_b: uint256):
    """
    @notice Ends a channel and credits both banks.
    @param channel The channel's id.
    @param terms Its terms.
    @param sequence The number of the sheet that it ends with.
    @param amount_a What A gets.
    @param amount_b What B gets.
    """
    self.case[channel].status = Status.CLOSED
    self.owed[terms.a][terms.asset] += amount_a
    self.owed[terms.b][terms.asset] += amount_b
    log Closed(channel=channel, sequence=sequence, paid_a=amount_a, paid_b=amount_b)
