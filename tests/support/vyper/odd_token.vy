# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title An ERC-20 that behaves as oddly as it is told to
@license MIT
@notice Only for tests. Anyone may tell it how to behave; untold it behaves well.
"""


# @dev What `balanceOf` and the transfers can be told to do.
HONEST: constant(uint256) = 0
REVERTS: constant(uint256) = 1
BURNS_ALL_GAS: constant(uint256) = 2
SAYS_MAXIMUM: constant(uint256) = 3
SAYS_ZERO: constant(uint256) = 4
COUNTS_DOWN: constant(uint256) = 5


decimals: public(uint8)
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])

# @dev What holders have, before `scale`.
shares: HashMap[address, uint256]

# @dev A balance is shares · scale // 10,000: it rebases.
scale: uint256

# @dev What the transfers answer, and what `name` and `symbol` answer.
answer: Bytes[96]
label: Bytes[96]

# @dev Of the amount of a transfer, in basis points: what the sender loses, and what the receiver gets.
loses_bps: uint256
gets_bps: uint256

# @dev As above: how transfers go, and what `balanceOf` says.
conduct: uint256
report: uint256

is_frozen: HashMap[address, bool]

# @dev Whether an allowance that is not zero can only be set to zero, and whether approvals change nothing.
is_picky: bool
is_deaf: bool

# @dev Called in the middle of each transfer; whether the last call succeeded.
hook: address
hook_data: Bytes[4096]
hooks: public(uint256)
hooks_succeeded: public(uint256)


@deploy
def __init__(decimals_: uint8):
    """
    @notice Creates a token without units that behaves well.
    @param decimals_ Any number.
    """
    self.decimals = decimals_
    self.scale = 10_000
    self.loses_bps = 10_000
    self.gets_bps = 10_000
    self.answer = abi_encode(True)
    self.label = abi_encode("Odd")


# --- What tests tell it ---


@external
def give(holder: address, amount: uint256):
    """
    @notice Creates units.
    """
    self.shares[holder] += amount


@external
def answers(answer: Bytes[96]):
    """
    @notice What transfers answer from now on.
    """
    self.answer = answer


@external
def labels(label: Bytes[96]):
    """
    @notice What `name` and `symbol` answer from now on.
    """
    self.label = label


@external
def moves(loses_bps: uint256, gets_bps: uint256):
    """
    @notice How much of an amount the sender loses and the receiver gets from now on, in basis points.
    """
    self.loses_bps = loses_bps
    self.gets_bps = gets_bps


@external
def behaves(conduct: uint256):
    """
    @notice How transfers go from now on.
    """
    self.conduct = conduct


@external
def reports(report: uint256):
    """
    @notice What `balanceOf` says from now on.
    """
    self.report = report


@external
def rebases(scale: uint256):
    """
    @notice What 10,000 shares are from now on.
    """
    self.scale = scale


@external
def freezes(holder: address, is_frozen: bool):
    """
    @notice Puts a holder on the black list, or takes it off.
    """
    self.is_frozen[holder] = is_frozen


@external
def approves(is_picky: bool, is_deaf: bool):
    """
    @notice Says how approvals go.
    @param is_picky An allowance that is not zero can only be set to zero.
    @param is_deaf Approvals change nothing, and claim success.
    """
    self.is_picky = is_picky
    self.is_deaf = is_deaf


@external
def hooks_into(target: address, data: Bytes[4096]):
    """
    @notice Whom each transfer calls from now on.
    """
    self.hook = target
    self.hook_data = data


@external
@view
def held(holder: address) -> uint256:
    """
    @notice A balance, always true.
    """
    return self._part(self.shares[holder], self.scale)


# --- ERC-20 ---


@external
@view
@raw_return
def name() -> Bytes[96]:
    """
    @notice The name, in whichever form.
    """
    return self.label


@external
@view
@raw_return
def symbol() -> Bytes[96]:
    """
    @notice The symbol, in whichever form.
    """
    return self.label


@external
@view
def balanceOf(holder: address) -> uint256:
    """
    @notice A balance, true or false.
    """
    assert self.report != REVERTS, "OddToken: no balance"
    assert self.report != BURNS_ALL_GAS, UNREACHABLE
    if self.report == SAYS_MAXIMUM:
        return max_value(uint256)
    if self.report == SAYS_ZERO:
        return 0
    if self.report == COUNTS_DOWN:
        return msg.gas
    return self._part(self.shares[holder], self.scale)


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice As in ERC-20, or otherwise.
    """
    if self.is_picky:
        assert amount == 0 or self.allowance[msg.sender][spender] == 0, "OddToken: set it to zero first"
    if not self.is_deaf:
        self.allowance[msg.sender][spender] = amount
    return True


@external
def permit(
    owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32
):
    """
    @notice As in EIP-2612 in who may do what, but what is signed is the hash of the arguments and a nonce alone.
    """
    assert block.timestamp <= deadline, "OddToken: too late"
    digest: bytes32 = keccak256(abi_encode(owner, spender, amount, deadline, self.nonces[owner]))
    assert ecrecover(digest, v, r, s) == owner, "OddToken: bad permit"
    self.nonces[owner] += 1
    self.allowance[owner][spender] = amount


@external
@raw_return
def transfer(to: address, amount: uint256) -> Bytes[96]:
    """
    @notice As in ERC-20, or otherwise.
    """
    self._move(msg.sender, to, amount)
    return self.answer


@external
@raw_return
def transferFrom(owner: address, to: address, amount: uint256) -> Bytes[96]:
    """
    @notice As in ERC-20, or otherwise.
    """
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return self.answer


@internal
def _move(owner: address, to: address, amount: uint256):
    """
    @notice Moves units as the token was told to.
    """
    assert self.conduct != REVERTS, "OddToken: paused"
    assert self.conduct != BURNS_ALL_GAS, UNREACHABLE
    assert not self.is_frozen[owner] and not self.is_frozen[to], "OddToken: frozen"
    moved: uint256 = amount if self.scale == 10_000 else amount * 10_000 // self.scale
    self.shares[owner] -= self._part(moved, self.loses_bps)
    if self.hook != empty(address):
        success: bool = raw_call(self.hook, self.hook_data, revert_on_failure=False)
        self.hooks += 1
        if success:
            self.hooks_succeeded += 1
    self.shares[to] += self._part(moved, self.gets_bps)


@internal
@pure
def _part(amount: uint256, bps: uint256) -> uint256:
    """
    @notice Part of an amount; the whole without the multiplication, which amounts near 2**256 do not survive.
    """
    return amount if bps == 10_000 else amount * bps // 10_000
