"""The agent that anchors receipts: it gathers a batch, signs its root, and has it written on the chain, once.

A batch is committed before anything is sent, and never changes: whatever crashes, the same root is anchored under the
same number. The contract refuses a root that does not name the one before, so none comes twice or is left out.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from foundation.database import Database
from foundation.errors import BadInput, Fatal, Retryable
from settlement.books.batch_store import BatchStore
from settlement.books.batches import BATCH_MAX, NO_ROOT, Anchored, Batch, BatchText, Place, signed_batch
from settlement.books.merkle import root_of
from settlement.books.receipt_store import ReceiptStore
from settlement.cosign.keys import Signer
from settlement.quantities import Clock

_log = structlog.get_logger(__name__)


class Anchors(Protocol):
    """This party's roots on a chain."""

    @property
    def place(self) -> Place:
        """Whose roots, and where."""

    async def anchor(self, text: BatchText) -> Anchored:
        """Write a batch's root; returns when it is final. Asked again, also after a crash, it is written once.

        Raises:
            Retryable: it is not final yet, or not known to be; ask again.
            AnchorRefused: the contract has another root under this number.
        """


class Anchoring:
    """Anchors a party's receipts. Start `run` as a task, or call `advance` whenever it suits."""

    def __init__(self, database: Database, anchors: Anchors, signer: Signer, clock: Clock, batch_ms: int) -> None:
        """Describe the agent.

        Args:
            database: with the receipts.
            anchors: where to.
            signer: this party's.
            clock: tells the time.
            batch_ms: how long receipts are gathered for one batch, milliseconds.

        Raises:
            BadInput: that is no time.
        """
        if batch_ms <= 0:
            raise BadInput("batch_ms", f"{batch_ms} is not above 0", "60000 gathers for a minute")
        self._database = database
        self._anchors = anchors
        self._signer = signer
        self._clock = clock
        self._batch_ms = batch_ms

    async def run(self) -> None:
        """Anchor, until cancelled. What the chain or the database refuse for now is tried again in the next round."""
        while True:
            try:
                while await self.advance():
                    pass
            except Retryable as problem:
                _log.warning("receipts wait for their anchor", problem=str(problem))
            except Fatal as problem:
                # A person has to look; until then nothing more is anchored, and the monitors say so.
                _log.error("receipts are not anchored", problem=str(problem))
            await asyncio.sleep(self._batch_ms / 1000)

    async def advance(self) -> bool:
        """Anchor what waits, or what has come since; False where there is nothing.

        Raises:
            Retryable: not now.
            AnchorRefused: the chain contradicts the books: a person has to look.
        """
        batch = await self._waiting()
        if batch is None:
            return False
        where = await self._anchors.anchor(batch.text)
        async with self._database.unit() as unit:
            await BatchStore(unit.connection).anchored(batch.text.number, where, self._clock())
            await unit.commit()
        _log.info("receipts anchored", number=batch.text.number, receipts=batch.text.size, block=where.height)
        return True

    async def _waiting(self) -> Batch | None:
        """The batch that is to be anchored, made of the receipts since the last where none waits already."""
        async with self._database.unit() as unit:
            store, kept = BatchStore(unit.connection), ReceiptStore(unit.connection)
            waiting = await store.waiting()
            if waiting is not None:
                return waiting
            newest = await store.newest()
            first = 1 if newest is None else newest.text.last + 1
            last = min((await kept.head())[0], first + BATCH_MAX - 1)
            if last < first:
                return None
            root = root_of(await kept.links(first, last))
            number, previous = (1, NO_ROOT) if newest is None else (newest.text.number + 1, newest.text.root)
            text = BatchText(self._anchors.place, number, first, last, root, previous, self._clock())
            batch = signed_batch(text, self._signer)
            await store.add(batch)
            await unit.commit()
        return batch
