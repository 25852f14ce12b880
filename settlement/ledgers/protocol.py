"""What the gateway asks of a ledger: hold, fulfil and cancel money under a hash and a time-out, and tell what happened.

Calls take batches and answer one outcome for each item, in order. The client chooses the ids: a repeat of the same
transfer answers as the first did, another transfer under a known id is refused. Nothing is raised for an item; what is
raised says that nothing is known of the batch (the ledger did not answer), and the caller asks again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol, TypeAlias

from foundation.errors import Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.quantities import Asset, Condition, Preimage, Units

LedgerId = NewType("LedgerId", str)
"""A ledger's name in the configuration, such as `digital-euro`."""

LedgerAccount = NewType("LedgerAccount", str)
"""An account on one ledger: the book's account name, an EVM address (EIP-55), or a bitcoin key (x-only, hex)."""

TransferId = NewType("TransferId", bytes)
"""32 bytes, chosen by who makes the transfer, unique for ever on its ledger."""

Cursor = NewType("Cursor", str)
"""How far an event feed was read; opaque, durable with its reader. Empty is the beginning."""

MEMO_BYTES_MAX = 32_768 + 64
"""A memo carries one ILP packet (data of at most 32,768 bytes in RFC 27's way of counting) and its header."""


class HoldState(StrEnum):
    """Where a hold stands. The last three are ends."""

    HELD = "held"
    FULFILLED = "fulfilled"  # paid to the payee, with the preimage
    CANCELLED = "cancelled"  # given back by the payee's word, before the time-out
    EXPIRED = "expired"  # given back because the time-out has passed


@dataclass(frozen=True, slots=True)
class Hold:
    """Money to be set aside, from `payer` for `payee`, until the preimage or the time-out comes.

    Fields: transfer_id; payer; payee; amount (above 0); condition (32 bytes); expires_at (from this moment on it cannot
    be fulfilled, and goes back); memo (for the payee, at most MEMO_BYTES_MAX bytes; a ledger delivers it unread).
    """

    transfer_id: TransferId
    payer: LedgerAccount
    payee: LedgerAccount
    amount: Units
    condition: Condition
    expires_at: UnixMs
    memo: bytes = b""


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """The payee's word that money held is to be paid: the preimage of the hold's condition.

    Fields: transfer_id; preimage; is_known (others have the preimage already, so nothing is gained by keeping it back
    when time is short: a ledger on a chain tries to be paid until the hold has ended).
    """

    transfer_id: TransferId
    preimage: Preimage
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold as the ledger has it now. `preimage` is there if it is fulfilled; `decided_at` if it has ended."""

    hold: Hold
    state: HoldState
    preimage: Preimage | None
    held_at: UnixMs
    decided_at: UnixMs | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's money. `available` = `balance` − `held`: what a further hold or payment may use.

    Fields: balance (posted, what is held from it included; negative where the account may owe); held (set aside from it
    for others); incoming (set aside by others for it, not yet its own); floor (the least that `available` may become).
    """

    account: LedgerAccount
    asset: Asset
    balance: int
    held: Units
    incoming: Units
    floor: int

    @property
    def available(self) -> int:
        """Base units that may still be held or paid, before the floor."""
        return self.balance - self.held


class Refusal(StrEnum):
    """Why a ledger did not do what was asked, for good. The text beside it is for people."""

    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_TRANSFER = "unknown_transfer"
    SAME_ID_OTHER_TRANSFER = "same_id_other_transfer"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    WRONG_PREIMAGE = "wrong_preimage"
    ALREADY_FULFILLED = "already_fulfilled"
    ALREADY_RETURNED = "already_returned"  # cancelled or expired
    EXPIRED = "expired"  # the hold's time-out has passed, or would have at its start
    NOT_SHOWN = "not_shown"  # too little time is left to be paid for sure: the preimage was shown to nobody
    NOT_YET_EXPIRED = "not_yet_expired"  # the payer cannot take back a hold before its time-out
    NOT_ALLOWED = "not_allowed"  # the caller is neither of the hold's parties, or the account is frozen
    BAD_REQUEST = "bad_request"  # an amount, an account or a memo that no ledger accepts; names the field


@dataclass(frozen=True, slots=True)
class Done:
    """It is so: now, or since an earlier call with the same content."""

    view: HoldView


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not so, and asking again does not change it. `view` is the transfer as it stands, where there is one."""

    transfer_id: TransferId
    reason: Refusal
    detail: str
    view: HoldView | None = None


Outcome: TypeAlias = Done | Refused


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A hold came to stand as `view.state` says. Delivered at least once, in order for each hold.

    Fields: cursor (where to go on after this event has been dealt with); view.
    """

    cursor: Cursor
    view: HoldView


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What a party has to know before it uses a ledger.

    Fields: ledger_id; asset; settle_ms (how long an accepted call may take to be final: a book's is 0, a chain's is its
    finality), which the expiry cascade adds to its margin; hold_ms_min (time
    enough for a hold to become final, `settle_ms`, and to be fulfilled, the rest; a shorter one cannot be relied upon).
    """

    ledger_id: LedgerId
    asset: Asset
    settle_ms: int
    hold_ms_min: int


class LedgerUnavailable(Retryable):
    """The ledger did not answer: what was asked may or may not have happened. Ask again with the same ids.

    Fields: ledger_id; problem.
    """

    def __init__(self, ledger_id: LedgerId, problem: str) -> None:
        self.ledger_id = ledger_id
        self.problem = problem
        super().__init__(f"the ledger {ledger_id} did not answer: {problem}")


class LedgerMismatch(Fatal):
    """The ledger is not the configured one, or breaks its own rules: nobody pays on it until a person has looked.

    Fields: ledger_id; field; expected; found.
    """

    def __init__(self, ledger_id: LedgerId, field: str, expected: str, found: str) -> None:
        self.ledger_id = ledger_id
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f"the ledger {ledger_id}'s {field} is {found}, expected {expected}")


class Ledger(Protocol):
    """One ledger, as one account's holder sees it: `own` is the account that this client acts for."""

    @property
    def own(self) -> LedgerAccount:
        """The account that pays, receives and reads here."""

    async def facts(self) -> LedgerFacts:
        """What the ledger is.

        Raises:
            LedgerUnavailable: it did not answer.
            LedgerMismatch: it is another than configured.
        """

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """Set money aside from `own`. Done only when it is final (as `LedgerFacts.settle_ms` says).

        Raises:
            LedgerUnavailable: unknown; ask again with the same ids.
        """

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """Pay what is held, by its preimage, strictly before its time-out. Done only when it is final.

        Raises:
            LedgerUnavailable: unknown; ask again.
        """

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """Give back what is held: the payee at any time, the payer once the time-out has passed.

        Raises:
            LedgerUnavailable: unknown; ask again.
        """

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """How each hold stands, None for one that is not there.

        Raises:
            LedgerUnavailable: it did not answer.
        """

    async def account(self) -> AccountView:
        """The money of `own`, what is held counted.

        Raises:
            LedgerUnavailable: it did not answer.
        """

    def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        """Holds from or for `own` as they change, in batches, after `after`. Waits for new ones; ends only by an error.

        Raises:
            LedgerUnavailable: the feed broke; call again with the last cursor that was dealt with.
        """
