"""STREAM receipts, and what a sender could try with them."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from settlement.ilp.stream.receipts import ReceiptKey, credit, make_receipt, nonce_of, verify_receipt

KEY = ReceiptKey(bytes(16), b"s" * 32)


def test_a_receipt_proves_what_was_received() -> None:
    """The verifier reads stream and total from 58 bytes, and credits only what is new."""
    raw = make_receipt(KEY, 1, 500)
    assert len(raw) == 58
    assert nonce_of(raw) == KEY.nonce
    receipt = verify_receipt(KEY, raw)
    assert (receipt.stream_id, receipt.total_received) == (1, 500)
    assert credit(200, receipt) == 300
    assert credit(500, receipt) == credit(900, receipt) == 0


def test_every_altered_byte_is_noticed() -> None:
    """A sender cannot raise the total, change the stream, or move a receipt to another connection."""
    raw = make_receipt(KEY, 1, 500)
    for at in range(len(raw)):
        with pytest.raises(BadInput):
            verify_receipt(KEY, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    with pytest.raises(BadInput):
        verify_receipt(ReceiptKey(KEY.nonce, b"t" * 32), raw)
    with pytest.raises(BadInput):
        verify_receipt(ReceiptKey(b"n" * 16, KEY.secret), raw)


@pytest.mark.parametrize("raw", [b"", bytes(58), b"\x01" + bytes(56), b"\x01" + bytes(58)])
def test_what_is_no_receipt_is_refused(raw: bytes) -> None:
    """Another length or version is refused."""
    with pytest.raises(BadInput):
        nonce_of(raw)


@pytest.mark.parametrize(("stream", "total"), [(256, 0), (-1, 0), (1, 2**64), (1, -1)])
def test_receipts_out_of_bounds_are_not_made(stream: int, total: int) -> None:
    """A stream above 255, or a total above 2^64−1, has no receipt."""
    with pytest.raises(BadInput):
        make_receipt(KEY, stream, total)


def test_a_key_shows_no_secret() -> None:
    """A key's text, as a log would have it, does not hold the secret, and wrong lengths are refused."""
    assert "73737373" not in repr(KEY)
    assert "sss" not in repr(KEY)
    for nonce, secret in ((bytes(15), bytes(32)), (bytes(16), bytes(31))):
        with pytest.raises(BadInput):
            ReceiptKey(nonce, secret)
