"""Reading the state of one bridge's contracts at a block: what all typed reads are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from adapters.evm.abi import Function
from adapters.evm.errors import BadAnswer, NodeUnavailable, Reverted
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import BlockRef, BlockTag, Call
from adapters.native.deployment import Deployment
from foundation.errors import BadInput
from foundation.quantities import BlockHeight

T = TypeVar("T")

At: TypeAlias = BlockHeight | BlockTag
"""The block of a read: a number, `finalized` or `latest`."""

NOTHING: Final = bytes(32)
NOBODY: Final = bytes(20)


class ContractReads:
    """Calls of views, many in one request. Fields: rpc; deployment."""

    def __init__(self, rpc: EvmRpc, deployment: Deployment) -> None:
        """For the contracts of `deployment`, through `rpc`, made with `reverted=typed_revert`; the caller closes it."""
        self.rpc = rpc
        self.deployment = deployment

    def _registry(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.registry, function.encode(*arguments), function.label)

    def _bonds(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.bonds, function.encode(*arguments), function.label)

    def _hub(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.hub, function.encode(*arguments), function.label)

    async def _one(self, call: Call, function: Function, at: At) -> tuple[Any, ...]:
        return (await self._read([call], [function], at))[0]

    async def _all(self, calls: Sequence[Call], function: Function, at: At) -> list[tuple[Any, ...]]:
        return await self._read(calls, [function] * len(calls), at)

    async def _read(self, calls: Sequence[Call], functions: Sequence[Function], at: At) -> list[tuple[Any, ...]]:
        if not calls:
            return []
        try:
            answers = await self.rpc.calls(calls, at)
        except Reverted as error:  # our views refuse nothing: another contract is there
            raise BadAnswer("eth_call", error.label, "is refused: another contract is there") from error
        return [function.decode(answer) for function, answer in zip(functions, answers, strict=True)]

    async def _tagged(self, tag: BlockTag) -> BlockRef:
        header = await self.rpc.block(tag)
        if header is None:
            raise NodeUnavailable("eth_getBlockByNumber", f"the node has no {tag} block")
        return header.ref

    async def _number(self, at: At) -> BlockHeight:
        """One block for several reads: between two of them the newest may become another one."""
        return (await self._tagged(at)).number if isinstance(at, str) else at


def checked(function: Function, make: Callable[[], T]) -> T:
    """Make a typed value of what a contract answered, which ours cannot get wrong. Raises `BadAnswer`."""
    try:
        return make()
    except (BadInput, ValueError) as error:
        raise BadAnswer("eth_call", function.label, str(error)) from error
