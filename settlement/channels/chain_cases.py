"""What a Channels contract's proved events say of a bank's channels: the same cases as an operator of a book keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from adapters.evm.channels import events as e
from adapters.evm.channels import types as on_chain
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.judge import Case, Status, is_caught, open_case
from settlement.channels.signing import channel_id
from settlement.channels.state import Registered
from settlement.channels.terms import Account, ChannelId, Lock, LockId, Sheet, Side, SignedSheet, Terms
from settlement.quantities import Condition, Preimage, Units

MS: Final = 1_000
"""Milliseconds in the second in which chains count."""


@dataclass
class Projection:
    """What a batch of events changes. Fields: cases and reveals that are new or other than before."""

    cases: dict[ChannelId, Case] = field(default_factory=dict)
    reveals: dict[Condition, Registered] = field(default_factory=dict)


def project(
    known: Mapping[ChannelId, Case],
    events: tuple[e.ChannelsEvent, ...],
    domain: bytes,
    own: Account,
    time_of: Callable[[e.Revealed], UnixMs],
) -> Projection:
    """What events mean for the channels of `own`; those of others are passed over.

    Args:
        known: the cases of the channels that the events name, as they were before.
        events: proved, in order.
        domain: the contract's, 32 bytes.
        own: the bank's account.
        time_of: an event's block's time.
    """
    made = Projection()
    for event in events:
        match event:
            case e.Opened():
                case = _opened(event, domain, own)
                if case is not None:
                    made.cases[case.channel] = case
            case e.Revealed(condition=condition, preimage=preimage):
                made.reveals[Condition(condition)] = Registered(Preimage(preimage), time_of(event))
            case e.Joined() | e.Closing() | e.Closed():
                channel = ChannelId(event.channel)
                before = made.cases.get(channel) or known.get(channel)
                if before is not None:
                    made.cases[channel] = _advanced(before, event)
            case e.Collected():
                pass
    return made


def _opened(event: e.Opened, domain: bytes, own: Account) -> Case | None:
    """A channel of ours; None for one of others, or with terms that no bank of ours agrees to."""
    terms = event.terms
    if own not in (terms.a, terms.b):
        return None
    try:
        read = Terms(
            domain,
            Account(terms.a),
            Account(terms.b),
            Units(terms.deposit_a),
            Units(terms.deposit_b),
            terms.challenge_seconds * MS,
            terms.one_way,
            terms.salt,
            terms.asset,
        )
    except BadInput:
        return None
    assert channel_id(read) == event.channel, "the contract hashes terms as we do"
    return open_case(read, read.a)


def _advanced(case: Case, event: e.Joined | e.Closing | e.Closed) -> Case:
    match event:
        case e.Joined():
            return replace(case, status=Status.OPEN)
        case e.Closing():
            return _closing(case, event)
        case e.Closed(sequence=sequence, paid_a=a, paid_b=b):
            paid = Units(a), Units(b)
            if sequence != case.sheet.sheet.sequence:
                # Both agreed to end with another sheet than was submitted, and with it alone.
                case = replace(case, sheet=SignedSheet(Sheet(case.channel, sequence, 0, *paid), b"", b""))
            return replace(case, status=Status.CLOSED, paid=paid)


def _closing(case: Case, event: e.Closing) -> Case:
    sheet = sheet_from_chain(case.channel, event.sheet)
    signed = SignedSheet(sheet, event.signature_a, event.signature_b)
    side = Side.A if event.by == case.terms.a else Side.B
    submitted, answered, cheated = list(case.submitted), list(case.answered), list(case.cheated)
    if case.status is Status.CLOSING:
        answered[side] = True
        cheated = [is_caught(case, one, signed, event.held, side) for one in Side]
    submitted[side] = sheet.sequence
    return replace(
        case,
        status=Status.CLOSING,
        sheet=signed,
        ends_at=UnixMs(event.ends_at * MS),
        submitted=(submitted[0], submitted[1]),
        answered=(answered[0], answered[1]),
        cheated=(cheated[0], cheated[1]),
    )


def terms_on_chain(terms: Terms) -> on_chain.Terms:
    """A channel's terms as the contract takes them."""
    return on_chain.Terms(
        terms.a,
        terms.b,
        terms.asset,
        terms.deposit_a,
        terms.deposit_b,
        terms.challenge_ms // MS,
        terms.one_way,
        terms.salt,
    )


def sheet_on_chain(sheet: Sheet) -> on_chain.Sheet:
    """A sheet as the contract takes it."""
    locks = tuple(
        on_chain.Lock(lock.lock_id, int(lock.payer), lock.amount, lock.condition, lock.expires_at // MS)
        for lock in sheet.locks
    )
    return on_chain.Sheet(sheet.sequence, sheet.held, sheet.balance_a, sheet.balance_b, locks)


def sheet_from_chain(channel: ChannelId, sheet: on_chain.Sheet) -> Sheet:
    """A sheet as the contract told it."""
    locks = tuple(
        Lock(LockId(one.id), Side(one.payer), Units(one.amount), Condition(one.condition), UnixMs(one.expires_at * MS))
        for one in sheet.locks
    )
    return Sheet(channel, sheet.sequence, sheet.held, Units(sheet.balance_a), Units(sheet.balance_b), locks)
