"""Prices read from a contract on a real EVM node."""

from __future__ import annotations

import os

import pytest
from eth_abi.abi import encode as abi_encode

from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import BadAnswer, WrongChain
from adapters.evm.rpc import EvmRpc
from adapters.evm.transport import Transport
from foundation.quantities import BlockHeight, UnixMs
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.connector.rates.oracle import EvmPriceFeed, Quote

pytestmark = pytest.mark.integration

DECIMALS = 8
UPDATED_AT = 1_790_000_000
RETURN_WHAT_FOLLOWS = bytes.fromhex("60a0600c60003960a06000f3")
"""Copies the 160 bytes after this code to memory and returns them, whatever was called: a round whose id doubles as the
answer to `decimals`."""


async def aggregator(anvil: Anvil, answer: int) -> bytes:
    """The address of a contract that answers as an aggregator."""
    address = os.urandom(20)
    words = abi_encode(
        ["uint80", "int256", "uint256", "uint256", "uint80"], [DECIMALS, answer, UPDATED_AT, UPDATED_AT, DECIMALS]
    )
    transport = Transport(anvil.url)
    await transport.call("anvil_setCode", "0x" + address.hex(), "0x" + (RETURN_WHAT_FOLLOWS + words).hex())
    await transport.close()
    return address


async def chain_of(anvil: Anvil, chain_id: int | None = None) -> Chain:
    """The node's chain; its newest block is final."""
    async with EvmRpc(anvil.url) as rpc:
        genesis = await rpc.block(BlockHeight(0))
        assert genesis is not None
        return Chain.named(evm_chain(chain_id or await rpc.chain_id()), genesis.hash, 1)


async def test_price_is_read_from_the_contract(anvil: Anvil) -> None:
    """Answer, decimals and time are the contract's, and a negative answer comes as it is."""
    for answer in (300_000_000_000, -1):
        contract = await aggregator(anvil, answer)
        await anvil.mine()
        feed = EvmPriceFeed(Endpoints.at([anvil.url, anvil.url], await chain_of(anvil)), contract)
        assert await feed.latest() == Quote(answer, DECIMALS, UnixMs(UPDATED_AT * 1000))
        await feed.close()


async def test_other_chain_and_missing_contract_are_refused(anvil: Anvil) -> None:
    """A node of another chain, and an address without code, give no price."""
    contract = await aggregator(anvil, 1)
    wrong = EvmPriceFeed(Endpoints.at([anvil.url], await chain_of(anvil, 424_242)), contract)
    with pytest.raises(WrongChain):
        await wrong.latest()
    await wrong.close()
    nothing = EvmPriceFeed(Endpoints.at([anvil.url], await chain_of(anvil)), os.urandom(20))
    with pytest.raises(BadAnswer):
        await nothing.latest()
    await nothing.close()
