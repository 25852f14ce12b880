"""Followers' tails, deposit addresses, coins through reorgs, and the group's own transactions."""

from __future__ import annotations

from dataclasses import replace

from bridge.storage import (
    BitcoinTransactionRow,
    CoinKind,
    CoinRow,
    CoinSpend,
    DepositTermsRow,
    TransactionPurpose,
    UnitOfWork,
)
from foundation.quantities import BlockHeight, Satoshi, UnixMs

BLOCK_5, BLOCK_6, BLOCK_6B = b"5" * 32, b"6" * 32, b"B" * 32


def terms(number: int, birthday: int = 100) -> DepositTermsRow:
    return DepositTermsRow(
        script=bytes([number]) * 34,
        announcement_id=bytes([number]) * 32,
        asset=b"a" * 32,
        group_id=b"g" * 32,
        recipient=b"r" * 20,
        reclaim_key=b"k" * 32,
        delay=144,
        salt=b"s" * 32,
        birthday=BlockHeight(birthday),
    )


def coin(number: int, height: int | None = 5, kind: CoinKind = CoinKind.VAULT, value: int = 1_000) -> CoinRow:
    place = (None, None) if height is None else (BlockHeight(height), {5: BLOCK_5, 6: BLOCK_6}[height])
    return CoinRow(bytes([number]) * 32, number, bytes([number]) * 34, Satoshi(value), kind, *place)


def spend_of(row: CoinRow, height: int = 6, block: bytes = BLOCK_6, by: bytes = b"S" * 32) -> CoinSpend:
    return CoinSpend(row.txid, row.vout, by, BlockHeight(height), block)


def transaction(
    number: int, fee: int = 100, purpose: TransactionPurpose = TransactionPurpose.PAYOUT
) -> BitcoinTransactionRow:
    return BitcoinTransactionRow(bytes([number]) * 32, purpose, b"P" * 32, b"raw", Satoshi(fee), 150)


async def test_a_follower_finds_its_tail_again(unit: UnitOfWork) -> None:
    """Each name has one tail, the newest."""
    assert await unit.cursors.get("bitcoin") is None
    await unit.cursors.put("bitcoin", b"1")
    await unit.cursors.put("native", b"n")
    await unit.cursors.put("bitcoin", b"2")
    assert await unit.cursors.get("bitcoin") == b"2"
    assert await unit.cursors.get("native") == b"n"


async def test_an_announcement_asks_for_a_scan_once_unless_it_gets_older(unit: UnitOfWork) -> None:
    """New terms are scanned for, repeated ones are not, and an earlier birthday is scanned for from there."""
    assert await unit.deposit_terms.add(terms(1), terms(2)) == (terms(1), terms(2))
    assert await unit.deposit_terms.add(terms(1), terms(2, birthday=200)) == ()
    assert await unit.deposit_terms.add(terms(2, birthday=50), terms(2, birthday=60)) == (terms(2, birthday=50),)
    assert await unit.deposit_terms.by_script(terms(2).script) == terms(2, birthday=50)


async def test_one_announcement_twice_in_a_call_keeps_the_earliest_birthday(unit: UnitOfWork) -> None:
    """A batch of events may hold the same terms twice."""
    await unit.deposit_terms.add(terms(1, birthday=90), terms(1, birthday=80), terms(1, birthday=85))
    found = await unit.deposit_terms.by_script(terms(1).script)
    assert found == terms(1, birthday=80)


async def test_terms_are_found_by_script_and_by_announcement(unit: UnitOfWork) -> None:
    """And a stranger's script is nobody's."""
    await unit.deposit_terms.add(terms(1), terms(2))
    assert await unit.deposit_terms.by_script(b"x" * 34) is None
    assert await unit.deposit_terms.by_scripts([terms(1).script, b"x" * 34]) == {terms(1).script: terms(1)}
    assert await unit.deposit_terms.by_announcement(terms(2).announcement_id) == terms(2)
    assert await unit.deposit_terms.by_announcement(b"x" * 32) is None
    assert await unit.deposit_terms.all_scripts() == {terms(1).script, terms(2).script}


