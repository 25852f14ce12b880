"""Following a withdrawal that a vault on an EVM chain pays, from its request to its settlement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from adapters.evm.errors import EndpointsDisagree, NodeUnavailable, TooFewEndpoints
from adapters.native.types import WithdrawalStatus
from cli.exits import NotFound, TimedOut
from cli.withdraw_state import WithdrawalState, read_state
from cli.withdrawing import Progress

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from cli.lock_chain import Origin
    from cli.withdrawing import Requested

_LOOK_SECONDS: Final = 0.3
_OVER: Final = frozenset({WithdrawalStatus.SETTLED, WithdrawalStatus.RESTORED})


class ReleaseWatch:
    """Follows one withdrawal over the Hub and, where its chain can be asked, the vault. For one run."""

    def __init__(self, native: NativeChain, network: NetworkFile, origin: Origin | None, requested: Requested) -> None:
        self._native = native
        self._network = network
        self._origin = origin
        self._requested = requested
        self._seen: set[str] = set()

    async def steps(self, timeout_s: float) -> AsyncIterator[Progress]:
        """Each step once, as it happens; the last one is `done`. Nodes that are away are waited for.

        Raises:
            TimedOut: it has not ended in time.
            NotFound: it was cancelled.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                for step in await self._look():
                    if step.stage not in self._seen:
                        self._seen.add(step.stage)
                        yield step
                    if step.done:
                        return
            except (NodeUnavailable, EndpointsDisagree, TooFewEndpoints):
                pass  # they come back, or agree again
            if asyncio.get_running_loop().time() > deadline:
                id_ = self._requested.id.hex()[:12]
                raise TimedOut(
                    "the withdrawal is not paid yet", timeout_s, f"it goes on: causeway withdraw status {id_}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> list[Progress]:
        steps = []
        if await self._native.withdrawal(self._requested.id) is not None:
            steps.append(Progress("final", "the request is final on the native chain"))
        record = await self._native.withdrawal(self._requested.id, "latest")
        if record is None or record.status is WithdrawalStatus.REQUESTED:
            return steps
        if record.status is WithdrawalStatus.CANCELLED:
            raise NotFound("the withdrawal was cancelled", "the tokens are back in the account")
        state = await read_state(self._native, self._network, record, self._origin)
        assert record.payout is not None, "a reserved withdrawal is in a payout"
        steps.append(Progress("reserved", f"reserved on the Hub, payout {record.payout.hex()[:12]}"))
        return [*steps, *self._paid(state)]

    def _paid(self, state: WithdrawalState) -> list[Progress]:
        chain, steps = state.chain.caip2, []
        if state.is_signed:
            steps.append(Progress("signed", f"the storemen have signed it: anyone may carry it to {chain}"))
        if state.news is not None:
            transaction = "0x" + state.news.transaction.hex()
            text = {
                "released": f"paid on {chain}",
                "failed": f"the payee refused the payment; {state.next}",
                "claimed": f"claimed from the vault on {chain}",
                "cancelled": "the vault will never pay it: the tokens come back",
            }[state.news.outcome]
            steps.append(Progress(state.news.outcome, text, transaction))
        if state.record.status in _OVER:
            steps.append(Progress(state.record.status.name.lower(), self._end(state), done=True))
        return steps

    def _end(self, state: WithdrawalState) -> str:
        if state.record.status is WithdrawalStatus.RESTORED:
            return "restored: it could not be paid, and the tokens are back"
        arrived = state.asset.format(state.record.amount - state.record.max_fee)
        if state.news is not None and state.news.outcome == "failed":
            return f"settled: the tokens are burnt, and {arrived} waits for its payee; {state.next}"
        return f"settled: the tokens are burnt; {arrived} was paid"
