"""What a trader's machine remembers, on a real database file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import Satoshi, UnixMs
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.effects import SignTerms, StopWatching, Watch
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import (
    HISTORY_MAX,
    KeptTransaction,
    OfferState,
    OtherWallet,
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

WALLET = b"w" * 32
AT = UnixMs(NOW * 1000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SwapStore]:
    """A wallet's new database, in one unit of work."""
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database, database.unit() as unit:
        made = SwapStore(unit.connection)
        await made.claim(WALLET)
        yield made


def a_row(index: int = 0, *, swap_id: bytes | None = None) -> SwapRow:
    """A swap that begins."""
    side = follower()
    peer = Peer(b"\x03" * 32, b"\x04" * 32, "http://127.0.0.1:1")
    return SwapRow(swap_id or side.terms.swap_id, index, False, "offer", peer, b"", side.state, 1, AT, AT)


async def test_a_database_belongs_to_one_wallet(store: SwapStore) -> None:
    """The same words again are welcome, others are not."""
    await store.claim(WALLET)
    with pytest.raises(OtherWallet):
        await store.claim(b"x" * 32)


async def test_no_index_is_given_out_twice(store: SwapStore) -> None:
    """Nor one below a mark, which never goes back."""
    assert [await store.new_index(), await store.new_index()] == [0, 1]
    await store.skip_to(9)
    await store.skip_to(5)
    assert (await store.next_index(), await store.new_index(), await store.next_index()) == (9, 9, 10)


async def test_an_own_offer_changes_its_state_and_nothing_else(store: SwapStore) -> None:
    """Put again, it is where it was; open ones are told apart."""
    first = OwnOffer(0, an_offer(NOW), OfferState.OPEN, "", AT)
    second = OwnOffer(1, an_offer(NOW, salt=1), OfferState.OPEN, "", UnixMs(AT + 1))
    for one in (second, first):
        await store.put_offer(one)
    assert await store.open_offers() == (first, second)
    taken = replace(first, state=OfferState.TAKEN, board="http://127.0.0.1:2")
    await store.put_offer(replace(taken, index=7))
    assert await store.offer(first.offer_id) == taken
    assert await store.open_offers() == (second,)
    assert await store.offers() == (taken, second)
    assert await store.offer(b"\x01" * 32) is None


async def test_the_index_of_an_offer_that_came_to_nothing_is_used_again(store: SwapStore) -> None:
    """Not of one that was taken, that a swap uses, or that has not ended; and each once."""
    fruitless, taken, used = (OwnOffer(at, an_offer(NOW, salt=at), OfferState.OPEN, "", AT) for at in range(3))
    for one in (fruitless, replace(taken, state=OfferState.TAKEN), used):
        await store.put_offer(one)
    await store.add(a_row(2))
    ended = NOW + 1_800
    assert await store.spare_index(ended) is None
    assert await store.spare_index(ended + 1) == 0
    assert await store.spare_index(ended + 1) is None


async def test_a_taking_goes_from_asked_to_its_end(store: SwapStore) -> None:
    """With the swap that came of it, or why none did, cut to what a database should hold."""
    taking = Taking(3, an_offer(NOW), TakingState.ASKED, "", None, AT)
    await store.put_taking(taking)
    assert await store.open_takings() == (taking,)
    await store.put_taking(replace(taking, state=TakingState.REFUSED, problem="x" * 900))
    refused = await store.taking(taking.offer_id)
    assert refused == replace(taking, state=TakingState.REFUSED, problem="x" * 500)
    await store.put_taking(replace(taking, state=TakingState.AGREED, swap_id=b"s" * 32))
    agreed = await store.taking(taking.offer_id)
    assert agreed is not None
    assert (agreed.state, agreed.swap_id, await store.open_takings()) == (TakingState.AGREED, b"s" * 32, ())
    assert await store.taking(b"\x01" * 32) is None


async def test_a_swap_is_added_once_and_saved_often(store: SwapStore) -> None:
    """Its state, version and time change; whose it is does not."""
    row = a_row()
    assert await store.add(row)
    assert not await store.add(replace(row, index=8))
    assert await store.swap(row.swap_id) == row
    side = initiator()
    newer = await store.save(row, replaced(side.state, wish=Wish.REFUND), UnixMs(AT + 5))
    assert (newer.version, newer.updated_at) == (2, AT + 5)
    assert await store.swap(row.swap_id) == newer
    await store.sign(row.swap_id, b"\x09" * 64)
    found = await store.swap_of(0)
    assert found == replace(newer, peer_signature=b"\x09" * 64)
    assert await store.swap_of(8) is None


