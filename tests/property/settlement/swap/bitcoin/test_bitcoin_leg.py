"""The bitcoin leg for any amounts, fees and chains: money is conserved, bids are relayed, views follow the chain."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.fees import ROUNDING, FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import dust_threshold, vault_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from settlement.swap.bitcoin.cosign import CosignAnswer, CosignRequest
from settlement.swap.bitcoin.fees import Market, Standing, bid, ladder, outbid, refund_ladder
from settlement.swap.bitcoin.funding import funding_draft, spend_vsize
from settlement.swap.bitcoin.rungs import RungOffer, decode_claims
from settlement.swap.bitcoin.sightings import Sightings
from settlement.swap.bitcoin.watch import BitcoinWatch
from tests.support.bitcoin_chain import transaction
from tests.support.swap_bitcoin import Deal, key_of, secret_of
from tests.support.swap_chain import FakeNode

KINDS = st.sampled_from([b"\x00\x14" + bytes(20), b"\x51\x20" + bytes(32), b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"])
RATES = st.integers(1, 500_000).map(SatPerKvB)
PAID = b"\x51\x20" + b"\x01" * 32
CHANGE = b"\x51\x20" + b"\x02" * 32
DEAL = Deal(initiator=secret_of("a"), follower=secret_of("b"), expires_at=1_800_000_000)
TO = vault_script(key_of(secret_of("destination")))


@st.composite
def wallets(draw: st.DrawFn) -> list[Coin]:
    """A wallet's coins, of all kinds."""
    values = draw(st.lists(st.tuples(st.integers(1, 5_000_000), KINDS), max_size=8))
    return [
        Coin(OutPoint(bytes([at + 1]) * 32, 0), Satoshi(value), script, BlockHeight(1))
        for at, (value, script) in enumerate(values)
    ]


@given(wallets(), st.integers(330, 8_000_000), RATES, st.integers(0, 100_000))
def test_a_funding_conserves_money(coins: list[Coin], amount: int, rate: SatPerKvB, minimum: int) -> None:
    """A draft pays exactly the amount, its fee and little more, and no dust, from coins of the wallet alone."""
    paid = TxOut(Satoshi(amount), PAID)
    try:
        draft = funding_draft(coins, paid, CHANGE, rate, minimum_fee=Satoshi(minimum))
    except InsufficientFunds:
        return
    scripts = [one.script for one in draft.outputs]
    least = max(fee_at(rate, spend_vsize(draft.inputs, scripts)), minimum)
    assert set(draft.inputs) <= set(coins)
    assert sum(one.value for one in draft.inputs) == sum(one.value for one in draft.outputs) + draft.fee
    assert [one for one in draft.outputs if one.script == PAID] == [paid]
    assert all(one.value >= dust_threshold(one.script) for one in draft.outputs)
    # Without change, what would have been dust beyond its own cost goes to the miner.
    assert (
        least <= draft.fee <= least + fee_at(rate, 43) + dust_threshold(CHANGE) + (minimum if len(scripts) == 1 else 0)
    )


