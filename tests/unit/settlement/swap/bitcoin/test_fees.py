"""`settlement.swap.bitcoin.fees`: bids, replacements of own and others' transactions, and the tower's ladder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.fees import Bid, Market, Standing, bid, ladder, most_fee, outbid, refund_ladder
from tests.support.swap_bitcoin import AMOUNT, Deal, key_of, secret_of

POLICY = FeePolicy(SatPerKvB(1_000), SatPerKvB(100_000), SatPerKvB(5_000))
MARKET = Market(SatPerKvB(20_000), SatPerKvB(1_000), SatPerKvB(1_000))
DEAL = Deal(initiator=secret_of("a"), follower=secret_of("b"), expires_at=1_800_000_000)
TO = vault_script(key_of(secret_of("destination")))
VSIZE = 140
MUCH = Satoshi(1_000_000)


def standing(rate: int) -> Standing:
    """What pays so much for its 140 vB."""
    return Standing(bytes(32), fee_at(SatPerKvB(rate), VSIZE), VSIZE)


@pytest.mark.parametrize(
    ("market", "rate"),
    [
        (MARKET, 20_000),
        (replace(MARKET, estimate=None), 5_000),
        (replace(MARKET, estimate=SatPerKvB(10)), 1_000),
        (replace(MARKET, floor=SatPerKvB(30_000)), 30_000),
        (replace(MARKET, estimate=SatPerKvB(900_000)), 99_989),
        (replace(MARKET, floor=SatPerKvB(900_000)), 99_989),
    ],
)
def test_a_bid_follows_the_market_within_bounds(market: Market, rate: int) -> None:
    """The estimate, not below the floors nor above the cap; at the cap where the market asks more."""
    assert bid(POLICY, market, VSIZE, MUCH) == Bid(SatPerKvB(rate))


def test_a_small_coin_bids_what_it_bears() -> None:
    """Where the market asks more than the coin has, it bids all but dust; less than the floor is not worth moving."""
    assert bid(POLICY, MARKET, VSIZE, Satoshi(1_400)).rate == 10_000
    with pytest.raises(BadInput):
        bid(POLICY, MARKET, VSIZE, Satoshi(139))
    with pytest.raises(BadInput):
        outbid(POLICY, MARKET, VSIZE, Satoshi(-5), standing(1_000), is_ours=True)


def test_an_own_bid_rises_by_a_quarter_or_to_the_market() -> None:
    """A lingering own transaction pays a quarter more at least, or what the market asks now."""
    raised = outbid(POLICY, MARKET, VSIZE, MUCH, standing(40_000), is_ours=True)
    assert raised is not None
    assert raised.rate == 50_000
    jumped = outbid(POLICY, MARKET, VSIZE, MUCH, standing(2_000), is_ours=True)
    assert jumped is not None
    assert jumped.rate == 20_000


def test_a_rivals_bid_is_exceeded() -> None:
    """Against the other side, fee and rate both exceed what stands, whether ours is smaller or larger."""
    for vsize in (VSIZE - 40, VSIZE, VSIZE + 40):
        found = outbid(POLICY, MARKET, vsize, MUCH, standing(50_000), is_ours=False)
        assert found is not None
        fee = max(fee_at(found.rate, vsize), found.minimum_fee)
        assert fee >= standing(50_000).fee + vsize
        assert fee * 1_000 // vsize > 50_000


def test_there_is_an_end_to_bidding() -> None:
    """At the cap, or where the coin has no more, nothing higher is bid."""
    assert outbid(POLICY, MARKET, VSIZE, MUCH, standing(99_000), is_ours=True) is None
    assert outbid(POLICY, MARKET, VSIZE, MUCH, standing(99_989), is_ours=False) is None
    assert outbid(POLICY, MARKET, VSIZE, Satoshi(2_900), standing(20_000), is_ours=False) is None
    assert outbid(POLICY, MARKET, VSIZE, Satoshi(3_400), standing(20_000), is_ours=True) is None


def test_children_of_what_stands_are_paid_for() -> None:
    """A replacement pays for the unconfirmed children that it throws out, too."""
    with_child = replace(standing(10_000), fee=Satoshi(8_000))
    found = outbid(POLICY, MARKET, VSIZE, MUCH, with_child, is_ours=False)
    assert found is not None
    assert found.minimum_fee >= 8_000 + VSIZE


def test_a_ladder_climbs_from_floor_to_cap() -> None:
    """Rates rise by 1.6 and by what replacements must pay at least, and end at the cap."""
    rates = ladder(SatPerKvB(1_000), SatPerKvB(500_000), SatPerKvB(1_000))
    assert rates[:3] == (1_000, 2_011, 3_218)
    assert rates[-1] == 500_000
    assert len(rates) == 14
    assert ladder(SatPerKvB(1_000), SatPerKvB(1_000), SatPerKvB(1_000)) == (1_000,)
    assert len(ladder(SatPerKvB(1), SatPerKvB(10**9), SatPerKvB(0))) <= 64
    for floor, cap in ((0, 5), (6, 5)):
        with pytest.raises(BadInput):
            ladder(SatPerKvB(floor), SatPerKvB(cap), SatPerKvB(1))


def test_a_ladder_of_refunds_needs_no_key_later() -> None:
    """Every rung is signed, pays its rate, and is bound to the time-out; those that leave dust are left out."""
    rates = ladder(SatPerKvB(1_000), SatPerKvB(100_000), SatPerKvB(1_000))
    rungs = refund_ladder(DEAL.output, DEAL.coin(), TO, DEAL.follower, rates)
    assert [rung.rate for rung in rungs] == list(rates)
    for rung in rungs:
        parsed = parse_transaction(rung.raw)
        assert parsed.locktime == DEAL.expires_at
        assert parsed.outputs[0].value == AMOUNT - rung.fee
        assert rung.fee == fee_at(rung.rate, parsed.vsize)
    small = replace(DEAL.coin(), value=Satoshi(1_000))
    assert 0 < len(refund_ladder(DEAL.output, small, TO, DEAL.follower, rates)) < len(rates)
    assert refund_ladder(DEAL.output, replace(small, value=Satoshi(400)), TO, DEAL.follower, rates) == ()
    with pytest.raises(BadInput):
        refund_ladder(DEAL.output, DEAL.coin(), TO, DEAL.initiator, rates)


def test_the_most_that_a_coin_bears_leaves_no_dust() -> None:
    """The highest fee leaves what nodes relay at least."""
    assert most_fee(DEAL.coin(), TO) == AMOUNT - 330
