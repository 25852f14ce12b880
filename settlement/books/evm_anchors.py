"""A party's roots in an `Anchors` contract on an EVM chain."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import Reverted, TransactionAbandoned
from adapters.evm.escrow.bindings import Anchors as Contract
from adapters.evm.escrow.calls import anchor
from adapters.evm.flight import TxResult
from adapters.evm.lockbox.types import check_address
from adapters.evm.lockbox.vault import runtime_code
from adapters.evm.logs import LogSource, read_logs
from adapters.evm.types import BlockRef, Call
from contracts.artifacts import load
from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight
from settlement.books.batches import NO_ROOT, Anchored, BatchText, Place

POLL_SECONDS: Final = 1.0


class AnchorRefused(Fatal):
    """The chain has another root under this number: somebody else anchors with this account, or the books were changed.

    Fields: number; root (ours, 32 bytes); found (the chain's; zeros: none).
    """

    def __init__(self, number: int, root: bytes, found: bytes) -> None:
        self.number = number
        self.root = root
        self.found = found
        super().__init__(f"anchor {number} is {found.hex()} on the chain, not {root.hex()}")


class NotFinal(Retryable):
    """The transaction's block is not in the final chain; the same transaction is asked for again. Fields: block."""

    def __init__(self, block: BlockRef) -> None:
        self.block = block
        super().__init__(f"block {block} is not in the final chain")


class Sender(Protocol):
    """What sending needs: `adapters.evm.sender.TxSender`."""

    @property
    def account(self) -> bytes:
        """The account's address, 20 bytes."""

    async def send(self, call: Call, key: str, *, gas: int | None = None) -> TxResult:
        """Send a call once for a key; see `TxSender.send`."""

    async def is_used_up(self, key: str) -> bool:
        """Whether what was sent under a key is final and had no effect."""


class EvmRoots:
    """Reads anyone's roots on one chain: what an auditor needs of it. See `receipt_check.ChainPort`."""

    def __init__(self, endpoints: Endpoints) -> None:
        """By these endpoints, whose answers have to agree."""
        self._endpoints = endpoints

    async def root_at(self, place: Place, number: int) -> bytes | None:
        """The root that stands, finally, under a number; None where there is none, it is another chain's, or what is at
        the address is no `Anchors` of ours: another contract could say anything.

        Raises:
            Retryable: the chain does not answer, or its endpoints disagree.
        """
        final = await self._endpoints.final()
        if final is None or place.chain != self._endpoints.chain.caip2:
            return None
        if await self._endpoints.code(place.contract, final.number) != runtime_code(load("Anchors")):
            return None
        root = await self.root_after(place, number, final.number)
        return None if root == NO_ROOT else root

    async def root_after(self, place: Place, number: int, height: BlockHeight) -> bytes:
        """The root under a number after a final block; zeros where there is none. Raises as `Endpoints.call`."""
        call = Call(place.contract, Contract.root_of.encode(place.authority, number), Contract.root_of.label)
        return bytes(Contract.root_of.decode(await self._endpoints.call(call, height))[0])


class EvmAnchors:
    """Implements `anchoring.Anchors`. Nothing is believed that a single endpoint says of the chain's state."""

    def __init__(
        self,
        endpoints: Endpoints,
        logs: LogSource,
        sender: Sender,
        contract: bytes,
        *,
        start: BlockHeight = BlockHeight(0),  # noqa: B008 - a NewType of int
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Describe the roots of `sender`'s account.

        Args:
            endpoints: the chain's.
            logs: where a transaction is looked for that the journal does not know (`EvmRpc`).
            sender: the account's, running, with a durable journal; nothing else anchors with this account.
            contract: an `Anchors`, 20 bytes.
            start: the block in which the contract was deployed.
            poll_seconds: between two looks for finality.

        Raises:
            BadInput: no address.
        """
        check_address(contract, "anchoring.contract", zero_allowed=False)
        self._endpoints = endpoints
        self._roots = EvmRoots(endpoints)
        self._logs = logs
        self._sender = sender
        self._contract = contract
        self._start = start
        self._poll_seconds = poll_seconds

    @property
    def place(self) -> Place:
        """See `anchoring.Anchors`."""
        return Place(self._endpoints.chain.caip2, self._contract, self._sender.account)

    async def anchor(self, text: BatchText) -> Anchored:
        """See `anchoring.Anchors`. Raises what `TxSender.send` and `Endpoints` do, too."""
        assert text.place == self.place, "the batch is for this account, contract and chain"
        while True:
            try:
                transaction, block = await self._included(text)
                await self._final(block)
            except NotFinal:
                # The block was replaced; the sender sees to it that the transaction comes into another.
                await asyncio.sleep(self._poll_seconds)
                continue
            found = await self._roots.root_after(text.place, text.number, block.number)
            if found != text.root:
                raise AnchorRefused(text.number, text.root, found)
            return Anchored(transaction, block.hash, block.number)

    async def _included(self, text: BatchText) -> tuple[bytes, BlockRef]:
        """The transaction that wrote the root, and its block, which may not be final yet."""
        call = anchor(self._contract, text.root, text.size, text.previous)
        with suppress(TransactionAbandoned):  # somebody else took its nonce: once more, under another key
            return await self._sent(call, text)
        return await self._sent(call, text)

    async def _sent(self, call: Call, text: BatchText) -> tuple[bytes, BlockRef]:
        try:
            result = await self._sender.send(call, await self._key(text))
        except Reverted as refusal:
            return await self._written_before(text, refusal)
        return result.transaction, result.receipt.block

    async def _key(self, text: BatchText) -> str:
        """The first key of this batch that is not used up: what came to nothing is tried again."""
        attempt = 1
        while await self._sender.is_used_up(f"anchor:{self._contract.hex()}:{text.number}:{attempt}"):
            attempt += 1
        return f"anchor:{self._contract.hex()}:{text.number}:{attempt}"

    async def _written_before(self, text: BatchText, refusal: Reverted) -> tuple[bytes, BlockRef]:
        """Where the root was written by a transaction that the journal does not know, such as after its loss."""
        found = await self._roots.root_at(text.place, text.number)
        if found is None:
            raise refusal
        if found != text.root:
            raise AnchorRefused(text.number, text.root, found) from refusal
        final = await self._endpoints.final()
        assert final is not None, "a root stands in it"
        topics = (
            [Contract.Anchored.topic],
            [text.place.authority.rjust(32, b"\0")],
            [text.number.to_bytes(32, "big")],
        )
        logs = await read_logs(self._logs, [self._contract], self._start, final.number, topics)
        if not logs:
            raise refusal
        return logs[-1].transaction, logs[-1].block

    async def _final(self, block: BlockRef) -> None:
        """Wait until the block is final. Raises `NotFinal` where another one is in its place."""
        while True:
            final = await self._endpoints.final()
            if final is not None and final.number >= block.number:
                break
            await asyncio.sleep(self._poll_seconds)
        (header,) = await self._endpoints.headers([block.number])
        if header.hash != block.hash:
            raise NotFinal(block)
