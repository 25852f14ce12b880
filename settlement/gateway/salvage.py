"""Claims what a clearing bank has paid for and forgotten.

A database that was put back from a copy knows nothing of payments that began after it. But the ledgers do: a hold of
ours that was fulfilled, under the id that a payment gives to its second hold, shows the preimage of the first, and the
first one's id follows from the payment. So it is claimed wherever it is held for us, and a person is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer
from settlement.custody.news import Act, Acted
from settlement.custody.packet import decode_memo
from settlement.custody.states import State
from settlement.custody.terms import PaymentId, source_transfer_id, target_transfer_id
from settlement.gateway.tables import alarms
from settlement.ledgers.protocol import HoldState, LedgerAccount, LedgerEvent, LedgerId
from settlement.quantities import fulfils

_log = structlog.get_logger(__name__)
_ALARM = "a hold of ours was paid whose source this database does not know: is it an old copy? The source is claimed"


def salvage(ledger_id: LedgerId, own: LedgerAccount, event: LedgerEvent, ledgers: Sequence[LedgerId]) -> Act | None:
    """What is to be done where the payment, or its source, is unknown; None for an event that is of no such one.

    Args:
        ledger_id: where it happened. own: our account there. event: what happened. ledgers: all on which we have one.
    """
    hold, preimage = event.view.hold, event.view.preimage
    if event.view.state is not HoldState.FULFILLED or hold.payer != own or preimage is None:
        return None
    try:
        payment = PaymentId(decode_memo(hold.memo).payment_id)
    except BadInput:
        return None
    if hold.transfer_id != target_transfer_id(payment):
        return None
    source = source_transfer_id(payment)

    async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
        if _is_known(state, preimage):
            return Acted()
        _log.error("unknown payment", payment=payment.hex(), ledger=ledger_id)
        row = {"payment_id": payment, "at": now, "detail": _ALARM, "state": "open"}
        await connection.execute(insert(alarms).values(**row))
        claims = tuple((payment, c.Salvage(other, source, preimage)) for other in ledgers if other != ledger_id)
        return Acted(effects=claims)

    return Act(payment, run)


def _is_known(state: State | None, preimage: bytes) -> bool:
    """Whether the payment's own machine claims by this preimage. It does not where its source is not known yet, or is
    another than the one that was forgotten: a payer may have had a second quote for the payment since."""
    taken: clearer.Taken | None = getattr(state, "taken", None)
    return taken is not None and fulfils(preimage, taken.condition)
