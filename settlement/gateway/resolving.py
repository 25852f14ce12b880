"""A person has looked at a payment that was lost, and says what becomes of what it had taken of the rules' limits.

A margin that did not hold leaves the reservation of a payment open: whether the money has moved is what a person finds
out. The finding stays in the payment's state and history, with who found it, and closes its alarms. A gateway may be at
work on the same database: a lost payment is out of its memory, and nothing moves it but this.
"""

from __future__ import annotations

import contextlib

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee
from settlement.custody.sealing import Sealer
from settlement.custody.states import State
from settlement.custody.store import PaymentStore
from settlement.custody.terms import PaymentId
from settlement.gateway.keys import Secrets
from settlement.gateway.tables import alarms
from settlement.rules.errors import ReservationOver, UnknownReservation
from settlement.rules.store import RulesStore

ALARM_OPEN, ALARM_SEEN = "open", "acknowledged"
_DETAIL_MAX = 500


async def resolve(
    database: Database, secrets: Secrets, payment: PaymentId, by: str, counts: bool, detail: str, now: UnixMs
) -> None:
    """Store what a person has found of a lost payment, settle or release its reservation, and close its alarms.

    Args:
        database: the gateway's.
        secrets: the party's.
        payment: which.
        by: who has looked.
        counts: whether the payment keeps what it took of the limits, because its money has moved.
        detail: what was found, for the history; at most 500 characters.
        now: the time.

    Raises:
        BadInput: the payment is not there, is not lost, or was resolved before; nothing is changed.
        DatabaseUnavailable: it may or may not have been stored; say it again.
    """
    if not by.strip() or not detail.strip() or len(detail) > _DETAIL_MAX:
        raise BadInput("detail", "it says not who found what", f"a name, and up to {_DETAIL_MAX} characters")
    async with database.unit() as unit:
        store = PaymentStore(unit.connection, Sealer(secrets.state_key))
        before = (await store.load([payment])).get(payment)
        if before is None:
            raise BadInput("payment", f"there is no payment {payment.hex()}", "see `causeway gateway alarms`")
        after = _resolved(before.state, c.Resolved(by, counts, detail), now)
        if after is before.state:
            raise BadInput("payment", "it is not lost, or was resolved before", "see its history")
        await store.save({payment: after}, {payment: before}, [(payment, after)], now)
        await _reservation(unit.connection, secrets, payment, counts=counts)
        of_payment = update(alarms).where(alarms.c.payment_id == payment, alarms.c.state == ALARM_OPEN)
        await unit.connection.execute(of_payment.values(state=ALARM_SEEN))
        await unit.commit()


def _resolved(state: State, found: c.Resolved, now: UnixMs) -> State:
    """The state with what was found; the same where there is nothing to resolve."""
    match state:
        case clearer.Lost():
            return clearer.step(state, found, now, 0)[0]
        case payee.Lost():
            return payee.step(state, found, now, 0)[0]
        case _:
            return state


async def _reservation(connection: AsyncConnection, secrets: Secrets, payment: PaymentId, *, counts: bool) -> None:
    rules = RulesStore(connection, secrets.facts_key)
    # The rules may have had nothing to count of it.
    with contextlib.suppress(UnknownReservation, ReservationOver):
        await (rules.settle(payment) if counts else rules.release(payment))
