"""`planning.plan`: time-outs, gates, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.quantities import Satoshi
from registry.caip import ChainId, evm_chain
from settlement.swap.planning.conditions import conditions_for, development
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.planning.plan import check, plan, recover_gates
from settlement.swap.planning.reasons import span_text
from settlement.swap.terms import OWN_FINALITY, Mode, Role
from tests.support.swap_terms import ANVIL, ETHEREUM, MAINNET, NOW, REGTEST, swap_terms

HOUR = 3_600
BTC = 10**8


@pytest.mark.parametrize(
    ("satoshi", "confirmations", "t2", "t1"),
    [
        (BTC // 20, 2, "12 h 58 min", "25 h 43 min"),
        (BTC // 2, 3, "13 h 30 min", "26 h 30 min"),
        (5 * BTC, 6, "15 h 5 min", "28 h 50 min"),
        (20 * BTC, 12, "18 h 2 min", "33 h 14 min"),
    ],
)
def test_the_main_networks_figures(satoshi, confirmations, t2, t1):
    """The time-outs between bitcoin and Ethereum, as docs/swaps.md has them."""
    wanted = plan(Satoshi(satoshi), NOW, conditions_for(MAINNET, ETHEREUM))
    assert wanted.bitcoin_confirmations == confirmations
    assert wanted.evm_confirmations == OWN_FINALITY
    assert span_text(wanted.bitcoin_expires_at - NOW) == t2
    assert span_text(wanted.evm_expires_at - NOW) == t1


def test_on_one_machine_a_swap_takes_minutes():
    """The profile of regtest and anvil plans for seconds."""
    wanted = plan(Satoshi(BTC), NOW, conditions_for(REGTEST, ANVIL))
    assert wanted.evm_expires_at - NOW < 300
    assert wanted.bitcoin_confirmations == wanted.evm_confirmations == 1


def test_what_one_side_plans_the_other_finds_safe():
    """Both sides accept the maker's plan, a few minutes later too, and their gates are in order."""
    for bitcoin, evm in ((MAINNET, ETHEREUM), (MAINNET, evm_chain(10)), (REGTEST, ANVIL)):
        terms, conditions = swap_terms(bitcoin=bitcoin, evm=evm), conditions_for(bitcoin, evm)
        for role in Role:
            for later in (0, conditions.handshake_s // 2):
                gates = check(terms, NOW + later, role, conditions).gates
                assert NOW + later < gates.last_lock < gates.last_fund < gates.last_reveal
                assert gates.last_reveal < gates.refund_bitcoin < gates.claim_evm_by < gates.refund_evm


def test_the_reasons_are_told():
    """A person reads why each time-out is where it is."""
    text = "\n".join(plan(Satoshi(BTC), NOW, conditions_for(MAINNET, ETHEREUM)).reasons)
    assert "the chain's own finality" in text
    assert "6 confirmations" in text
    assert "probability 1 − 10^−6" in text
    assert "2 h wrong" in text
    assert "T2, bitcoin's time-out" in text
    fixed = "\n".join(plan(Satoshi(BTC), NOW, conditions_for(REGTEST, ANVIL)).reasons)
    assert "with a block every 5 s" in fixed
    assert "wrong" not in fixed


def moved(terms, t2=0, t1=0):
    bitcoin = replace(terms.bitcoin, expires_at=terms.bitcoin.expires_at + t2)
    return replace(terms, bitcoin=bitcoin, evm=replace(terms.evm, expires_at=terms.evm.expires_at + t1))


def refused(terms, role, *, now=NOW, **overrides) -> UnsafeTerms:
    conditions = replace(conditions_for(terms.bitcoin.chain, terms.evm.chain), **overrides)
    with pytest.raises(UnsafeTerms) as refusal:
        check(terms, now, role, conditions)
    assert refusal.value.cure
    return refusal.value


MAIN = {"bitcoin": MAINNET, "evm": ETHEREUM}


def test_a_follower_refuses_a_lock_that_ends_too_soon():
    """Between T2 and T1 it has to have its bitcoin back for good, or the lock; the initiator does not mind."""
    terms = moved(swap_terms(**MAIN), t1=-600)
    assert refused(terms, Role.FOLLOWER).field == "evm.expires_at"
    check(terms, NOW, Role.INITIATOR, conditions_for(MAINNET, ETHEREUM))


@pytest.mark.parametrize("role", Role)
def test_a_swap_that_leaves_no_time_is_refused(role):
    """Neither side begins what could only be refunded."""
    assert refused(moved(swap_terms(**MAIN), t2=-4 * HOUR, t1=-4 * HOUR), role).field == "bitcoin.expires_at"


def test_money_is_not_bound_for_too_long():
    """Each side looks at its own money: the lock until T1, the bitcoin until T2."""
    assert refused(moved(swap_terms(**MAIN), t1=60 * HOUR), Role.INITIATOR).field == "evm.expires_at"
    long = moved(swap_terms(**MAIN), t2=70 * HOUR, t1=70 * HOUR)
    assert refused(long, Role.FOLLOWER).field == "bitcoin.expires_at"
    with pytest.raises(UnsafeTerms, match="allowed"):
        plan(Satoshi(BTC), NOW, replace(conditions_for(MAINNET, ETHEREUM), longest_s=HOUR))


def test_each_side_insists_on_its_own_confirmations():
    """The initiator on those of the funding, the follower on those of the lock."""
    terms = swap_terms(**MAIN, amount=5 * BTC)
    few = replace(terms, bitcoin=replace(terms.bitcoin, confirmations=3))
    assert refused(few, Role.INITIATOR).field == "bitcoin.confirmations"
    check(few, NOW, Role.FOLLOWER, conditions_for(MAINNET, ETHEREUM))
    few = replace(terms, evm=replace(terms.evm, confirmations=2))
    assert refused(few, Role.FOLLOWER).field == "evm.confirmations"
    check(few, NOW, Role.INITIATOR, conditions_for(MAINNET, ETHEREUM))
    never = swap_terms()
    never = replace(never, evm=replace(never.evm, confirmations=OWN_FINALITY))
    assert refused(never, Role.FOLLOWER).field == "evm.confirmations"


@pytest.mark.parametrize("role", Role)
def test_old_and_future_terms_are_refused(role):
    """Terms are for now: an old agreement that comes again binds nobody."""
    assert refused(swap_terms(**MAIN), role, now=NOW + 2 * HOUR).field == "agreed_at"
    assert refused(swap_terms(**MAIN), role, now=NOW - HOUR).field == "agreed_at"


@pytest.mark.parametrize("role", Role)
def test_an_amount_that_fees_would_eat_is_refused(role):
    """A claim under stress may cost more than little money is worth."""
    terms = swap_terms(**MAIN)
    small = replace(terms, bitcoin=replace(terms.bitcoin, amount=Satoshi(49_999)))
    assert refused(small, role).field == "bitcoin.amount"
    with pytest.raises(UnsafeTerms, match=r"bitcoin\.amount"):
        plan(Satoshi(49_999), NOW, conditions_for(MAINNET, ETHEREUM))


@pytest.mark.parametrize(
    ("bitcoin", "evm", "field"),
    [(ChainId("bip122", "ab" * 16), ANVIL, "bitcoin.chain"), (MAINNET, evm_chain(424242), "evm.chain")],
)
def test_nothing_is_planned_for_unknown_chains(bitcoin, evm, field):
    """Somebody has to say first how fast their blocks come."""
    with pytest.raises(UnsafeTerms) as refusal:
        conditions_for(bitcoin, evm)
    assert refusal.value.field == field


def test_a_slower_plan_than_the_own_is_taken_within_reason():
    """With less time for progress than it would plan, a side squeezes its gates; they stay in order."""
    terms = moved(swap_terms(**MAIN), t2=-HOUR, t1=-HOUR)
    own = plan(terms.bitcoin.amount, NOW, conditions_for(MAINNET, ETHEREUM))
    gates = check(terms, NOW, Role.INITIATOR, conditions_for(MAINNET, ETHEREUM)).gates
    assert NOW < gates.last_lock < gates.last_fund < gates.last_reveal
    assert gates.last_reveal == own.gates.last_reveal - HOUR


def test_the_gates_of_a_swap_that_is_found_again_are_those_of_its_beginning():
    """Recovery needs the terms alone, and refuses nothing."""
    for mode in Mode:
        terms = swap_terms(mode, **MAIN)
        conditions = conditions_for(MAINNET, ETHEREUM)
        assert recover_gates(terms, conditions) == check(terms, NOW, Role.FOLLOWER, conditions).gates
    recover_gates(moved(swap_terms(), t1=10**6), development())


def test_spans_are_written_as_people_say_them():
    """Hours and minutes, and seconds where it is short."""
    assert [span_text(n) for n in (0, 59, 60, 3_600, 3_725, 90_000, -60)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "1 h 2 min",
        "25 h",
        "-1 min",
    ]
