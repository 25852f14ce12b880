"""What a Lockbox knows, typed. Accounts, tokens and contracts are 20 bytes; amounts in base units, up to 2**256 - 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.types import BlockRef
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

NATIVE_COIN: Final = bytes(20)
"""How a Lockbox names the chain's own coin: the zero address."""

MAX_PAYMENTS: Final = 64
"""Payments in one release, and numbers in one cancellation."""

RETURN: Final = 1 << 255
"""Set in the number of a payment that sends a refused deposit back; the other bits are the lock's number."""

_WORD: Final = 1 << 256
_LIMIT: Final = 1 << 112


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment out of a Lockbox. Raises `BadInput` for fields that do not fit.

    Fields: number (the Hub's withdrawal number, or `return_number` of a lock; consumed once, for ever); asset (a token,
    or `NATIVE_COIN`); payee; amount (what the payee gets); fee (what the carrier gets besides).
    """

    number: int
    asset: bytes
    payee: bytes
    amount: TokenUnits
    fee: TokenUnits

    def __post_init__(self) -> None:
        check_address(self.asset, "payment.asset")
        check_address(self.payee, "payment.payee", zero_allowed=False)
        check_word(self.number, "payment.number")
        check_word(self.amount, "payment.amount")
        check_word(self.fee, "payment.fee")
        check_word(self.amount + self.fee, "payment.amount + payment.fee")

    @property
    def tuple(self) -> tuple[int, bytes, bytes, int, int]:
        """As the contract's structure."""
        return self.number, self.asset, self.payee, self.amount, self.fee


@dataclass(frozen=True, slots=True)
class Position:
    """Where an event stands. Fields: block; transaction (hash, 32 bytes); index (of the log in its block)."""

    block: BlockRef
    transaction: bytes
    index: int


def return_number(lock_number: int) -> int:
    """The payment number that sends the deposit of that lock back. Raises `BadInput`."""
    if not 0 < lock_number < RETURN:
        raise BadInput("lock number", f"{lock_number} is not possible", "1 to 2**255 - 1")
    return RETURN | lock_number


def check_address(value: bytes, field: str, *, zero_allowed: bool = True) -> None:
    """Refuse what is no address. Raises `BadInput` naming `field`."""
    if len(value) != 20:
        raise BadInput(field, f"{len(value)} bytes", "20 bytes")
    if not zero_allowed and not any(value):
        raise BadInput(field, "is the zero address", "an account")


def check_word(value: int, field: str) -> None:
    """Refuse what no uint256 holds. Raises `BadInput` naming `field`."""
    if not 0 <= value < _WORD:
        raise BadInput(field, f"{value} is not possible", "0 to 2**256 - 1")


def check_limit(value: int, field: str) -> None:
    """Refuse what a Lockbox takes for no limit of a window. Raises `BadInput` naming `field`."""
    if not 0 <= value < _LIMIT:
        raise BadInput(field, f"{value} is not possible", "0 (no limit) to 2**112 - 1")
