"""Deploying an Escrow or an Anchors contract: anyone may, and gets no power by it."""

from __future__ import annotations

from typing import Protocol

from adapters.evm.errors import BadAnswer
from adapters.evm.flight import TxResult
from adapters.evm.types import Call
from contracts import artifacts
from foundation.quantities import BlockHeight


class Sender(Protocol):
    """What deploying needs; `adapters.evm.sender.TxSender` has it."""

    async def send(self, call: Call, key: str, *, gas: int | None = None) -> TxResult:
        """Send a call once."""
        ...


async def deploy_escrow(sender: Sender, *, key: str = "deploy Escrow") -> tuple[bytes, BlockHeight]:
    """Deploy an Escrow; its address (20 bytes) and block. The same `key` and journal: the same Escrow.

    Raises:
        ArtifactUnavailable: the contracts are not built.
        What `TxSender.send` raises.
    """
    return await _deploy(sender, "Escrow", key)


async def deploy_anchors(sender: Sender, *, key: str = "deploy Anchors") -> tuple[bytes, BlockHeight]:
    """Deploy an Anchors contract; as `deploy_escrow`."""
    return await _deploy(sender, "Anchors", key)


async def _deploy(sender: Sender, name: str, key: str) -> tuple[bytes, BlockHeight]:
    result = await sender.send(Call(None, artifacts.load(name).bytecode, f"deploy {name}"), key)
    if result.receipt.contract is None:
        raise BadAnswer("eth_getTransactionReceipt", "contractAddress", f"{name} has none")
    return result.receipt.contract, result.receipt.block.number
