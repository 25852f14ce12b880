"""Whether a contract was born from our code: what it runs says nothing of what was written into its storage before.

Whoever deploys a contract chooses the code that runs once and leaves the contract's code behind. Such code can leave
exactly ours behind and write first that somebody is owed a fortune, who then takes what others bring. So the
transaction that created the contract has to have carried our creation code: an account's address and nonce name the
contract that its transaction creates (yellow paper, section 7), and the transaction is proved by its block.
"""

from __future__ import annotations

from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.accounts import Account
from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.hexes import read_data, read_field, read_quantity
from adapters.evm.rlp import encode, scalar
from adapters.evm.transactions import encoded_transaction, proved_hashes
from adapters.evm.transport import Json
from contracts.artifacts import load
from foundation.quantities import BlockHeight

_METHOD: Final = "eth_getBlockByHash"


async def was_created(endpoints: Endpoints, contract: bytes, start: BlockHeight, artifact: str) -> bool:
    """Whether a transaction in block `start` created the contract at an address (20 bytes) from our creation code.

    For one that a contract created (a factory) it is False: its creation code stands in no transaction.

    Args:
        artifact: the contract's name among `contracts.artifacts`; its constructor takes no arguments.

    Raises:
        ArtifactUnavailable: the contracts are not built.
        As `Endpoints.headers` and `Endpoints.read`.
    """
    code = load(artifact).bytecode
    (header,) = await endpoints.headers([start])

    async def ask(endpoint: Endpoint) -> bool:
        (block,) = await endpoint.full_blocks([header])
        proved_hashes(block, header, endpoint.name)
        return any(_creates(one, contract, code) for one in read_field(block, _METHOD, "transactions"))

    return await endpoints.read(ask)


def not_created(start: BlockHeight) -> str:
    """Why a contract is refused, for people."""
    return f"no transaction in block {start:,} created it from this release's code; name the block that did"


def _creates(transaction: Json, contract: bytes, code: bytes) -> bool:
    """Whether a proved transaction made this contract out of this creation code."""
    if transaction.get("to") is not None or read_data(transaction.get("input"), _METHOD, "input") != code:
        return False
    # Recovered from the signature: what the node says of the sender proves nothing.
    sender = bytes.fromhex(Account.recover_transaction(encoded_transaction(transaction))[2:])
    nonce = read_quantity(read_field(transaction, _METHOD, "nonce"), _METHOD, "nonce")
    return keccak(encode([sender, scalar(nonce)]))[12:] == contract
