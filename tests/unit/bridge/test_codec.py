"""States as rows keep them: JSON for any amount, and msgpack from before there were EVM chains."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from adapters.bitcoin.primitives import OutPoint
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal, encode, encode_state
from bridge.deposits import Deposit, Lock, Purpose, Spend, Stage
from bridge.payouts import Confirmed, Payout, PayoutStage, Withdrawal
from bridge.storage import PayoutRow, TransferKind, TransferRow
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, UnixMs

MOST = TokenUnits(2**256 - 1)
ID = bytes(range(224, 256))
HEIGHT = BlockHeight(7)
DEPOSIT = Deposit(ID, ID, ID, ID, 1, TokenUnits(5), ID[:20], ID, 12, Stage.SWEEPING, HEIGHT)
LOCKED = replace(DEPOSIT, amount=MOST, lock=Lock(2**255, ID[:20], bytes(20), ID, "eip155:1"))
SPENT = replace(DEPOSIT, spend=Spend(ID, HEIGHT, Purpose.SWEEP))
WITHDRAWAL = Withdrawal(ID, ID, ID[:20], MOST, MOST, b"", ID, HEIGHT)
PAYOUT = Payout(ID, ID, ID, (ID, ID), (OutPoint(ID, 1),), 1, PayoutStage.PAID, Confirmed(ID, HEIGHT, MOST))


def transfer(state: bytes) -> TransferRow:
    return TransferRow(ID, TransferKind.DEPOSIT, "", state, UnixMs(0), UnixMs(0))


def payout(state: bytes) -> PayoutRow:
    return PayoutRow(ID, "", state, UnixMs(0), UnixMs(0))


@pytest.mark.parametrize("state", [DEPOSIT, LOCKED, SPENT])
def test_a_deposit_comes_back_as_it_was(state: Deposit) -> None:
    """With amounts of 256 bits, and with all that it holds inside."""
    assert decode_deposit(transfer(encode_state(state))) == state


def test_a_withdrawal_and_a_payout_come_back_as_they_were() -> None:
    """Their lists of bytes and outpoints too."""
    assert decode_withdrawal(transfer(encode_state(WITHDRAWAL))) == WITHDRAWAL
    assert decode_payout(payout(encode_state(PAYOUT))) == PAYOUT


def test_the_same_state_gives_the_same_bytes() -> None:
    """A step that changes nothing is told from one that does by the bytes; and any JSON reader can read them."""
    assert encode_state(LOCKED) == encode_state(replace(DEPOSIT, amount=MOST, lock=LOCKED.lock))
    assert json.loads(encode_state(LOCKED))["amount"] == MOST


def test_rows_of_the_first_release_are_read() -> None:
    """They are msgpack, and lack what was added since."""
    old = {"deposit_id": ID, "asset": ID, "group": ID, "txid": ID, "vout": 1, "amount": 5, "recipient": ID[:20]}
    old |= {"script": ID, "delay": 12, "stage": "sweeping", "height": 7}
    assert decode_deposit(transfer(msgspec.msgpack.encode(old))) == DEPOSIT
    small = replace(WITHDRAWAL, amount=TokenUnits(9), max_fee=TokenUnits(1))
    assert decode_withdrawal(transfer(encode(small))) == small
    paid = replace(PAYOUT, confirmed=Confirmed(ID, HEIGHT, TokenUnits(3)))
    assert decode_payout(payout(encode(paid))) == paid


@pytest.mark.parametrize(
    "state", [b"", b"{", b"{}", b'{"amount": 1e400}', b"\x80", b"\xc1", b"[1]", b'{"amount": "\xff"}', b'{"a":' * 5000]
)
def test_what_is_no_state_is_bad_input(state: bytes) -> None:
    """It names the column, whatever the bytes are."""
    for decoded, field in ((decode_deposit, "transfers.state"), (decode_withdrawal, "transfers.state")):
        with pytest.raises(BadInput) as refusal:
            decoded(transfer(state))
        assert refusal.value.field == field
    with pytest.raises(BadInput) as refusal:
        decode_payout(payout(state))
    assert refusal.value.field == "payouts.state"


@pytest.mark.parametrize("changes", [{"txid": "?"}, {"stage": "nowhere"}, {"vout": "1"}, {"amount": 1.5}])
def test_a_field_that_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    """JSON is read as strictly as msgpack is."""
    body = json.dumps(json.loads(encode_state(DEPOSIT)) | changes).encode()
    with pytest.raises(BadInput, match=next(iter(changes))):
        decode_deposit(transfer(body))
