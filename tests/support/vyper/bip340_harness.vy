# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title bip340, made callable
@license MIT
@notice Only for tests: the module has no external function of its own.
"""


from contracts.src import bip340


@external
@view
def verify(px: bytes32, message: bytes32, rx: bytes32, s: bytes32, ry: bytes32) -> (bool, uint256):
    """
    @notice Whether the signature is valid, and the gas that the answer took: arguments already decoded, the jump to the
            module counted.
    """
    before: uint256 = msg.gas
    valid: bool = bip340._verify(px, message, rx, s, ry)
    return valid, before - msg.gas
