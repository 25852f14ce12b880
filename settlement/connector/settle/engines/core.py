"""What an engine owes and pays for its accounts. Pure.

A request adds to what is owed; a payment is made of the whole units in it, once they are enough for the rail. What is
finer, or too little, stays owed: RFC 38 asks that nothing is lost and nothing refused for being small.

    OWED ──a target is known──▶ SENDING ──final on the ledger──▶ PAID
                  ▲                │  └──a person has to look──▶ STUCK
                  └─had no effect──┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from foundation.quantities import UnixMs
from settlement.connector.settle.outgoing import back_off_ms
from settlement.connector.settle.quantity import Quantity, carry, normal
from settlement.quantities import tagged_hash


class PaymentStage(StrEnum):
    """How far a payment has come."""

    OWED = "owed"
    SENDING = "sending"
    PAID = "paid"
    STUCK = "stuck"


OPEN = (PaymentStage.OWED, PaymentStage.SENDING)


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment on the rail.

    Fields: id (64 hex digits, of account and idempotency key); account; units (above 0, of the rail's base unit);
    stage; attempt (how many before this one ended without any effect, for good); target (whom the rail pays, from
    SENDING on and never changed within an attempt); failures; next_at.
    """

    id: str
    account: str
    units: int
    stage: PaymentStage = PaymentStage.OWED
    attempt: int = 0
    target: str = ""
    failures: int = 0
    next_at: UnixMs = UnixMs(0)  # noqa: RUF009 - a NewType of int

    @property
    def key(self) -> str:
        """Names this attempt for ever: what a rail makes unique."""
        return f"settle:{self.id}:{self.attempt}"

    @property
    def digest(self) -> bytes:
        """The same in 32 bytes."""
        return tagged_hash("engine/attempt", self.key.encode())


@dataclass(frozen=True, slots=True)
class Credit:
    """Money that came in.

    Fields: id (of the event on the ledger, unique for ever); account (None: nobody is known to pay from there yet);
    source (where it came from, as the rail writes it); units; reported (the connector has acknowledged it); failures;
    next_at.
    """

    id: str
    account: str | None
    source: str
    units: int
    reported: bool = False
    failures: int = 0
    next_at: UnixMs = UnixMs(0)  # noqa: RUF009 - a NewType of int


def request_id(account: str, key: str) -> str:
    """What a request is known by, and the payment that it causes."""
    return tagged_hash("engine/request", account.encode(), key.encode()).hex()


def owe(left_over: Quantity, more: Quantity, scale: int, least: int) -> tuple[int, Quantity]:
    """How many units to pay now, and what stays owed.

    Args:
        left_over: what was owed before.
        more: what is asked for now.
        scale: of the rail's base unit.
        least: the smallest payment that the rail makes, in base units.
    """
    units, rest = carry(left_over, more, scale)
    if units >= max(least, 1):
        return units, rest
    finest = max(scale, rest.scale)
    return 0, normal(Quantity(units * 10 ** (finest - scale) + rest.amount * 10 ** (finest - rest.scale), finest))


def aimed(payment: Payment, target: str) -> Payment:
    """It is known whom to pay."""
    assert payment.stage is PaymentStage.OWED, "a payment is aimed once an attempt"
    assert target, "somebody is paid"
    return replace(payment, stage=PaymentStage.SENDING, target=target)


def paid(payment: Payment) -> Payment:
    """It is final on the ledger."""
    return replace(payment, stage=PaymentStage.PAID)


def stuck(payment: Payment) -> Payment:
    """Nobody can tell whether it was paid: a person has to look, and nothing is sent meanwhile."""
    return replace(payment, stage=PaymentStage.STUCK)


def without_effect(payment: Payment, now: UnixMs, chance: float) -> Payment:
    """This attempt has moved nothing and never will: another one begins, after a while."""
    assert payment.stage is PaymentStage.SENDING, "only what was sent can fail"
    return waits(replace(payment, stage=PaymentStage.OWED, attempt=payment.attempt + 1, target=""), now, chance)


def waits(payment: Payment, now: UnixMs, chance: float) -> Payment:
    """Something failed: looked at again later."""
    return replace(payment, failures=payment.failures + 1, next_at=UnixMs(now + back_off_ms(payment.failures, chance)))


def unheard(credit: Credit, now: UnixMs, chance: float) -> Credit:
    """The connector did not acknowledge it: told again later."""
    return replace(credit, failures=credit.failures + 1, next_at=UnixMs(now + back_off_ms(credit.failures, chance)))