async def test_more_scripts_than_fit_one_statement_are_looked_up(unit: UnitOfWork) -> None:
    """Lookups are cut into pieces that every engine takes."""
    rows = [replace(terms(1), script=n.to_bytes(34, "big")) for n in range(1_100)]
    assert len(await unit.deposit_terms.add(*rows)) == 1_100
    assert len(await unit.deposit_terms.by_scripts([row.script for row in rows])) == 1_100


async def test_coins_come_and_go_with_their_blocks(unit: UnitOfWork) -> None:
    """Undoing a block takes its coins out of the chain and gives back what it spent; what it did not touch stays."""
    old, new = coin(1), coin(2, 6)
    await unit.coins.receive(old, new)
    await unit.coins.spend(spend_of(old), CoinSpend(b"?" * 32, 0, b"S" * 32, BlockHeight(6), BLOCK_6))
    assert await unit.coins.unspent() == (new,)
    assert {row.txid for row in await unit.coins.in_block(BLOCK_6)} == {old.txid, new.txid}
    await unit.coins.disconnect(BLOCK_6)
    assert await unit.coins.unspent() == (old,)
    assert await unit.coins.get(new.txid, new.vout) == coin(2, None)
    assert await unit.coins.in_block(BLOCK_6) == ()


async def test_a_coin_that_is_received_again_moves_and_stays_spent(unit: UnitOfWork) -> None:
    """After a rescan or a reorg the block counts that holds it now; a known spend is not forgotten."""
    row = coin(1)
    await unit.coins.receive(row)
    await unit.coins.spend(spend_of(row))
    await unit.coins.receive(replace(row, height=BlockHeight(6), block_hash=BLOCK_6B))
    found = await unit.coins.get(row.txid, row.vout)
    assert found is not None
    assert (found.height, found.block_hash, found.spent_by) == (6, BLOCK_6B, b"S" * 32)
    await unit.coins.unspend((row.txid, row.vout))
    assert [c.txid for c in await unit.coins.unspent()] == [row.txid]


async def test_unspent_coins_are_chosen_by_kind_script_and_height(unit: UnitOfWork) -> None:
    """Oldest first; the bounds are inclusive, and coins outside the chain are none."""
    a, b, c, gone = coin(1, 6), coin(2, 5), coin(3, 5, CoinKind.DEPOSIT), coin(4, None)
    await unit.coins.receive(a, b, c, gone)
    assert await unit.coins.unspent() == (b, c, a)
    assert await unit.coins.unspent(CoinKind.VAULT) == (b, a)
    assert await unit.coins.unspent(script=a.script) == (a,)
    assert await unit.coins.unspent(min_height=BlockHeight(6)) == (a,)
    assert await unit.coins.unspent(max_height=BlockHeight(5)) == (b, c)


async def test_reserves_are_summed_exactly(unit: UnitOfWork) -> None:
    """An integer on both engines, beyond what a float holds; nothing is zero."""
    assert await unit.coins.total(CoinKind.VAULT) == 0
    await unit.coins.receive(coin(1, value=2**53), coin(2, 6, value=1), coin(3, 5, CoinKind.DEPOSIT), coin(4, None))
    total = await unit.coins.total(CoinKind.VAULT)
    assert total == 2**53 + 1
    assert isinstance(total, int)
    assert await unit.coins.total(CoinKind.VAULT, BlockHeight(5)) == 2**53


async def test_a_transaction_is_kept_once_with_its_inputs_in_order(unit: UnitOfWork) -> None:
    """To add it again, as every peer's copy does, changes nothing."""
    row, spent = transaction(1), ((b"2" * 32, 7), (b"1" * 32, 0))
    await unit.bitcoin_transactions.add(row, spent)
    await unit.bitcoin_transactions.broadcast([row.txid], UnixMs(10))
    await unit.bitcoin_transactions.add(row, spent)
    found = await unit.bitcoin_transactions.get(row.txid)
    assert found == replace(row, first_broadcast_at_ms=UnixMs(10), last_broadcast_at_ms=UnixMs(10))
    assert await unit.bitcoin_transactions.inputs(row.txid) == spent
    assert await unit.bitcoin_transactions.get(b"?" * 32) is None
    assert await unit.bitcoin_transactions.spending([(b"1" * 32, 0)]) == (found,)
    assert await unit.bitcoin_transactions.spending([(b"1" * 32, 1)]) == ()


