"""What the Hub has to be like: the model that its stateful test runs beside it, and signatures good and bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import boa
from eth_account.signers.local import LocalAccount

from tests.support.native_contracts import POLICY, accounts, malleated, service_fee, sign

REQUESTED, RESERVED, SETTLED, CANCELLED, RESTORED = 1, 2, 3, 4, 5
LIVE, PAID, VOIDED = 1, 2, 3
MINTED, RETURNED = 1, 2
DAY = 86_400


@dataclass
class Withdrawal:
    """What the model knows of a withdrawal. `amount` is what the service fee leaves."""

    amount: int
    max_fee: int
    fee: int = 0
    counted_on: int = -1
    status: int = REQUESTED
    settled: int = 0


@dataclass
class Payout:
    """What the model knows of a payout."""

    group: bytes
    signers: int
    withdrawals: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    anchor: bytes
    status: int = LIVE
    older: list[tuple[bytes, ...]] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Which version it is, from 1."""
        return len(self.older) + 1


@dataclass
class Model:
    """What the Hub has to be like. `reserved` knows the bound and barred outpoints alone."""

    deposits: dict[bytes, int] = field(default_factory=dict)
    attested: dict[bytes, int] = field(default_factory=dict)
    withdrawals: dict[bytes, Withdrawal] = field(default_factory=dict)
    payouts: dict[bytes, Payout] = field(default_factory=dict)
    reserved: dict[bytes, bytes] = field(default_factory=dict)
    releases: dict[bytes, Withdrawal] = field(default_factory=dict)
    pending: dict[tuple[bytes, int], int] = field(default_factory=dict)
    used: set[tuple[object, ...]] = field(default_factory=set)
    windows: dict[tuple[str, int], int] = field(default_factory=dict)
    halts: dict[bytes, int] = field(default_factory=dict)
    latest: dict[bytes, int] = field(default_factory=dict)
    policy: tuple[Any, ...] = POLICY
    minted: int = 0
    burnt: int = 0
    paid_out: int = 0
    distributed: int = 0
    balance: int = 0

    def open(self) -> list[bytes]:
        """Withdrawals whose tokens are locked."""
        return [id_ for id_, one in self.withdrawals.items() if one.status in (REQUESTED, RESERVED)]

    @property
    def running(self) -> bool:
        """Whether neither the asset nor everything is halted."""
        return all(until <= boa.env.timestamp for until in self.halts.values())

    @property
    def is_open(self) -> bool:
        """Whether the Hub mints, and takes requests."""
        return self.running and not self.policy[3] and not self.policy[4]

    def fee(self, amount: int) -> int:
        """The service fee of an amount, by the present policy."""
        return service_fee(self.policy, amount)

    def note(self, group: bytes, signers: int, fee: int) -> None:
        """A fee that is pending."""
        if fee:
            self.pending[group, signers] = self.pending.get((group, signers), 0) + fee

    def fits(self, direction: str, amount: int) -> bool:
        """Whether so much more may pass today."""
        limit = self.policy[7 if direction == "in" else 8]
        return limit == 0 or self.windows.get((direction, today()), 0) + amount <= limit

    def count(self, direction: str, amount: int) -> int:
        """Count it where there is a limit; the day on which it was counted, or -1."""
        if self.policy[7 if direction == "in" else 8] == 0:
            return -1
        self.windows[direction, today()] = self.windows.get((direction, today()), 0) + amount
        return today()

    def free(self, payout: Payout, barred: bytes) -> None:
        """Free the inputs of a payout's version, but for one."""
        for point in payout.inputs:
            if point != barred:
                self.reserved.pop(point, None)


def accepted(call: Callable[[], object]) -> bool:
    """Whether the contract accepted a call."""
    try:
        call()
    except boa.BoaError:
        return False
    return True


def signatures_of(people: Sequence[LocalAccount], how: str, quorum: int, message: Any) -> tuple[list[bytes], bool]:
    """Signatures, and whether they are enough: `quorum` of `people` and nothing that is not theirs."""
    good = sign(people[:quorum], message)
    strangers = sign(accounts("stranger", quorum), message)
    return {
        "quorum": (good, True),
        "all": (sign(people, message), True),
        "minority": (good[:-1], False),
        "one": (good[:1], quorum == 1),
        "nobody": ([], False),
        "twice": ([good[0], *good], False),
        "twins": ([good[0], malleated(good[0]), *good[1:]], False),
        "strangers": (strangers, False),
    }[how]


def today() -> int:
    """The present window."""
    return int(boa.env.timestamp) // DAY


def bits(how: str, quorum: int, size: int) -> int:
    """Whom `signatures_of` let sign, as a bitmap of places."""
    return 2**size - 1 if how == "all" else 2**quorum - 1
