"""Giving orders: at once, again after a while, and knowing when to look next."""

from __future__ import annotations

from typing import Final

from foundation.quantities import UnixMs
from settlement.swap.machine.effects import Effect, SendLetter
from settlement.swap.machine.messages import Message
from settlement.swap.machine.states import Order, Swap

_DOUBLINGS: Final = 8
"""Of the time until a letter is sent again: from ten seconds it grows to three quarters of an hour."""
_DOUBLINGS_EARLY: Final = 4
"""The same before money moves, when there is little time and the other side is there."""


class Work:
    """One step's orders. Fields: now (ms); sec (the time of gates); effects; wake_at (0: nothing to wait for)."""

    __slots__ = ("_orders", "_resend_ms", "effects", "now", "sec", "wake_at")

    def __init__(self, state: Swap, now: UnixMs) -> None:
        self.now = now
        self.sec = state.seconds(now)
        self.effects: list[Effect] = []
        self.wake_at = 0
        self._orders = state.orders
        self._resend_ms = state.gates.resend_ms

    @property
    def orders(self) -> dict[str, Order]:
        """All orders that were ever given, those of this step included."""
        return self._orders

    def order(self, effect: Effect, every_ms: int = 0) -> None:
        """Give an order that was not given yet, or (with `every_ms`) not for so long."""
        key = effect.key
        given = self._orders.get(key)
        if given is not None:
            if not every_ms:
                return
            if self.now < (due := given.at + every_ms):
                self.wake(due)
                return
        self._give(key, effect, given)
        if every_ms:
            self.wake(self.now + every_ms)

    def again(self, effect: Effect) -> None:
        """Give an order, whether it was given before or not."""
        self._give(effect.key, effect, self._orders.get(effect.key))

    def letter(self, message: Message, *, early: bool = False) -> None:
        """Send a letter, and send it again after a while, which doubles each time."""
        self.patiently(SendLetter(message), self._resend_ms, early=early)

    def patiently(self, effect: Effect, first_ms: int, *, early: bool = False) -> None:
        """Give an order again and again, at intervals that double. `early`: before money moves, they grow less."""
        doublings = _DOUBLINGS_EARLY if early else _DOUBLINGS
        self.order(effect, first_ms << min(max(self.times(effect.key) - 1, 0), doublings))

    def times(self, key: str) -> int:
        """How often an order was given."""
        given = self._orders.get(key)
        return 0 if given is None else given.times

    def at(self, key: str) -> int | None:
        """When an order was given last, ms."""
        given = self._orders.get(key)
        return None if given is None else given.at

    def wake(self, at: int) -> None:
        """Ask for a tick at this time, ms."""
        if at > self.now and (not self.wake_at or at < self.wake_at):
            self.wake_at = at

    def wake_at_gate(self, gate: int) -> None:
        """Ask for a tick when a gate closes, seconds."""
        self.wake(gate * 1000)

    def _give(self, key: str, effect: Effect, given: Order | None) -> None:
        self._orders = {**self._orders, key: Order(UnixMs(self.now), 1 if given is None else given.times + 1)}
        self.effects.append(effect)
