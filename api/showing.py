"""What the REST interface shows of a payment's state, an account, a receipt and the rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from api.ports import AccountShown, LegShown, MomentShown, Money, PaymentShown, RateShown
from foundation.quantities import UnixMs
from settlement.connector.conversion import NEVER
from settlement.custody import clearer, payee, payer
from settlement.custody.states import Role, State, note_of, role_of, stage_of
from settlement.custody.store import Stored
from settlement.custody.terms import Leg, Quote
from settlement.gateway.letter_box import Pricing
from settlement.gateway.pricing import CorridorPricing
from settlement.ledgers.protocol import AccountView, LedgerFacts, LedgerId
from settlement.quantities import Asset, Scale

STATUSES: Final[Mapping[str, tuple[type[State], ...]]] = {
    "pending": (
        *(payer.Asking, payer.Pricing, payer.Clearing, payer.Agreeing),
        *(payee.Offered, payee.Considering, payee.Consenting),
        *(clearer.Quoted, clearer.Clearing),
    ),
    "in_progress": (
        *(payer.Holding, payer.Held, payee.Expecting, payee.Fulfilling),
        *(clearer.Forwarding, clearer.Waiting, clearer.Checking, clearer.Claiming),
    ),
    "paid": (
        *(payer.Paid, payer.Closed, payee.Received, payee.Closed),
        *(clearer.Earned, clearer.Closed),
    ),
    "returned": (payer.Back, payee.Refusing, clearer.Returning),
    "failed": (payer.Failed, payee.Failed, clearer.Failed, clearer.Lapsed),
    "lost": (payee.Lost, clearer.Lost),
}
"""The status of each state: where the money is."""

_STATUS: Final = {state: name for name, states in STATUSES.items() for state in states}
_ROLES: Final = {payer: Role.PAYER, payee: Role.PAYEE, clearer: Role.CLEARER}


def stages_of(statuses: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of role and stage that make up these statuses."""
    found: list[tuple[str, str]] = []
    for status in statuses:
        for state in STATUSES[status]:
            role = next(role for module, role in _ROLES.items() if state.__module__ == module.__name__)
            found.append((role.value, str(state.__struct_config__.tag)))
    return tuple(found)


def status_of(state: State) -> str:
    """Where the money is: pending, in_progress, paid, returned, failed or lost."""
    return _STATUS[type(state)]


def payment(
    number: bytes, stored: Stored, party: str, assets: Mapping[str, Asset], history: tuple[MomentShown, ...]
) -> PaymentShown:
    """A payment. `assets`: by ledger, for one that has no quote yet."""
    state = stored.state
    quote = quote_of(state)
    source, target = (None, None) if quote is None else (_leg(quote.source), _leg(quote.target))
    if quote is None and isinstance(state, payer.State):
        source, target = _ordered(state.order, assets)
    if quote is None and isinstance(state, payee.State):
        target = LegShown(state.invitation.ledger, state.invitation.account, None)
    names = _parties(state, party, quote)
    fee = None if quote is None else Money(Asset(quote.source.asset, Scale(quote.source.scale)), quote.fee)
    return PaymentShown(
        number,
        role_of(state).value,
        stage_of(state),
        status_of(state),
        note_of(state),
        *names,
        source,
        target,
        fee,
        stored.created_at,
        stored.updated_at,
        history,
    )


def quote_of(state: State) -> Quote | None:
    """The quote of a payment; None where it has none yet, or has forgotten it."""
    if isinstance(state, clearer.State):
        return state.offer.quote
    terms = getattr(getattr(state, "deal", None), "terms", None) or getattr(state, "terms", None)
    return None if terms is None else terms.quote


def account(ledger: str, view: AccountView) -> AccountShown:
    """An account on a ledger."""

    def money(units: int) -> Money:
        return Money(view.asset, units)

    return AccountShown(
        ledger, view.account, money(view.balance), money(view.held), money(view.incoming), money(view.available)
    )


def rates(pricing: Pricing | None, facts: Mapping[LedgerId, LedgerFacts], now: UnixMs) -> tuple[RateShown, ...]:
    """What a clearing bank takes; empty for another party."""
    if not isinstance(pricing, CorridorPricing):
        return ()
    shown: list[RateShown] = []
    for corridor, rate in pricing.corridors(now):
        source, target = facts[LedgerId(corridor.source)].asset, facts[LedgerId(corridor.target)].asset
        shown.append(
            RateShown(
                corridor.source,
                corridor.target,
                source,
                target,
                None if rate is None else (rate.numerator, rate.denominator),
                corridor.spread_bp,
                Money(source, corridor.fee),
                Money(target, corridor.minimum),
                Money(target, corridor.maximum),
                None if rate is None or rate.expires_at >= NEVER else rate.expires_at,
            )
        )
    return tuple(shown)


def _leg(leg: Leg) -> LegShown:
    money = Money(Asset(leg.asset, Scale(leg.scale)), leg.amount)
    return LegShown(leg.ledger, leg.payer, money, False, UnixMs(leg.expires_at))


def _ordered(order: payer.Order, assets: Mapping[str, Asset]) -> tuple[LegShown, LegShown]:
    source, target = assets.get(order.source_ledger), assets.get(order.target_ledger)
    most = None if source is None else Money(source, order.source_max)
    wanted = None if target is None else Money(target, order.target_amount)
    return (
        LegShown(order.source_ledger, order.source_account, most, True),
        LegShown(order.target_ledger, "", wanted),
    )


def _parties(state: State, party: str, quote: Quote | None) -> tuple[str, str, str]:
    if quote is not None:
        return quote.payer, quote.clearer, quote.payee
    if isinstance(state, payer.State):
        return state.order.payer, state.order.clearer, state.order.payee
    assert isinstance(state, payee.State), "a clearing bank has its quote"
    return state.invitation.payer, "", party