async def test_ended_swaps_are_told_from_open_ones(store: SwapStore) -> None:
    """Open ones alone are worked on."""
    one, other = a_row(0), a_row(1, swap_id=b"\x02" * 32)
    for row in (one, other):
        await store.add(row)
    await store.save(one, replaced(one.state, outcome=Outcome.RETURNED), AT)
    assert [row.index for row in await store.swaps(open_only=True)] == [1]
    assert [row.index for row in await store.swaps()] == [0, 1]


async def test_a_swap_is_named_by_its_first_digits(store: SwapStore) -> None:
    """At least four, of one swap."""
    for index, swap_id in enumerate((b"\xab\xcd" + bytes(30), b"\xab\xcd" + b"\x01" * 30)):
        await store.add(a_row(index, swap_id=swap_id))
    assert (await store.named(" 0xABCD01 ")).index == 1
    for name in ("abc", "abcd", "ffff", "swap", ""):
        with pytest.raises(BadInput, match="swap"):
            await store.named(name)


async def test_an_order_that_is_given_again_is_due_again(store: SwapStore) -> None:
    """What was done of the giving before does not end the newer one."""
    row = a_row()
    await store.add(row)
    await store.give(row.swap_id, [SignTerms(), Watch()], AT)
    due = {order.key: order for order in await store.coming()}
    first = due[SignTerms().key]
    assert (first.number, first.attempts, len(due)) == (1, 0, 2)
    await store.give(row.swap_id, [SignTerms()], UnixMs(AT + 1))
    await store.done(first)
    (again,) = [order for order in await store.coming() if order.key == first.key]
    assert again.number == 2
    await store.done(again)
    assert [order.key for order in await store.coming()] == [Watch().key]
    assert len(await store.orders(row.swap_id)) == 2
    assert len(await store.orders(row.swap_id, due_only=True)) == 1


async def test_an_order_that_has_to_wait_is_due_later(store: SwapStore) -> None:
    """With what keeps it, and how often it was tried; the first that is due comes first."""
    row = a_row()
    await store.add(row)
    assert await store.coming() == ()
    await store.give(row.swap_id, [Watch(), StopWatching()], AT)
    order, other = await store.coming()
    await store.later(order, UnixMs(AT + 900), "p" * 600)
    assert [one.due_at for one in await store.coming()] == [AT, AT + 900]
    assert await store.coming(1) == (other,)
    await store.done(other)
    (waiting,) = await store.coming()
    assert (waiting.due_at, waiting.attempts, waiting.problem) == (AT + 900, 1, "p" * 500)


async def test_transactions_are_kept_in_their_order_and_the_first_of_an_attempt_stays(store: SwapStore) -> None:
    """What is signed twice is not two transactions."""
    row = a_row()
    await store.add(row)
    made = [
        KeptTransaction(row.swap_id, key, at, bytes([at]) * 32, b"raw", Satoshi(100 + at), UnixMs(AT + at))
        for key, at in (("refund", 1), ("refund", 0), ("funding", 2))
    ]
    for one in made:
        await store.keep(one)
    await store.keep(replace(made[1], raw=b"another"))
    assert await store.kept(row.swap_id, "refund") == (made[1], made[0])
    assert await store.all_kept(row.swap_id) == (made[1], made[0], made[2])
    await store.forget(row.swap_id, "refund")
    assert await store.all_kept(row.swap_id) == (made[2],)


async def test_a_history_never_fills_a_disk(store: SwapStore) -> None:
    """So many lines, each so long."""
    row = a_row()
    await store.add(row)
    for at in range(HISTORY_MAX + 3):
        await store.note(row.swap_id, UnixMs(AT + at), "n" * 600)
    lines = await store.lines(row.swap_id)
    assert (len(lines), len(lines[0].note), lines[0].at) == (HISTORY_MAX, 500, AT)


async def test_wishes_are_taken_once(store: SwapStore) -> None:
    """In the order in which they were made."""
    row = a_row()
    await store.add(row)
    for wish in (Wish.REDEEM, Wish.REFUND):
        await store.wish(row.swap_id, wish)
    assert await store.take_wishes() == ((row.swap_id, Wish.REDEEM), (row.swap_id, Wish.REFUND))
    assert await store.take_wishes() == ()


async def test_a_cursor_says_where_it_was_put_last(store: SwapStore) -> None:
    """Empty at first."""
    assert await store.cursor("watch") == b""
    for value in (b"one", b"two"):
        await store.set_cursor("watch", value)
    assert (await store.cursor("watch"), await store.cursor("other")) == (b"two", b"")
