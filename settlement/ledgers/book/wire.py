"""The book's messages in JSON. Amounts are decimal text of base units, ids and hashes lower-case hex, memos base64."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.ledgers.book.statement import Booking, Statement
from settlement.ledgers.book.types import Account, AccountKind, Answer, EntryKind, Paid, Payment
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
from settlement.quantities import Asset, Condition, Preimage, Scale, Units

ITEMS_MAX: Final = 1_000
"""Items in one request."""

Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Decimal = Annotated[str, Meta(pattern="^-?[0-9]{1,40}$")]
Millis = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Name = Annotated[str, Meta(max_length=128)]
Item = TypeVar("Item")


class TransferIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to be made. `memo` is base64 (RFC 4648, section 4)."""

    id: Hex32
    payer: Name
    payee: Name
    amount: Decimal
    condition: Hex32
    expires_at: Millis
    memo: bytes = b""

    def hold(self) -> Hold:
        """As the ledger's protocol has it."""
        return Hold(
            TransferId(bytes.fromhex(self.id)),
            LedgerAccount(self.payer),
            LedgerAccount(self.payee),
            Units(int(self.amount)),
            Condition(bytes.fromhex(self.condition)),
            UnixMs(self.expires_at),
            self.memo,
        )


class PaymentIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A payment to be made at once."""

    id: Hex32
    payer: Name
    payee: Name
    amount: Decimal
    memo: bytes = b""

    def payment(self) -> Payment:
        """As the book has it."""
        transfer_id, payer, payee = TransferId(bytes.fromhex(self.id)), LedgerAccount(self.payer), self.payee
        return Payment(transfer_id, payer, LedgerAccount(payee), Units(int(self.amount)), self.memo)


class FulfilmentIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to be fulfilled."""

    id: Hex32
    preimage: Hex32

    def fulfilment(self) -> Fulfilment:
        """As the ledger's protocol has it."""
        return Fulfilment(TransferId(bytes.fromhex(self.id)), Preimage(bytes.fromhex(self.preimage)))


class CancellationIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to be cancelled."""

    id: Hex32


TransfersIn = Annotated[list[TransferIn], Meta(max_length=ITEMS_MAX)]
PaymentsIn = Annotated[list[PaymentIn], Meta(max_length=ITEMS_MAX)]
FulfilmentsIn = Annotated[list[FulfilmentIn], Meta(max_length=ITEMS_MAX)]
CancellationsIn = Annotated[list[CancellationIn], Meta(max_length=ITEMS_MAX)]


class TransferOut(Struct, frozen=True, omit_defaults=True):
    """A hold as it stands."""

    id: str
    payer: str
    payee: str
    amount: str
    condition: str
    expires_at: int
    state: HoldState
    held_at: int
    memo: bytes = b""
    preimage: str | None = None
    decided_at: int | None = None

    @classmethod
    def of(cls, view: HoldView) -> TransferOut:
        """`view` as a message."""
        hold = view.hold
        return cls(
            id=hold.transfer_id.hex(),
            payer=hold.payer,
            payee=hold.payee,
            amount=str(hold.amount),
            condition=hold.condition.hex(),
            expires_at=hold.expires_at,
            state=view.state,
            held_at=view.held_at,
            memo=hold.memo,
            preimage=None if view.preimage is None else view.preimage.hex(),
            decided_at=view.decided_at,
        )

    def view(self) -> HoldView:
        """As the ledger's protocol has it. Raises ValueError for text that is no number or no hex."""
        hold = TransferIn(
            self.id, self.payer, self.payee, self.amount, self.condition, self.expires_at, self.memo
        ).hold()
        return HoldView(
            hold,
            self.state,
            None if self.preimage is None else Preimage(bytes.fromhex(self.preimage)),
            UnixMs(self.held_at),
            None if self.decided_at is None else UnixMs(self.decided_at),
        )


class PaymentOut(Struct, frozen=True):
    """A payment that was made."""

    id: str
    payer: str
    payee: str
    amount: str
    paid_at: int
    memo: bytes = b""


class OutcomeOut(Struct, frozen=True, omit_defaults=True):
    """The outcome of one item: done, or refused with a reason. `transfer` or `payment`: as it stands."""

    id: str
    done: bool
    reason: Refusal | None = None
    detail: str = ""
    transfer: TransferOut | None = None
    payment: PaymentOut | None = None

    @classmethod
    def of(cls, answer: Answer) -> OutcomeOut:
        """`answer` as a message."""
        match answer:
            case Done(view):
                return cls(view.hold.transfer_id.hex(), True, transfer=TransferOut.of(view))
            case Paid(paid, paid_at):
                made = PaymentOut(paid.transfer_id.hex(), paid.payer, paid.payee, str(paid.amount), paid_at, paid.memo)
                return cls(made.id, True, payment=made)
            case Refused(transfer_id, reason, detail, seen):
                shown = None if seen is None else TransferOut.of(seen)
                return cls(transfer_id.hex(), False, reason, detail, shown)

    def answer(self) -> Answer:
        """As the ledger's protocol has it. Raises ValueError for an answer that says neither."""
        transfer_id = TransferId(bytes.fromhex(self.id))
        if not self.done and self.reason is not None:
            shown = None if self.transfer is None else self.transfer.view()
            return Refused(transfer_id, self.reason, self.detail, shown)
        if self.done and self.transfer is not None:
            return Done(self.transfer.view())
        if self.done and self.payment is not None:
            made = self.payment
            asked = PaymentIn(made.id, made.payer, made.payee, made.amount, made.memo)
            return Paid(asked.payment(), UnixMs(made.paid_at))
        raise ValueError("an outcome that says neither done nor refused")


