"""What is kept for gas follows the planner's stress, within the cap."""

from __future__ import annotations

import pytest

from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.types import BlockHeader, Simulation
from foundation.quantities import BlockHeight, Wei
from registry.caip import evm_chain
from settlement.swap.evm.gas import CLAIM, GasNeed, claim_need
from settlement.swap.planning.conditions import EVM_PROFILES, EvmConditions

GWEI = 10**9
CAP = Wei(1_000 * GWEI)
FEES = FeePolicy(CAP)
ETHEREUM, ANVIL = EVM_PROFILES[evm_chain(1)], EVM_PROFILES[evm_chain(31_337)]
BASE = Wei(5 * GWEI)
TIP = FeePolicy().tip


@pytest.mark.parametrize(
    ("conditions", "times"),
    [(ETHEREUM, 8), (EVM_PROFILES[evm_chain(10)], 8), (ANVIL, 2)],
    ids=["ethereum", "rollup", "development"],
)
def test_claims_are_kept_for_under_stress_and_the_rest_as_it_is_bid(conditions: EvmConditions, times: int) -> None:
    """A claim's gas at several times the base fee, other gas at twice it, and the tip with both."""
    assert GasNeed(claims=1).cost(BASE, FEES, conditions) == times * BASE + TIP
    assert GasNeed(others=1).cost(BASE, FEES, conditions) == FEES.bid(BASE).max_fee
    assert GasNeed(1, 1).plain_cost(BASE, FEES) == 2 * FEES.bid(BASE).max_fee
    assert GasNeed(3, 4).cost(BASE, FEES, ETHEREUM) == 3 * (8 * BASE + TIP) + 4 * (2 * BASE + TIP)


def test_nobody_keeps_more_than_is_ever_bid() -> None:
    """The cap holds for what is kept as it does for what is bid; long waits raise it sixteenfold at most."""
    assert GasNeed(1, 1).cost(Wei(400 * GWEI), FEES, ETHEREUM) == CAP + 800 * GWEI + TIP
    assert GasNeed(1, 1).plain_cost(Wei(600 * GWEI), FEES) == 2 * CAP
    slow = EvmConditions(
        60,
        is_random=True,
        ordinary_blocks=5,
        stress_blocks=500,
        confirmations=ETHEREUM.confirmations,
        final_s=0,
        final_stress_s=0,
    )
    assert slow.fee_stress == 16


def test_the_gas_limit_is_the_senders() -> None:
    """What is kept for is what a sender signs when the simulation tells the least."""
    header = BlockHeader(BlockHeight(7), bytes(32), bytes(32), 0, BASE, 30_000_000)
    for asset, least in ((bytes(20), CLAIM.coin), (b"\x44" * 20, CLAIM.token)):
        limit = SenderPolicy().gas_limit(Simulation(least, Wei(0), header))
        assert claim_need(asset) == GasNeed(claims=limit)
