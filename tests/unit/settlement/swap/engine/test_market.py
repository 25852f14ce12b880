"""What a trader can afford: beside fees, and beside what it has promised already."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.evm.bids import Bid, affordable
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.types import BlockHeader, Simulation
from foundation.quantities import BlockHeight, Satoshi, Wei
from registry.caip import evm_chain
from settlement.swap.engine import market as engine_market
from settlement.swap.engine.market import CapTooLow, NotEnough, TraderMarket
from settlement.swap.engine.promised import Promised
from settlement.swap.engine.settings import AssetName
from settlement.swap.engine.trading import OfferUnknown
from settlement.swap.evm.gas import GasNeed, claim_need, lock_need
from settlement.swap.offers import Offer
from settlement.swap.planning.conditions import EVM_PROFILES, conditions_for
from settlement.swap.terms import Role
from tests.support.swap_offers import an_offer
from tests.support.swap_terms import NOW

ETHER, TOKEN = bytes(20), b"\x44" * 20
BASE_FEE = 3 * 10**9
FEES = FeePolicy(cap=Wei(10**12))
OFFER = an_offer(NOW).offer
CONDITIONS = replace(conditions_for(OFFER.bitcoin_chain, OFFER.evm_chain), evm=EVM_PROFILES[evm_chain(1)])


def cost(need: GasNeed) -> int:
    """What the market reckons with."""
    return need.cost(Wei(BASE_FEE), FEES, CONDITIONS.evm)


SEGWIT = b"\x00\x14" + bytes(20)
LEGACY = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"
"""No funding spends it: whoever signs for such a coin can change the transaction's id."""


