"""Asks a ledger how holds stand, where a party's own memory is not enough to act on."""

from __future__ import annotations

from collections.abc import Sequence

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.ledgers.protocol import Fulfilment, HoldState, HoldView, Ledger, LedgerId, TransferId
from settlement.quantities import fulfils


def ended(ledger_id: LedgerId, view: HoldView) -> c.AnyChange:
    """A hold's end, as the payment's machine hears of it."""
    transfer_id, payer = view.hold.transfer_id, view.hold.payer
    if view.state is HoldState.FULFILLED:
        assert view.preimage is not None, "a fulfilled hold shows its preimage"
        return c.Fulfilled(ledger_id, transfer_id, payer, view.preimage)
    assert view.state is not HoldState.HELD, "it has ended"
    return c.Returned(ledger_id, transfer_id, payer, view.state is HoldState.EXPIRED)


async def look(ledger_id: LedgerId, ledger: Ledger, transfer_ids: Sequence[TransferId]) -> list[c.AnyChange]:
    """How our own holds under these ids stand, in order; what a stranger made under one is not ours.

    Raises:
        LedgerUnavailable: it did not answer.
    """
    told: list[c.AnyChange] = []
    for transfer_id, view in zip(transfer_ids, await ledger.transfers(transfer_ids), strict=True):
        if view is None or view.hold.payer != ledger.own:
            told.append(c.Absent(ledger_id, transfer_id))
        elif view.state is HoldState.HELD:
            told.append(c.HoldMade(ledger_id, transfer_id))
        else:
            told.append(ended(ledger_id, view))
    return told


async def wait_for_end(
    ledger_id: LedgerId, ledger: Ledger, transfer_ids: Sequence[TransferId], now: UnixMs
) -> list[c.AnyChange | None]:
    """How holds for us have ended, in order; None for one that has not yet, and is to be asked for again.

    For fulfilments of which it is not known whether they were begun, once it is too late to begin: to show a preimage
    now might be in vain, and to cancel before the time-out might undo a fulfilment that is on its way. After it the
    hold is given back, for not every ledger does that by itself.

    Raises:
        LedgerUnavailable: it did not answer.
    """
    views = await ledger.transfers(transfer_ids)
    over = [
        view.hold.transfer_id
        for view in views
        if view is not None and view.state is HoldState.HELD and view.hold.expires_at <= now
    ]
    if over:
        await ledger.cancel(over)
        views = await ledger.transfers(transfer_ids)
    return [None if view is None or view.state is HoldState.HELD else ended(ledger_id, view) for view in views]


async def claim_what_is_held(ledger: Ledger, claims: Sequence[Fulfilment]) -> list[bool]:
    """Claim what is held for us; whether each is over: paid, ended otherwise, or not there.

    Raises:
        LedgerUnavailable: it did not answer; ask again.
    """
    views = await ledger.transfers([claim.transfer_id for claim in claims])
    due = [
        claim
        for claim, view in zip(claims, views, strict=True)
        if view is not None
        and (view.state, view.hold.payee) == (HoldState.HELD, ledger.own)
        and fulfils(claim.preimage, view.hold.condition)
    ]
    if due:
        await ledger.fulfil(due)
        views = await ledger.transfers([claim.transfer_id for claim in claims])
    going = {claim.transfer_id for claim in due}
    return [
        claim.transfer_id not in going or (view is not None and view.state is not HoldState.HELD)
        for claim, view in zip(claims, views, strict=True)
    ]
