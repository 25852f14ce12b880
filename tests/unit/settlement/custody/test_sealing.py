"""What is kept of payments opens with the party's key, in its own place, and nowhere else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from sqlalchemy import update

from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.sealing import Sealer, StateDamaged, What
from settlement.custody.states import encode_state
from settlement.custody.store import Due, PaymentStore
from settlement.custody.tables import METADATA, outbox, payments
from settlement.custody.terms import Particulars, PaymentId

ONE, TWO = PaymentId(b"1" * 32), PaymentId(b"2" * 32)
SECRET = b"a secret of two banks, 32 bytes."
ORDER = payer.Order(
    *(ONE, "bank-a", "clearing", "bank-b", "yuan", 5, "euro", "bank-a", 9),
    Particulars("GDDS", "DE", "CN", "legal", "legal"),
    1,
)


def test_what_was_sealed_opens_again() -> None:
    """A text comes back as it was, and no two seals of it are alike."""
    sealer = Sealer(b"k" * 32)
    first, second = (sealer.seal(ONE, What.STATE, b"text") for _ in range(2))
    assert sealer.open(ONE, What.STATE, first) == sealer.open(ONE, What.STATE, second) == b"text"
    assert first != second


@pytest.mark.parametrize("case", ["payment", "kind", "key", "changed", "short"])
def test_what_is_out_of_place_does_not_open(case: str) -> None:
    """Another payment's text, another kind's, one under another key, or a changed one is refused."""
    sealed = Sealer(b"k" * 32).seal(ONE, What.STATE, b"text")
    sealer = Sealer(b"x" * 32 if case == "key" else b"k" * 32)
    payment = TWO if case == "payment" else ONE
    what = What.EFFECT if case == "kind" else What.STATE
    raw = {"changed": sealed[:-1] + bytes([sealed[-1] ^ 1]), "short": sealed[:5]}.get(case, sealed)
    with pytest.raises(StateDamaged) as refusal:
        sealer.open(payment, what, raw)
    assert (refusal.value.payment_id, refusal.value.what) == (payment, what)


def test_a_sealer_keeps_its_key() -> None:
    """A sealer shows its key in no text, is not copied, and takes none of another length."""
    sealer = Sealer(b"k" * 32)
    assert "kkk" not in repr(sealer)
    with pytest.raises(TypeError):
        pickle.dumps(sealer)
    with pytest.raises(BadInput):
        Sealer(b"short")


async def test_a_store_writes_no_secret(tmp_path: Path) -> None:
    """States and effects are in the database sealed, each under its payment, and come back as they were."""
    state = payer.Pricing(ORDER, SECRET, "g.b", "b")
    effect = c.Fulfil("yuan", b"t" * 32, SECRET)
    async with await Database.open(f"sqlite:///{tmp_path / 'a.db'}", Schema((METADATA,))) as database:
        async with database.unit() as unit:
            store = PaymentStore(unit.connection, Sealer(b"k" * 32))
            await store.save({ONE: state}, {}, [(ONE, state)], UnixMs(1))
            await store.add_due([Due(1, ONE, "ledger:yuan", effect)], UnixMs(1))
            await unit.commit()
        async with database.view() as view:
            store = PaymentStore(view.connection, Sealer(b"k" * 32))
            assert (await store.load([ONE]))[ONE].state == state
            assert [due.effect for due in await store.due()] == [effect]
            raw = (await view.connection.execute(payments.select())).one().state
            assert SECRET not in raw
            assert encode_state(state) not in raw
            assert SECRET not in (await view.connection.execute(outbox.select())).one().effect
        async with database.unit() as unit:
            await unit.connection.execute(update(payments).values(payment_id=TWO))
            with pytest.raises(StateDamaged):
                await PaymentStore(unit.connection, Sealer(b"k" * 32)).load([TWO])


async def test_starts_are_counted(tmp_path: Path) -> None:
    """Each start has a number above all before it, which says who works."""
    async with await Database.open(f"sqlite:///{tmp_path / 'a.db'}", Schema((METADATA,))) as database:
        numbers = []
        for _ in range(3):
            async with database.unit() as unit:
                store = PaymentStore(unit.connection, Sealer(b"k" * 32))
                numbers.append(await store.take_over())
                await unit.commit()
        assert numbers == [1, 2, 3]
