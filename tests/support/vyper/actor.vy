# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title A contract that is paid, pays and carries as it is told to
@license MIT
@notice Only for tests.
"""


ACCEPTS: constant(uint256) = 0
REFUSES: constant(uint256) = 1
BURNS_ALL_GAS: constant(uint256) = 2
CALLS: constant(uint256) = 3
INSISTS: constant(uint256) = 4

conduct: uint256
target: address
data: Bytes[4096]
calls: public(uint256)
calls_succeeded: public(uint256)


@external
def behaves(conduct: uint256, target: address, data: Bytes[4096]):
    """
    @notice What to do when coin arrives: accept, refuse, burn all gas, call a target and shrug, or insist on its success.
    """
    self.conduct = conduct
    self.target = target
    self.data = data


@external
@payable
def execute(target: address, data: Bytes[16384], gas_limit: uint256):
    """
    @notice Calls a contract, with so much gas; reverts as it does.
    """
    raw_call(target, data, value=msg.value, gas=gas_limit)


@external
@payable
def __default__():
    """
    @notice Coin arrives.
    """
    assert self.conduct != REFUSES, "Actor: no"
    assert self.conduct != BURNS_ALL_GAS, UNREACHABLE
    if self.conduct == CALLS or self.conduct == INSISTS:
        success: bool = raw_call(self.target, self.data, revert_on_failure=False)
        if self.conduct == INSISTS:
            assert success, "Actor: the call failed"
        else:
            self.calls += 1
            if success:
                self.calls_succeeded += 1
