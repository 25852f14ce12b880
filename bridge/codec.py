"""States and structures as bytes: strict msgpack, for the database, the outbox and peers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bridge.deposits import Deposit
from bridge.payouts import Payout, Withdrawal
from bridge.storage import PayoutRow, TransferRow
from foundation.errors import BadInput

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """The bytes of a dataclass or a structure. The same value gives the same bytes."""
    return msgspec.msgpack.encode(value)


def decode(body: bytes, kind: type[T], field: str = "body") -> T:
    """The inverse of `encode`. Raises `BadInput` naming `field` and where in it the bytes are wrong."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, BadInput, ValueError, RecursionError) as error:
        raise BadInput(field, str(error)) from error


def decode_deposit(row: TransferRow) -> Deposit:
    """The state in a deposit's row."""
    return decode(row.state, Deposit, "transfers.state")


def decode_withdrawal(row: TransferRow) -> Withdrawal:
    """The state in a withdrawal's row."""
    return decode(row.state, Withdrawal, "transfers.state")


def decode_payout(row: PayoutRow) -> Payout:
    """The state in a payout's row."""
    return decode(row.state, Payout, "payouts.state")
