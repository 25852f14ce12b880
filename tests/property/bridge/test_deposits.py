"""A deposit's machine against a simulated chain: whatever happened on the way, only what is there now counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.deposits import (
    Barred,
    Change,
    Deposit,
    Dropped,
    Minted,
    Purpose,
    Refusal,
    Seen,
    Spend,
    Spent,
    Stage,
    Terms,
    Tip,
    Unspent,
    step,
)
from bridge.tiers import Tier, Tiers
from foundation.quantities import BlockHeight, Satoshi, TokenUnits

DELAY = 12
MARGIN = 4
ASKED = 2
SETTLED = 3
TERMS = Terms(Tiers((Tier(None, ASKED),)), Satoshi(1_000), paused=False, mint_margin=MARGIN, settled_depth=SETTLED)
ENDS = {Purpose.SWEEP: Stage.SWEPT, Purpose.RETURN: Stage.RETURNED, Purpose.RECLAIM: Stage.RECLAIMED}


@dataclass
class Block:
    """What a block does with the deposit's coin."""

    creates: bool = False
    spend: tuple[bytes, Purpose] | None = None


class DepositWorld(RuleBasedStateMachine):
    """A chain that grows and is reorganised, a Hub that decides once, and a node that hears of both."""

    def __init__(self) -> None:
        super().__init__()
        self.chain: list[Block] = []
        self.paused = False
        self.decision: Minted | Barred | None = None
        self.deposit = Deposit(
            b"d" * 32, b"a" * 32, b"g" * 32, b"t" * 32, 0, Satoshi(5_000), b"r" * 20, b"s" * 34, DELAY, Stage.MISSING
        )

    @initialize(amount=st.sampled_from([999, 1_000, 5_000]))
    def receive(self, amount: int) -> None:
        self.deposit = replace(self.deposit, amount=Satoshi(amount))
        self.mine(creates=True, spends=None, seed=0)

    @property
    def height(self) -> int | None:
        return next((height for height, block in enumerate(self.chain) if block.creates), None)

    @property
    def spend(self) -> tuple[int, Purpose] | None:
        found = [(height, block.spend[1]) for height, block in enumerate(self.chain) if block.spend]
        return found[0] if found else None

    def tell(self, change: Change) -> None:
        """A change, twice: the second time nothing happens."""
        self.deposit, _ = step(self.deposit, change)
        assert step(self.deposit, change) == (self.deposit, ())

    def tell_tip(self) -> None:
        self.tell(Tip(BlockHeight(len(self.chain) - 1), replace(TERMS, paused=self.paused)))

    @rule(creates=st.booleans(), spends=st.none() | st.sampled_from(Purpose), seed=st.integers(0, 3))
    def mine(self, creates: bool, spends: Purpose | None, seed: int) -> None:
        block = Block(creates and self.height is None)
        self.chain.append(block)
        height = BlockHeight(len(self.chain) - 1)
        if block.creates:
            self.tell(Seen(height))
        if spends is not None and self.height is not None and self.spend is None:
            block.spend = (bytes([seed]) * 32, spends)
            self.tell(Spent(Spend(block.spend[0], height, spends)))
        self.tell_tip()

    @rule(depth=st.integers(1, 6), grow=st.integers(0, 3))
    def reorganise(self, depth: int, grow: int) -> None:
        """Undo blocks as a node does, the newest first, each block's spend before its coin."""
        for _ in range(min(depth, len(self.chain))):
            gone = self.chain.pop()
            if gone.spend:
                self.tell(Unspent())
            if gone.creates:
                self.tell(Dropped())
        self.chain += [Block() for _ in range(grow)]
        self.tell_tip()

    @rule()
    def pause_or_resume(self) -> None:
        self.paused = not self.paused
        self.tell_tip()

    @precondition(lambda self: self.decision is None)
    @rule(minted=st.booleans())
    def decide(self, minted: bool) -> None:
        """The Hub decides whenever it likes: the node may be far behind it, or ahead."""
        self.decision = Minted(TokenUnits(4_000), b"mint") if minted else Barred(b"bar")
        self.tell(self.decision)

    @precondition(lambda self: self.decision is not None)
    @rule()
    def hear_the_decision_again(self) -> None:
        assert self.decision is not None
        before = self.deposit
        self.tell(self.decision)
        assert self.deposit == before

    @invariant()
    def the_stage_is_what_the_chains_say_now(self) -> None:
        assert self.deposit.height == self.height
        assert self.deposit.stage is self.expected()

    def expected(self) -> Stage:
        tip, height = len(self.chain) - 1, self.height
        if self.spend is not None:
            spent_height, purpose = self.spend
            if tip - spent_height + 1 >= SETTLED:
                return ENDS[purpose]
            if purpose is Purpose.SWEEP:
                return Stage.SWEEPING
        if self.decision is not None:
            return Stage.MINTED if isinstance(self.decision, Minted) else Stage.RETURNING
        if height is None:
            return Stage.MISSING
        if self.spend is not None or tip - height + 1 < ASKED:
            return Stage.CONFIRMING
        bad = self.deposit.amount < TERMS.minimum or self.paused or height + DELAY - tip < MARGIN
        assert bad == (self.deposit.refusal is not None)
        return Stage.REFUSED if bad else Stage.FINAL

    @invariant()
    def nothing_is_claimed_without_evidence(self) -> None:
        deposit = self.deposit
        assert (deposit.mint_transaction is not None) == isinstance(self.decision, Minted)
        assert (deposit.return_transaction is not None) == isinstance(self.decision, Barred)
        assert (deposit.spend is not None) == (self.spend is not None)
        assert deposit.refusal in {None, *Refusal}


DepositWorld.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestDepositWorld = DepositWorld.TestCase
