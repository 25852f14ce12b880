"""States and structures as bytes.

Structures for peers and the outbox are strict msgpack. States of transfers and payouts are JSON, because msgpack ends
at 64 bits and amounts on EVM chains do not; bytes in it are base64. Rows from before there were EVM chains hold
msgpack, and are read as well.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bridge.deposits import Deposit
from bridge.payouts import Payout, Withdrawal
from bridge.storage import PayoutRow, TransferRow
from foundation.errors import BadInput

T = TypeVar("T")
_JSON_OBJECT = b"{"
"""How a state in JSON begins. In msgpack the byte is the number 123, and no state is a number."""


def encode(value: Any) -> bytes:
    """The bytes of a dataclass or a structure. The same value gives the same bytes."""
    return msgspec.msgpack.encode(value)


def decode(body: bytes, kind: type[T], field: str = "body") -> T:
    """The inverse of `encode`. Raises `BadInput` naming `field` and where in it the bytes are wrong."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, BadInput, ValueError, RecursionError) as error:
        raise BadInput(field, str(error)) from error


def encode_state(state: Deposit | Withdrawal | Payout) -> bytes:
    """A state as rows keep it. The same state gives the same bytes."""
    return msgspec.json.encode(state)


def _decode_state(body: bytes, kind: type[T], field: str) -> T:
    """The inverse of `encode_state`, also for msgpack. Raises `BadInput` naming `field` and where it is wrong."""
    if not body.startswith(_JSON_OBJECT):
        return decode(body, kind, field)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, BadInput, ValueError, RecursionError) as error:
        raise BadInput(field, str(error)) from error


def decode_deposit(row: TransferRow) -> Deposit:
    """The state in a deposit's row."""
    return _decode_state(row.state, Deposit, "transfers.state")


def decode_withdrawal(row: TransferRow) -> Withdrawal:
    """The state in a withdrawal's row."""
    return _decode_state(row.state, Withdrawal, "transfers.state")


def decode_payout(row: PayoutRow) -> Payout:
    """The state in a payout's row."""
    return _decode_state(row.state, Payout, "payouts.state")
