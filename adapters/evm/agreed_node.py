"""Several endpoints as the node that a sender of transactions needs: all are sent to, and none of them can stop it.

What a sender is told by one lying node could have it give up a nonce that is used after all, or wait for a transaction
that nobody was given. Here a receipt counts once all have it, and what is final is what all say.

At the tip nothing is agreed on, for a claim that is not sent may cost the money that it claims, and one that is sent in
vain costs its gas. Those count that answer; a call is sent if one of them accepts it; and of figures (gas, balance,
base fee, nonces) the middle one counts. Of three endpoints no single one can move that beyond what the others say. Of
two there is no middle: both figures are told (`Simulation.least`), and the sender bids so that either may be right
(`adapters.evm.bids`). See docs/adr/0024.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import InsufficientBalance, NodeUnavailable, Reverted, RpcRefused
from adapters.evm.flight import TRANSACTION_GAS
from adapters.evm.mempool import Verdict, verdict
from adapters.evm.types import BlockHeader, BlockTag, Call, Receipt, Simulation
from foundation.quantities import BlockHeight, Wei

_GRAVITY: Final = (
    Verdict.TAKEN,
    Verdict.UNDERPRICED,
    Verdict.TOO_POOR,
    Verdict.NONCE_USED,
    Verdict.REFUSED,
    Verdict.NEVER,
)
"""Of several refusals the first of these is told. A transaction is given up for `NEVER`: one liar must not say that."""

_log = structlog.get_logger(__name__)


class AgreedNode:
    """Implements `adapters.evm.flight.SenderNode`. Raises what `Endpoints` raises; with one endpoint, as that one."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Of the chain."""
        self._endpoints = endpoints

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """`finalized`: as the chain's rule and all endpoints have it. Others: the one with the middle base fee, the
        higher one of two. That bounds what a transaction bids, and is not what it pays.
        """
        return [await self._finalized() if one == "finalized" else await self._middle(one) for one in numbers]

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """The middle of what those need and have that accept it, and `least` where two remain.

        Raises:
            Reverted, InsufficientBalance: all that answer refuse it; as the first of them says it.
        """

        async def ask(endpoint: Endpoint) -> Simulation | Reverted | InsufficientBalance:
            try:
                return await endpoint.rpc.simulate(call, sender)
            except (Reverted, InsufficientBalance) as refusal:
                return refusal

        answers = await self._endpoints.each(call.label, ask, least=1)
        accepted = {name: one for name, one in answers.items() if isinstance(one, Simulation)}
        refused = {name: one for name, one in answers.items() if not isinstance(one, Simulation)}
        if not accepted:
            raise next(iter(refused.values()))
        if refused:
            told = {name: str(one) for name, one in refused.items()}
            _log.warning("some endpoints refuse what others accept: it is sent", call=call.label, refused=told)
        return _joined(call.label, accepted)

    async def balances(self, account: bytes) -> tuple[Wei, Wei]:
        """The middle of what they tell: twice the same, or the lower and the higher one of two."""
        subject = f"the balance of 0x{account.hex()}"
        told = (await self._endpoints.each(subject, lambda endpoint: endpoint.rpc.balance(account), least=1)).values()
        return Wei(_lower(told)), Wei(_upper(told))

    async def call(self, call: Call, number: BlockHeight | BlockTag = "latest", sender: bytes | None = None) -> bytes:
        """From the first that serves: a sender asks for nothing but the reason of a refusal. Raises `Reverted`."""
        return await self._endpoints.read(lambda endpoint: endpoint.rpc.call(call, number, sender))

    async def transaction_counts(self, account: bytes, tags: Sequence[BlockTag]) -> list[int]:
        """`finalized`: as all have it. Others: the middle one, the lower one of two, so that no nonce is taken for used
        too soon and none is left out; what is sent from this account alone its journal knows better.
        """
        tips = [tag for tag in tags if tag != "finalized"]
        subject = f"transactions of 0x{account.hex()}"
        answers = await self._endpoints.each(
            subject, lambda endpoint: endpoint.rpc.transaction_counts(account, tips), least=1
        )
        found = dict(zip(tips, map(_lower, zip(*answers.values(), strict=True)), strict=True))
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
        """Hand it to all. Raises `RpcRefused`: none takes it, nor has it; `TooFewEndpoints`: none answers."""

        async def ask(endpoint: Endpoint) -> RpcRefused | None:
            try:
                await endpoint.rpc.send_raw(raw)
            except RpcRefused as refusal:
                return refusal
            return None

        answers = await self._endpoints.each("eth_sendRawTransaction", ask, least=1)
        refusals = [one for one in answers.values() if one is not None]
        if len(refusals) == len(answers):
            refusal = min(refusals, key=lambda one: _GRAVITY.index(verdict(one.message)))
            if verdict(refusal.message) is not Verdict.TAKEN:
                raise refusal

    async def _finalized(self) -> BlockHeader | None:
        final = await self._endpoints.final()
        if final is None:
            return None
        answers = await self._endpoints.each("the final block", lambda one: one.rpc.block(final.number))
        return next((block for block in answers.values() if block is not None and block.hash == final.hash), None)

    async def _middle(self, number: BlockHeight | BlockTag) -> BlockHeader | None:
        answers = await self._endpoints.each(f"block {number}", lambda endpoint: endpoint.rpc.block(number), least=1)
        found = [block for block in answers.values() if block is not None]
        return _by_fee(found)[len(found) // 2] if found else None

    async def _final_count(self, account: bytes) -> int:
        final = await self._endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        subject = f"transactions of 0x{account.hex()} at block {final.number:,}"
        counts = await self._endpoints.agreed(
            subject, lambda endpoint: endpoint.rpc.transaction_counts(account, [final.number]), str
        )
        return counts[0]


def _joined(label: str, told: Mapping[str, Simulation]) -> Simulation:
    """One simulation of several: the upper middle of each figure, and beside it the lower one."""
    if len(told) == 1:
        return next(iter(told.values()))
    _warn_of_gaps(label, told)
    most = min(TRANSACTION_GAS, max(one.block.gas_limit for one in told.values()))
    gas = [one.gas for one in told.values() if one.gas <= most] or [one.gas for one in told.values()]
    balances = [one.balance for one in told.values()]
    blocks = _by_fee(one.block for one in told.values())
    limit = _upper(block.gas_limit for block in blocks)
    low, high = (replace(blocks[place], gas_limit=limit) for place in ((len(blocks) - 1) // 2, len(blocks) // 2))
    return Simulation(_upper(gas), Wei(_upper(balances)), high, Simulation(_lower(gas), Wei(_lower(balances)), low))


def _warn_of_gaps(label: str, told: Mapping[str, Simulation]) -> None:
    """Say who told what, where that is more than what nodes differ by that are a block apart."""
    figures = [(one.gas, one.balance, one.block.base_fee) for one in told.values()]
    if any(max(column) > 2 * min(column) for column in zip(*figures, strict=True)):
        shown = {
            name: f"{one.gas:,} gas, a balance of {one.balance:,} wei, a base fee of {one.block.base_fee:,} wei"
            for name, one in told.items()
        }
        _log.warning("endpoints say what cannot all be so: it is sent", call=label, told=shown)


def _by_fee(blocks: Iterable[BlockHeader]) -> list[BlockHeader]:
    return sorted(blocks, key=lambda header: header.base_fee)


def _upper(values: Iterable[int]) -> int:
    """The middle value; the higher one of two."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _lower(values: Iterable[int]) -> int:
    """The middle value; the lower one of two."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def _common(asked: bytes, told: Sequence[Receipt | None]) -> Receipt | None:
    """The receipt on which all agree in what matters."""
    first = told[0]
    if first is None or first.transaction != asked:
        return None
    same = (first.transaction, first.block, first.succeeded)
    agreed = all(one is not None and (one.transaction, one.block, one.succeeded) == same for one in told)
    return first if agreed else None
