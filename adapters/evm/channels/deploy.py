"""Deploying a Channels contract: anyone may, and gets no power by it."""

from __future__ import annotations

from adapters.evm.errors import BadAnswer
from adapters.evm.escrow.deploy import Sender
from adapters.evm.types import Call
from contracts import artifacts
from foundation.quantities import BlockHeight


async def deploy_channels(sender: Sender, *, key: str = "deploy Channels") -> tuple[bytes, BlockHeight]:
    """Deploy a Channels contract; its address (20 bytes) and block. The same `key` and journal: the same contract.

    Raises:
        ArtifactUnavailable: the contracts are not built.
        What `TxSender.send` raises.
    """
    result = await sender.send(Call(None, artifacts.load("Channels").bytecode, "deploy Channels"), key)
    if result.receipt.contract is None:
        raise BadAnswer("eth_getTransactionReceipt", "contractAddress", "Channels has none")
    return result.receipt.contract, result.receipt.block.number
