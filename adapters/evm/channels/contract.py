"""Reading a Channels contract, with answers on which all endpoints agree, and making sure that it is one of ours."""

from __future__ import annotations

from typing import Final

from adapters.evm.channels.bindings import Channels
from adapters.evm.channels.errors import NotOurChannels
from adapters.evm.endpoints import Endpoints
from adapters.evm.lockbox.types import check_address
from adapters.evm.lockbox.vault import runtime_code
from adapters.evm.types import Call
from contracts.artifacts import load
from foundation.quantities import BlockHeight

IMMUTABLES: Final = 320
"""Bytes that Vyper appends to the deployed code: the signing domain's name, version, hashes and separator."""


class ChannelsContract:
    """Typed reads of one contract after a block. All raise as `Endpoints.call`."""

    def __init__(self, endpoints: Endpoints, contract: bytes) -> None:
        """For the contract at that address (20 bytes). Raises `BadInput`."""
        check_address(contract, "channels", zero_allowed=False)
        self._endpoints = endpoints
        self.contract = contract

    async def check(self, at: BlockHeight) -> None:
        """Make sure that the code at the address is ours.

        Raises:
            NotOurChannels: another contract, or none.
            ArtifactUnavailable: the contracts are not built.
        """
        code = await self._endpoints.code(self.contract, at)
        expected = runtime_code(load("Channels"))
        if len(code) != len(expected) + IMMUTABLES or not code.startswith(expected):
            raise NotOurChannels(self.contract, f"{len(code):,} bytes of another contract" if code else "no code")

    async def owed(self, account: bytes, asset: bytes, at: BlockHeight) -> int:
        """What was paid out to an account and not collected, in base units."""
        call = Call(self.contract, Channels.owed.encode(account, asset), Channels.owed.label)
        return int(Channels.owed.decode(await self._endpoints.call(call, at))[0])
