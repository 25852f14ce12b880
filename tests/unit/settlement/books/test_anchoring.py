"""The agent that anchors receipts, and its crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.database import Database
from foundation.errors import BadInput, Retryable
from settlement.books.anchoring import Anchoring
from settlement.books.batch_store import BatchStore
from settlement.books.batches import Anchored, Batch, BatchText, Place
from settlement.books.merkle import root_of
from settlement.books.receipt_store import ReceiptStore
from settlement.cosign.statements import Kind
from tests.support.settlement_books import NOW, SIGNERS, A, books_database, id_of, receipt, registry
from tests.support.settling import Death, Killed

PLACE = Place("eip155:1337", b"\x11" * 20, b"\x22" * 20)
RECEIPTS = [receipt(label) for label in range(7)]


class Down(Retryable):
    """The chain is away."""


class Chain:
    """A contract as Anchors.vy is, with a process that may die before or after it is called."""

    def __init__(self, death: Death | None = None) -> None:
        self.place = PLACE
        self.texts: list[BatchText] = []
        self.death = death or Death()
        self.is_down = False

    async def anchor(self, text: BatchText) -> Anchored:
        if self.is_down:
            raise Down
        self.death.event()
        if text not in self.texts:
            before = self.texts[-1] if self.texts else None
            assert text.previous == (before.root if before else bytes(32)), "the contract refuses another past"
            assert text.first == (before.last if before else 0) + 1, "each receipt is anchored once"
            self.texts.append(text)
        self.death.event()
        return Anchored(id_of(text.number), id_of(text.root), text.number)


async def _keep(database: Database, *numbers: int) -> None:
    async with database.unit() as unit:
        await ReceiptStore(unit.connection).keep_many([RECEIPTS[number] for number in numbers], NOW)
        await unit.commit()


async def _batches(database: Database) -> tuple[Batch, ...]:
    async with database.view() as view:
        return await BatchStore(view.connection).all()


async def test_batches_follow_each_other(tmp_path: Path) -> None:
    """Each batch covers the receipts since the last, names its root, and is signed; nothing new is no batch."""
    chain = Chain()
    async with books_database(tmp_path) as database:
        anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
        assert not await anchoring.advance()
        await _keep(database, 0, 1, 2)
        assert await anchoring.advance()
        assert not await anchoring.advance()
        await _keep(database, 3)
        assert await anchoring.advance()
        made = await _batches(database)
        async with database.view() as view:
            links = await ReceiptStore(view.connection).links(1, 4)
            assert (await BatchStore(view.connection).covering(4)) == made[1]
            assert await BatchStore(view.connection).covering(5) is None
    assert [(batch.text.first, batch.text.last) for batch in made] == [(1, 3), (4, 4)]
    assert [batch.text.root for batch in made] == [root_of(links[:3]), root_of(links[3:])]
    assert made[1].text.previous == made[0].text.root
    assert [batch.text for batch in made] == chain.texts
    for batch in made:
        assert batch.anchored is not None
        registry().verify(Kind.ANCHOR, batch.text.digest, batch.signature, NOW, [A])


async def test_batch_waits_for_a_chain_that_is_down(tmp_path: Path) -> None:
    """While the chain is away the batch stays as it is, whatever comes after it."""
    chain = Chain()
    chain.is_down = True
    async with books_database(tmp_path) as database:
        anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
        await _keep(database, 0, 1)
        with pytest.raises(Down):
            await anchoring.advance()
        await _keep(database, 2)
        chain.is_down = False
        while await anchoring.advance():
            pass
    assert [(text.first, text.last) for text in chain.texts] == [(1, 2), (3, 3)]


async def test_crash_anywhere_anchors_each_receipt_once(tmp_path: Path) -> None:
    """Wherever the process dies, each receipt is in one batch, and each batch on the chain once."""
    for at in range(20):
        folder = tmp_path / str(at)
        folder.mkdir()
        death = Death(at=at)
        chain = Chain(death)
        try:
            async with books_database(folder, death.on_commit) as database:
                anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
                await _keep(database, 0, 1)
                await anchoring.advance()
                await _keep(database, 2)
                await anchoring.advance()
        except Killed:
            pass
        chain.death = Death()
        async with books_database(folder) as database:
            await _keep(database, 0, 1, 2)
            anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
            while await anchoring.advance():
                pass
            made = await _batches(database)
        assert [batch.text for batch in made] == chain.texts
        assert chain.texts[-1].last == 3
        assert all(batch.anchored is not None for batch in made)
        if not death.is_dead:
            return
    raise AssertionError("it never came through")


def test_no_time_is_refused(tmp_path: Path) -> None:
    """A batch is gathered for some time."""
    with pytest.raises(BadInput):
        Anchoring(None, Chain(), SIGNERS[A], lambda: NOW, 0)  # type: ignore[arg-type]
