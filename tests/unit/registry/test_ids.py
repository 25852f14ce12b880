"""Ids of outpoints, deposits, withdrawals, payouts."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from foundation.errors import BadInput
from registry import ids

TXID = bytes(range(32))
WORD = (7).to_bytes(32, "big")


def test_ids_are_hashes_of_abi_words():
    """Static fields are hashed as 32-byte words one after the other, as `abi.encode` lays them out."""
    assert ids.outpoint_id(TXID, 7) == keccak(TXID + WORD)
    assert ids.deposit_id(b"a" * 32, TXID, 7) == keccak(b"a" * 32 + TXID + WORD)
    assert ids.withdrawal_id(7, b"h" * 20, 7) == keccak(WORD + bytes(12) + b"h" * 20 + WORD)
    assert ids.network_id(7, b"h" * 20) == keccak(WORD + bytes(12) + b"h" * 20)
    assert ids.lock_id(7, b"l" * 20, 7) == keccak(WORD + bytes(12) + b"l" * 20 + WORD)
    assert ids.fees_key(b"g" * 32, 7) == keccak(b"g" * 32 + WORD)
    terms = b"a" * 32 + b"g" * 32 + bytes(12) + b"r" * 20 + b"k" * 32 + WORD + b"s" * 32
    assert ids.announcement_id(b"a" * 32, b"g" * 32, b"r" * 20, b"k" * 32, 7, b"s" * 32) == keccak(terms)


def test_a_payout_id_holds_its_withdrawals_as_a_list():
    """The list stands at its offset with its length, so that no two lists of withdrawals give the same id."""
    encoded = b"g" * 32 + (96).to_bytes(32, "big") + b"o" * 32 + (2).to_bytes(32, "big") + b"v" * 32 + b"w" * 32
    assert ids.payout_id(b"g" * 32, [b"v" * 32, b"w" * 32], b"o" * 32) == keccak(encoded)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: ids.outpoint_id(TXID[1:], 0), "txid"),
        (lambda: ids.outpoint_id(TXID, -1), "vout"),
        (lambda: ids.withdrawal_id(1, b"h" * 32, 0), "hub"),
        (lambda: ids.lock_id(1, b"l" * 19, 1), "lockbox"),
        (lambda: ids.lock_id(1, b"l" * 20, 2**256), "number"),
        (lambda: ids.fees_key(b"g" * 31, 0), "group"),
        (lambda: ids.payout_id(b"g" * 32, [b"w" * 31], b"o" * 32), "withdrawals[0]"),
    ],
)
def test_a_wrong_length_is_never_padded(call, field):
    """A field of a wrong length is refused by name: padded in silence, two things could share an id."""
    with pytest.raises(BadInput) as refusal:
        call()
    assert refusal.value.field == field
