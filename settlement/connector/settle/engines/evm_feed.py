"""Transfers of a token to one account, proved and final, in order. Source: ERC-20, event Transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.abi import event
from adapters.evm.endpoints import Endpoints
from adapters.evm.follower import ContractFollower
from adapters.evm.types import Log
from foundation.quantities import BlockHeight

TRANSFER: Final = event("ERC20", "Transfer", "indexed address, indexed address, uint256")


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer. Fields: sender, receiver (20 bytes); amount; transaction (hash); index (of the log in its block)."""

    sender: bytes
    receiver: bytes
    amount: int
    transaction: bytes
    index: int


class TransferFeed(ContractFollower[Transfer]):
    """One token's transfers to one account."""

    def __init__(self, endpoints: Endpoints, token: bytes, receiver: bytes, start: BlockHeight) -> None:
        """Describe what to read.

        Args:
            endpoints: of the chain; none of them is believed.
            token: the contract, 20 bytes.
            receiver: whose transfers matter, 20 bytes.
            start: the first block to read where there is no cursor.
        """

        def to_receiver(log: Log) -> Transfer | None:
            moved = transfer_of(log)
            return moved if moved is not None and moved.receiver == receiver else None

        super().__init__(endpoints, token, start, to_receiver)


def transfer_of(log: Log) -> Transfer | None:
    """What a token's log says of a transfer; None for other events. Raises `BadAnswer`: it is no ERC-20."""
    if not log.topics or log.topics[0] != TRANSFER.topic or len(log.topics) != 3:
        return None
    sender, receiver, amount = TRANSFER.decode(log)
    return Transfer(sender, receiver, amount, log.transaction, log.index)
