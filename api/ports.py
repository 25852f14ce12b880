"""What the REST interface needs of a gateway. `api.gateway_port` gives it over a running one; tests give a fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in an asset's base units; a balance may be negative."""

    asset: Asset
    units: int

    @property
    def text(self) -> str:
        """As a decimal number."""
        return self.asset.text(self.units)


@dataclass(frozen=True, slots=True)
class QuoteWanted:
    """What a payment would have to do. Fields: clearing, payee (parties); source_ledger; target_ledger; target (what
    the payee's bank is to get)."""

    clearing: str
    payee: str
    source_ledger: str
    target_ledger: str
    target: Money


@dataclass(frozen=True, slots=True)
class QuoteShown:
    """What it would cost now. Fields: source (fee included); fee; rate_num, rate_den (target base units for one source
    base unit); expires_at (when a payment by it has to have begun); payment_id (of a firm quote: the payment that it is
    for, and for no other) and offer (the quote itself, with the clearing bank's signature), both empty where it is
    indicative."""

    wanted: QuoteWanted
    source: Money
    fee: Money
    rate_num: int
    rate_den: int
    expires_at: UnixMs
    payment_id: bytes = b""
    offer: bytes = field(default=b"", repr=False)

    @property
    def is_firm(self) -> bool:
        """Whether the clearing bank has signed it for a payment that may still be made."""
        return bool(self.payment_id)


@dataclass(frozen=True, slots=True)
class Creditor:
    """Who is paid. Fields: account (at the payee's bank); country (ISO 3166-1); kind (`natural` or `legal`)."""

    account: str = field(repr=False)
    country: str
    kind: str


@dataclass(frozen=True, slots=True)
class PaymentWanted:
    """A payment. Fields: payment_id (32 bytes); wanted; source_max (the most that it may cost, fee included); debtor
    (the customer's account at this bank); purpose (ISO 20022); initiator (who asks for it); reference; quote (the one
    that it goes by, if any)."""

    payment_id: bytes
    wanted: QuoteWanted
    source_max: Money
    debtor: str = field(repr=False)
    creditor: Creditor
    purpose: str
    initiator: str
    reference: str = field(default="", repr=False)
    quote: QuoteShown | None = None


@dataclass(frozen=True, slots=True)
class MomentShown:
    """A line of a payment's history."""

    at: UnixMs
    stage: str
    note: str


@dataclass(frozen=True, slots=True)
class LegShown:
    """One of the two holds. Fields: money is None as long as it is not known; `is_bound`: it is a bound, not agreed."""

    ledger: str
    account: str
    money: Money | None
    is_bound: bool = False
    expires_at: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class PaymentShown:
    """A payment as this party has it. Fields: role (payer, clearer, payee); stage; status (pending, in_progress, paid,
    returned, failed, lost); reason (of its end, `code: text`); history (empty in lists)."""

    payment_id: bytes
    role: str
    stage: str
    status: str
    reason: str
    payer: str
    clearing: str
    payee: str
    source: LegShown | None
    target: LegShown | None
    fee: Money | None
    created_at: UnixMs
    updated_at: UnixMs
    history: tuple[MomentShown, ...] = ()


@dataclass(frozen=True, slots=True)
class EventShown:
    """A payment came to stand elsewhere. Fields: number (ascending, of this gateway); payment_id; stage; note; at."""

    number: int
    payment_id: bytes
    stage: str
    note: str
    at: UnixMs


@dataclass(frozen=True, slots=True)
class AccountShown:
    """An account of this party on a ledger. `available` = `balance` − `held`."""

    ledger: str
    account: str
    balance: Money
    held: Money
    incoming: Money
    available: Money


@dataclass(frozen=True, slots=True)
class LineShown:
    """A booked movement. Fields: change (negative: money went out); after (the balance then); transfer_id."""

    number: int
    at: UnixMs
    change: Money
    after: Money
    counterparty: str
    transfer_id: bytes
    payment_id: bytes | None


@dataclass(frozen=True, slots=True)
class StatementShown:
    """An account's booked movements between two moments.

    Fields: next_after (begins the next page, None at the end); basis (whose word it is: `ledger`, or `books`: ours, of
    what the ledger has said finally).
    """

    ledger: str
    account: str
    opening: Money
    closing: Money
    lines: tuple[LineShown, ...]
    next_after: int | None
    basis: str = "ledger"


