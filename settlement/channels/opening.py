"""Before money goes in, both banks sign that they want the channel: its id stands for all its terms.

A bank whose counterparty has written other terms hears nothing, and puts nothing in. The signatures move no money: the
deposits are the adjudicator's business, and whoever has deposited may always leave.
"""

from __future__ import annotations

from dataclasses import replace

from foundation.quantities import UnixMs
from settlement.channels.messages import Opening
from settlement.channels.signing import SheetSigner, check_signature, opening_digest
from settlement.channels.state import Channel, Phase, Send, Step


def announce(state: Channel, now: UnixMs, signer: SheetSigner) -> Step:
    """This side wants the channel; said again by `remind` until it is open."""
    if state.phase is not Phase.OPENING or state.announced_at:
        return state, ()
    return replace(state, announced_at=now), (_opening(state, signer),)


def remind(state: Channel, now: UnixMs, signer: SheetSigner) -> Step:
    """What was announced may be lost, and the other bank may come later."""
    if not state.announced_at or now < state.announced_at + state.policy.resend_ms:
        return state, ()
    return replace(state, announced_at=now), (_opening(state, signer),)


def agreed(state: Channel, message: Opening, signer: SheetSigner) -> Step:
    """The other bank wants it too. It is answered once, so that both know without waiting.

    Raises:
        ForgedSheet: the signature is not the other bank's.
    """
    if state.phase is not Phase.OPENING or state.agreed:
        return state, ()
    digest = opening_digest(state.terms.ledger, state.channel)
    check_signature(state.terms.account(state.side.other), digest, message.signature, "opening")
    answer = (_opening(state, signer),) if state.announced_at else ()
    return replace(state, agreed=message.signature), answer


def may_put_in(state: Channel) -> bool:
    """Whether this side's deposit may go in: both have signed, or the ledger has the channel already."""
    return bool(state.announced_at and state.agreed) or state.phase is not Phase.OPENING


def _opening(state: Channel, signer: SheetSigner) -> Send:
    return Send(Opening(state.channel, signer.sign_opening(state.terms.ledger, state.channel)))
