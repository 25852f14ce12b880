"""One swap as a watchtower sees it, without any chain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import SatPerKvB
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.bitcoin.watch import OutputView, SpendView
from settlement.swap.machine.facts import LockStatus
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.watch import Act, Broadcast, Progress, Sight, is_over, step
from tests.support.swap_terms import NOW
from tests.support.swap_tower import PAYEE, Trade, made, on_paper

GRACE = 600


@dataclass
class Watched:
    """A swap, its bundle, what a tower remembers, and what it sees."""

    role: Role
    mode: Mode = Mode.HASH
    revealed: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.trade: Trade = on_paper(self.mode)
        assert self.trade.coin is not None
        self.coin = self.trade.coin
        self.rungs: tuple[Rung, ...] = self.trade.rungs() if self.mode is Mode.POINT else ()
        keys = self.trade.follower if self.role is Role.FOLLOWER else self.trade.initiator
        state = self.trade.state(self.role, rungs=self.rungs, revealed=self.revealed)
        self.bundle: Bundle = made(state, keys, NOW)
        self.view = OutputView(self.coin.outpoint, self.coin.value, 3)
        self.sight = Sight(NOW, 100, (self.view,), NOW, LockStatus.OPEN, True, True)

    @property
    def t2(self) -> int:
        return self.trade.terms.bitcoin.expires_at

    @property
    def t1(self) -> int:
        return self.trade.terms.evm.expires_at

    def see(self, **news: object) -> tuple[Act, ...]:
        """The acts that follow from what is seen now; the tower remembers."""
        self.sight = replace(self.sight, **news)  # type: ignore[arg-type]
        self.progress, acts = step(self.bundle, self.progress, self.sight, GRACE)
        return acts

    def rung(self, *acts: Act) -> list[int]:
        return [act.rung for act in acts if isinstance(act, Broadcast)]

    def spent(self, raw: bytes, confirmations: int = 0) -> tuple[OutputView, ...]:
        """The output with what spends it."""
        parsed = parse_transaction(raw)
        spend = SpendView(parsed.txid, confirmations, parsed.witnesses[0], parsed.outputs)
        return (replace(self.view, spend=spend),)

    def refund(self, number: int = 0, confirmations: int = 0) -> tuple[OutputView, ...]:
        """Spent by the follower."""
        made_ = self.trade.output.refund(self.coin, PAYEE, SatPerKvB(1_000 * (number + 1)))
        return self.spent(made_.signed_by(self.trade.follower.bitcoin), confirmations)

    def claim(self, confirmations: int = 0) -> tuple[OutputView, ...]:
        """Spent by the initiator."""
        if self.mode is Mode.POINT:
            return self.spent(self.rungs[0].claim(self.trade.output, self.coin, self.trade.secret), confirmations)
        made_ = self.trade.output.claim(self.coin, PAYEE, SatPerKvB(1_000), self.trade.secret)
        return self.spent(made_.signed_by(self.trade.initiator.bitcoin), confirmations)

    @property
    def over(self) -> bool:
        return is_over(self.bundle, self.progress, self.sight)
