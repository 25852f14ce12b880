"""Several endpoints as the node that a sender of transactions needs: believed where they agree, and all are sent to.

What a sender is told by one lying node could have it give up a nonce that is used after all, or wait for a transaction
that nobody was given. Here a receipt counts once all have it, a nonce is used up once all say so, and what cannot be
agreed on at the chain's tip is taken so that a lie costs time at most.

At the tip those count that answer, so that a claim does not wait for an endpoint that is down; for what is final, the
quorum has to.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import EndpointsDisagree, NodeUnavailable, Reverted, RpcRefused
from adapters.evm.types import BlockHeader, BlockTag, Call, Receipt, Simulation
from foundation.quantities import BlockHeight


class AgreedNode:
    """Implements `adapters.evm.flight.SenderNode`. Raises what `Endpoints` raises; with one endpoint, as that one."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Of the chain."""
        self._endpoints = endpoints

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """`finalized`: as the chain's rule and all endpoints have it. Others: the one with the highest base fee, which
        bounds what a transaction bids and is not what it pays.
        """
        return [await self._finalized() if one == "finalized" else await self._dearest(one) for one in numbers]

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """The most that any of them needs, and the least that any of them says the sender has.

        Raises:
            Reverted: all say that the contract refuses. EndpointsDisagree: not all.
        """

        async def ask(endpoint: Endpoint) -> Simulation | Reverted:
            try:
                return await endpoint.rpc.simulate(call, sender)
            except Reverted as refusal:
                return refusal

        answers = await self._endpoints.each(call.label, ask, least=1)
        refusals = [one for one in answers.values() if isinstance(one, Reverted)]
        simulations = [one for one in answers.values() if isinstance(one, Simulation)]
        if refusals and simulations:
            told = {name: str(one) if isinstance(one, Reverted) else "accepted" for name, one in answers.items()}
            raise EndpointsDisagree(call.label, told)
        if refusals:
            raise refusals[0]
        block = max((one.block for one in simulations), key=lambda header: header.base_fee)
        return Simulation(max(one.gas for one in simulations), min(one.balance for one in simulations), block)

    async def call(self, call: Call, number: BlockHeight | BlockTag = "latest", sender: bytes | None = None) -> bytes:
        """From the first that serves: a sender asks for nothing but the reason of a refusal. Raises `Reverted`."""
        return await self._endpoints.read(lambda endpoint: endpoint.rpc.call(call, number, sender))

    async def transaction_counts(self, account: bytes, tags: Sequence[BlockTag]) -> list[int]:
        """`finalized`: as all have it. Others: the lowest that any says, so that no nonce is taken for used too soon
        and none is left out; what is sent from this account alone its journal knows better.
        """
        lowest = [tag for tag in tags if tag != "finalized"]
        subject = f"transactions of 0x{account.hex()}"
        answers = await self._endpoints.each(
            subject, lambda endpoint: endpoint.rpc.transaction_counts(account, lowest), least=1
        )
        found = dict(zip(lowest, (min(column) for column in zip(*answers.values(), strict=True)), strict=True))
        return [found[tag] if tag in found else await self._final_count(account) for tag in tags]

    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """Those that all of them have, in the same block and with the same outcome."""
        if not hashes:
            return []
        answers = await self._endpoints.each("receipts", lambda endpoint: endpoint.rpc.receipts(hashes), least=1)
        columns = zip(hashes, *answers.values(), strict=True)
        return [_common(asked, told) for asked, *told in columns]

    async def known(self, hashes: Sequence[bytes]) -> list[bool]:
        """Whether all of them have each: one that does not is to be given it."""
        if not hashes:
            return []
        answers = await self._endpoints.each("transactions", lambda endpoint: endpoint.rpc.known(hashes), least=1)
        return [all(told) for told in zip(*answers.values(), strict=True)]

    async def send_raw(self, raw: bytes) -> None:
        """Hand it to all. Raises `RpcRefused`: none takes it; `NodeUnavailable`: none answers."""

        async def ask(endpoint: Endpoint) -> RpcRefused | None:
            try:
                await endpoint.rpc.send_raw(raw)
            except RpcRefused as refusal:
                return refusal
            return None

        answers = await self._endpoints.each("eth_sendRawTransaction", ask, least=1)
        refusals = [one for one in answers.values() if one is not None]
        if len(refusals) == len(answers):
            raise refusals[0]

    async def _finalized(self) -> BlockHeader | None:
        final = await self._endpoints.final()
        if final is None:
            return None
        answers = await self._endpoints.each("the final block", lambda one: one.rpc.block(final.number))
        return next((block for block in answers.values() if block is not None and block.hash == final.hash), None)

    async def _dearest(self, number: BlockHeight | BlockTag) -> BlockHeader | None:
        answers = await self._endpoints.each(f"block {number}", lambda endpoint: endpoint.rpc.block(number), least=1)
        found = [block for block in answers.values() if block is not None]
        return max(found, key=lambda header: header.base_fee, default=None)

    async def _final_count(self, account: bytes) -> int:
        final = await self._endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        subject = f"transactions of 0x{account.hex()} at block {final.number:,}"
        counts = await self._endpoints.agreed(
            subject, lambda endpoint: endpoint.rpc.transaction_counts(account, [final.number]), str
        )
        return counts[0]


def _common(asked: bytes, told: Sequence[Receipt | None]) -> Receipt | None:
    """The receipt on which all agree in what matters."""
    first = told[0]
    if first is None or first.transaction != asked:
        return None
    same = (first.transaction, first.block, first.succeeded)
    agreed = all(one is not None and (one.transaction, one.block, one.succeeded) == same for one in told)
    return first if agreed else None
