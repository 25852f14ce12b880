# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title Fees by share
@license MIT
@notice What one share of an operator's pool has earned in each token, now and at any moment before, so that a position
        that opened at one moment and closed at another earns its shares times the difference. The work does not depend on
        how many positions or tokens there are.
@dev Invariants:
     1. Moments are numbered by whoever uses the module. All credits between two numbers are in one checkpoint, and the
        checkpoints of an operator and a token have ascending numbers.
     2. What was shared out is the sum over all shares of what each earned, and the remainder that is carried; the
        remainder is less than one unit.
     3. No amount below 2**256 overflows, unless an operator has earned that much of one token for a single share.
"""


# What one share earned since ever: `whole` units and a fraction of a unit, in 2**-128.
struct Checkpoint:
    whole: uint256
    # High half: the value of `sequence` when it was written last. Low half: the fraction.
    sequence_and_fraction: uint256


# @dev The low half of a word.
LOW_HALF: constant(uint256) = 2**128 - 1

# @dev Operator → token → number of checkpoints << 128 | what could not be divided by the shares yet, in 2**-128 units.
_ledger: HashMap[address, HashMap[address, uint256]]

# @dev Operator → token → number, from 1 → checkpoint.
_checkpoint: HashMap[address, HashMap[address, HashMap[uint256, Checkpoint]]]


@internal
def _share_out(operator: address, token: address, amount: uint256, shares: uint256, sequence: uint256):
    """
    @notice Raises what one share of an operator's pool has earned. What cannot be divided is carried to the next time.
    @param operator The operator.
    @param token The token of the fees.
    @param amount In base units.
    @param shares All of the pool's shares: more than 0, less than 2**128.
    @param sequence The number of the moment: more than 0, never lower than before, less than 2**128.
    """
    ledger: uint256 = self._ledger[operator][token]
    count: uint256 = ledger >> 128
    last: Checkpoint = self._checkpoint[operator][token][count]
    # Below shares * 2**128, since what was carried is below 2**128.
    dividend: uint256 = ((amount % shares) << 128) + (ledger & LOW_HALF)
    fraction: uint256 = (last.sequence_and_fraction & LOW_HALF) + dividend // shares
    if last.sequence_and_fraction >> 128 != sequence:
        count += 1
    self._checkpoint[operator][token][count] = Checkpoint(
        whole=last.whole + amount // shares + (fraction >> 128),
        sequence_and_fraction=sequence << 128 | fraction & LOW_HALF,
    )
    self._ledger[operator][token] = count << 128 | dividend % shares


@internal
@view
def _earned(operator: address, token: address, before: uint256) -> (uint256, uint256):
    """
    @notice What one share had earned when the sequence reached a number: by the last checkpoint below it.
    @param operator The operator.
    @param token The token of the fees.
    @param before The number; 0 for now.
    @return Whole units and the fraction.
    """
    low: uint256 = 0
    high: uint256 = self._ledger[operator][token] >> 128
    if before == 0:
        low = high
    # Checkpoint `low` is below `before` and the one after `high` is not; number 0 is all zero.
    for _: uint256 in range(128):
        if low == high:
            break
        middle: uint256 = (low + high + 1) // 2
        if self._checkpoint[operator][token][middle].sequence_and_fraction >> 128 < before:
            low = middle
        else:
            high = middle - 1
    found: Checkpoint = self._checkpoint[operator][token][low]
    return found.whole, found.sequence_and_fraction & LOW_HALF