@given(st.integers(1, 10_000).map(SatPerKvB), st.integers(0, 10**7), st.integers(0, 5_000).map(SatPerKvB))
def test_every_rung_of_a_ladder_replaces_the_one_below(floor: SatPerKvB, span: int, incremental: SatPerKvB) -> None:
    """Between any two neighbours the fee rises by what the node asks of a replacement, and the rate rises."""
    rates = ladder(floor, SatPerKvB(floor + span), incremental)
    vsize = DEAL.output.refund_vsize(TO)
    fees = [fee_at(rate, vsize) for rate in rates]
    assert rates[0] == floor
    assert floor + span - rates[-1] <= incremental + ROUNDING or len(rates) == 64
    for low, high in itertools.pairwise(fees):
        assert high >= low - (-incremental * vsize // 1_000)
        assert high * 1_000 // vsize > low * 1_000 // vsize


@settings(max_examples=25)
@given(st.integers(330, 100_000), RATES)
def test_a_ladder_of_refunds_never_leaves_dust(value: int, cap: SatPerKvB) -> None:
    """Whatever the coin and the cap, each refund pays its owner at least what nodes relay."""
    coin = Coin(OutPoint(bytes(32), 0), Satoshi(value), DEAL.output.script)
    rates = ladder(SatPerKvB(min(1_000, cap)), cap, SatPerKvB(1_000))
    for rung in refund_ladder(DEAL.output, coin, TO, DEAL.follower, rates):
        (paid,) = parse_transaction(rung.raw).outputs
        assert paid == TxOut(Satoshi(value - rung.fee), TO)
        assert paid.value >= dust_threshold(TO)


@given(
    st.none() | RATES,
    RATES,
    st.integers(0, 5_000).map(SatPerKvB),
    st.integers(100, 300),
    st.integers(100, 300),
    st.integers(0, 200_000),
    st.integers(0, 200_000),
    st.booleans(),
)
def test_bids_are_relayed_and_affordable(
    estimate: SatPerKvB | None,
    floor: SatPerKvB,
    incremental: SatPerKvB,
    vsize: int,
    old_vsize: int,
    old_fee: int,
    most: int,
    is_ours: bool,
) -> None:
    """A bid never exceeds what the coin bears; a replacement pays by BIP-125's rules 3 and 4, and a higher rate."""
    policy = FeePolicy(SatPerKvB(1_000), SatPerKvB(200_000), SatPerKvB(5_000))
    market = Market(estimate, floor, incremental)
    with contextlib.suppress(BadInput):
        first = bid(policy, market, vsize, Satoshi(most))
        assert fee_at(first.rate, vsize) <= most
        assert 1_000 <= first.rate <= policy.cap
        found = outbid(
            policy, market, vsize, Satoshi(most), Standing(bytes(32), Satoshi(old_fee), old_vsize), is_ours=is_ours
        )
        if found is not None:
            fee = max(fee_at(found.rate, vsize), found.minimum_fee)
            assert fee <= most
            assert fee >= old_fee - (-incremental * vsize // 1_000)
            assert fee * old_vsize > old_fee * vsize
            assert fee * 1_000 // vsize <= policy.cap


@given(st.binary(max_size=400))
def test_what_strangers_send_is_read_or_refused(data: bytes) -> None:
    """No bytes make a decoder fail with anything but a refusal, and what it reads encodes to the same bytes."""
    for kind in (CosignRequest, CosignAnswer, RungOffer):
        with contextlib.suppress(BadInput):
            assert kind.decode(data).encode() == data
    with contextlib.suppress(BadInput):
        decode_claims(data)


ACTIONS = st.lists(st.sampled_from(["pay", "spend", "both", "mine", "fork", "restart"]), max_size=12)


@settings(max_examples=40)
@given(ACTIONS)
def test_a_view_is_what_the_chain_says_whatever_happened_before(actions: list[str]) -> None:
    """After any payments, spends, forks and restarts a running watch tells what a new one finds."""
    asyncio.run(_follow(actions))


async def _follow(actions: list[str]) -> None:
    node = FakeNode()
    node.mine_empty(3)
    watch = await BitcoinWatch.start(cast(BitcoinRpc, node))
    watch.watch(PAID, BlockHeight(0))
    await watch.look()
    for number, action in enumerate(actions):
        coin = transaction([(OutPoint(bytes([number + 1]) * 32, 0), (b"\x01" * 64,))], [(1_000, PAID)])
        spend = transaction([(OutPoint(coin.GetTxid(), 0), (b"\x02" * 64,))], [(500, CHANGE)])
        match action:
            case "pay":
                node.mine(coin)
            case "spend":
                node.mine(coin)
                node.mine(spend)
            case "both":
                node.mine(coin, spend)
            case "mine":
                node.mine()
            case "fork":
                node.invalidate(min(2, len(node.heights) - 1))
                node.mine_empty(3)
            case "restart":
                watch = BitcoinWatch(cast(BitcoinRpc, node), Sightings.decode(watch.sightings.encode()))
        view = await watch.look()
        fresh = await BitcoinWatch.start(cast(BitcoinRpc, node))
        fresh.watch(PAID, BlockHeight(0))
        assert view == await fresh.look()
