# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title Scalars and points of secp256k1
@license MIT
@notice Tells whether a scalar belongs to a point, so that money can be locked under a point and freed by its scalar.
@dev The precompile `ecrecover(h, v, r, s)` returns the account of r⁻¹·(s·R - h·G), where R has the x coordinate r, and an
     even y for v = 27. The generator's y is even: with h = 0, r = Gx and s = t·Gx that is the account of t·G. Source:
     SEC 1 version 2, section 4.1.6; the yellow paper, appendix F.

     Invariants:
     1. `_is_of` accepts a scalar in its one form, above 0 and below the group order.
     2. Whoever knows no scalar of a point finds one for its account with some 2^160 guesses. Two scalars with one account take
        2^80 guesses, of whoever chooses the point; both pay the same beneficiary.
"""


# @dev The order of the group: 0xffff…d0364141.
_N: constant(uint256) = (
    115_792_089_237_316_195_423_570_985_008_687_907_852_837_564_279_074_904_382_605_163_141_518_161_494_337
)

# @dev The generator's x coordinate: 0x79be…16f81798. Below the order, which is prime: times a scalar it is never zero.
_GX: constant(uint256) = (
    55_066_263_022_277_343_669_578_718_895_168_534_326_250_603_453_777_594_175_500_187_360_389_116_729_240
)


@internal
@pure
def _is_of(scalar: uint256, point: address) -> bool:
    """
    @notice Whether `scalar` times the generator is the point with that account. Never reverts.
    @param scalar The scalar.
    @param point The point's account: the last 20 bytes of keccak256(x ‖ y). Never the zero address.
    @return Whether it is.
    """
    if scalar == 0 or scalar >= _N or point == empty(address):
        return False
    return ecrecover(empty(bytes32), 27, _GX, uint256_mulmod(scalar, _GX, _N)) == point