@dataclass(frozen=True, slots=True)
class RateShown:
    """What this party, as a clearing bank, takes between two ledgers. `rate`: whole units of the target for one of the
    source, None where it is not known now."""

    source_ledger: str
    target_ledger: str
    source: Asset
    target: Asset
    rate: tuple[int, int] | None
    spread_bp: int
    fee: Money
    minimum: Money
    maximum: Money
    expires_at: UnixMs | None


@dataclass(frozen=True, slots=True)
class ReasonShown:
    """One rule's word."""

    rule: str
    verdict: str
    text: str


@dataclass(frozen=True, slots=True)
class DecisionShown:
    """What the rules said of a payment, and who has approved. Fields: subject (32 bytes: what an approval is bound
    to)."""

    subject: bytes
    verdict: str
    rule_version: bytes
    at: UnixMs
    reasons: tuple[ReasonShown, ...]
    approved_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApprovalWanted:
    """A person's word. Fields: person; clears (rules whose referral it lifts); at; signature (None: who is logged in is
    the person)."""

    person: str
    clears: tuple[str, ...]
    at: UnixMs
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class CreditTransferShown:
    """What was read of a pacs.008. Fields: as `PaymentWanted`; the names are not kept."""

    message_id: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str
    settlement_date: date
    target: Money
    source_max: Money | None
    payee_bic: str
    debtor: str = field(repr=False)
    creditor: Creditor
    purpose: str
    reference: str = field(repr=False)


class NoQuote(Fatal):
    """The clearing bank makes no offer, or another than was asked for. Fields: code; detail."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class NotPossible(Fatal):
    """The payment is where this cannot be done any more. Fields: detail."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class Unknown(Fatal):
    """There is no such thing. Fields: what."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"no such {what}")


class GatewayPort(Protocol):
    """A gateway, as the REST interface uses it. Each raises `Retryable` when something does not answer now."""

    @property
    def party(self) -> str:
        """Whose gateway it is."""

    def now(self) -> UnixMs:
        """The time by its clock."""

    def asset(self, ledger: str) -> Asset | None:
        """What a ledger of ours is denominated in; None for a ledger that is not ours."""

    def assets(self) -> dict[str, Asset]:
        """The assets of our ledgers, by currency."""

    async def quote(self, wanted: QuoteWanted, *, firm: bool) -> QuoteShown:
        """What it would cost; firm, if that is asked for. Raises BadInput, NoQuote."""

    async def pay(self, wanted: PaymentWanted) -> None:
        """Begin a payment; returns when it is committed. The same id changes nothing. Raises BadInput, NoQuote."""

    async def payment(self, payment_id: bytes) -> PaymentShown:
        """One payment with its history. Raises Unknown."""

    async def payments(
        self, limit: int, before: tuple[UnixMs, bytes] | None, statuses: Sequence[str]
    ) -> tuple[PaymentShown, ...]:
        """Payments, newest first, made before (moment, id); all statuses where none is named."""

    async def cancel(self, payment_id: bytes, reason: str) -> None:
        """End a payment while nothing is held. Raises Unknown, NotPossible."""

    async def decision(self, payment_id: bytes) -> DecisionShown:
        """The last word of the rules on a payment. Raises Unknown."""

    async def approve(self, payment_id: bytes, approval: ApprovalWanted, principal: str) -> None:
        """A person approves. Raises Unknown, NotPossible, ForgedApproval."""

    async def accounts(self) -> tuple[AccountShown, ...]:
        """Our accounts."""

    async def statement(self, ledger: str, since: UnixMs, until: UnixMs, after: int, limit: int) -> StatementShown:
        """A page of an account's statement. Raises Unknown, NotPossible."""

    async def receipt(self, payment_id: bytes) -> bytes:
        """The receipt as a file that can be verified offline, JSON. Raises Unknown, NotPossible."""

    def rates(self) -> tuple[RateShown, ...]:
        """What this party clears, and at which rates; empty where it is no clearing bank."""

    async def events(self, after: int, limit: int) -> tuple[EventShown, ...]:
        """What happened after a number, in order."""

    async def last_event(self) -> int:
        """The number of the newest event; 0 where nothing has happened."""

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when something may have happened; the answer ends that."""
