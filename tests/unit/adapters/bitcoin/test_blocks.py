"""Scanning raw blocks: matches, and every way in which a block can be wrong."""

from __future__ import annotations

import pytest
from bitcoin.core import CBlock

from adapters.bitcoin.blocks import Received, Spent, Watchlist, scan_block
from adapters.bitcoin.errors import MalformedBlock
from adapters.bitcoin.primitives import MAX_MONEY, OutPoint, TxOut
from foundation.quantities import Satoshi
from tests.support.bitcoin_chain import block, coinbase, transaction

OURS = b"\x51\x20" + bytes(range(32))
THEIRS = b"\x00\x14" + bytes(20)
COIN = OutPoint(b"\x01" * 32, 3)
OTHER_COIN = OutPoint(b"\x02" * 32, 0)
SIGNATURE = b"\x07" * 64
PAYMENT = transaction([(OTHER_COIN, [SIGNATURE])], [(10, THEIRS), (20, OURS), (30, OURS)])


def scan(raw: bytes) -> tuple[tuple[Received, ...], tuple[Spent, ...]]:
    matches = scan_block(raw, Watchlist([OURS], [COIN])).matches
    return matches.received, matches.spent


def refused(raw: bytes) -> MalformedBlock:
    with pytest.raises(MalformedBlock) as refusal:
        scan(raw)
    return refusal.value


def test_header_is_read() -> None:
    """A scanned block tells its hash, its predecessor and its time."""
    made = block([PAYMENT], previous=b"\x09" * 32, time=1_700_000_000)
    scanned = scan_block(made.serialize(), Watchlist())
    assert (scanned.hash, scanned.previous, scanned.time) == (made.GetHash(), b"\x09" * 32, 1_700_000_000)
    assert scanned.matches.received == scanned.matches.spent == ()


def test_payments_to_watched_scripts_are_received() -> None:
    """Each output with a watched script is received, with its own index, and no other."""
    received, spent = scan(block([PAYMENT]).serialize())
    txid = PAYMENT.GetTxid()
    assert received == (
        Received(OutPoint(txid, 1), Satoshi(20), OURS),
        Received(OutPoint(txid, 2), Satoshi(30), OURS),
    )
    assert spent == ()


def test_coinbase_can_pay_a_watched_script() -> None:
    """New coins are received like others."""
    received, _ = scan(block(pays=[(50, OURS)]).serialize())
    assert [coin.value for coin in received] == [50]


def test_spend_of_a_watched_coin_shows_witness_and_all_outputs() -> None:
    """A spend names the spender, the input, that input's witness, and everything the spender pays."""
    spender = transaction([(OTHER_COIN, []), (COIN, [SIGNATURE, b"", b"\x05"])], [(1, THEIRS), (2, b"")])
    _, spent = scan(block([spender]).serialize())
    outputs = (TxOut(Satoshi(1), THEIRS), TxOut(Satoshi(2), b""))
    assert spent == (Spent(COIN, spender.GetTxid(), 1, (SIGNATURE, b"", b"\x05"), outputs),)


def test_spend_without_any_witness() -> None:
    """A spender that is serialized without witnesses has empty ones."""
    spender = transaction([(COIN, [])], [(1, THEIRS)])
    _, spent = scan(block([spender]).serialize())
    assert [one.witness for one in spent] == [()]


def test_coin_made_and_spent_in_one_block_matches_twice() -> None:
    """A coin received in the block is watched for the block's later transactions, but not after the scan."""
    watched = Watchlist([OURS])
    child = transaction([(OutPoint(PAYMENT.GetTxid(), 2), [SIGNATURE])], [(1, THEIRS)])
    matches = scan_block(block([PAYMENT, child]).serialize(), watched).matches
    assert [one.outpoint.vout for one in matches.received] == [1, 2]
    assert [(one.outpoint.vout, one.spender) for one in matches.spent] == [(2, child.GetTxid())]
    assert len(watched) == 1


def test_large_scripts_and_counts() -> None:
    """Sizes of three bytes are read as such, in scripts, counts and witnesses."""
    spender = transaction([(COIN, [b"\x06" * 70_000])], [(1, b"\x6a" * 300)] * 260)
    _, (spent,) = scan(block([spender]).serialize())
    assert len(spent.outputs) == 260
    assert spent.witness == (b"\x06" * 70_000,)


