"""A deposit's machine against simulated chains: whatever happened on the way, only what is there now counts."""

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
    Lock,
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


LOCK = Lock(3, b"s" * 20, bytes(20), b"t" * 32, "eip155:1")
LIMIT = TokenUnits(2**130)
LOCK_TERMS = Terms(
    Tiers((Tier(None, 1),)),
    TokenUnits(1_000),
    paused=False,
    mint_margin=0,
    settled_depth=1,
    limit=LIMIT,
    cannot_receive=frozenset({bytes(20)}),
)


class LockWorld(RuleBasedStateMachine):
    """A vault that locks and may send back, a Hub that decides once, a Registry, and a node that hears of all three.

    The node may be behind on either chain: it hears of the lock and of the decision in any order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.height = 0
        self.terms = LOCK_TERMS
        self.decision: Minted | Barred | None = None
        self.seen = False
        self.returned = False
        self.ended: set[Stage] = set()
        self.deposit = Deposit(
            b"d" * 32, b"a" * 32, b"g" * 32, b"l" * 32, 0, TokenUnits(0), b"r" * 20, b"", 0, Stage.MISSING
        )

    @initialize(
        amount=st.sampled_from([999, 1_000, 2**64, LIMIT, LIMIT + 1]),
        recipient=st.sampled_from([b"r" * 20, bytes(20)]),
        known=st.booleans(),
    )
    def lock(self, amount: int, recipient: bytes, known: bool) -> None:
        self.amount, self.recipient = TokenUnits(amount), recipient
        self.terms = replace(self.terms, known=known)
        self.deposit = replace(self.deposit, amount=self.amount)

    def tell(self, change: Change) -> None:
        """A change, twice: the second time nothing happens."""
        self.deposit, _ = step(self.deposit, change)
        assert step(self.deposit, change) == (self.deposit, ())

    @rule()
    def blocks_pass(self) -> None:
        """The intake looks at a lock with what it read of its chain, or after the Registry has changed something."""
        self.height += 1
        if self.seen:
            self.tell(Tip(BlockHeight(self.height), self.terms))

    @precondition(lambda self: not self.seen)
    @rule()
    def see_the_lock(self) -> None:
        """What the Hub said before is completed by what was locked."""
        self.seen = True
        self.height += 1
        d = replace(self.deposit, script=b"v" * 20, amount=self.amount, recipient=self.recipient, lock=LOCK)
        self.deposit = d
        self.tell(Seen(BlockHeight(self.height)))
        self.tell(Tip(BlockHeight(self.height), self.terms))

    @rule(change=st.sampled_from(["known", "paused", "denied"]))
    def change_the_registry(self, change: str) -> None:
        """The owner pauses or denies the asset, or takes that back; who is registered once stays so."""
        value = True if change == "known" else not getattr(self.terms, change)
        self.terms = replace(self.terms, **{change: value})
        self.blocks_pass()

    @precondition(lambda self: self.decision is None)
    @rule(minted=st.booleans())
    def decide(self, minted: bool) -> None:
        """The Hub decides whenever it likes: the node may be far behind it, or ahead."""
        minted = minted and not self.returned
        self.decision = Minted(TokenUnits(max(self.amount - 1, 0)), b"mint") if minted else Barred(b"bar")
        self.tell(self.decision)

    @precondition(lambda self: self.seen and not self.returned and not isinstance(self.decision, Minted))
    @rule()
    def send_back(self) -> None:
        """The group signs a return only of what the Hub has barred: this node may hear of the bar later."""
        self.returned = True
        self.height += 1
        self.tell(Spent(Spend(b"back", BlockHeight(self.height), Purpose.RETURN)))
        self.tell(Tip(BlockHeight(self.height), self.terms))

    @precondition(lambda self: self.decision is not None)
    @rule()
    def hear_the_decision_again(self) -> None:
        assert self.decision is not None
        before = self.deposit
        self.tell(self.decision)
        assert self.deposit == before

    @invariant()
    def the_stage_is_what_the_chains_say_now(self) -> None:
        assert self.deposit.stage is self.expected()

    def expected(self) -> Stage:
        minted, barred = isinstance(self.decision, Minted), isinstance(self.decision, Barred)
        if not self.seen:
            return Stage.MINTED if minted else Stage.RETURNING if barred else Stage.MISSING
        if self.returned:
            return Stage.RETURNED
        if minted:
            return Stage.HELD
        if barred:
            return Stage.RETURNING
        if not self.terms.known:
            return Stage.CONFIRMING
        bad = not 1_000 <= self.amount <= LIMIT or self.recipient == bytes(20)
        return Stage.REFUSED if bad or self.terms.paused or self.terms.denied else Stage.FINAL

    @invariant()
    def it_is_never_both_minted_and_returned(self) -> None:
        deposit = self.deposit
        assert not (deposit.mint_transaction and deposit.return_transaction)
        assert deposit.stage is not Stage.HELD or (deposit.mint_transaction and deposit.lock and not deposit.spend)
        assert deposit.stage is not Stage.RETURNED or (deposit.spend and not deposit.mint_transaction)
        assert (deposit.refusal is None) or deposit.stage in {Stage.REFUSED, Stage.RETURNING, Stage.RETURNED}

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        """All that a vault and the Hub tell is final: nothing takes an end back."""
        if self.deposit.stage in {Stage.HELD, Stage.RETURNED}:
            self.ended.add(self.deposit.stage)
        assert self.ended <= {self.deposit.stage}


LockWorld.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestLockWorld = LockWorld.TestCase
