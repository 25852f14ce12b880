# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title Anchors
@license MIT
@notice Merkle roots of records that are kept elsewhere, each authority's in a chain of its own: what was anchored can
        neither be changed nor left out afterwards.
@dev Invariants:
     1. An authority's roots are numbered from 1 without gaps; a root that was written never changes.
     2. The records of an authority are numbered from 1 without gaps: each anchor covers those after the anchor before.
     3. An anchor names the root before it: whoever anchors on a wrong past is refused.
     An authority is an account. There is no owner, and nobody writes in another's chain.
"""


# @dev The head is one word: sequence number of the last record (128 bits), number of anchors (128).
_LOW: constant(uint256) = 2**128 - 1
_COUNT_AT: constant(uint256) = 128

# @dev More records than there can be, in one anchor and in all; keeps sums below a half word.
MAX_SEQUENCE: constant(uint256) = 2**127


event Anchored:
    authority: indexed(address)
    index: indexed(uint256)
    root: indexed(bytes32)
    previous: bytes32
    first: uint256
    last: uint256


# @dev Authority → number of the anchor, from 1 → its root; zero where there is none.
root_of: public(HashMap[address, HashMap[uint256, bytes32]])

# @dev Packed as said above.
_heads: HashMap[address, uint256]


@external
def anchor(root: bytes32, count: uint256, previous: bytes32) -> uint256:
    """
    @notice Appends a root to the caller's chain. It covers the `count` records after those of the root before.
    @param root Of the Merkle tree over the records; not zero.
    @param count How many records; at least one.
    @param previous The caller's last root; zero for its first anchor.
    @return The anchor's number, from 1.
    """
    assert root != empty(bytes32), "Anchors: no root"
    assert count > 0 and count <= MAX_SEQUENCE, "Anchors: bad count"
    head: uint256 = self._heads[msg.sender]
    index: uint256 = head >> _COUNT_AT
    before: uint256 = head & _LOW
    assert self.root_of[msg.sender][index] == previous, "Anchors: another root is the last"
    index += 1
    last: uint256 = before + count
    assert last <= MAX_SEQUENCE, "Anchors: bad count"
    self.root_of[msg.sender][index] = root
    self._heads[msg.sender] = (index << _COUNT_AT) | last
    log Anchored(authority=msg.sender, index=index, root=root, previous=previous, first=before + 1, last=last)
    return index


@external
@view
def latest(authority: address) -> (uint256, bytes32, uint256):
    """
    @notice How far an authority's chain goes.
    @param authority The account.
    @return Number of its last anchor, that anchor's root, and the sequence number of the last record that it covers; all
            zero where there is none.
    """
    head: uint256 = self._heads[authority]
    index: uint256 = head >> _COUNT_AT
    return index, self.root_of[authority][index], head & _LOW
