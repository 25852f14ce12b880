"""Deploying a bridge's contracts. The account that sends becomes the owner of Registry and Bonds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from adapters.evm.abi import encode_values
from adapters.evm.errors import BadAnswer
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import Call
from adapters.native.calls import Calls
from adapters.native.deployment import Deployment
from adapters.native.errors import AlreadyBound
from adapters.native.ports import Sender
from adapters.native.types import BondTerms
from contracts import artifacts
from foundation.quantities import BlockHeight, Wei

DEFAULT_TERMS: Final = BondTerms(
    minimum_stake=Wei(10**18), unbonding_seconds=14 * 86_400, slash_bps=5_000, reward_bps=1_000
)
"""One coin of stake; two weeks to unbond; a slash takes half of a bond, and a tenth of that goes to who reported."""


async def deploy(rpc: EvmRpc, sender: Sender, terms: BondTerms = DEFAULT_TERMS, *, key: str = "deploy") -> Deployment:
    """Deploy Registry, Bonds, the blueprint of MappingToken, and the Hub that believes them; then bind all to it.

    With the same `key` and a journal that remembers, a deployment that was cut short is finished, not repeated.

    Args:
        rpc: the native chain's node.
        sender: the owner's account.
        terms: what Bonds asks of its operators, for ever.
        key: names this deployment among the sender's transactions.

    Raises:
        ArtifactUnavailable: the contracts are not built.
        BadInput: Bonds would refuse the terms.
        What `TxSender.send` and `EvmRpc` raise.
    """
    terms.check()
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

    plain = (terms.minimum_stake, terms.unbonding_seconds, terms.slash_bps, terms.reward_bps)
    numbers = encode_values(["uint256"] * 4, plain, "bonds")
    (registry, first), (bonds, second), (blueprint, third) = await asyncio.gather(
        create("Registry", registry_code.bytecode),
        create("Bonds", bonds_code.bytecode + numbers),
        create("MappingToken", token_code.blueprint_bytecode),
    )
    companions = encode_values(["address"] * 3, [registry, bonds, blueprint], "hub")
    hub, _ = await create("Hub", hub_code.bytecode + companions)
    deployment = Deployment(
        registry=registry,
        bonds=bonds,
        hub=hub,
        token_blueprint=blueprint,
        chain_id=await rpc.chain_id(),
        start_block=min(first, second, third),
        genesis=genesis.hash,
    )
    await bind(sender, deployment, key=key)
    return deployment


async def bind(sender: Sender, deployment: Deployment, *, key: str = "deploy") -> None:
    """Tell Bonds and Registry of the Hub, which was deployed after them; what was told before is left alone.

    Args:
        sender: the owner's account.
        deployment: the contracts.
        key: names this deployment among the sender's transactions.

    Raises:
        NotTheOwner: the sender did not deploy the contracts.
        What `TxSender.send` raises.
    """
    calls = Calls(deployment)
    for call, name in ((calls.bind(), "bind"), (calls.set_registrar(deployment.hub), "registrar")):
        with suppress(AlreadyBound):
            await sender.send(call, f"{key}:{name}")
