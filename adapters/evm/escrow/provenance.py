"""Whether an Escrow was born as one (see `adapters.evm.provenance`)."""

from __future__ import annotations

from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.errors import NotOurEscrow
from adapters.evm.provenance import not_created, was_created
from foundation.quantities import BlockHeight


async def check_created(endpoints: Endpoints, escrow: bytes, start: BlockHeight) -> None:
    """Make sure that a transaction in block `start` created the Escrow at an address (20 bytes) from our creation code.

    Raises:
        NotOurEscrow: no transaction of that block did.
        ArtifactUnavailable: the contracts are not built.
        As `provenance.was_created`.
    """
    if not await was_created(endpoints, escrow, start, "Escrow"):
        raise NotOurEscrow(escrow, not_created(start))
