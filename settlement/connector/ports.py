"""What the connector's core asks of its surroundings, and what it offers them. Each is small enough to be faked.

Balances are seen from the account's holder, as RFC 27 speaks of them: positive is what we owe the holder, negative is
what the holder owes us. A packet that the holder sends lowers it, one that is fulfilled by the holder raises it; a
settlement that we pay lowers it, one that we receive raises it.
"""

from __future__ import annotations

from typing import Final, Protocol

from foundation.errors import Fatal, Retryable
from settlement.ilp.link import Reply
from settlement.quantities import Units

LOCAL: Final = ""
"""What a router answers for addresses that end in this process."""


class Router(Protocol):
    """Where packets go. Asked for each new destination; answers are cached until `version` changes."""

    @property
    def version(self) -> int:
        """Grows with each change of any route, so that whoever cached an answer asks again."""

    def next_hop(self, destination: str) -> str | None:
        """The account with the longest prefix of `destination`; `LOCAL` for ourselves, None where no route leads."""


class PeerHandler(Protocol):
    """Deals with packets that end at us and concern one peer: those to `peer.*` (CCP: `peer.route.*`)."""

    def __call__(self, account: str, destination: str, prepare: bytes, reply: Reply) -> None:
        """One Prepare of `account`, well-formed, not expired, of amount zero; call `reply` once. Never raises.

        What it is told to `reply` goes out as it is. No balance moves.
        """


class Receiver(Protocol):
    """Takes packets that end in this process: a STREAM server, SPSP. An account of its own says what they are worth."""

    def __call__(self, prepare: bytes, reply: Reply) -> None:
        """One Prepare whose amount is in the receiving account's asset; `reply` must be called once. Never raises."""


class SettlementTrigger(Protocol):
    """Told that we owe an account at least its `settle_threshold`: several times maybe, and by any process."""

    def __call__(self, account: str, balance: int) -> None:
        """`balance`: what we owe, base units, as far as this process knows; `SettlementBalances` decides."""


class SettlementBalances(Protocol):
    """How settlements move balances: each exactly once, by a key of the caller's choice, whoever repeats it."""

    async def settle_out(self, account: str, amount: Units, key: str, keep: int = 0) -> bool:
        """Lower the balance by what is about to be paid to the holder. Durable when it returns.

        Args:
            account: its id.
            amount: base units of the account's asset.
            key: 1 to 128 characters, unique among all settlements of all accounts.
            keep: the balance must not fall below it, base units. 0: nothing is paid that is not owed.

        Returns:
            True where it was done now, False where it had been done before.

        Raises:
            NotOwed: the balance would fall below `keep`. Nothing moved.
            OtherSettlement: the key belongs to another settlement. Nothing moved.
            BalancesUnavailable: unknown; repeat it with the same key.
        """

    async def settle_in(self, account: str, amount: Units, key: str) -> bool:
        """Raise the balance by what the holder has paid, also above its ceiling. Durable when it returns.

        Returns:
            True where it was done now, False where it had been done before.

        Raises:
            OtherSettlement: the key belongs to another settlement. Nothing moved.
            BalancesUnavailable: unknown; repeat it with the same key.
        """

    async def settle_back(self, account: str, amount: Units, key: str) -> bool:
        """Undo the `settle_out` of the same key, account and amount, because it will never be paid. Exactly once.

        Returns:
            True where it was undone now, False where it had been undone before.

        Raises:
            OtherSettlement: there is no such settlement to undo, or it was another. Nothing moved.
            BalancesUnavailable: unknown; repeat it.
        """

    async def balance(self, account: str) -> int:
        """The balance of all processes as committed, base units.

        Raises:
            BalancesUnavailable: the database does not answer.
        """


class NotOwed(Fatal):
    """More was to be settled than is owed. Fields: account; amount; balance (both in base units)."""

    def __init__(self, account: str, amount: int, balance: int) -> None:
        self.account = account
        self.amount = amount
        self.balance = balance
        super().__init__(f"{account} is owed {balance}, which is too little to settle {amount}")


class OtherSettlement(Fatal):
    """A settlement's key was used with another account, amount or direction. Fields: account; key."""

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        super().__init__(f"the settlement {key} of {account} is another one")


class BalancesUnavailable(Retryable):
    """The database with the balances does not answer. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the balances are out of reach: {problem}")
