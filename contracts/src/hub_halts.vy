# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: halts
@license MIT
@notice The vouchers' brake: more than a third of the weight stops an asset, or everything, for at most a week; more
        than two thirds lift that. A halt delays and never takes: cancelling, returning, settling, restoring and voiding
        work on.
@dev Invariants:
     1. A halt ends by itself, at most seven days after the call that set it.
     2. The ends of an asset's halts only grow: the signatures of a halt work once, also after it was lifted.
"""


import hub_votes

uses: hub_votes


# @dev The longest halt, in seconds: seven days. More than a third can set the next one before it ends.
LONGEST_HALT: constant(uint256) = 604_800

_HALT_TYPE_HASH: constant(bytes32) = keccak256("Halt(bytes32 asset,uint256 until)")
_RESUME_TYPE_HASH: constant(bytes32) = keccak256("Resume(bytes32 asset,uint256 until)")


event Halted:
    asset: indexed(bytes32)
    until: uint256


event Resumed:
    asset: indexed(bytes32)


# @dev Asset id, or zero for everything → the time at which its halt ends; zero, or past: it is not halted.
halted_until: public(HashMap[bytes32, uint256])

# @dev Asset id, or zero for everything → the latest end that a halt ever had, lifted ones included.
_latest_end: HashMap[bytes32, uint256]


@external
def halt(asset: bytes32, until: uint256, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Stops mints, new withdrawals and reservations. Anyone may bring the votes.
    @param asset What is halted; zero: everything.
    @param until When the halt ends, a Unix time in seconds: in the future, at most seven days away, and later than the
           end of every halt of this asset before.
    @param signatures `Halt` of vouchers of more than a third of the weight, in ascending order of their accounts.
    """
    assert until > block.timestamp and until <= block.timestamp + LONGEST_HALT, "Hub: bad halt"
    assert until > self._latest_end[asset], "Hub: bad halt"
    hub_votes._check_vouchers(keccak256(abi_encode(_HALT_TYPE_HASH, asset, until)), signatures, hub_votes.A_THIRD)
    self._latest_end[asset] = until
    self.halted_until[asset] = until
    log Halted(asset=asset, until=until)


@external
def resume(asset: bytes32, until: uint256, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Lifts a halt. Anyone may bring the votes.
    @param asset What is halted; zero: everything.
    @param until When the halt that is lifted would end: the votes are worth nothing for another.
    @param signatures `Resume` of vouchers of more than two thirds of the weight, in ascending order of their accounts.
    """
    assert until > block.timestamp and until == self.halted_until[asset], "Hub: not halted"
    hub_votes._check_vouchers(keccak256(abi_encode(_RESUME_TYPE_HASH, asset, until)), signatures, hub_votes.TWO_THIRDS)
    self.halted_until[asset] = 0
    log Resumed(asset=asset)


@internal
@view
def _check_running(asset: bytes32):
    """
    @notice Reverts while an asset, or everything, is halted.
    @param asset The asset.
    """
    assert self.halted_until[asset] <= block.timestamp, "Hub: halted"
    assert self.halted_until[empty(bytes32)] <= block.timestamp, "Hub: halted"