class AssetOut(Struct, frozen=True, forbid_unknown_fields=True):
    """What an account is denominated in."""

    code: str
    scale: int

    def asset(self) -> Asset:
        """Raises `BadInput` where it is none."""
        return Asset(self.code, Scale(self.scale))


class AccountIn(Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be opened. `floor`: without one, a holder's is 0 and the book's own may go to −(2^64−1)."""

    name: Name
    asset: AssetOut
    owner: Name
    kind: AccountKind = AccountKind.LIABILITY
    floor: Decimal | None = None


class FreezeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether an account is to be frozen."""

    frozen: bool


class AccountOut(Struct, frozen=True):
    """An account as it stands."""

    name: str
    asset: AssetOut
    kind: AccountKind
    owner: str
    floor: str
    frozen: bool
    balance: str
    held: str
    incoming: str
    available: str

    @classmethod
    def of(cls, account: Account) -> AccountOut:
        """`account` as a message."""
        return cls(
            account.name,
            AssetOut(account.asset.code, account.asset.scale),
            account.kind,
            account.owner,
            str(account.floor),
            account.frozen,
            str(account.balance),
            str(account.held),
            str(account.incoming),
            str(account.available),
        )

    def view(self) -> AccountView:
        """As the ledger's protocol has it. Raises ValueError for text that is no number."""
        held, incoming = Units(int(self.held)), Units(int(self.incoming))
        name, asset = LedgerAccount(self.name), self.asset.asset()
        return AccountView(name, asset, int(self.balance), held, incoming, int(self.floor))


class BookingOut(Struct, frozen=True):
    """One line of a statement. `amount` is negative where money went out; `after` is the balance then."""

    number: int
    kind: EntryKind
    transfer_id: str
    at: int
    counterparty: str
    amount: str
    after: str


class StatementOut(Struct, frozen=True):
    """A page of a statement; the next begins with `after` = `next_after`, which is null at the end."""

    account: str
    asset: AssetOut
    opening: str
    lines: list[BookingOut]
    closing: str
    next_after: int | None

    def page(self) -> Statement:
        """As the book has it. Raises ValueError for text that is no number or no hex."""
        bookings = tuple(
            Booking(
                line.number,
                line.kind,
                TransferId(bytes.fromhex(line.transfer_id)),
                UnixMs(line.at),
                LedgerAccount(line.counterparty),
                int(line.amount),
                int(line.after),
            )
            for line in self.lines
        )
        return Statement(LedgerAccount(self.account), int(self.opening), bookings, int(self.closing), self.next_after)

    @classmethod
    def of(cls, page: Statement, asset: Asset) -> StatementOut:
        """`page` as a message."""
        shown = [
            BookingOut(b.number, b.kind, b.transfer_id.hex(), b.at, b.counterparty, str(b.amount), str(b.after))
            for b in page.bookings
        ]
        denomination = AssetOut(asset.code, asset.scale)
        return cls(page.account, denomination, str(page.opening), shown, str(page.closing), page.next_after)


class VerdictOut(Struct, frozen=True):
    """What a look at the whole book found; `sums` by asset are each to be 0."""

    ok: bool
    entries: int
    sums: dict[str, str]
    faults: list[str]


class KeyIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made for a holder."""

    key_id: str
    holder: str


class KeyOut(Struct, frozen=True):
    """A new key. It is shown this once."""

    key_id: str
    holder: str
    key: str


class FactsOut(Struct, frozen=True):
    """What a party has to know of the book. `now`: its clock."""

    ledger_id: str
    settle_ms: int
    hold_ms_min: int
    hold_ms_max: int
    now: int


class ProblemOut(Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457), with the field and the cure where there are any."""

    type: str
    title: str
    status: int
    detail: str
    field: str = ""
    cure: str = ""


def decoded(decoder: msgspec.json.Decoder[Item], raw: bytes) -> Item:
    """A message.

    Raises:
        BadInput: it is no JSON, or not what is asked for; names the place.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise BadInput(place.rstrip("`").strip(".") or "body", problem[:1].lower() + problem[1:]) from error
    except UNREADABLE as error:
        raise BadInput("body", "it is no JSON", "send UTF-8 JSON (RFC 8259)") from error


encode = msgspec.json.Encoder().encode
