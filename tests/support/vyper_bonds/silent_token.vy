# pragma version ~=0.4.3
# pragma evm-version cancun
"""
@title A token whose transfer returns nothing
@license MIT
@notice Only for tests. Anyone mints.
"""


balanceOf: public(HashMap[address, uint256])


@external
def mint(recipient: address, amount: uint256):
    """
    @notice Creates units.
    """
    self.balanceOf[recipient] += amount


@external
def transfer(recipient: address, amount: uint256):
    """
    @notice Moves units.
    """
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[recipient] += amount
