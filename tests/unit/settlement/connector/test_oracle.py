"""A price that one endpoint makes up is none."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from adapters.evm.errors import EndpointsDisagree, NodeUnavailable
from foundation.quantities import UnixMs
from settlement.connector.rates.oracle import DECIMALS, LATEST_ROUND, EvmPriceFeed, OracleRates, Quote
from tests.support.evm_endpoint import FakeChain, FakeTransport, hexed, together

CONTRACT = b"\x31" * 20
NOW = UnixMs(1_790_000_060_000)


def priced(answer: int) -> bytes:
    """What an aggregator returns."""
    return encode(["uint80", "int256", "uint256", "uint256", "uint80"], [1, answer, 0, 1_790_000_000, 1])


@pytest.fixture
def chain() -> FakeChain:
    """A chain with an aggregator: 3,000 dollars."""
    made = FakeChain(final_behind=1)
    made.mine()
    made.mine()
    made.answers[CONTRACT, DECIMALS.encode()] = encode(["uint8"], [8])
    made.answers[CONTRACT, LATEST_ROUND.encode()] = priced(3_000 * 10**8)
    return made


def lying(chain: FakeChain, answer: int) -> FakeTransport:
    """An endpoint with a price of its own."""
    made = chain.endpoint("liar")
    round_data = hexed(LATEST_ROUND.encode())
    made.lies["eth_call"] = lambda params, truth: hexed(priced(answer)) if params[0]["data"] == round_data else truth
    return made


async def test_a_price_is_read_at_the_final_block_of_all(chain: FakeChain) -> None:
    """Each endpoint is asked for the state after the same final block."""
    one, other = chain.endpoint("one"), chain.endpoint("other")
    feed = EvmPriceFeed(together(one, other), CONTRACT)
    assert await feed.latest() == Quote(3_000 * 10**8, 8, UnixMs(1_790_000_000_000))
    for endpoint in (one, other):
        assert {params[1] for method, params in endpoint.asked if method == "eth_call"} == {"0x1"}


async def test_a_lying_endpoint_makes_no_price(chain: FakeChain) -> None:
    """Where one endpoint tells another price, nobody is outvoted: the old price stays until it ends."""
    honest = together(chain.endpoint("one"), chain.endpoint("other"))
    with pytest.raises(EndpointsDisagree) as refusal:
        await EvmPriceFeed(together(chain.endpoint("honest"), lying(chain, 1)), CONTRACT).latest()
    assert set(refusal.value.answers) == {"honest", "liar"}
    rates = OracleRates({"ETH": (EvmPriceFeed(honest, CONTRACT), 3_600_000)}, lambda: NOW, fixed={"USD": "1"})
    await rates.refresh()
    before = rates.rate("ETH", "USD")
    assert before is not None
    rates._feeds["ETH"] = (EvmPriceFeed(together(chain.endpoint("honest"), lying(chain, 1)), CONTRACT), 3_600_000)
    await rates.refresh()
    assert rates.rate("ETH", "USD") == before


async def test_before_the_first_final_block_there_is_no_price() -> None:
    """A chain that has nothing final yet says no price."""
    young = FakeChain(final_behind=5)
    with pytest.raises(NodeUnavailable):
        await EvmPriceFeed(together(young.endpoint()), CONTRACT).latest()
