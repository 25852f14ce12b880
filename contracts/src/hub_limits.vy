# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title Hub: limits
@license MIT
@notice How much of an asset may pass in a window, a day, in each direction: what a thief can take before people look.
@dev Invariants:
     1. What was counted in a window, less what was given back, is at most the limit of the moment when it was counted.
     2. Nothing is counted, and nothing stored, for an asset without a limit.
"""


# @dev Windows begin at multiples of this many seconds: at midnight, UTC.
WINDOW: constant(uint256) = 86_400


struct Window:
    # block.timestamp // 86,400
    day: uint256
    used: uint256


# @dev Deposits or withdrawals → asset id → what passed in the last window in which anything did.
_window: HashMap[bool, HashMap[bytes32, Window]]

# @dev Withdrawal id → the day on which it was counted, plus one; zero: it was not.
_counted_on: HashMap[bytes32, uint256]


@internal
def _count_deposit(asset: bytes32, amount: uint256, limit: uint256):
    """
    @notice Counts a deposit; reverts above the limit.
    @param asset The asset.
    @param amount What arrived.
    @param limit The most in a window; zero: no limit.
    """
    if limit != 0:
        self._count(False, asset, amount, limit)


@internal
def _count_withdrawal(id: bytes32, asset: bytes32, amount: uint256, limit: uint256):
    """
    @notice Counts a withdrawal; reverts above the limit.
    @param id The withdrawal.
    @param asset Its asset.
    @param amount All that it locks.
    @param limit The most in a window; zero: no limit.
    """
    if limit != 0:
        self._count(True, asset, amount, limit)
        self._counted_on[id] = block.timestamp // WINDOW + 1


@internal
def _uncount_withdrawal(id: bytes32, asset: bytes32, amount: uint256):
    """
    @notice Gives a cancelled withdrawal's part of the window back, so that requests which are cancelled at once cannot
            use up what others need.
    @param id The withdrawal.
    @param asset Its asset.
    @param amount All that it locked.
    """
    # Counted today: then today's window is the stored one, and the amount is in it.
    if self._counted_on[id] == block.timestamp // WINDOW + 1:
        self._window[True][asset].used -= amount


@internal
def _count(withdrawal: bool, asset: bytes32, amount: uint256, limit: uint256):
    """
    @notice Adds to the window of now; reverts above the limit.
    @param withdrawal Which direction.
    @param asset The asset.
    @param amount What is added.
    @param limit The most in a window.
    """
    day: uint256 = block.timestamp // WINDOW
    used: uint256 = 0
    if self._window[withdrawal][asset].day == day:
        used = self._window[withdrawal][asset].used
    assert amount <= limit and used <= limit - amount, "Hub: over the limit"
    self._window[withdrawal][asset] = Window(day=day, used=used + amount)
