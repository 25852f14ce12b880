# pragma version ~=0.4.3
# pragma evm-version cancun
"""
@title A token that can misbehave
@license MIT
@notice Only for tests. Anyone mints.
"""


# @dev 0: transfers. 1: answers false. 2: reverts. 3: calls `target` with `data` first, and goes on whatever comes of it.
manner: public(uint256)
target: public(address)
data: public(Bytes[1024])

# @dev How many calls of manner 3 were accepted.
accepted: public(uint256)

balanceOf: public(HashMap[address, uint256])


@external
def mint(recipient: address, amount: uint256):
    """
    @notice Creates units.
    """
    self.balanceOf[recipient] += amount


@external
def behave(manner: uint256, target: address, data: Bytes[1024]):
    """
    @notice Says what `transfer` does from now on.
    """
    self.manner = manner
    self.target = target
    self.data = data


@external
def transfer(recipient: address, amount: uint256) -> bool:
    """
    @notice Moves units, in the manner that was chosen.
    """
    if self.manner == 1:
        return False
    assert self.manner != 2, "token: no"
    if self.manner == 3 and raw_call(self.target, self.data, revert_on_failure=False):
        self.accepted += 1
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[recipient] += amount
    return True
