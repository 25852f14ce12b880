"""Deploying a bridge's contracts. The account that sends becomes the owner of Registry and Bonds."""

from __future__ import annotations

import asyncio
from typing import Final

from adapters.evm.abi import encode_values
from adapters.evm.errors import BadAnswer
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import Call
from adapters.native.deployment import Deployment
from adapters.native.ports import Sender
from contracts import artifacts
from foundation.quantities import BlockHeight, Wei

DEFAULT_MINIMUM_STAKE: Final = Wei(10**18)


async def deploy(
    rpc: EvmRpc, sender: Sender, minimum_stake: Wei = DEFAULT_MINIMUM_STAKE, *, key: str = "deploy"
) -> Deployment:
    """Deploy Registry, Bonds, the blueprint of MappingToken, and the Hub that believes them.

    With the same `key` and a journal that remembers, a deployment that was cut short is finished, not repeated.

    Args:
        rpc: the native chain's node.
        sender: the owner's account.
        minimum_stake: of a voucher, in wei; more than zero.
        key: names this deployment among the sender's transactions.

    Raises:
        ArtifactUnavailable: the contracts are not built.
        What `TxSender.send` and `EvmRpc` raise.
    """
    genesis = await rpc.block(BlockHeight(0))
    if genesis is None:
        raise BadAnswer("eth_getBlockByNumber", "result", "the node has no genesis block")
    names = ("Registry", "Bonds", "Hub", "MappingToken")
    registry_code, bonds_code, hub_code, token_code = [artifacts.load(name) for name in names]

    async def create(name: str, code: bytes) -> tuple[bytes, BlockHeight]:
        result = await sender.send(Call(None, code, f"deploy {name}"), f"{key}:{name}")
        if result.receipt.contract is None:
            raise BadAnswer("eth_getTransactionReceipt", "contractAddress", f"{name} has none")
        return result.receipt.contract, result.receipt.block.number

    stake = encode_values(["uint256"], [minimum_stake], "minimum_stake")
    (registry, first), (bonds, second), (blueprint, third) = await asyncio.gather(
        create("Registry", registry_code.bytecode),
        create("Bonds", bonds_code.bytecode + stake),
        create("MappingToken", token_code.blueprint_bytecode),
    )
    companions = encode_values(["address"] * 3, [registry, bonds, blueprint], "hub")
    hub, _ = await create("Hub", hub_code.bytecode + companions)
    return Deployment(
        registry=registry,
        bonds=bonds,
        hub=hub,
        token_blueprint=blueprint,
        chain_id=await rpc.chain_id(),
        start_block=min(first, second, third),
        genesis=genesis.hash,
    )
