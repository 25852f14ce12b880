"""What a book consists of: accounts, transfers, journal entries; what is asked of it, and what it answers.

Signs are the account holders': money that an account has is positive. The book's own side (issuers, assets, equity) is
negative where it owes, so that all balances of one asset sum to zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, TypeAlias

from foundation.quantities import UnixMs
from settlement.ledgers.protocol import (
    AccountView,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import MAX_UNITS, Asset, Condition, Preimage, Units

Holder = NewType("Holder", str)
"""Who owns accounts and has API keys to them: a bank's name with the book, as `PartyId` is written."""

UNBOUNDED_FLOOR = -MAX_UNITS
"""The floor of the book's own accounts where none is given: an issuer may put 2^64−1 base units into circulation."""

TRANSFER_ID_BYTES = 32

LATEST_MS = 2**53 - 1
"""The last moment that JSON's readers in other languages can tell from the next (RFC 8259, section 6)."""

ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
ACCOUNT_NAME_CURE = "an account's name is 1 to 64 letters, digits, `.`, `_`, `:` or `-`"


class AccountKind(StrEnum):
    """What an account is in the book's own balance sheet."""

    LIABILITY = "liability"  # owed to a holder: what a customer of the book has
    ASSET = "asset"
    EQUITY = "equity"
    ISSUER = "issuer"  # where money comes from, and goes when it is destroyed


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Its totals are derived: the journal's lines sum to them, and `verify` says whether they do.

    Fields: name; asset; kind; owner (whose keys may use it); floor (the least that `available` may become); frozen (no
    new hold or payment from or to it; holds that stand end as they would); balance (what is held from it included);
    held (set aside from it); incoming (set aside for it); opened_at.
    """

    name: LedgerAccount
    asset: Asset
    kind: AccountKind
    owner: Holder
    floor: int
    frozen: bool
    balance: int
    held: int
    incoming: int
    opened_at: UnixMs

    @property
    def available(self) -> int:
        """Base units that a further hold or payment may use, down to the floor."""
        return self.balance - self.held

    @property
    def view(self) -> AccountView:
        """As the gateway reads it."""
        return AccountView(self.name, self.asset, self.balance, Units(self.held), Units(self.incoming), self.floor)


class TransferState(StrEnum):
    """Where a transfer stands. All but the first are ends."""

    HELD = "held"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    POSTED = "posted"  # a payment, which never was pending
    REFUSED = "refused"  # for ever, so that a late repeat cannot do what its sender has been told is not done


@dataclass(frozen=True, slots=True)
class Transfer:
    """A hold (it has a condition) or a payment (it has none), under an id of its client's choice.

    Fields: expires_at (0 for a payment); memo (unread); preimage (if fulfilled); made_at; decided_at (when it ended);
    reason and detail (if refused).
    """

    transfer_id: TransferId
    payer: LedgerAccount
    payee: LedgerAccount
    amount: Units
    condition: Condition | None
    expires_at: UnixMs
    memo: bytes
    state: TransferState
    made_at: UnixMs
    preimage: Preimage | None = None
    decided_at: UnixMs | None = None
    reason: Refusal | None = None
    detail: str = ""

    @property
    def hold(self) -> Hold:
        """What was asked for, if it is a hold."""
        assert self.condition is not None, "a payment is no hold"
        return Hold(self.transfer_id, self.payer, self.payee, self.amount, self.condition, self.expires_at, self.memo)

    @property
    def payment(self) -> Payment:
        """What was asked for, if it is a payment."""
        assert self.condition is None, "a hold is no payment"
        return Payment(self.transfer_id, self.payer, self.payee, self.amount, self.memo)

    @property
    def view(self) -> HoldView | None:
        """The hold as it stands; None for a payment and for what was refused."""
        if self.condition is None or self.state is TransferState.REFUSED:
            return None
        return HoldView(self.hold, HoldState(self.state.value), self.preimage, self.made_at, self.decided_at)


@dataclass(frozen=True, slots=True)
class Payment:
    """Money to be paid at once. Fields as those of `Hold`; memo is the payer's reference."""

    transfer_id: TransferId
    payer: LedgerAccount
    payee: LedgerAccount
    amount: Units
    memo: bytes = b""


class EntryKind(StrEnum):
    """What an entry of the journal records."""

    HOLD = "hold"
    FULFIL = "fulfil"
    CANCEL = "cancel"
    EXPIRE = "expire"
    PAYMENT = "payment"


class Bucket(StrEnum):
    """The two parts of an account's balance."""

    OWN = "own"  # free to use
    HELD = "held"  # set aside from it under a hold


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an entry. Fields: amount (signed base units); after (the account's balance, held included, then)."""

    account: LedgerAccount
    bucket: Bucket
    amount: int
    after: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal; its lines sum to zero. `number` counts all entries of the book from 1, without gaps."""

    number: int
    kind: EntryKind
    transfer_id: TransferId
    payer: LedgerAccount
    payee: LedgerAccount
    at: UnixMs
    lines: tuple[Line, Line]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as its API key proves. An operator owns the book's own accounts, and may read all."""

    holder: Holder
    is_operator: bool = False

    def owns(self, account: Account) -> bool:
        """Whether the caller may spend from the account and claim what is held for it."""
        return account.owner == self.holder


@dataclass(frozen=True, slots=True)
class MakeHold:
    """Set money aside."""

    caller: Caller
    hold: Hold


@dataclass(frozen=True, slots=True)
class MakePayment:
    """Pay at once."""

    caller: Caller
    payment: Payment


@dataclass(frozen=True, slots=True)
class FulfilHold:
    """Pay what is held."""

    caller: Caller
    fulfilment: Fulfilment

    @property
    def transfer_id(self) -> TransferId:
        """The hold's."""
        return self.fulfilment.transfer_id


@dataclass(frozen=True, slots=True)
class CancelHold:
    """Give back what is held."""

    caller: Caller
    transfer_id: TransferId


Command: TypeAlias = MakeHold | MakePayment | FulfilHold | CancelHold


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment is made: now, or by an earlier call with the same content."""

    payment: Payment
    paid_at: UnixMs


Answer: TypeAlias = Done | Paid | Refused
