"""What two banks agree on when they open a channel, and the balances that they sign between them.

Vocabulary: the papers' dual-signature contract is a channel, a commitment transaction is a sheet: the balances that
both banks have signed under one number. Source: seeds/000…, 3.2 and A.2; seeds/002…, Clearing System.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Condition, Units

ChannelId = NewType("ChannelId", bytes)
"""32 bytes: the EIP-712 hash of the terms, so that an id stands for its terms and for nothing else."""

LockId = NewType("LockId", bytes)
"""32 bytes, chosen by who offers a conditional payment, unique in its channel."""

Account = NewType("Account", bytes)
"""A bank's signing account: 20 bytes, the address of its secp256k1 key."""

LOCKS_MAX: Final = 16
"""Conditional payments in one channel at a time: a dispute has to be settled within bounded work."""

SEQUENCE_MAX: Final = 2**64 - 1
CHALLENGE_MS_MIN: Final = 1_000
CHALLENGE_MS_MAX: Final = 30 * 86_400_000


class Side(IntEnum):
    """One of the channel's two banks: A opened it."""

    A = 0
    B = 1

    @property
    def other(self) -> Side:
        """The counterparty."""
        return Side(1 - self)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is fixed at the opening.

    Fields: ledger (32 bytes, the adjudicator's domain: no signature counts elsewhere); a, b (the banks' signing
    accounts); deposit_a, deposit_b (base units; their sum at most 2^64−1); challenge_ms (how long the other bank may
    answer a close; whole seconds); one_way (A alone pays, and B deposits nothing); salt (32 bytes, so that two banks
    may have several); asset (20 bytes: a token's contract, zero for a chain's coin and for a book).

    Raises:
        BadInput: a field is out of its range.
    """

    ledger: bytes
    a: Account
    b: Account
    deposit_a: Units
    deposit_b: Units
    challenge_ms: int
    one_way: bool
    salt: bytes
    asset: bytes = bytes(20)

    def __post_init__(self) -> None:
        for field, value, length in (
            ("ledger", self.ledger, 32),
            ("a", self.a, 20),
            ("b", self.b, 20),
            ("salt", self.salt, 32),
        ):
            if len(value) != length:
                raise BadInput(f"channel.{field}", f"{len(value)} bytes", f"{length} bytes")
        if len(self.asset) != 20:
            raise BadInput("channel.asset", f"{len(self.asset)} bytes", "20 bytes")
        if self.a == self.b:
            raise BadInput("channel.b", "both sides are the same account", "a channel joins two banks")
        if min(self.deposit_a, self.deposit_b) < 0 or not 0 < self.total <= MAX_UNITS:
            raise BadInput("channel.deposit_a", "the deposits are not between 1 and 2^64−1", "whole base units")
        if self.one_way and self.deposit_b != 0:
            raise BadInput("channel.deposit_b", f"{self.deposit_b}", "0: in a one-way channel A alone pays")
        if not CHALLENGE_MS_MIN <= self.challenge_ms <= CHALLENGE_MS_MAX or self.challenge_ms % 1000:
            raise BadInput("channel.challenge_ms", f"{self.challenge_ms}", "1 s to 30 days, in whole seconds")

    @property
    def total(self) -> int:
        """All money in the channel, base units: what every sheet adds up to."""
        return self.deposit_a + self.deposit_b

    def account(self, side: Side) -> Account:
        """The account of a side."""
        return self.a if side is Side.A else self.b

    def proposer(self, sequence: int) -> Side:
        """Who alone may propose the sheet of this number: the banks take turns, and in a one-way channel A always does.

        So no two sheets of one number can ever carry both signatures.
        """
        return Side.A if self.one_way or sequence % 2 == 1 else Side.B

    def next_turn(self, side: Side, after: int) -> int:
        """The lowest number above `after` that a side may propose; in a one-way channel only A has one.

        Raises:
            BadInput: B asks in a one-way channel.
        """
        if self.one_way and side is Side.B:
            raise BadInput("channel.one_way", "B proposes nothing in a one-way channel", "ask A")
        return after + 1 if self.proposer(after + 1) is side else after + 2


@dataclass(frozen=True, slots=True)
class Lock:
    """A conditional payment in the channel: set aside from `payer`, for the other side's preimage before the time-out.

    Fields: condition (32 bytes, SHA-256 of the preimage); expires_at (in whole seconds, so that every ledger's clock
    reads it alike: from this moment on it goes back).
    """

    lock_id: LockId
    payer: Side
    amount: Units
    condition: Condition
    expires_at: UnixMs


@dataclass(frozen=True, slots=True)
class Sheet:
    """The balances under one number. It counts when both banks have signed it; the highest number is the newest.

    Fields: sequence (0 are the deposits, which need no signature); held (the number of the newest sheet that the
    proposer holds with both signatures: proof of what it knew, should it try to close with less); balance_a, balance_b,
    locks (add up to the deposits).
    """

    channel: ChannelId
    sequence: int
    held: int
    balance_a: Units
    balance_b: Units
    locks: tuple[Lock, ...] = ()

    @property
    def total(self) -> int:
        """All money on the sheet."""
        return self.balance_a + self.balance_b + sum(lock.amount for lock in self.locks)

    def balance(self, side: Side) -> Units:
        """What a side has for certain, what is set aside not counted."""
        return self.balance_a if side is Side.A else self.balance_b

    def lock(self, lock_id: LockId) -> Lock | None:
        """The conditional payment of this id, None where there is none."""
        return next((lock for lock in self.locks if lock.lock_id == lock_id), None)


@dataclass(frozen=True, slots=True)
class SignedSheet:
    """A sheet with both signatures, 65 bytes each; both empty for sheet 0."""

    sheet: Sheet
    signature_a: bytes
    signature_b: bytes

    def signature(self, side: Side) -> bytes:
        """The signature of a side."""
        return self.signature_a if side is Side.A else self.signature_b


def check_sheet(terms: Terms, sheet: Sheet) -> None:
    """Whether a sheet can be one of this channel.

    Raises:
        BadInput: its number or a sum is out of range, it has too many conditional payments or two of one id, or it does
            not add up to the deposits.
    """
    if not 0 <= sheet.held < max(sheet.sequence, 1) <= SEQUENCE_MAX:
        raise BadInput("sheet.sequence", f"{sheet.sequence} over {sheet.held}", "a number above that of the sheet held")
    if min(sheet.balance_a, sheet.balance_b) < 0:
        raise BadInput("sheet.balance", "is negative", "nobody pays more than they have")
    if len(sheet.locks) > LOCKS_MAX or len({lock.lock_id for lock in sheet.locks}) != len(sheet.locks):
        raise BadInput("sheet.locks", "too many, or two of one id", f"at most {LOCKS_MAX}")
    for lock in sheet.locks:
        if lock.amount <= 0 or lock.expires_at <= 0 or lock.expires_at % 1000 or len(lock.condition) != 32:
            raise BadInput("sheet.locks", "an amount, a condition or a time-out is none", "whole seconds, above 0")
        if terms.one_way and lock.payer is Side.B:
            raise BadInput("sheet.locks", "B pays in a one-way channel", "open a channel of both ways")
    if sheet.total != terms.total:
        raise BadInput("sheet.balance", f"adds up to {sheet.total}", f"the deposits: {terms.total}")


def first_sheet(terms: Terms, channel: ChannelId) -> SignedSheet:
    """Sheet 0: the deposits."""
    return SignedSheet(Sheet(channel, 0, 0, terms.deposit_a, terms.deposit_b), b"", b"")
