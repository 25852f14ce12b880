"""Properties of the planner: more care never gives less time, and every plan is safe for both sides."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from foundation.quantities import Satoshi
from settlement.swap.planning.conditions import BitcoinConditions, Conditions, Confirmations, EvmConditions
from settlement.swap.planning.plan import check, plan
from settlement.swap.planning.spans import spans_of
from settlement.swap.planning.waiting import chance_of_fewer, intervals_for
from settlement.swap.terms import Role
from tests.support.swap_terms import NOW, swap_terms

small = st.integers(0, 40)
confirmations = st.builds(Confirmations, st.just(()), st.integers(1, 30))
bitcoins = st.builds(
    BitcoinConditions,
    interval_s=st.integers(1, 1_200),
    is_random=st.booleans(),
    ordinary_blocks=st.integers(1, 20),
    stress_blocks=st.integers(1, 60),
    confirmations=confirmations,
    lie_s=st.integers(0, 7_200),
    least_satoshi=st.just(1),
)
evms = st.builds(
    EvmConditions,
    interval_s=st.integers(1, 30),
    is_random=st.booleans(),
    ordinary_blocks=st.integers(1, 50),
    stress_blocks=st.integers(1, 500),
    confirmations=confirmations,
    final_s=st.integers(0, 3_600),
    final_stress_s=st.integers(0, 7_200),
    lie_s=st.integers(0, 900),
    outage_s=st.integers(0, 40_000),
)
any_conditions = st.builds(
    Conditions,
    bitcoin=bitcoins,
    evm=evms,
    risk=st.integers(2, 9),
    progress=st.integers(1, 4),
    skew_s=st.integers(0, 300),
    reaction_s=st.integers(0, 900),
    margin_s=st.integers(0, 7_200),
    handshake_s=st.integers(60, 3_600),
    longest_s=st.just(1 << 30),
)


@given(st.integers(1, 200), st.integers(1, 8))
def test_quantiles_keep_their_risk_and_grow(blocks, exponent):
    """A quantile's chance is within the risk and not far below it; more blocks, or less risk, take longer."""
    at = intervals_for(blocks, exponent)
    assert chance_of_fewer(blocks, at) <= 10.0**-exponent
    assert chance_of_fewer(blocks, at * (1 - 1e-9)) >= 10.0**-exponent * (1 - 1e-5)
    assert intervals_for(blocks + 1, exponent) > at
    assert intervals_for(blocks, exponent + 1) > at


@given(any_conditions)
def test_gates_are_in_order(conditions):
    """In every plan each gate leaves the next step its time, and T1 leaves the follower all it needs after T2."""
    wanted = plan(Satoshi(10**8), NOW, conditions)
    gates, spans = wanted.gates, wanted.spans
    assert NOW + conditions.handshake_s == gates.last_lock
    assert gates.last_lock + spans.lock == gates.last_fund
    assert gates.last_fund + spans.fund == gates.last_reveal
    assert gates.last_reveal + spans.claim == gates.refund_bitcoin == wanted.bitcoin_expires_at
    assert gates.refund_bitcoin + spans.refund == gates.claim_evm_by
    assert gates.claim_evm_by + spans.claim_evm == gates.refund_evm == wanted.evm_expires_at


@given(any_conditions, st.integers(0, 100))
def test_both_sides_find_a_plan_safe(conditions, percent):
    """Whoever plans, the other side accepts by the same conditions, at any time of the handshake."""
    wanted = plan(Satoshi(10**8), NOW, conditions)
    terms = swap_terms()
    bitcoin = replace(terms.bitcoin, expires_at=wanted.bitcoin_expires_at, confirmations=wanted.bitcoin_confirmations)
    evm = replace(terms.evm, expires_at=wanted.evm_expires_at, confirmations=wanted.evm_confirmations)
    terms = replace(terms, bitcoin=bitcoin, evm=evm)
    now = NOW + conditions.handshake_s * percent // 200
    for role in Role:
        checked = check(terms, now, role, conditions)
        assert now < checked.gates.last_lock
        assert checked.gates.last_reveal == wanted.gates.last_reveal


@given(any_conditions, st.sampled_from(("stress_blocks", "lie_s", "interval_s", "lag_blocks")), st.integers(1, 50))
def test_a_worse_chain_gets_more_time(conditions, field, more):
    """Longer fee spikes, greater lies, slower blocks never shorten a span."""
    worse = replace(conditions.bitcoin, **{field: getattr(conditions.bitcoin, field) + more})
    before, after = spans_of(conditions, 3, 3), spans_of(replace(conditions, bitcoin=worse), 3, 3)
    assert after.claim >= before.claim
    assert after.refund >= before.refund
    assert after.between > before.between or field == "interval_s"


@given(any_conditions, st.sampled_from(("risk", "skew_s", "reaction_s", "margin_s")), st.integers(1, 3))
def test_more_care_gets_more_time(conditions, field, more):
    """Less risk and greater margins never shorten a span."""
    careful = replace(conditions, **{field: getattr(conditions, field) + more})
    before, after = spans_of(conditions, 3, 3), spans_of(careful, 3, 3)
    assert after.claim >= before.claim
    assert after.between >= before.between


@given(any_conditions, small, small)
def test_more_confirmations_get_more_time(conditions, fewer, more):
    """Each confirmation that is asked for is waited for, on either chain."""
    few, many = spans_of(conditions, fewer + 1, fewer + 1), spans_of(conditions, fewer + 1 + more, fewer + 1 + more)
    assert many.fund >= few.fund
    assert many.claim >= few.claim
    assert many.lock >= few.lock
    assert many.claim_evm >= few.claim_evm
