"""One outgoing settlement, from the wish to the engine's word that it will be paid. Pure.

    WANTED ──balance lowered──▶ RESERVED ──engine accepted──▶ ACCEPTED
       └──not owed any more──▶ DROPPED

It is durable before anything else knows of it, and each step may be repeated with its key: a crash anywhere repeats a
step, and no step pays twice. A refusal of the engine changes nothing: RFC 38 asks to repeat the request for ever,
because only so is it certain that the engine has not taken it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Scale, Units

BACK_OFF_MS_FIRST: Final = 500
BACK_OFF_MS_MOST: Final = 3_600_000
"""RFC 38, "Retry behavior": no more than an hour between two tries."""

CLAIM_MS: Final = 30_000
"""How long a process may work on a settlement before another one takes it up: longer than any request takes."""
_ANY: Final = Units(MAX_UNITS)


class Stage(StrEnum):
    """How far a settlement has come."""

    WANTED = "wanted"
    RESERVED = "reserved"
    ACCEPTED = "accepted"
    DROPPED = "dropped"


OPEN: Final = (Stage.WANTED, Stage.RESERVED)


@dataclass(frozen=True, slots=True)
class SettleRule:
    """When an account is settled. Amounts in base units of the account.

    Fields: account; scale (the account's); threshold (what we owe at least before a settlement is asked for);
    settle_to (what we go on owing after it; negative pays in advance); most (in one settlement).
    """

    account: str
    scale: Scale
    threshold: int
    settle_to: int = 0
    most: Units = _ANY

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        if self.settle_to >= self.threshold:
            problem = f"{self.settle_to} is not below the threshold of {self.threshold}"
            raise BadInput(f"accounts.{self.account}.settle_to", problem, "settle to less than the threshold")
        if not 0 < self.most <= MAX_UNITS:
            raise BadInput(f"accounts.{self.account}.settle_most", f"{self.most} is no amount", "above 0")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A settlement that we pay.

    Fields: key (64 hex digits of randomness: the balance's and the engine's idempotency key alike); account; amount
    (above 0); scale (the account's); keep (what the balance must not fall below when it is lowered); stage; attempts
    (of the engine, that failed); next_at; created_at.
    """

    key: str
    account: str
    amount: Units
    scale: Scale
    keep: int
    stage: Stage
    attempts: int
    next_at: UnixMs
    created_at: UnixMs


def due(rule: SettleRule, balance: int) -> Units | None:
    """How much to settle where `balance` is owed; None below the threshold."""
    if balance < rule.threshold:
        return None
    return Units(min(balance - rule.settle_to, rule.most))


def wanted(rule: SettleRule, amount: Units, key: str, now: UnixMs) -> Outgoing:
    """A new settlement; `key` is fresh."""
    return Outgoing(key, rule.account, amount, rule.scale, rule.settle_to, Stage.WANTED, 0, now, now)


def claimed(state: Outgoing, now: UnixMs) -> Outgoing:
    """A process begins to work on it: others leave it alone until `next_at`."""
    return replace(state, next_at=UnixMs(max(now, state.next_at) + CLAIM_MS))


def reserved(state: Outgoing) -> Outgoing:
    """The balance has been lowered."""
    assert state.stage in OPEN, f"a settlement that is {state.stage} cannot be reserved"
    return replace(state, stage=Stage.RESERVED)


def dropped(state: Outgoing) -> Outgoing:
    """The amount is no longer owed, and was never taken from the balance."""
    assert state.stage is Stage.WANTED, f"a settlement that is {state.stage} cannot be dropped"
    return replace(state, stage=Stage.DROPPED)


def accepted(state: Outgoing) -> Outgoing:
    """The engine has taken it over."""
    assert state.stage is Stage.RESERVED, f"a settlement that is {state.stage} cannot be accepted"
    return replace(state, stage=Stage.ACCEPTED)


def failed(state: Outgoing, jitter: float, now: UnixMs) -> Outgoing:
    """The engine, or the balances, did not answer as wished; tried again later.

    Args:
        jitter: 0 to 1, random, so that many settlements do not return at once.
    """
    return replace(state, attempts=state.attempts + 1, next_at=UnixMs(now + back_off_ms(state.attempts, jitter)))


def back_off_ms(attempts: int, jitter: float) -> int:
    """How long to wait after `attempts` failures before the last: doubling, with up to half of it left to chance."""
    longest = min(BACK_OFF_MS_FIRST << min(attempts, 40), BACK_OFF_MS_MOST)
    return longest - int(longest * jitter / 2)
