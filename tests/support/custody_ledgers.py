"""Model ledgers: one for parties that keep to the protocol, and one for parties that lie.

The second is a book, where an id is used once, or a chain, where each payer has its own. Of a chain it has what can be
turned against others: whoever has a preimage may bring it, nothing goes back by itself, and who gives back or fulfils
under an id does so with all that is held for it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.ledgers.protocol import Hold, HoldState, HoldView, LedgerAccount, LedgerFacts, LedgerId, TransferId
from settlement.quantities import Asset, Condition, Preimage, Scale, Units, fulfils

PARTIES = ("bank-a", "clearing", "bank-b")
FUNDS = 1_000_000
HOLD_MS_MIN = 1_000
Key = tuple[str, bytes]


@dataclass
class ModelLedger:
    """A ledger: balances, holds, and the order of what happened. `refused`: ids whose refusal is for ever."""

    name: str
    clock: Callable[[], int]
    balances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTIES, FUNDS))
    holds: dict[bytes, HoldView] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    events: list[HoldView] = field(default_factory=list)
    up: bool = True

    @property
    def facts(self) -> LedgerFacts:
        return LedgerFacts(LedgerId(self.name), Asset(self.name[:3].upper(), Scale(2)), 0, HOLD_MS_MIN)

    def held(self) -> int:
        return sum(view.hold.amount for view in self.holds.values() if view.state is HoldState.HELD)

    def expire(self) -> None:
        for view in tuple(self.holds.values()):
            if view.state is HoldState.HELD and self.clock() >= view.hold.expires_at:
                self._end(view, HoldState.EXPIRED)

    def hold(self, effect: c.MakeHold) -> HoldView | str:
        self.expire()
        known = self.holds.get(effect.transfer_id)
        if known is not None:
            return known
        if effect.transfer_id in self.refused:
            return self.refused[effect.transfer_id]
        if self.clock() >= effect.expires_at or self.balances[effect.payer] < effect.amount:
            self.refused[effect.transfer_id] = "expired" if self.clock() >= effect.expires_at else "insufficient_funds"
            return self.refused[effect.transfer_id]
        self.balances[effect.payer] -= effect.amount
        view = HoldView(_hold(effect), HoldState.HELD, None, UnixMs(self.clock()), None)
        self._note(view)
        return view

    def fulfil(self, transfer_id: bytes, preimage: bytes) -> HoldView:
        self.expire()
        view = self.holds[transfer_id]
        assert fulfils(preimage, view.hold.condition), "nobody who follows the protocol sends a wrong preimage"
        if view.state is HoldState.HELD:
            self.balances[view.hold.payee] += view.hold.amount
            view = self._end(view, HoldState.FULFILLED, Preimage(preimage))
        return view

    def cancel(self, transfer_id: bytes, by: str) -> HoldView | None:
        self.expire()
        view = self.holds.get(transfer_id)
        if view is not None and view.state is HoldState.HELD and by == view.hold.payee:
            view = self._end(view, HoldState.CANCELLED)
        return view

    def _end(self, view: HoldView, state: HoldState, preimage: Preimage | None = None) -> HoldView:
        if state is not HoldState.FULFILLED:
            self.balances[view.hold.payer] += view.hold.amount
        ended = HoldView(view.hold, state, preimage, view.held_at, UnixMs(self.clock()))
        self._note(ended)
        return ended

    def _note(self, view: HoldView) -> None:
        self.holds[view.hold.transfer_id] = view
        self.events.append(view)


@dataclass
class OpenLedger:
    """Fields: own_ids (a chain's way); balances; holds (by payer, empty on a book, and id); events (in order)."""

    name: str
    clock: Callable[[], int]
    own_ids: bool
    hold_ms_min: int
    balances: dict[str, int]
    holds: dict[Key, HoldView] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    events: list[HoldView] = field(default_factory=list)
    up: bool = True

    @property
    def facts(self) -> LedgerFacts:
        return LedgerFacts(LedgerId(self.name), Asset(self.name[:3].upper(), Scale(2)), 0, self.hold_ms_min)

    def key(self, payer: str, transfer_id: bytes) -> Key:
        return (payer if self.own_ids else "", transfer_id)

    def held(self) -> int:
        return sum(view.hold.amount for view in self.holds.values() if view.state is HoldState.HELD)

    def expire(self) -> None:
        """A book sends back by itself what is over its time."""
        if not self.own_ids:
            for view in tuple(self.holds.values()):
                if view.state is HoldState.HELD and self._is_over(view):
                    self._end(view, HoldState.EXPIRED)

    def hold(self, effect: c.MakeHold) -> HoldView | str:
        self.expire()
        key, hold = self.key(effect.payer, effect.transfer_id), _hold(effect)
        known = self.holds.get(key)
        if known is not None:
            return known if known.hold == hold else "same_id_other_transfer"
        if key not in self.refused:
            if self.clock() >= effect.expires_at:
                self.refused[key] = "expired"
            elif not 0 < effect.amount <= self.balances[effect.payer] or effect.payer == effect.payee:
                self.refused[key] = "insufficient_funds"
        if key in self.refused:
            return self.refused[key]
        self.balances[effect.payer] -= effect.amount
        return self._note(HoldView(hold, HoldState.HELD, None, UnixMs(self.clock()), None))

    def look(self, by: str, transfer_id: bytes) -> HoldView | None:
        """The hold under an id: our own, or else the best that is for us."""
        self.expire()
        named = [view for view in self._named(transfer_id) if by in (view.hold.payer, view.hold.payee)]
        return min(named, key=lambda view: (view.hold.payer != by, *_rank(view)), default=None)

    def fulfil(self, by: str, transfer_id: bytes, preimage: bytes) -> HoldView | None:
        """As a payee does: all for it that the preimage opens is paid; the best of what is for it is shown."""
        self.expire()
        for view in self._incoming(by, transfer_id):
            self._pay(view, preimage)
        return min(self._incoming(by, transfer_id), key=_rank, default=None)

    def bring(self, by: str, key: Key, preimage: bytes) -> None:
        """As anybody may on a chain, and the payee alone on a book."""
        self.expire()
        view = self.holds[key]
        if self.own_ids or view.hold.payee == by:
            self._pay(view, preimage)

    def cancel(self, by: str, transfer_id: bytes) -> HoldView | None:
        """All that is held for the caller under the id, and its own hold when the time-out has passed."""
        self.expire()
        for view in self._incoming(by, transfer_id):
            if view.state is HoldState.HELD:
                self._end(view, HoldState.EXPIRED if self._is_over(view) else HoldState.CANCELLED)
        own = self.holds.get(self.key(by, transfer_id))
        if own is not None and own.hold.payer == by and own.state is HoldState.HELD and self._is_over(own):
            self._end(own, HoldState.EXPIRED)
        return self.look(by, transfer_id)

    def _pay(self, view: HoldView, preimage: bytes) -> None:
        if view.state is HoldState.HELD and not self._is_over(view) and fulfils(preimage, view.hold.condition):
            self.balances[view.hold.payee] += view.hold.amount
            self._end(view, HoldState.FULFILLED, Preimage(preimage))

    def _named(self, transfer_id: bytes) -> Iterable[HoldView]:
        return [view for (_, number), view in self.holds.items() if number == transfer_id]

    def _incoming(self, by: str, transfer_id: bytes) -> list[HoldView]:
        return [view for view in self._named(transfer_id) if view.hold.payee == by]

    def _is_over(self, view: HoldView) -> bool:
        return self.clock() >= view.hold.expires_at

    def _end(self, view: HoldView, state: HoldState, preimage: Preimage | None = None) -> None:
        if state is not HoldState.FULFILLED:
            self.balances[view.hold.payer] += view.hold.amount
        self._note(HoldView(view.hold, state, preimage, view.held_at, UnixMs(self.clock())))

    def _note(self, view: HoldView) -> HoldView:
        self.holds[self.key(view.hold.payer, view.hold.transfer_id)] = view
        self.events.append(view)
        return view


def _rank(view: HoldView) -> tuple[int, int]:
    order = (HoldState.FULFILLED, HoldState.HELD)
    return (order.index(view.state) if view.state in order else len(order), -view.hold.amount)


def _hold(effect: c.MakeHold) -> Hold:
    return Hold(
        TransferId(effect.transfer_id),
        LedgerAccount(effect.payer),
        LedgerAccount(effect.payee),
        Units(effect.amount),
        Condition(effect.condition),
        UnixMs(effect.expires_at),
        effect.memo,
    )
