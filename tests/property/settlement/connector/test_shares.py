"""However processes lease, use and give back room, and whenever they die, the account stays within its limits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from settlement.connector.balances.model import Position, Terms
from settlement.connector.balances.shares import Bounds, Share, free_room, narrowed, reach, widened
from tests.support.connector import EUR

TERMS = Terms("alice", EUR, floor=-1_000, ceiling=1_000)
AMOUNTS = st.integers(0, 900)


class SharedAccount(RuleBasedStateMachine):
    """Processes with positions in memory, over one account row: what is written survives them."""

    def __init__(self) -> None:
        super().__init__()
        self.base = 0
        self.rows: dict[int, Share] = {}
        self.positions: dict[int, Position] = {}
        self.holds: dict[int, list[tuple[int, int]]] = {}
        self.next_process = 1

    @rule()
    def join(self) -> None:
        if len(self.rows) < 4:
            process, self.next_process = self.next_process, self.next_process + 1
            self.rows[process] = Share(process, 0, 0, 0)
            self.positions[process] = Position(TERMS)
            self.holds[process] = []
            self.lease(process, 0, 0)

    def lease(self, process: int, debit: int, credit: int) -> None:
        position, row = self.positions[process], self.rows[process]
        needed = reach(position, row.delta)
        wanted = Bounds(needed.lowest - debit, needed.highest + credit)
        free = free_room(TERMS, self.base, self.rows.values())
        bounds = widened(Bounds(row.lowest, row.highest), wanted, free, len(self.rows))
        self.rows[process] = replace(row, lowest=bounds.lowest, highest=bounds.highest)
        position.lowest, position.highest = bounds.lowest, bounds.highest

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), debit=AMOUNTS, credit=AMOUNTS)
    def hold(self, data: st.DataObject, debit: int, credit: int) -> None:
        process = data.draw(st.sampled_from(sorted(self.rows)))
        position = self.positions[process]
        if not position.hold_debit(debit):
            self.lease(process, debit, 0)
            if not position.hold_debit(debit):
                return
        if position.hold_credit(credit):
            self.holds[process].append((debit, credit))
        else:
            position.debits -= debit

    @precondition(lambda self: any(self.holds.values()))
    @rule(data=st.data(), is_fulfilled=st.booleans())
    def end_hold(self, data: st.DataObject, is_fulfilled: bool) -> None:
        process = data.draw(st.sampled_from(sorted(name for name, holds in self.holds.items() if holds)))
        debit, credit = self.holds[process].pop()
        position = self.positions[process]
        position.debits -= debit
        position.credits -= credit
        if is_fulfilled:
            position.delta += credit - debit

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(sorted(self.rows)))
        self.rows[process] = replace(self.rows[process], delta=self.positions[process].delta)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), down=AMOUNTS, up=AMOUNTS)
    def give_back(self, data: st.DataObject, down: int, up: int) -> None:
        process = data.draw(st.sampled_from(sorted(self.rows)))
        row = self.rows[process]
        bounds = narrowed(self.positions[process], row.delta, (down, up))
        self.positions[process].lowest, self.positions[process].highest = bounds.lowest, bounds.highest
        self.rows[process] = replace(row, lowest=bounds.lowest, highest=bounds.highest)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(sorted(self.rows)))
        self.base += self.rows.pop(process).delta
        del self.positions[process], self.holds[process]

    @invariant()
    def written_balance_is_within_the_limits(self) -> None:
        """Also if every process died now."""
        balance = self.base + sum(row.delta for row in self.rows.values())
        assert -1_000 <= balance <= 1_000

    @invariant()
    def promised_balance_is_within_the_limits(self) -> None:
        """Also if each process wrote, with the worst outcome of all that it holds."""
        reaches = [reach(position, self.rows[name].delta) for name, position in self.positions.items()]
        assert self.base + sum(each.lowest for each in reaches) >= -1_000
        assert self.base + sum(each.highest for each in reaches) <= 1_000


SharedAccount.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSharedAccount = SharedAccount.TestCase
