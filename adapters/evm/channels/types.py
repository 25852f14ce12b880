"""What a Channels contract takes and tells, typed. Accounts and tokens: 20 bytes; times: seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.evm.lockbox.types import NATIVE_COIN


@dataclass(frozen=True, slots=True)
class Terms:
    """A channel's terms, in the contract's order. Fields: deposits in base units of `asset`; salt (32 bytes)."""

    a: bytes
    b: bytes
    asset: bytes
    deposit_a: int
    deposit_b: int
    challenge_seconds: int
    one_way: bool
    salt: bytes

    @property
    def tuple(self) -> tuple[Any, ...]:
        """As the contract's structure."""
        numbers = self.deposit_a, self.deposit_b, self.challenge_seconds
        return (self.a, self.b, self.asset, *numbers, self.one_way, self.salt)

    @property
    def is_coin(self) -> bool:
        """Whether it is the chain's own coin."""
        return self.asset == NATIVE_COIN


@dataclass(frozen=True, slots=True)
class Lock:
    """A conditional payment on a sheet. Fields: id, condition (32 bytes each); payer (0 for A, 1 for B)."""

    id: bytes
    payer: int
    amount: int
    condition: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """Balances under a number, as docs/channels.md explains them."""

    sequence: int
    held: int
    balance_a: int
    balance_b: int
    locks: tuple[Lock, ...] = ()

    @property
    def tuple(self) -> tuple[Any, ...]:
        """As the contract's structure."""
        locks = [(one.id, one.payer, one.amount, one.condition, one.expires_at) for one in self.locks]
        return (self.sequence, self.held, self.balance_a, self.balance_b, locks)


def read_sheet(values: Sequence[Any]) -> Sheet:
    """A sheet from the contract's structure."""
    sequence, held, balance_a, balance_b, locks = values
    return Sheet(sequence, held, balance_a, balance_b, tuple(Lock(*one) for one in locks))
