"""Balances, engines and links in memory, for tests of settlements, and a database that dies at its commits."""

from __future__ import annotations

from dataclasses import dataclass, field

from foundation.database import Moment
from settlement.connector.ports import BalancesUnavailable, NotOwed, OtherSettlement
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import OtherSideFailed
from settlement.quantities import Units


class Killed(BaseException):
    """The process ended here. No handler of `Exception` holds it up."""


@dataclass
class Death:
    """A process that dies at event number `at`; None: never. What is dead does nothing more."""

    at: int | None = None
    events: int = 0
    is_dead: bool = False

    def event(self) -> None:
        """Something that a crash may come before or after."""
        if self.is_dead:
            raise Killed
        self.events += 1
        if self.at is not None and self.events > self.at:
            self.is_dead = True
            raise Killed

    async def on_commit(self, moment: Moment) -> None:
        """A commit hook: before and after each commit is an event."""
        self.event()


@dataclass
class MemoryBalances:
    """`SettlementBalances` as the port says, in memory. `death`: of the process that calls."""

    balances: dict[str, int]
    done: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    death: Death = field(default_factory=Death)
    is_down: bool = False

    async def settle_out(self, account: str, amount: Units, key: str, keep: int = 0) -> bool:
        """See the port."""
        self._serve()
        if not self._is_new(key, (account, amount, "out")):
            return False
        if self.balances[account] - amount < keep:
            raise NotOwed(account, amount, self.balances[account])
        return self._move(account, -amount, key, (account, amount, "out"))

    async def settle_in(self, account: str, amount: Units, key: str) -> bool:
        """See the port."""
        self._serve()
        if not self._is_new(key, (account, amount, "in")):
            return False
        return self._move(account, amount, key, (account, amount, "in"))

    async def settle_back(self, account: str, amount: Units, key: str) -> bool:
        """See the port."""
        raise NotImplementedError("nothing is ever taken back by itself")

    async def balance(self, account: str) -> int:
        """See the port."""
        self._serve()
        return self.balances[account]

    def _serve(self) -> None:
        if self.is_down:
            raise BalancesUnavailable("is down")

    def _is_new(self, key: str, content: tuple[str, int, str]) -> bool:
        if key in self.done and self.done[key] != content:
            raise OtherSettlement(content[0], key)
        return key not in self.done

    def _move(self, account: str, change: int, key: str, content: tuple[str, int, str]) -> bool:
        self.death.event()
        self.balances[account] += change
        self.done[key] = content
        self.death.event()
        return True


@dataclass
class MemoryEngine:
    """RFC 38's other side, in memory: takes each key once. `failing`: calls that fail; `lost`: answers that vanish."""

    taken: dict[str, tuple[str, Quantity]] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    failing: int = 0
    lost: int = 0
    calls: int = 0
    death: Death = field(default_factory=Death)

    async def create_account(self, account: str) -> None:
        """See `Rfc38Client`."""
        self.accounts.add(account)

    async def settle(self, account: str, quantity: Quantity, key: str) -> None:
        """See `Rfc38Client`."""
        self.death.event()
        self.calls += 1
        if self.failing:
            self.failing -= 1
            raise OtherSideFailed("settle", 500, "failing")
        assert self.taken.setdefault(key, (account, quantity)) == (account, quantity)
        self.death.event()
        if self.lost:
            self.lost -= 1
            raise OtherSideFailed("settle", 0, "the answer was lost")

    @property
    def total(self) -> int:
        """All that it was asked to pay, base units."""
        return sum(quantity.amount for _, quantity in self.taken.values())
