# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title The terms of an asset
@license MIT
@notice What the owner of the Registry decides about an asset, and the service fee that follows from it. Shared by the
        Registry, which stores and checks policies, and the Hub, which applies them.
@dev Invariants:
     1. A policy that `_check` lets pass leaves something to mint of every deposit of at least `minimum_deposit`: the
        service fee grows by at most a tenth of what the deposit grows.
     2. The service fee is rounded down, and computing it never overflows.
"""


# @dev What `kind` of a chain says: Bitcoin-like (`bip122:`), or an EVM chain with a Lockbox (`eip155:`).
KIND_BITCOIN: constant(uint256) = 1
KIND_EVM: constant(uint256) = 2

# @dev One hundred per cent, in basis points.
BPS: constant(uint256) = 10_000

# @dev The highest service fee: a tenth.
MAX_FEE_BPS: constant(uint256) = 1_000


# Amounts in base units of the asset. Windows are days: block.timestamp // 86,400.
struct AssetPolicy:
    # The smallest deposit that is minted; smaller ones are returned.
    minimum_deposit: uint256
    # Kept from each deposit for its sweep; the depositor receives the rest, less the service fee.
    deposit_fee: uint256
    minimum_withdrawal: uint256
    # The Hub refuses mints and new withdrawals; what was begun is finished.
    paused: bool
    # Delisted, or unfit for the bridge (a token that rebases): no mint and no new withdrawal, for good.
    denied: bool
    # The service fee of an amount is max(fee_floor, amount * fee_bps // 10,000); fee_bps is at most 1,000.
    fee_bps: uint256
    fee_floor: uint256
    # The most that is minted for, and the most that is requested back, in a window; zero: no limit.
    deposit_limit: uint256
    withdrawal_limit: uint256


@internal
@pure
def _service_fee(policy: AssetPolicy, amount: uint256) -> uint256:
    """
    @notice What vouchers and storemen earn by an amount.
    @param policy The asset's policy.
    @param amount In base units.
    @return max(fee_floor, amount * fee_bps // 10,000); it may be above `amount`.
    """
    # In two parts, so that the product fits: 10,000 * q + r times the rate.
    parts: uint256 = amount // BPS * policy.fee_bps + amount % BPS * policy.fee_bps // BPS
    return max(policy.fee_floor, parts)


@internal
@pure
def _check(policy: AssetPolicy):
    """
    @notice Reverts unless the smallest deposit and the smallest withdrawal leave something after the fees.
    @param policy The policy.
    """
    assert policy.fee_bps <= MAX_FEE_BPS, "Registry: fee above a tenth"
    assert policy.minimum_deposit > policy.deposit_fee, "Registry: fee above minimum"
    rest: uint256 = policy.minimum_deposit - policy.deposit_fee
    assert rest > self._service_fee(policy, rest), "Registry: fee above minimum"
    smallest: uint256 = policy.minimum_withdrawal
    assert smallest == 0 or smallest > self._service_fee(policy, smallest), "Registry: fee above minimum"
