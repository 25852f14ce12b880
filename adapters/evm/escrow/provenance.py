"""Whether an Escrow was born as one: its code alone says nothing of what was written into its storage at its creation.

Whoever deploys a contract chooses the code that runs once and leaves the contract's code behind. Such code can leave
exactly the Escrow's behind and write first that somebody is owed a fortune, who then withdraws what others lock. So the
transaction that created the contract has to have carried our creation code: an account's address and nonce name the
contract that its transaction creates (yellow paper, section 7), and the transaction is proved by its block.
"""

from __future__ import annotations

from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.accounts import Account
from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.errors import NotOurEscrow
from adapters.evm.hexes import read_data, read_field, read_quantity
from adapters.evm.rlp import encode, scalar
from adapters.evm.transactions import encoded_transaction, proved_hashes
from adapters.evm.transport import Json
from contracts.artifacts import load
from foundation.quantities import BlockHeight

_METHOD: Final = "eth_getBlockByHash"


async def check_created(endpoints: Endpoints, escrow: bytes, start: BlockHeight) -> None:
    """Make sure that a transaction in block `start` created the Escrow at an address (20 bytes) from our creation code.

    One that a contract created (a factory) is refused: its creation code stands in no transaction.

    Raises:
        NotOurEscrow: no transaction of that block did.
        ArtifactUnavailable: the contracts are not built.
        As `Endpoints.headers` and `Endpoints.read`.
    """
    code = load("Escrow").bytecode
    (header,) = await endpoints.headers([start])

    async def ask(endpoint: Endpoint) -> bool:
        (block,) = await endpoint.full_blocks([header])
        proved_hashes(block, header, endpoint.name)
        return any(_creates(one, escrow, code) for one in read_field(block, _METHOD, "transactions"))

    if not await endpoints.read(ask):
        problem = f"no transaction in block {start:,} created it from this release's code; name the block that did"
        raise NotOurEscrow(escrow, problem)


def _creates(transaction: Json, escrow: bytes, code: bytes) -> bool:
    """Whether a proved transaction made this contract out of this creation code."""
    if transaction.get("to") is not None or read_data(transaction.get("input"), _METHOD, "input") != code:
        return False
    # Recovered from the signature: what the node says of the sender proves nothing.
    sender = bytes.fromhex(Account.recover_transaction(encoded_transaction(transaction))[2:])
    nonce = read_quantity(read_field(transaction, _METHOD, "nonce"), _METHOD, "nonce")
    return keccak(encode([sender, scalar(nonce)]))[12:] == escrow
