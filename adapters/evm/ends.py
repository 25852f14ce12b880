"""What became of transactions of ours, by final blocks that the endpoints agree on and receipts that prove themselves.

A sender hears from nodes when a transaction is in a block, which is enough to stop worrying. Before money is counted as
paid, or sent again, that is too little: a node could make it up. So the block is held against all endpoints, and the
transaction with its receipt against the block's header.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, TypeAlias

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import ChainMoved
from adapters.evm.proved import Mined, prove_transaction
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight


class Gone(Enum):
    """The nonce is used up in final blocks, and none of the versions that we signed is in one, as all endpoints say."""

    GONE = "gone"


GONE: Final = Gone.GONE
End: TypeAlias = Mined | Gone | None
_Place: TypeAlias = tuple[bytes, BlockRef] | None


class FinalEnds:
    """One chain's final word on transactions."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Of the chain; none of them is believed."""
        self._endpoints = endpoints

    async def of(self, account: bytes, nonce: int, hashes: Sequence[bytes]) -> End:
        """What became of a nonce of `account` (20 bytes), of which all signed versions are named (hashes).

        Returns:
            The version that a final block holds, proved; GONE; or None while neither is so.

        Raises:
            EndpointsDisagree: one of them says otherwise. Nobody is outvoted: a person has to look.
            TooFewEndpoints, EndpointLied, ChainMoved, NodeUnavailable, WrongChain: see `adapters.evm.endpoints`.
        """
        final = await self._endpoints.final()
        if final is None:
            return None
        subject = f"where nonce {nonce} of 0x{account.hex()} was used"
        place = await self._endpoints.agreed(
            subject, lambda endpoint: _place(endpoint, hashes, final.number), lambda found: _shown(found)
        )
        if place is None:
            counted = await self._endpoints.agreed(
                f"the transactions of 0x{account.hex()}",
                lambda endpoint: endpoint.rpc.transaction_counts(account, [final.number]),
                str,
            )
            return GONE if counted[0] > nonce else None
        transaction, block = place
        (header,) = await self._endpoints.headers([block.number])
        if header.hash != block.hash:
            raise ChainMoved(block.number)
        return await self._endpoints.read(lambda endpoint: prove_transaction(endpoint, header, transaction))


async def _place(endpoint: Endpoint, hashes: Sequence[bytes], final: BlockHeight) -> _Place:
    """Where an endpoint has one of these, in a final block."""
    receipts = await endpoint.rpc.receipts(hashes)
    for asked, receipt in zip(hashes, receipts, strict=True):
        if receipt is not None and receipt.block.number <= final:
            return asked, receipt.block
    return None


def _shown(found: _Place) -> str:
    return "nowhere" if found is None else f"0x{found[0].hex()} in block {found[1]}"
