"""Reads what happens on a ledger and tells the engine, batch by batch, each with the cursor behind it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import structlog

from foundation.errors import BadInput, Retryable
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.packet import decode_memo
from settlement.custody.terms import PaymentId, source_transfer_id, target_transfer_id
from settlement.gateway.ledger_asking import ended
from settlement.gateway.ledger_courier import Submit
from settlement.gateway.salvage import salvage
from settlement.ledgers.protocol import Cursor, HoldState, Ledger, LedgerAccount, LedgerEvent, LedgerId

_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.2, 5.0
_log = structlog.get_logger(__name__)


async def follow(
    ledger_id: LedgerId,
    ledger: Ledger,
    cursor: Callable[[], Awaitable[str]],
    submit: Submit,
    ledgers: Sequence[LedgerId],
) -> None:
    """Follow one ledger; until cancelled. A batch that was not committed is read again.

    Args:
        ledger_id: the ledger's name.
        ledger: where to read.
        cursor: how far it was read, by the last commit.
        submit: takes the news.
        ledgers: all on which this party has an account.
    """
    pause = _PAUSE_SECONDS
    while True:
        try:
            async for events in ledger.events(Cursor(await cursor())):
                changes = tuple(
                    found for event in events if (found := told_by(ledger_id, ledger.own, event)) is not None
                )
                acts = tuple(
                    act for event in events if (act := salvage(ledger_id, ledger.own, event, ledgers)) is not None
                )
                await submit(News(acts=acts, changes=changes, cursors=((ledger_id, events[-1].cursor),)))
                pause = _PAUSE_SECONDS
        except Retryable as problem:
            _log.warning("ledger's events unavailable", ledger=ledger_id, problem=str(problem))
        except Exception:  # noqa: BLE001 - money may wait for what comes next: look again, and let the operator know
            _log.exception("ledger's events not understood", ledger=ledger_id)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


def told_by(ledger_id: LedgerId, own: LedgerAccount, event: LedgerEvent) -> tuple[PaymentId, c.AnyChange] | None:
    """The payment that an event is of, and what it is to it; None for money that is no custodial payment's.

    A hold's memo names the payment. What is told has the hold's id and payer with it, by which the machine knows its
    own: on a chain anybody may use a payment's id and memo for a hold of their own. A hold with another id and this
    memo is told as it is, and the machine gives it back.
    """
    hold = event.view.hold
    try:
        payment = PaymentId(decode_memo(hold.memo).payment_id)
    except BadInput:
        return None
    is_own_id = hold.transfer_id in (source_transfer_id(payment), target_transfer_id(payment))
    if event.view.state is not HoldState.HELD:
        return (payment, ended(ledger_id, event.view)) if is_own_id else None
    if hold.payee != own:
        return (payment, c.HoldMade(ledger_id, hold.transfer_id)) if is_own_id and hold.payer == own else None
    seen = c.HoldSeen(
        ledger_id,
        hold.transfer_id,
        hold.payer,
        hold.payee,
        hold.amount,
        hold.condition,
        hold.expires_at,
        hold.memo,
    )
    return payment, seen