async def test_versions_of_a_payout_are_listed_from_the_cheapest(unit: UnitOfWork) -> None:
    """The last one is the newest bump, because each bump pays more."""
    high, low = transaction(1, fee=300), transaction(2, fee=100)
    sweep = transaction(3, purpose=TransactionPurpose.SWEEP)
    for row in (high, low, sweep):
        await unit.bitcoin_transactions.add(row, [(b"c" * 32, 0)])
    assert await unit.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, b"P" * 32) == (low, high)


async def test_a_broadcast_keeps_its_first_time(unit: UnitOfWork) -> None:
    """How long a transaction lingers is counted from its first broadcast."""
    await unit.bitcoin_transactions.add(transaction(1), [])
    for now in (10, 20):
        await unit.bitcoin_transactions.broadcast([transaction(1).txid], UnixMs(now))
    found = await unit.bitcoin_transactions.get(transaction(1).txid)
    assert found is not None
    assert (found.first_broadcast_at_ms, found.last_broadcast_at_ms) == (10, 20)


async def test_what_waits_is_in_no_block_and_not_bumped(unit: UnitOfWork) -> None:
    """New ones first on both engines, then the oldest; a reorg makes a transaction wait again."""
    first, second, third = (transaction(n) for n in (1, 2, 3))
    for number, row in enumerate((first, second, third)):
        await unit.bitcoin_transactions.add(row, [(bytes([number]) * 32, 0)])
    await unit.bitcoin_transactions.broadcast([first.txid], UnixMs(20))
    await unit.bitcoin_transactions.broadcast([second.txid], UnixMs(10))
    waiting = unit.bitcoin_transactions.waiting
    assert [row.txid for row in await waiting()] == [third.txid, second.txid, first.txid]
    await unit.bitcoin_transactions.confirm([first.txid, b"?" * 32], BlockHeight(6), BLOCK_6)
    await unit.bitcoin_transactions.replace(second.txid, third.txid)
    assert [row.txid for row in await waiting()] == [third.txid]
    assert await waiting(TransactionPurpose.SWEEP) == ()
    await unit.bitcoin_transactions.disconnect(BLOCK_6)
    assert [row.txid for row in await waiting(TransactionPurpose.PAYOUT)] == [third.txid, first.txid]


async def test_a_transaction_whose_coin_another_one_spent_in_a_block_does_not_wait(unit: UnitOfWork) -> None:
    """When the older version confirms, its bump is beaten for as long as that block is in the chain."""
    old, bump = transaction(1, fee=100), transaction(2, fee=200)
    await unit.bitcoin_transactions.add(old, [(b"a" * 32, 0)])
    await unit.bitcoin_transactions.add(bump, [(b"a" * 32, 0), (b"b" * 32, 1)])
    await unit.bitcoin_transactions.replace(old.txid, bump.txid)
    await unit.bitcoin_transactions.confirm([old.txid], BlockHeight(6), BLOCK_6)
    assert await unit.bitcoin_transactions.waiting() == ()
    await unit.bitcoin_transactions.disconnect(BLOCK_6)
    assert [row.txid for row in await unit.bitcoin_transactions.waiting()] == [bump.txid]


async def test_a_transaction_whose_coin_is_spent_by_one_that_was_never_seen_here_does_not_wait(
    unit: UnitOfWork,
) -> None:
    """The coin alone knows that another version is in a block; when the block goes, the transaction waits again."""
    row, anchor = transaction(1), coin(2)
    await unit.coins.receive(anchor)
    await unit.bitcoin_transactions.add(row, [(anchor.txid, anchor.vout)])
    await unit.coins.spend(spend_of(anchor))
    assert await unit.bitcoin_transactions.waiting() == ()
    await unit.coins.disconnect(BLOCK_6)
    assert await unit.bitcoin_transactions.waiting() == (row,)
