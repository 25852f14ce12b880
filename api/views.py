"""What is answered, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.forms import HexId, Model, time_text
from api.ports import (
    AccountShown,
    DecisionShown,
    LegShown,
    Money,
    PaymentShown,
    QuoteShown,
    RateShown,
    StatementShown,
)


class MoneyOut(Model):
    """An amount; `scale`: decimal places of its base unit."""

    amount: Annotated[str, Field(examples=["2000.00"])]
    currency: Annotated[str, Field(examples=["EUR"])]
    scale: int

    @classmethod
    def of(cls, money: Money) -> MoneyOut:
        """From the gateway's."""
        return cls(amount=money.text, currency=money.asset.code, scale=money.asset.scale)


class QuoteOut(Model):
    """What a payment would cost. It serves one payment, of who asked for it."""

    id: HexId
    firm: Annotated[
        bool,
        Field(
            description="true: the clearing bank has signed it, and its payment costs exactly `source`; "
            "false: the payment asks again, and costs at most `source` or does not happen"
        ),
    ]
    used: Annotated[bool, Field(description="A payment goes by it already")]
    payee: str
    clearing: str
    source_ledger: str
    target_ledger: str
    source: Annotated[MoneyOut, Field(description="What it costs, fee included")]
    target: MoneyOut
    fee: MoneyOut
    rate: Annotated[
        str, Field(description="Target base units for one source base unit, as a fraction", examples=["2/1"])
    ]
    expires_at: Annotated[str, Field(description="RFC 3339: until when a payment by it can begin")]

    @classmethod
    def of(cls, quote_id: bytes, quote: QuoteShown, *, is_used: bool) -> QuoteOut:
        """From the gateway's."""
        return cls(
            id=quote_id.hex(),
            firm=quote.is_firm,
            used=is_used,
            payee=quote.wanted.payee,
            clearing=quote.wanted.clearing,
            source_ledger=quote.wanted.source_ledger,
            target_ledger=quote.wanted.target_ledger,
            source=MoneyOut.of(quote.source),
            target=MoneyOut.of(quote.wanted.target),
            fee=MoneyOut.of(quote.fee),
            rate=f"{quote.rate_num}/{quote.rate_den}",
            expires_at=time_text(quote.expires_at),
        )


class LegOut(Model):
    """One of the two holds."""

    ledger: str
    account: str
    amount: str | None
    currency: str | None
    is_bound: Annotated[bool, Field(description="The amount is a bound, and not agreed yet")]
    expires_at: str | None

    @classmethod
    def of(cls, leg: LegShown | None) -> LegOut | None:
        """From the gateway's."""
        if leg is None:
            return None
        return cls(
            ledger=leg.ledger,
            account=leg.account,
            amount=None if leg.money is None else leg.money.text,
            currency=None if leg.money is None else leg.money.asset.code,
            is_bound=leg.is_bound,
            expires_at=None if leg.expires_at is None else time_text(leg.expires_at),
        )


class MomentOut(Model):
    """A line of a payment's history."""

    at: str
    stage: str
    note: str


class LinksOut(Model):
    """Where to go on."""

    self: str  # noqa: PLW0211 - the name that hypermedia gives it
    receipt: str
    status_report: Annotated[str, Field(description="The payment's pacs.002")]
    cancel: str
    approvals: str


Status = Literal["pending", "in_progress", "paid", "returned", "failed", "lost"]


class PaymentOut(Model):
    """A payment, as this bank has it. `role`: what this bank is in it."""

    id: HexId
    role: Literal["payer", "clearer", "payee"]
    status: Status
    stage: Annotated[str, Field(description="Where the protocol stands", examples=["held"])]
    reason: Annotated[str, Field(description="Why it ended so", examples=["no_funds: the account has too little"])]
    payer: str
    clearing: str
    payee: str
    source: LegOut | None
    target: LegOut | None
    fee: MoneyOut | None
    created_at: str
    updated_at: str
    history: list[MomentOut]
    links: LinksOut

    @classmethod
    def of(cls, payment: PaymentShown) -> PaymentOut:
        """From the gateway's."""
        number = payment.payment_id.hex()
        start = f"/v1/payments/{number}"
        return cls.model_validate(
            {
                "id": number,
                "role": payment.role,
                "status": payment.status,
                "stage": payment.stage,
                "reason": payment.reason,
                "payer": payment.payer,
                "clearing": payment.clearing,
                "payee": payment.payee,
                "source": LegOut.of(payment.source),
                "target": LegOut.of(payment.target),
                "fee": None if payment.fee is None else MoneyOut.of(payment.fee),
                "created_at": time_text(payment.created_at),
                "updated_at": time_text(payment.updated_at),
                "history": [MomentOut(at=time_text(one.at), stage=one.stage, note=one.note) for one in payment.history],
                "links": LinksOut(
                    self=start,
                    receipt=f"/v1/receipts/{number}",
                    status_report=f"/v1/iso20022/pacs.002/{number}",
                    cancel=f"{start}/cancel",
                    approvals=f"{start}/approvals",
                ),
            }
        )


