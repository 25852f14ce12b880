"""Balances in memory: what packets hold, what they move, and who is told once it is written.

A packet is checked against memory alone. Its fulfilment changes memory at once and is told to nobody until a write has
made it durable; one write takes all that happened since the last (group commit). So:

- Nothing that was passed on is ever forgotten: a Fulfill leaves for the sender only after the commit.
- If the process dies between the next hop's Fulfill and the commit, neither account has changed: the sender gets no
  Fulfill and pays nothing, while the next hop believes it is owed. We do owe it, and cannot tell: the loss is at most
  what was in flight to that account, which `in_flight_max` bounds. Where the operator turns the journal of flights on,
  each packet is written down before it is sent (at the price of one more commit on its way), and what a dead process
  left in it is listed afterwards as incidents, packet by packet, to be compared with the peer's books.
- If it dies between the commit and the Fulfill's arrival at the sender, our books have both changes and the sender has
  none, just as if the network had lost the Fulfill: ILP leaves that to the two peers' reconciliation, and it is bounded
  by the same amount in flight.
- A commit that comes too late for the sender (the database stalled) takes the sender's debit back in the next write:
  the next hop keeps its credit, which it has earned in time, and our own position bears the loss, as an incident.

Exact invariant, after every write and for each asset: the balances of all accounts, of our own position and of the
ledger add up to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from foundation.errors import BadInput
from settlement.connector.balances.model import (
    UNBOUNDED,
    Batch,
    Direction,
    Flight,
    Incident,
    Position,
    Settlement,
    Terms,
    Waiting,
    ledger_account,
    own_account,
)
from settlement.connector.ports import SettlementTrigger
from settlement.quantities import Asset


class Lender(Protocol):
    """Gets room for a position from what the processes share."""

    def __call__(self, position: Position, debit: int, credit: int, answered: Callable[[bool], None]) -> None:
        """Ask for room to hold `debit` and `credit`; `answered` tells whether there is now. Never raises."""


class Book:
    """All positions of this process. Pure memory: a writer collects what is to be written."""

    def __init__(self, terms: Iterable[Terms], kick: Callable[[], None] = lambda: None) -> None:
        """Describe the accounts; `kick` is called when there is something to write.

        Raises:
            BadInput: two accounts have one id.
        """
        self.kick = kick
        self.is_available = True
        """False while the writer cannot write: packets with money are refused then."""
        self.lender: Lender | None = None
        """Asked for more room where several processes share the accounts; None where all room is here."""
        self.positions: dict[str, Position] = {}
        self._own: dict[Asset, Position] = {}
        self._thresholds: dict[str, tuple[int, SettlementTrigger]] = {}
        for each in terms:
            position = self._add(each)
            if each.asset not in self._own:
                self._own[each.asset] = self._add(own_account(each.asset))
                self._add(ledger_account(each.asset))
            position.own = self._own[each.asset]
        self._is_writing = False
        self._dirty: list[Position] = []
        self._waiting: list[Waiting] = []
        self._opened: list[Flight] = []
        self._closed: list[int] = []
        self._incidents: list[Incident] = []

    def _add(self, terms: Terms) -> Position:
        if terms.id in self.positions:
            raise BadInput(f"accounts.{terms.id}", "there are two accounts of this name", "rename one")
        position = Position(terms)
        self.positions[terms.id] = position
        return position

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a write."""
        return not (self._waiting or self._is_writing)

    def own(self, asset: Asset) -> Position:
        """Our own position in an asset."""
        return self._own[asset]

    def watch(self, account: str, threshold: int, trigger: SettlementTrigger) -> None:
        """Call `trigger` after each write that leaves `account` owed at least `threshold` base units."""
        self._thresholds[account] = (threshold, trigger)

    # What packets do. Holds were checked by `Position.hold_debit` and `hold_credit`.

    def release(self, debtor: Position, taken: int, creditor: Position, given: int) -> None:
        """The packet came to nothing."""
        debtor.debits -= taken
        creditor.credits -= given

    def fulfil(self, debtor: Position, taken: int, creditor: Position, given: int, waiting: Waiting) -> None:
        """The packet was fulfilled: move what it held, and tell `waiting` when that is written."""
        debtor.debits -= taken
        creditor.credits -= given
        self._change(debtor, -taken)
        self._change(creditor, given)
        if debtor.own is not creditor.own:
            self._change(debtor.own, taken)
            self._change(creditor.own, -given)
        elif taken != given:
            self._change(debtor.own, taken - given)
        if not self._waiting:
            self.kick()
        self._waiting.append(waiting)

    def take_back(self, debtor: Position, taken: int, incident: Incident) -> None:
        """The sender was debited and could not be told in time: it will not pay, we bear it."""
        self._change(debtor, taken)
        self._change(debtor.own, -taken)
        self.report(incident)

    def report(self, incident: Incident) -> None:
        """Write an incident down."""
        self._incidents.append(incident)
        self.kick()

    def open_flight(self, flight: Flight, waiting: Waiting) -> None:
        """Write a packet down; `waiting` is told when it may be sent."""
        self._opened.append(flight)
        if not self._waiting:
            self.kick()
        self._waiting.append(waiting)

    def close_flight(self, number: int) -> None:
        """The packet is over: its row goes."""
        self._closed.append(number)
        self.kick()

    def settled(self, settlement: Settlement) -> None:
        """A settlement was written by itself: memory follows."""
        position = self.positions[settlement.account]
        position.delta += settlement.change
        self.positions[ledger_account(position.terms.asset).id].delta -= settlement.change

    # What the writer does.

    def collect(self) -> Batch | None:
        """All that is to be written, None for nothing. Exactly one of `landed` and `put_back` must follow."""
        if not (self._dirty or self._waiting or self._opened or self._closed or self._incidents):
            return None
        self._is_writing = True
        for position in self._dirty:
            position.is_dirty = False
        batch = Batch(
            [(position.terms.id, position.delta) for position in self._dirty],
            self._dirty,
            self._waiting,
            self._opened,
            self._closed,
            self._incidents,
        )
        self._dirty, self._waiting, self._opened, self._closed, self._incidents = [], [], [], [], []
        return batch

    def landed(self, batch: Batch) -> None:
        """The batch is durable: everybody is told."""
        self._is_writing = False
        for waiting in batch.waiting:
            waiting.written()
        if self._thresholds:
            for position in batch.positions:
                self._watch_over(position)

    def put_back(self, batch: Batch) -> None:
        """The batch was not written: it goes before what came after it."""
        self._is_writing = False
        for position in batch.positions:
            if not position.is_dirty:
                position.is_dirty = True
                self._dirty.append(position)
        self._waiting = batch.waiting + self._waiting
        self._opened = batch.opened + self._opened
        self._closed = batch.closed + self._closed
        self._incidents = batch.incidents + self._incidents

    def _change(self, position: Position, amount: int) -> None:
        position.delta += amount
        if not position.is_dirty:
            position.is_dirty = True
            self._dirty.append(position)

    def _watch_over(self, position: Position) -> None:
        found = self._thresholds.get(position.terms.id)
        if found is not None and position.balance >= found[0]:
            found[1](position.terms.id, position.balance)


def bounds(terms: Terms, balance: int) -> tuple[int, int]:
    """How far the balance may fall and rise from `balance` (both as changes) where one process is alone."""
    lowest = -UNBOUNDED if terms.floor is None else terms.floor - balance
    highest = UNBOUNDED if terms.ceiling is None else terms.ceiling - balance
    return lowest, highest


def undoing(account: str, amount: int, key: str) -> Settlement:
    """What takes a settlement back that will never be paid."""
    return Settlement(key, account, amount, Direction.OUT, is_undoing=True)
