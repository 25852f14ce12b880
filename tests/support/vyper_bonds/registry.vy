# pragma version ~=0.4.3
# pragma evm-version cancun
"""
@title The Registry as Bonds sees it
@license MIT
@notice Only for tests: who is a storeman, and of which chain a group is, as the test says.
"""


struct Group:
    chain: bytes32
    threshold: uint256
    size: uint256
    epoch: uint256
    key: bytes32
    status: uint256


is_storeman: public(HashMap[bytes32, HashMap[address, bool]])
group: public(HashMap[bytes32, Group])


@external
def add_storeman(group: bytes32, account: address):
    """
    @notice Makes an account a member of a group.
    """
    self.is_storeman[group][account] = True


@external
def add_group(id: bytes32, chain_id: bytes32):
    """
    @notice Makes a group one of a chain.
    """
    self.group[id].chain = chain_id
