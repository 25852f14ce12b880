"""The adjudicator's rules as a pure state machine: what `Channels.vy` does on a chain, an operator does on a book.

The newest sheet wins. A bank that submitted an older sheet than one it provably held loses everything to the other: its
signature on a sheet proves that it held it (as the one who accepted) or the sheet named in `held` (as the proposer),
and its signed acknowledgement proves the rest. A bank is never punished for a sheet that it could not know of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, TypeVar

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.errors import ForgedSheet, Overruled, Ruling
from settlement.channels.signing import channel_id, check_signature, check_signed, close_digest, held_digest
from settlement.channels.terms import (
    Account,
    ChannelId,
    Lock,
    Sheet,
    Side,
    SignedSheet,
    Terms,
    check_sheet,
    first_sheet,
)
from settlement.quantities import Condition, Preimage, Units, condition_of

Item = TypeVar("Item")


class Status(StrEnum):
    """Where a channel stands on its ledger."""

    WAITING = "waiting"  # A has deposited, B has not
    OPEN = "open"
    CLOSING = "closing"  # one bank closed; the other may answer
    CLOSED = "closed"  # paid out


@dataclass(frozen=True, slots=True)
class Case:
    """One channel as its ledger has it.

    Fields: sheet (the newest that was submitted, or that both agreed to end with); ends_at (until then the other may
    answer). Of each bank, A first: submitted (the highest number that it submitted, −1 for none); answered (it may
    once); cheated; paid (what the end gave it).
    """

    terms: Terms
    channel: ChannelId
    status: Status
    sheet: SignedSheet
    ends_at: UnixMs
    submitted: tuple[int, int] = (-1, -1)
    answered: tuple[bool, bool] = (False, False)
    cheated: tuple[bool, bool] = (False, False)
    paid: tuple[Units, Units] = (Units(0), Units(0))


@dataclass(frozen=True, slots=True)
class Join:
    """B puts its deposit in: the channel is open."""

    by: Account


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A takes its deposit back, as B has not joined."""

    by: Account


@dataclass(frozen=True, slots=True)
class Close:
    """A bank ends the channel by itself, with the newest sheet that it holds."""

    by: Account
    sheet: SignedSheet


@dataclass(frozen=True, slots=True)
class Challenge:
    """A newer sheet, while the channel is closing. Fields: held (the other bank's acknowledgement of it, or empty)."""

    by: Account
    sheet: SignedSheet
    held: bytes = b""


@dataclass(frozen=True, slots=True)
class CloseAgreed:
    """Both banks end the channel at once. Fields: signatures over `close_digest`."""

    sheet: Sheet
    signature_a: bytes
    signature_b: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """Pay out: the time to answer has passed, and every conditional payment is decided. Anybody may ask."""


Command: TypeAlias = Join | Withdraw | Close | Challenge | CloseAgreed | Settle

Reveals: TypeAlias = Mapping[Condition, UnixMs]
"""When each condition's preimage was first shown to the adjudicator, by its clock. It is for all channels."""


@dataclass(frozen=True, slots=True)
class PayOut:
    """Money leaves the channel. Amounts in base units; they add up to the deposits that were in."""

    a: Units
    b: Units


def open_case(terms: Terms, by: Account) -> Case:
    """A opens, its deposit in; where B deposits nothing, the channel is open at once.

    Raises:
        Overruled: not A asks.
    """
    channel = channel_id(terms)
    if by != terms.a:
        raise Overruled(channel, Ruling.NOT_A_PARTY, "A opens a channel")
    status = Status.OPEN if terms.deposit_b == 0 else Status.WAITING
    return Case(terms, channel, status, first_sheet(terms, channel), UnixMs(0))


def judge(case: Case, command: Command, reveals: Reveals, now: UnixMs) -> tuple[Case, PayOut | None]:
    """Decide on a command at the adjudicator's time. Pure.

    Raises:
        Overruled: the rules refuse it; nothing changes.
    """
    match command:
        case Join(by=by):
            _expect(case, Status.WAITING)
            if by != case.terms.b:
                raise Overruled(case.channel, Ruling.NOT_A_PARTY, "B joins")
            return replace(case, status=Status.OPEN), None
        case Withdraw(by=by):
            _expect(case, Status.WAITING)
            if by != case.terms.a:
                raise Overruled(case.channel, Ruling.NOT_A_PARTY, "A withdraws")
            return _paid(case, case.terms.deposit_a, 0)
        case Close(by=by, sheet=sheet):
            return _close(case, by, sheet, now), None
        case Challenge(by=by, sheet=sheet, held=held):
            return _challenge(case, by, sheet, held, now), None
        case CloseAgreed():
            return _close_agreed(case, command)
        case Settle():
            return _settle(case, reveals, now)


def _close(case: Case, by: Account, signed: SignedSheet, now: UnixMs) -> Case:
    _expect(case, Status.OPEN)
    side = _side(case, by)
    _check(case, signed)
    submitted = _put(case.submitted, side, signed.sheet.sequence)
    ends_at = UnixMs(now + case.terms.challenge_ms)
    return replace(case, status=Status.CLOSING, sheet=signed, ends_at=ends_at, submitted=submitted)


