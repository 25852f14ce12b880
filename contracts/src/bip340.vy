# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title BIP-340 signatures on an EVM chain
@license MIT
@notice Verifies Schnorr signatures of BIP-340 (https://github.com/bitcoin/bips/blob/master/bip-0340.mediawiki) over
        32-byte messages, so that one threshold key serves Bitcoin and EVM chains.
@dev A signature (rx, s) by the key `px` is valid if R = s·G - e·P has the x coordinate `rx` and an even y, where P is
     the point with x coordinate `px` and even y. The precompile `ecrecover(h, v, r, s)` returns the address of
     r⁻¹·(s·X - h·G), where X has the x coordinate r, and an even y for v = 27. With r = px, h = -s·px and
     s = -e·px that is the address of s·G - e·P, and R itself need not be computed here.

     Invariants:
     1. What `verify` accepts, BIP-340 accepts.
     2. What BIP-340 accepts, `verify` accepts with the right hint, except for a key not below the group order (one
        in 2^128; the trick cannot express it) and e = 0 (nobody can find one).
     3. `ry` is a hint, not trusted: it must be the even y of a point with x coordinate `rx`. An address has only
        160 bits; without this check a forger could search a collision over many `ry` with 2^80 work. With it, each
        `rx` leaves one address to be hit, which takes 2^160.
"""


# @dev sha256("BIP0340/challenge"), the tag of the challenge, twice: the first block that SHA-256 hashes.
_CHALLENGE_TAG: constant(bytes32) = 0x7bb52d7a9fef58323eb1bf7a407db382d2f3f2d81bb1224f49fe518f6d48d37c

# @dev The prime of the field of secp256k1, 2^256 - 2^32 - 977.
_P: constant(uint256) = (
    115_792_089_237_316_195_423_570_985_008_687_907_853_269_984_665_640_564_039_457_584_007_908_834_671_663
)

# @dev The order of the group: 0xffff…d0364141.
_N: constant(uint256) = (
    115_792_089_237_316_195_423_570_985_008_687_907_852_837_564_279_074_904_382_605_163_141_518_161_494_337
)


@internal
@pure
def _verify(px: bytes32, message: bytes32, rx: bytes32, s: bytes32, ry: bytes32) -> bool:
    """
    @notice Tells whether (rx, s) is a signature over `message` by the key `px`. Never reverts.
    @param px The key: the x coordinate of its point.
    @param message The 32 bytes that were signed.
    @param rx The first half of the signature.
    @param s The second half of the signature.
    @param ry The hint: the even y coordinate that belongs to `rx`.
    @return True if the signature is valid and the hint is right.
    """
    key: uint256 = convert(px, uint256)
    scalar: uint256 = convert(s, uint256)
    x: uint256 = convert(rx, uint256)
    y: uint256 = convert(ry, uint256)

    # N < P, so a key below N is below P. ecrecover itself refuses a key that is no x coordinate, and zero.
    if key >= _N or scalar >= _N or x >= _P or y >= _P or y & 1 == 1:
        return False
    if uint256_mulmod(y, y, _P) != uint256_addmod(uint256_mulmod(uint256_mulmod(x, x, _P), x, _P), 7, _P):
        return False

    challenge: uint256 = convert(sha256(concat(_CHALLENGE_TAG, _CHALLENGE_TAG, rx, px, message)), uint256)
    # The negated products modulo N; a product of zero becomes N, which the precompile reads as zero (h) or refuses (s).
    h: uint256 = unsafe_sub(_N, uint256_mulmod(scalar, key, _N))
    e: uint256 = unsafe_sub(_N, uint256_mulmod(challenge, key, _N))
    signer: address = ecrecover(convert(h, bytes32), 27, key, e)
    if signer == empty(address):
        return False
    return convert(signer, uint256) == convert(keccak256(concat(rx, ry)), uint256) & convert(
        max_value(uint160), uint256
    )
