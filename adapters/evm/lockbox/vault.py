"""Reading a Lockbox, with answers on which all endpoints agree, and making sure that it is one of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.evm.abi import Function
from adapters.evm.endpoints import Endpoints
from adapters.evm.lockbox.bindings import Lockbox, Token
from adapters.evm.lockbox.errors import NotOurLockbox
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import NATIVE_COIN, check_address
from adapters.evm.types import Call
from contracts.artifacts import Artifact, load
from foundation.quantities import BlockHeight, TokenUnits

IMMUTABLES: Final = 64
"""Bytes that Vyper appends to a deployed Lockbox's code: guardian and window_seconds, a word each."""

_READS: Final = 100
"""Calls in one request."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may move of an asset in a window, in base units; 0: no limit, and then nothing is counted.

    Fields: deposit_limit; locked (in the present window); withdrawal_limit; released (in the present window); denied.
    """

    deposit_limit: TokenUnits
    locked: TokenUnits
    withdrawal_limit: TokenUnits
    released: TokenUnits
    denied: bool


class LockboxVault:
    """Reads one Lockbox after a block `at`. All methods raise as `Endpoints.calls`; `BadAnswer` where none is there."""

    def __init__(self, endpoints: Endpoints, lockbox: bytes) -> None:
        """For the Lockbox at that address (20 bytes). Raises `BadInput`."""
        check_address(lockbox, "lockbox", zero_allowed=False)
        self._endpoints = endpoints
        self.lockbox = lockbox

    async def check(self, key: bytes, at: BlockHeight) -> None:
        """Make sure that the code at the address is ours, and that it obeys this key (x-only, 32 bytes).

        Raises:
            NotOurLockbox: another contract, none, or another key.
            ArtifactUnavailable: the contracts are not built.
        """
        code = await self._endpoints.code(self.lockbox, at)
        expected = runtime_code(load("Lockbox"))
        if len(code) != len(expected) + IMMUTABLES or not code.startswith(expected):
            raise NotOurLockbox(self.lockbox, "code", "that of this release", f"{len(code):,} bytes of another one")
        found = await self.key(at)
        if found != key:
            raise NotOurLockbox(self.lockbox, "key", key.hex(), found.hex())

    async def key(self, at: BlockHeight) -> bytes:
        """The group's key, x-only, 32 bytes."""
        return bytes((await self._read(Lockbox.key, at))[0])

    async def epoch(self, at: BlockHeight) -> int:
        """How often the key was rotated."""
        return int((await self._read(Lockbox.epoch, at))[0])

    async def messages(self, at: BlockHeight) -> Messages:
        """What the group signs under the key that the Lockbox obeys after block `at`."""
        number = int(self._endpoints.chain.chain_id.reference)
        return Messages(number, self.lockbox, await self.epoch(at))

    async def consumed(self, numbers: Sequence[int], at: BlockHeight) -> list[bool]:
        """Whether each payment was made, failed or was cancelled."""
        found: list[bool] = []
        for start in range(0, len(numbers), _READS):
            part = [self._call(Lockbox.consumed, number) for number in numbers[start : start + _READS]]
            answers = await self._endpoints.calls(part, at)
            found += [bool(Lockbox.consumed.decode(answer)[0]) for answer in answers]
        return found

    async def failed_amount(self, number: int, at: BlockHeight) -> TokenUnits:
        """What waits to be claimed of a failed payment; 0 where nothing does."""
        return TokenUnits((await self._read(Lockbox.failed_amount, at, number))[0])

    async def fees_owed(self, carrier: bytes, asset: bytes, at: BlockHeight) -> TokenUnits:
        """The fees that a carrier would not take, and can claim."""
        return TokenUnits((await self._read(Lockbox.fees_owed, at, carrier, asset))[0])

    async def configuration_nonce(self, asset: bytes, at: BlockHeight) -> int:
        """How often the asset was configured; the next configuration names one more."""
        return int((await self._read(Lockbox.configuration_nonce, at, asset))[0])

    async def limits(self, asset: bytes, at: BlockHeight) -> Limits:
        """The asset's limits, and what the window of block `at` has used of them."""
        return Limits(*await self._read(Lockbox.limits, at, asset))

    async def lock_count(self, at: BlockHeight) -> int:
        """The number of the last lock; 0 before the first."""
        return int((await self._read(Lockbox.lock_count, at))[0])

    async def paused_until(self, at: BlockHeight) -> int:
        """When the last pause ended or will end, in seconds since 1970; 0 if there was none."""
        return int((await self._read(Lockbox.paused_until, at))[0])

    async def pause_count(self, at: BlockHeight) -> int:
        """How many pauses there were: the nonce of the `unpause` that ends the last one."""
        return int((await self._read(Lockbox.pause_count, at))[0])

    async def balance(self, asset: bytes, at: BlockHeight) -> TokenUnits:
        """What the Lockbox holds of an asset."""
        if asset == NATIVE_COIN:
            return TokenUnits(await self._endpoints.balance(self.lockbox, at))
        call = Call(asset, Token.balance_of.encode(self.lockbox), Token.balance_of.label)
        return TokenUnits(Token.balance_of.decode(await self._endpoints.call(call, at))[0])

    async def _read(self, function: Function, at: BlockHeight, *arguments: Any) -> tuple[Any, ...]:
        return function.decode(await self._endpoints.call(self._call(function, *arguments), at))

    def _call(self, function: Function, *arguments: Any) -> Call:
        return Call(self.lockbox, function.encode(*arguments), function.label)


def runtime_code(artifact: Artifact) -> bytes:
    """The code that a contract's creation code deploys, without its immutables.

    Creation code is the deployer, the runtime code, and metadata whose length its last two bytes say. The metadata is a
    CBOR list: a hash of 32 bytes, the runtime code's size, and more. Source: Vyper 0.4.3 (`compile_ir.py`), RFC 8949.
    """
    creation = artifact.bytecode
    metadata = creation[len(creation) - int.from_bytes(creation[-2:], "big") :]
    # 85: a list of five; 5820: 32 bytes; 19: a number of two bytes.
    assert metadata[:3] + metadata[35:36] == b"\x85\x58\x20\x19", "Vyper's metadata, of a fixed version"
    size = int.from_bytes(metadata[36:38], "big")
    end = len(creation) - len(metadata)
    return creation[end - size : end]
