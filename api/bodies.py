"""What is sent, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from api.forms import AccountName, Amount, Country, Currency, HexId, LedgerName, Model, Party, Text


class MoneyIn(Model):
    """An amount. `scale` (decimal places of the ledger's base unit) is needed for currencies of no ledger of ours."""

    amount: Amount
    currency: Currency
    scale: Annotated[int, Field(ge=0, le=255, strict=True)] | None = None


class TargetIn(MoneyIn):
    """What the payee's bank is to get, and on which ledger."""

    ledger: LedgerName


class QuoteIn(Model):
    """What would it cost?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payee": "bank-b",
                    "clearing": "clearing",
                    "source_ledger": "digital-euro",
                    "target": {"ledger": "digital-yuan", "amount": "2000.00", "currency": "CNY", "scale": 2},
                }
            ]
        }
    )

    payee: Party
    clearing: Annotated[Party, Field(description="The clearing bank that is asked")]
    source_ledger: LedgerName
    target: TargetIn
    firm: Annotated[
        bool,
        Field(strict=True, description="false: what it would cost about now, without anybody holding to it"),
    ] = True


class DebtorIn(Model):
    """Our customer who pays."""

    account: AccountName


class CreditorIn(Model):
    """Who is paid: the customer of the payee's bank."""

    account: AccountName
    country: Country
    kind: Annotated[Literal["natural", "legal"], Field(description="A human being, or an organisation")]


class SourceIn(Model):
    """Where it is paid from, and the most that it may cost, fee included."""

    ledger: LedgerName
    amount_max: Amount
    currency: Currency


class PaymentIn(Model):
    """A payment: either by a quote (`quote_id`), which serves one payment, or on its own terms (`payee`, `clearing`,
    `source`, `target`). Terms that are written beside a quote have to be the quote's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "quote_id": "5f" * 32,
                    "debtor": {"account": "DE02120300000000202051"},
                    "creditor": {"account": "SG-0042-1717", "country": "SG", "kind": "legal"},
                    "purpose": "GDDS",
                    "reference": "Invoice 1717",
                },
                {
                    "payee": "bank-b",
                    "clearing": "clearing",
                    "source": {"ledger": "digital-euro", "amount_max": "1010.00", "currency": "EUR"},
                    "target": {"ledger": "digital-yuan", "amount": "2000.00", "currency": "CNY", "scale": 2},
                    "debtor": {"account": "DE02120300000000202051"},
                    "creditor": {"account": "SG-0042-1717", "country": "SG", "kind": "legal"},
                    "purpose": "GDDS",
                },
            ]
        }
    )

    quote_id: HexId | None = None
    payee: Party | None = None
    clearing: Party | None = None
    source: SourceIn | None = None
    target: TargetIn | None = None
    debtor: DebtorIn
    creditor: CreditorIn
    purpose: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[A-Z0-9]{1,4}$"),
        Field(description="ISO 20022 external purpose code", examples=["GDDS"]),
    ]
    reference: Annotated[Text, Field(description="The customer's own text; stays with this bank")] = ""


class CancelIn(Model):
    """Why the payment is to end."""

    reason: Annotated[Text, Field(examples=["the customer has changed their mind"])] = ""


class ApprovalIn(Model):
    """A person's word. Without a signature, who is logged in is the person."""

    person: Annotated[
        str | None, StringConstraints(strict=True, max_length=64), Field(description="A person of the rules")
    ] = None
    clears: Annotated[
        tuple[Annotated[str, StringConstraints(strict=True, max_length=64)], ...],
        Field(max_length=64, description="Rules whose referral the person lifts; empty: it counts for four-eyes alone"),
    ] = ()
    at: Annotated[str | None, StringConstraints(max_length=40), Field(description="RFC 3339; needed if signed")] = None
    signature: Annotated[
        str | None,
        StringConstraints(strict=True, pattern=r"^[0-9a-f]{128}$"),
        Field(description="Ed25519 over the approval's digest, hex; needed of persons for whom the rules name a key"),
    ] = None


EventType = Annotated[
    str, StringConstraints(strict=True, pattern=r"^payment\.[a-z_]{1,32}$"), Field(examples=["payment.closed"])
]


class WebhookIn(Model):
    """Where to tell what happens. `events`: types that are wanted; empty: all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://shop.example/causeway", "events": ["payment.closed", "payment.failed"]}]
        }
    )

    url: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=2_000)]
    events: Annotated[tuple[EventType, ...], Field(max_length=32)] = ()


class NothingIn(Model):
    """Nothing: `{}`."""