class World:
    """A configuration, and two nodes that tell what there is."""

    def __init__(self) -> None:
        self.satoshi = 0
        self.funds = {ETHER: 0, TOKEN: 0}
        assets = (AssetName("BTC", 8, None), AssetName("ETH", 18, ETHER), AssetName("USDC", 6, TOKEN))
        self.settings: Any = SimpleNamespace(
            bitcoin_chain=OFFER.bitcoin_chain,
            evm_chain=OFFER.evm_chain,
            escrow=OFFER.escrow,
            site=SimpleNamespace(escrow=OFFER.escrow),
            bitcoin=SimpleNamespace(network=None),
            assets=assets,
            conditions=CONDITIONS,
            token=lambda address: next((one for one in assets if one.token == address), None),
        )
        self.base_fee = BASE_FEE
        self.evm = SimpleNamespace(check=self._head, funds=self._funds, base_fee=self._base_fee, fees=FEES)
        bitcoin = SimpleNamespace(check_network=self._any_network)
        desk: Any = SimpleNamespace(evm=self.evm, rpc=bitcoin, wallet=SimpleNamespace(coins=self._coins))
        views: Any = SimpleNamespace(heads=None)
        self.market = TraderMarket(self.settings, desk, views)

    async def able(self, offer: Offer, role: Role, promised: Promised | None = None) -> None:
        """Raises what the market says."""
        await self.market.check_able(offer, role, promised or Promised())

    async def _head(self) -> int:
        return 7

    async def _funds(self, asset: bytes) -> int:
        return self.funds[asset]

    async def _any_network(self, network: Any) -> None: ...

    async def _coins(self) -> tuple[Any, ...]:
        third = self.satoshi // 3
        coins = [(third, SEGWIT), (self.satoshi - third, SEGWIT), (10**10, LEGACY)]
        return tuple(SimpleNamespace(value=value, script=script) for value, script in coins)

    async def _base_fee(self) -> int:
        return self.base_fee


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    async def fine(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(engine_market, "check_asset", fine)
    return World()


async def test_who_locks_the_coin_needs_it_and_the_gas(world: World) -> None:
    """One unit less is refused, by name."""
    gas = cost(lock_need(ETHER))
    world.funds[ETHER] = OFFER.amount + gas
    await world.able(OFFER, Role.INITIATOR)
    world.funds[ETHER] -= 1
    with pytest.raises(NotEnough, match="gas included") as problem:
        await world.able(OFFER, Role.INITIATOR)
    whole = OFFER.amount + gas
    assert (problem.value.needed, problem.value.held, problem.value.gas) == (whole, whole - 1, gas)


async def test_who_locks_a_token_needs_it_and_gas_in_the_coin(world: World) -> None:
    """Either is missed by itself."""
    offer = replace(OFFER, asset=TOKEN)
    world.funds = {ETHER: cost(lock_need(TOKEN)), TOKEN: offer.amount}
    await world.able(offer, Role.INITIATOR)
    world.funds[TOKEN] -= 1
    with pytest.raises(NotEnough, match="USDC are needed"):
        await world.able(offer, Role.INITIATOR)
    world.funds = {ETHER: 0, TOKEN: offer.amount}
    with pytest.raises(NotEnough, match="ETH are needed"):
        await world.able(offer, Role.INITIATOR)


async def test_who_funds_needs_bitcoin_with_the_fee_and_gas_for_the_claim(world: World) -> None:
    """The coins together, and a fee beside the amount."""
    world.funds[ETHER] = cost(claim_need(ETHER))
    world.satoshi = int(OFFER.satoshi)
    with pytest.raises(NotEnough, match="the bitcoin wallet"):
        await world.able(OFFER, Role.FOLLOWER)
    world.satoshi += 10_000
    await world.able(OFFER, Role.FOLLOWER)
    world.funds[ETHER] -= 1
    with pytest.raises(NotEnough, match="gas included"):
        await world.able(OFFER, Role.FOLLOWER)


@pytest.mark.parametrize("role", Role)
async def test_a_cap_that_leaves_no_room_for_a_claim_is_refused(world: World, role: Role) -> None:
    """However rich the account is: at twice the base fee a claim has to fit, and the cure says what would do."""
    world.funds[ETHER] = world.satoshi = 10**30
    world.evm.fees = FeePolicy(cap=Wei(2 * BASE_FEE + FEES.tip))
    await world.able(OFFER, role)
    world.base_fee += 1
    with pytest.raises(CapTooLow, match="the cap is 7") as refusal:
        await world.able(OFFER, role)
    assert "fee_cap_gwei in swap.toml to 8 " in refusal.value.cure


@pytest.mark.parametrize("role", Role)
async def test_what_is_promised_is_not_there(world: World, role: Role) -> None:
    """Enough for one swap is not enough for the second one, and never for a third below nothing."""
    world.funds[ETHER] = OFFER.amount + cost(lock_need(ETHER))
    world.satoshi = int(OFFER.satoshi) + 10_000
    await world.able(OFFER, role)
    for times in (1, 2):
        promised = Promised(Satoshi(times * OFFER.satoshi), {ETHER: times * OFFER.amount})
        with pytest.raises(NotEnough, match="are there and not promised"):
            await world.able(OFFER, role, promised)


@pytest.mark.parametrize("role", Role)
async def test_gas_of_another_swap_is_not_there(world: World, role: Role) -> None:
    """The gas with which open swaps are to be claimed, or taken back, is neither locked nor used for this one."""
    other = claim_need(TOKEN) + lock_need(ETHER)
    own = OFFER.amount + cost(lock_need(ETHER)) if role is Role.INITIATOR else cost(claim_need(ETHER))
    world.satoshi = int(OFFER.satoshi) + 10_000
    world.funds[ETHER] = own + cost(other)
    await world.able(OFFER, role, Promised(gas=other))
    world.funds[ETHER] -= 1
    with pytest.raises(NotEnough, match="gas included") as problem:
        await world.able(OFFER, role, Promised(gas=other))
    assert (problem.value.needed, problem.value.held) == (own, own - 1)


@pytest.mark.parametrize("asset", [ETHER, TOKEN], ids=["coin", "token"])
async def test_what_passes_can_send_its_claim_under_stress(world: World, asset: bytes) -> None:
    """Who has just enough when a swap is agreed on bids in full at four times the base fee, and what the network takes
    at almost eight times; the Escrow wants much more gas than a claim uses."""
    world.satoshi = int(OFFER.satoshi) + 10_000
    world.funds[ETHER] = cost(claim_need(asset))
    await world.able(replace(OFFER, asset=asset), Role.FOLLOWER)
    least = {ETHER: 125_904, TOKEN: 346_145}[asset]  # measured: tests/integration/settlement/swap/evm/test_gas.py
    for times, is_lowered in ((1, False), (4, False), (7, True)):
        header = BlockHeader(BlockHeight(7), bytes(32), bytes(32), 0, Wei(times * BASE_FEE), 30_000_000)
        bid = affordable(Simulation(least, Wei(world.funds[ETHER]), header), Wei(0), SenderPolicy(FEES))
        assert isinstance(bid, Bid)
        assert bid.is_lowered == is_lowered


@pytest.mark.parametrize("field", ["escrow", "asset", "evm_chain", "bitcoin_chain"])
async def test_what_is_not_configured_is_refused_by_name(world: World, field: str) -> None:
    """Another contract, token or chain than those of swap.toml."""
    settings = world.settings
    world.market.check_known(OFFER)
    if field == "asset":
        settings.token = lambda _: None
    elif field == "escrow":
        settings.site.escrow = b"\x33" * 20
    else:
        setattr(settings, field, "another")
    with pytest.raises(OfferUnknown, match=field):
        world.market.check_known(OFFER)
