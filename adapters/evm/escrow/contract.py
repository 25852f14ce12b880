"""Reading an Escrow, with answers on which all endpoints agree, and making sure that it is one of ours."""

from __future__ import annotations

from typing import Any, Final

from adapters.evm.abi import Function
from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.bindings import Escrow
from adapters.evm.escrow.errors import NotOurEscrow
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import NATIVE_COIN, check_address
from adapters.evm.lockbox.vault import runtime_code
from adapters.evm.types import Call
from contracts.artifacts import load
from foundation.quantities import BlockHeight

IMMUTABLES: Final = 320
"""Bytes that Vyper appends to a deployed Escrow's code: the signing domain's name, version, hashes and separator."""


class EscrowContract:
    """Typed reads of one Escrow after a block, and of the asset beside it. All raise as `Endpoints.call`."""

    def __init__(self, endpoints: Endpoints, escrow: bytes) -> None:
        """For the Escrow at that address (20 bytes). Raises `BadInput`."""
        check_address(escrow, "escrow", zero_allowed=False)
        self._endpoints = endpoints
        self.escrow = escrow

    async def check(self, at: BlockHeight) -> None:
        """Make sure that the code at the address is ours.

        Raises:
            NotOurEscrow: another contract, or none.
            ArtifactUnavailable: the contracts are not built.
        """
        code = await self._endpoints.code(self.escrow, at)
        expected = runtime_code(load("Escrow"))
        if len(code) != len(expected) + IMMUTABLES or not code.startswith(expected):
            raise NotOurEscrow(self.escrow, f"{len(code):,} bytes of another contract" if code else "nothing is there")

    async def slot(self, payer: bytes, lock_id: bytes, at: BlockHeight) -> bytes:
        """What a lock's slot holds, 32 bytes: zeros, the hash of open terms, `CLAIMED` or `RETURNED`."""
        return bytes((await self._read(Escrow.locks, at, payer, lock_id))[0])

    async def owed(self, owner: bytes, asset: bytes, at: BlockHeight) -> int:
        """What a beneficiary did not take and can withdraw, in base units."""
        return int((await self._read(Escrow.owed, at, owner, asset))[0])

    async def balance(self, account: bytes, asset: bytes, at: BlockHeight) -> int:
        """What an account holds of an asset, in base units."""
        if asset == NATIVE_COIN:
            return int(await self._endpoints.balance(account, at))
        return int((await self._asset(asset, Token.balance_of, at, account))[0])

    async def decimals(self, token: bytes, at: BlockHeight) -> int:
        """What a token says of its decimals. Raises `BadAnswer` where it says nothing."""
        return int((await self._asset(token, Token.decimals, at))[0])

    async def _read(self, function: Function, at: BlockHeight, *arguments: Any) -> tuple[Any, ...]:
        return await self._asset(self.escrow, function, at, *arguments)

    async def _asset(self, to: bytes, function: Function, at: BlockHeight, *arguments: Any) -> tuple[Any, ...]:
        call = Call(to, function.encode(*arguments), function.label)
        return function.decode(await self._endpoints.call(call, at))
