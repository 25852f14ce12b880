"""The EVM job on real chains: coin and tokens become mapping tokens, change hands, and go back to somebody's account."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.storage import ReleaseOutcome
from foundation.quantities import TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from registry.assets import AssetPolicy
from tests.support.bridge_network import ETHER
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import FEE_BPS, ORIGIN
from tests.support.evm_origin import EvmChain, send

pytestmark = pytest.mark.asyncio(loop_scope="session")
RELAY_FEE = ETHER // 1000


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[EvmLife]:
    """One bridge that serves bitcoin and two EVM chains; its vouchers distribute fees every second."""
    root = tmp_path_factory.mktemp("evm-job")
    async with (
        Anvil(root / "first", chain_id=ORIGIN) as first,
        Anvil(root / "second", chain_id=ORIGIN + 1) as second,
        evm_life(root / "net", _shared_bitcoind, _shared_anvil, [first, second], distribute_after_seconds=1.0) as life,
    ):
        yield life


def fee(amount: int) -> int:
    """The service fee of an amount."""
    return amount * FEE_BPS // 10_000


async def test_ether_goes_to_a_second_person_and_back_to_a_third(life: EvmLife) -> None:
    """Ten ether from Alice, six of Bob's tokens to Chris: the vault pays, its carrier earns, tokens burn."""
    chain = life.chain
    asset = chain.asset()
    alice, bob = await chain.account("alice"), await life.net.account("bob")
    chris = b"chris".rjust(20, b"\x01")
    async with life.always_backed():
        await life.held(chain, alice, 10 * ETHER, bob.account)
        minted = 10 * ETHER - fee(10 * ETHER)
        assert await life.tokens(asset, bob.account) == minted
        withdrawal = await life.to_chain(bob, asset, 6 * ETHER, chris, RELAY_FEE)
        await life.settled(withdrawal)
    paid = 6 * ETHER - fee(6 * ETHER)
    assert await chain.balance(chris) == paid - RELAY_FEE
    assert await chain.held() == 10 * ETHER - paid
    assert await life.tokens(asset, bob.account) == minted - 6 * ETHER