def test_watchlist_adds_and_discards() -> None:
    """What was discarded is not found any more; what was copied lives on its own."""
    watched = Watchlist()
    watched.add_scripts([OURS, THEIRS])
    watched.add_outpoints([COIN])
    twin = watched.copy()
    watched.discard_scripts([THEIRS, b"never watched"])
    watched.discard_outpoints([COIN, OTHER_COIN])
    assert (watched.scripts, watched.outpoints, len(watched)) == ({OURS}, frozenset(), 1)
    assert (twin.scripts, twin.outpoints, len(twin)) == ({OURS, THEIRS}, {COIN}, 3)


def test_every_truncation_is_refused() -> None:
    """A block that ends anywhere before its end is malformed, and so is one followed by more."""
    raw = block([PAYMENT]).serialize()
    for length in range(len(raw)):
        refused(raw[:length])
    assert "follow its last transaction" in refused(raw + b"\x00").problem


def test_every_flipped_bit_but_the_headers_is_noticed() -> None:
    """No byte of a transaction can be altered, whether the txid covers it or only the witness commitment."""
    raw = block([PAYMENT]).serialize()
    for offset in range(80, len(raw)):
        for bit in (1, 0x80):
            refused(raw[:offset] + bytes([raw[offset] ^ bit]) + raw[offset + 1 :])


def test_missing_transaction_is_noticed() -> None:
    """A node cannot hide a transaction of a block."""
    made = block([PAYMENT, transaction([(COIN, [])], [(1, THEIRS)])])
    hiding = CBlock(2, nTime=made.nTime, vtx=made.vtx[:2]).serialize()
    assert "Merkle root" in refused(made.serialize()[:80] + hiding[80:]).problem


def test_repeated_transactions_are_noticed() -> None:
    """A block whose last transactions are repeated has the same Merkle root as without (CVE-2012-2459): refused."""
    made = block([transaction([(COIN, [])], [(1, THEIRS)]), transaction([(OTHER_COIN, [])], [(1, THEIRS)])])
    doubled = CBlock(2, vtx=[*made.vtx, made.vtx[-1]])
    assert doubled.hashMerkleRoot == made.hashMerkleRoot
    scan(made.serialize())
    assert "repeated" in refused(doubled.serialize()).problem


def test_stripped_witnesses_are_noticed() -> None:
    """A block served without the witnesses that its coinbase commits to is refused."""
    made = block([PAYMENT])
    stripped = made.serialize({"include_witness": False})
    assert "left out" in refused(stripped).problem


def test_uncommitted_witnesses_are_noticed() -> None:
    """Witnesses that no coinbase commits to are refused."""
    raw = CBlock(2, vtx=[coinbase(b"\x00\x00", [(50, THEIRS)]), PAYMENT]).serialize()
    assert "does not commit" in refused(raw).problem


def test_coinbase_must_be_first_and_alone() -> None:
    """A block without a coinbase, or with a second one, is refused."""
    first, second = coinbase(b"\x00\x01", [(50, THEIRS)]), coinbase(b"\x00\x02", [(50, THEIRS)])
    legacy = transaction([(COIN, [])], [(1, THEIRS)])
    assert "no coinbase" in refused(CBlock(2, vtx=[legacy]).serialize()).problem
    assert "after the first" in refused(CBlock(2, vtx=[first, legacy, second]).serialize()).problem


def test_size_must_be_as_short_as_it_can_be() -> None:
    """A count that is written in more bytes than it needs is refused, as bitcoin nodes do."""
    raw = block().serialize()
    refusal = refused(raw[:80] + b"\xfd\x01\x00" + raw[81:])
    assert refusal.offset == 80
    assert "longer than it must be" in refusal.problem


@pytest.mark.parametrize("field", ["count", "inputs", "witness"])
def test_huge_sizes_are_refused_at_once(field: str) -> None:
    """A size near 2**64 ends the scan; nothing is allocated for it."""
    huge = b"\xff" * 9
    raw = block([PAYMENT]).serialize()
    offset = {"count": 80, "inputs": 87, "witness": raw.index(b"\x01\x40" + SIGNATURE)}[field]
    refused(raw[:offset] + huge + raw[offset + 1 :])


def test_impossible_amount_is_refused() -> None:
    """A payment to us of more than there can be is no payment."""
    paid = transaction([(OTHER_COIN, [])], [(MAX_MONEY + 1, OURS)])
    assert "more than there can be" in refused(block([paid]).serialize()).problem


def test_block_without_transactions_is_refused() -> None:
    """A bare header with a count of zero is no block."""
    assert "no transactions" in refused(bytes(80) + b"\x00").problem
