"""Rescue files between two databases, without any chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import Satoshi, UnixMs
from mpc.keystore import ScryptCost
from settlement.swap.machine.changes import OwnerAsked, Tick, Wish
from settlement.swap.machine.effects import Watch
from settlement.swap.machine.states import Follower, Initiator, Outcome, encode_state
from settlement.swap.rescue import OtherMnemonic, Rescue, bring_in, careful, export, open_rescue
from settlement.swap.store.rows import BITCOIN_CURSOR
from settlement.swap.store.store import (
    KeptTransaction,
    OfferState,
    OwnOffer,
    Peer,
    SwapRow,
    SwapStore,
    Taking,
    TakingState,
)
from settlement.swap.store.tables import SCHEMA
from tests.support.swap_offers import an_offer
from tests.support.swap_sides import follower, initiator
from tests.support.swap_terms import NOW

CHEAP = ScryptCost(log_n=4)
WALLET = b"w" * 32
AT = UnixMs(NOW * 1000)
PASSWORD = "p"  # noqa: S105


def a_row() -> SwapRow:
    """A follower that has funded."""
    state = replaced(follower().locked().state, funding=True)
    return SwapRow(state.terms.swap_id, 4, True, "offer", Peer(b"i" * 32, b"l" * 32, "u"), b"s" * 64, state, 7, AT, AT)


@asynccontextmanager
async def machine(folder: Path, name: str) -> AsyncIterator[Database]:
    """An empty database."""
    async with await Database.open(f"sqlite:///{folder / name}", SCHEMA) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(WALLET)
            await unit.commit()
        yield database


async def fill(database: Database, row: SwapRow) -> None:
    """A swap with all that belongs to it, an offer and a taking."""
    async with database.unit() as unit:
        store = SwapStore(unit.connection)
        await store.add(row)
        await store.keep(KeptTransaction(row.swap_id, "funding", 0, b"t" * 32, b"raw", Satoshi(5), AT))
        await store.set_cursor(f"destination/{row.swap_id.hex()}", b"script")
        await store.set_cursor(BITCOIN_CURSOR, b"of this machine")
        await store.note(row.swap_id, AT, "the terms are complete")
        await store.put_offer(OwnOffer(5, an_offer(NOW), OfferState.OPEN, "", AT))
        await store.put_taking(Taking(6, an_offer(NOW, salt=1), TakingState.ASKED, "", None, AT))
        await store.skip_to(9)
        await unit.commit()


async def rescue_of(folder: Path, row: SwapRow, **more: str) -> Rescue:
    """A file of a machine that has this swap, opened."""
    file = folder / f"{row.version}.rescue"
    async with machine(folder, f"{row.version}-old.db") as database:
        await fill(database, row)
        assert await export(database, WALLET, file, PASSWORD, cost=CHEAP, **more) == 1
    assert row.state.terms.swap_id.hex().encode() not in file.read_bytes()
    return open_rescue(file, PASSWORD)


async def test_another_machine_has_all_that_the_file_had(tmp_path: Path) -> None:
    """The swap, its transactions, where its bitcoin goes to, its history, offers, takings and the next keys; not where
    the first machine's reading of the chains stood, nor what could begin a swap anew that is under way."""
    row = a_row()
    rescue = await rescue_of(tmp_path, row, mnemonic="words")
    assert (rescue.mnemonic, rescue.wallet_id) == ("words", WALLET)
    assert "words" not in repr(rescue)
    async with machine(tmp_path, "new.db") as database:
        (brought,) = await bring_in(database, WALLET, rescue, AT)
        assert brought == replace(row, state=careful(row.state))
        async with database.view() as view:
            store = SwapStore(view.connection)
            assert await store.swap(row.swap_id) == brought
            (kept,) = await store.all_kept(row.swap_id)
            assert (kept.raw, await store.cursor(f"destination/{row.swap_id.hex()}")) == (b"raw", b"script")
            assert await store.cursor(BITCOIN_CURSOR) == b""
            notes = [line.note for line in await store.lines(row.swap_id)]
            assert notes == ["the terms are complete", "brought in from a rescue file"]
            assert [order.effect for order in await store.coming()] == [Watch()]
            # Either may have become a swap after the file was written: a second one would know nothing of its promises.
            assert len(await store.open_offers()) == len(await store.open_takings()) == 0
            (offer,), taking = await store.offers(), await store.taking(an_offer(NOW, salt=1).offer.offer_id)
            assert taking is not None
            assert (offer.state, taking.state) == (OfferState.WITHDRAWN, TakingState.REFUSED)
            assert await store.next_index() == 9


async def test_what_has_changed_more_often_stays(tmp_path: Path) -> None:
    """An older file changes nothing; a newer one does, once."""
    row = a_row()
    older, newer = await rescue_of(tmp_path, row), await rescue_of(tmp_path, replace(row, version=8))
    async with machine(tmp_path, "new.db") as database:
        for rescue, count in ((older, 1), (older, 0), (newer, 1), (newer, 0), (older, 0)):
            assert len(await bring_in(database, WALLET, rescue, AT)) == count
        async with database.view() as view:
            found = await SwapStore(view.connection).swap(row.swap_id)
        assert found is not None
        assert found.version == 8


async def test_another_wallet_gets_nothing(tmp_path: Path) -> None:
    """Its keys fit nothing in the file."""
    rescue = await rescue_of(tmp_path, a_row())
    async with machine(tmp_path, "new.db") as database:
        with pytest.raises(OtherMnemonic):
            await bring_in(database, b"x" * 32, rescue, AT)


async def test_a_swap_under_a_wrong_id_is_refused(tmp_path: Path) -> None:
    """And with it the whole file: nothing is half brought in."""
    row = a_row()
    rescue = await rescue_of(tmp_path, row)
    (one,) = rescue.content.swaps
    other = initiator().state
    wrong = replaced(rescue.content, swaps=(one, replaced(one, swap_id=b"z" * 32, state=encode_state(other))))
    async with machine(tmp_path, "new.db") as database:
        with pytest.raises(BadInput, match="its id"):
            await bring_in(database, WALLET, replace(rescue, content=wrong), AT)
        async with database.view() as view:
            assert await SwapStore(view.connection).swaps() == ()


def test_an_imported_swap_promises_nothing_any_more() -> None:
    """What was decided after the file was written is unknown; what has ended stays as it is."""
    one, other = careful(follower().state), careful(initiator().state)
    assert isinstance(one, Follower)
    assert isinstance(other, Initiator)
    assert (one.recovered, one.funding, other.recovered, other.locking) == (True, True, True, True)
    ended = replaced(follower().state, outcome=Outcome.RETURNED)
    assert careful(ended) is ended
    assert careful(one) is one
    cancelled = follower()
    cancelled.agree()
    cancelled.tell(OwnerAsked(Wish.CANCEL))
    cancelled.lock(final=False)
    assert cancelled.state.outcome is None
    assert isinstance(cancelled.state, Follower)
    cancelled.state = careful(cancelled.state)
    cancelled.tell(Tick())
    assert not cancelled.state.funding, "who had decided never to fund has not funded since"
    told = replaced(other, wish=Wish.REDEEM)
    assert careful(told) == other, "the owner's word may have been taken back since"
