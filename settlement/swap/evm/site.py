"""Where a swap's EVM leg takes place: one Escrow on one chain."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.evm.lockbox.types import check_address
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.chains import Chain, ChainKind


@dataclass(frozen=True, slots=True)
class EscrowSite:
    """One Escrow on one chain. Raises `BadInput` for fields that do not fit.

    Fields: chain (number, genesis and what is final there); escrow (20 bytes); start (the block in which it was
    deployed: nothing of it is older).
    """

    chain: Chain
    escrow: bytes
    start: BlockHeight

    def __post_init__(self) -> None:
        if self.chain.kind is not ChainKind.EVM:
            raise BadInput("chain", f"{self.chain.caip2} is no EVM chain", "a chain of eip155:")
        check_address(self.escrow, "escrow", zero_allowed=False)

    @property
    def number(self) -> int:
        """The chain's EIP-155 number."""
        return int(self.chain.chain_id.reference)
