# pragma version ~=0.4.3
# pragma evm-version cancun
"""
@title A contract that holds bonds
@license MIT
@notice Only for tests: calls Bonds with what it is told, and refuses coin, or calls back when it gets some, as it is told.
"""


bonds: public(immutable(address))

refuses: public(bool)

# @dev What it calls when it gets coin; nothing where it is empty.
answer: public(Bytes[4096])

# @dev How often it called back, and how often that was accepted.
tries: public(uint256)
accepted: public(uint256)


@deploy
def __init__(bonds_: address):
    bonds = bonds_


@external
@payable
def act(data: Bytes[4096], amount: uint256):
    """
    @notice Calls Bonds.
    """
    raw_call(bonds, data, value=amount)


@external
def behave(refuses: bool, answer: Bytes[4096]):
    """
    @notice Says what happens when coin comes from now on.
    """
    self.refuses = refuses
    self.answer = answer


@external
@payable
def __default__():
    assert not self.refuses, "holder: no"
    if len(self.answer) > 0:
        self.tries += 1
        if raw_call(bonds, self.answer, revert_on_failure=False):
            self.accepted += 1