class PaymentsOut(Model):
    """A page, newest first; `next` begins the next page."""

    payments: list[PaymentOut]
    next: str | None


class ReasonOut(Model):
    """One rule's word."""

    rule: str
    verdict: str
    text: str


class DecisionOut(Model):
    """What the rules say of a payment. `subject`: what an approval is bound to."""

    subject: HexId
    verdict: str
    rule_version: str
    at: str
    reasons: list[ReasonOut]
    approved_by: list[str]

    @classmethod
    def of(cls, decision: DecisionShown) -> DecisionOut:
        """From the gateway's."""
        return cls(
            subject=decision.subject.hex(),
            verdict=decision.verdict,
            rule_version=decision.rule_version.hex(),
            at=time_text(decision.at),
            reasons=[ReasonOut(rule=one.rule, verdict=one.verdict, text=one.text) for one in decision.reasons],
            approved_by=list(decision.approved_by),
        )


class AccountOut(Model):
    """An account of this bank on a ledger: `available` = `balance` − `held`."""

    ledger: str
    account: str
    currency: str
    scale: int
    balance: str
    held: str
    incoming: str
    available: str

    @classmethod
    def of(cls, account: AccountShown) -> AccountOut:
        """From the gateway's."""
        return cls(
            ledger=account.ledger,
            account=account.account,
            currency=account.balance.asset.code,
            scale=account.balance.asset.scale,
            balance=account.balance.text,
            held=account.held.text,
            incoming=account.incoming.text,
            available=account.available.text,
        )


class AccountsOut(Model):
    """All accounts."""

    accounts: list[AccountOut]


class LineOut(Model):
    """A booked movement; `change` is negative where money went out, `after` is the balance then."""

    number: int
    at: str
    change: str
    after: str
    counterparty: str
    transfer_id: str
    payment_id: str | None


class StatementOut(Model):
    """A page of an account's booked movements; the next begins with `after` = `next_after`."""

    ledger: str
    account: str
    basis: Annotated[
        Literal["ledger", "books"],
        Field(
            description="Whose word it is: the ledger's, or that of this gateway's books on a ledger without statements"
        ),
    ]
    currency: str
    scale: int
    opening: str
    closing: str
    lines: list[LineOut]
    next_after: int | None

    @classmethod
    def of(cls, statement: StatementShown) -> StatementOut:
        """From the gateway's."""
        return cls(
            ledger=statement.ledger,
            account=statement.account,
            basis="books" if statement.basis == "books" else "ledger",
            currency=statement.opening.asset.code,
            scale=statement.opening.asset.scale,
            opening=statement.opening.text,
            closing=statement.closing.text,
            lines=[
                LineOut(
                    number=line.number,
                    at=time_text(line.at),
                    change=line.change.text,
                    after=line.after.text,
                    counterparty=line.counterparty,
                    transfer_id=line.transfer_id.hex(),
                    payment_id=None if line.payment_id is None else line.payment_id.hex(),
                )
                for line in statement.lines
            ],
            next_after=statement.next_after,
        )


class RateOut(Model):
    """What is cleared between two ledgers. `rate`: whole units of the target for one of the source, as a fraction."""

    source_ledger: str
    target_ledger: str
    source_currency: str
    target_currency: str
    rate: str | None
    spread_bp: int
    fee: str
    minimum: str
    maximum: str
    expires_at: str | None

    @classmethod
    def of(cls, rate: RateShown) -> RateOut:
        """From the gateway's."""
        return cls(
            source_ledger=rate.source_ledger,
            target_ledger=rate.target_ledger,
            source_currency=rate.source.code,
            target_currency=rate.target.code,
            rate=None if rate.rate is None else f"{rate.rate[0]}/{rate.rate[1]}",
            spread_bp=rate.spread_bp,
            fee=rate.fee.text,
            minimum=rate.minimum.text,
            maximum=rate.maximum.text,
            expires_at=None if rate.expires_at is None else time_text(rate.expires_at),
        )


class RatesOut(Model):
    """All rates of this bank as a clearing bank."""

    rates: list[RateOut]


class ProblemOut(BaseModel):
    """RFC 9457. `field`: the path of what is wrong; `cure`: what to do about it."""

    type: Annotated[str, Field(examples=["urn:causeway:problem:invalid"])]
    title: str
    status: int
    detail: str
    field: str | None = None
    cure: str | None = None