def _challenge(case: Case, by: Account, signed: SignedSheet, held: bytes, now: UnixMs) -> Case:
    _expect(case, Status.CLOSING)
    side = _side(case, by)
    if now >= case.ends_at:
        raise Overruled(case.channel, Ruling.TOO_LATE, f"the time to answer ended at {case.ends_at}")
    if case.answered[side]:
        # Else a bank could put the end off for ever, with one sheet after the other.
        raise Overruled(case.channel, Ruling.ALREADY_ANSWERED, "each bank answers once")
    if signed.sheet.sequence <= case.sheet.sheet.sequence:
        raise Overruled(case.channel, Ruling.NOT_NEWER, f"{case.sheet.sheet.sequence} was submitted")
    _check(case, signed)
    if held:
        _signed_by(case, side.other, held_digest(case.terms.ledger, case.channel, signed.sheet.sequence), held)
    submitted = _put(case.submitted, side, signed.sheet.sequence)
    cheated = (is_caught(case, Side.A, signed, held, side), is_caught(case, Side.B, signed, held, side))
    return replace(
        case,
        sheet=signed,
        ends_at=UnixMs(max(case.ends_at, now + case.terms.challenge_ms)),
        submitted=submitted,
        answered=_put(case.answered, side, True),
        cheated=cheated,
    )


def is_caught(case: Case, who: Side, signed: SignedSheet, held: bytes, by: Side) -> bool:
    """Whether it is now proven that `who` submitted an older sheet than it held at that time or before."""
    if case.cheated[who]:
        return True
    if who is by or case.submitted[who] < 0:
        return False
    proposed = case.terms.proposer(signed.sheet.sequence) is who
    knew = signed.sheet.held if proposed and not held else signed.sheet.sequence
    return knew > case.submitted[who]


def _close_agreed(case: Case, command: CloseAgreed) -> tuple[Case, PayOut]:
    if case.status not in (Status.OPEN, Status.CLOSING):
        raise Overruled(case.channel, Ruling.WRONG_STATE, f"it is {case.status.value}")
    sheet = command.sheet
    _bounded(case, sheet)
    try:
        digest = close_digest(case.terms.ledger, sheet)
    except BadInput as error:
        raise Overruled(case.channel, Ruling.BAD_SHEET, error.problem) from error
    _signed_by(case, Side.A, digest, command.signature_a)
    _signed_by(case, Side.B, digest, command.signature_b)
    agreed = SignedSheet(sheet, command.signature_a, command.signature_b)
    return _paid(replace(case, sheet=agreed), sheet.balance_a, sheet.balance_b)


def _settle(case: Case, reveals: Reveals, now: UnixMs) -> tuple[Case, PayOut]:
    _expect(case, Status.CLOSING)
    if now < case.ends_at:
        raise Overruled(case.channel, Ruling.TOO_EARLY, f"the other bank may answer until {case.ends_at}")
    if case.cheated[Side.A] != case.cheated[Side.B]:
        total = case.terms.total
        return _paid(case, 0 if case.cheated[Side.A] else total, 0 if case.cheated[Side.B] else total)
    sheet = case.sheet.sheet
    balances = [int(sheet.balance_a), int(sheet.balance_b)]
    for lock in sheet.locks:
        payee = lock_goes_to(lock, reveals, now)
        if payee is None:
            raise Overruled(case.channel, Ruling.TOO_EARLY, f"a conditional payment is open until {lock.expires_at}")
        balances[payee] += lock.amount
    return _paid(case, balances[0], balances[1])


def lock_goes_to(lock: Lock, reveals: Reveals, now: UnixMs) -> Side | None:
    """Who gets a conditional payment by the adjudicator's knowledge; None: that is still open."""
    revealed_at = reveals.get(lock.condition)
    if revealed_at is not None and revealed_at < lock.expires_at:
        return lock.payer.other
    return lock.payer if now >= lock.expires_at else None


def reveal(reveals: Reveals, preimage: Preimage, now: UnixMs) -> tuple[Condition, UnixMs]:
    """Register a preimage: its condition, and when it was first shown."""
    condition = condition_of(preimage)
    return condition, reveals.get(condition, now)


def _paid(case: Case, a: int, b: int) -> tuple[Case, PayOut]:
    came_in = case.terms.deposit_a if case.status is Status.WAITING else case.terms.total
    assert a + b == came_in, "what goes out is what came in"
    paid = PayOut(Units(a), Units(b))
    return replace(case, status=Status.CLOSED, paid=(paid.a, paid.b)), paid


def _expect(case: Case, status: Status) -> None:
    if case.status is not status:
        raise Overruled(case.channel, Ruling.WRONG_STATE, f"it is {case.status.value}, not {status.value}")


def _side(case: Case, by: Account) -> Side:
    for side in Side:
        if case.terms.account(side) == by:
            return side
    raise Overruled(case.channel, Ruling.NOT_A_PARTY, "only its banks close a channel")


def _bounded(case: Case, sheet: Sheet) -> None:
    try:
        check_sheet(case.terms, sheet)
    except BadInput as error:
        raise Overruled(case.channel, Ruling.BAD_SHEET, f"{error.field}: {error.problem}") from error
    if sheet.channel != case.channel:
        raise Overruled(case.channel, Ruling.BAD_SHEET, "it is another channel's")


def _check(case: Case, signed: SignedSheet) -> None:
    _bounded(case, signed.sheet)
    if signed.sheet.sequence == 0 and signed != first_sheet(case.terms, case.channel):
        raise Overruled(case.channel, Ruling.BAD_SHEET, "sheet 0 are the deposits")
    _judged(case, lambda: check_signed(case.terms, signed))


def _signed_by(case: Case, side: Side, digest: bytes, signature: bytes) -> None:
    _judged(case, lambda: check_signature(case.terms.account(side), digest, signature, "statement"))


def _judged(case: Case, check: Callable[[], None]) -> None:
    try:
        check()
    except ForgedSheet as error:
        raise Overruled(case.channel, Ruling.FORGED, error.problem) from error


def _put(pair: tuple[Item, Item], side: Side, value: Item) -> tuple[Item, Item]:
    return (value, pair[1]) if side is Side.A else (pair[0], value)
