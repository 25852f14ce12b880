"""Two banks over a bad network, one of them perhaps a liar: who follows the protocol loses nothing."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from settlement.channels.judge import Challenge, Close, Status
from settlement.channels.state import CloseNow, Leave, LockEnded, NotDone, Paid, Phase, Want
from settlement.channels.terms import Side
from tests.support.channels import World, fulfil, give_back, lock, offer, pay, terms

SIDES = st.sampled_from(list(Side))
NUMBERS = st.integers(0, 5)


class Channels(RuleBasedStateMachine):
    """Whatever two sides want, and the network does to their messages."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.wanted: dict[Side, list[object]] = {Side.A: [], Side.B: []}
        self.offered: dict[int, tuple[Side, int]] = {}
        self.known: set[int] = set()

    @initialize(one_way=st.booleans(), seed=st.integers(0, 2**16))
    def start(self, one_way: bool, seed: int) -> None:
        """One-way channels are as good as others."""
        self.world = World(terms(1_000, 0 if one_way else 1_000, one_way=one_way), seed)

    def want(self, side: Side, op: object) -> None:
        """Remember what was wanted: each payment has one outcome."""
        self.wanted[side].append(op)
        self.world.want(side, op)  # type: ignore[arg-type]

    @rule(side=SIDES, amount=st.integers(1, 700))
    def pays(self, side: Side, amount: int) -> None:
        """A payment at once."""
        self.want(side, pay(amount, 1 + sum(map(len, self.wanted.values()))))

    @rule(side=SIDES, number=NUMBERS, amount=st.integers(1, 300), seconds=st.integers(10, 120))
    def offers(self, side: Side, number: int, amount: int, seconds: int) -> None:
        """Money set aside; each secret is used once."""
        if number not in self.offered:
            expires_at = (self.world.now // 1000 + seconds) * 1000
            self.offered[number] = (side, expires_at)
            self.want(side, offer(number, side, amount, expires_at))

    @rule(number=NUMBERS)
    def claims(self, number: int) -> None:
        """The payee learns the preimage, if both have signed its lock."""
        if number in self.offered:
            payee = self.offered[number][0].other
            if self.world.sides[payee].sheet.lock(lock(number, payee).lock_id) is not None:
                self.world.change(payee, Want((fulfil(number),)))

    @rule(number=NUMBERS, side=SIDES)
    def gives_back(self, number: int, side: Side) -> None:
        """Somebody ends a conditional payment; the payer may try too early."""
        if number in self.offered:
            payee = self.offered[number][0].other
            condition = lock(number, payee).condition
            if side is not payee or condition not in self.world.sides[payee].preimages:
                self.world.change(side, Want((give_back(number),)))

    @rule(index=st.integers(0, 20))
    def delivers(self, index: int) -> None:
        """A message arrives, in any order."""
        self.world.deliver(index)

    @rule()
    def delivers_all(self) -> None:
        """The network is well for a while."""
        self.world.run()

    @rule(index=st.integers(0, 20))
    def repeats(self, index: int) -> None:
        """A message arrives and will arrive again."""
        self.world.deliver(index, keep=True)

    @rule(index=st.integers(0, 20))
    def loses(self, index: int) -> None:
        """A message is lost."""
        if self.world.wire:
            self.world.wire.pop(index % len(self.world.wire))

    @rule(seconds=st.sampled_from((1, 2, 5, 9)))
    def waits(self, seconds: int) -> None:
        """Time passes; the adjudicator is seen in time."""
        self.world.tick(seconds * 1_000)

    @rule(side=SIDES)
    def leaves(self, side: Side) -> None:
        """A side has had enough."""
        self.world.change(side, Leave())

    @precondition(lambda self: self.world.now % 3_000 == 0)
    @rule(side=SIDES)
    def closes(self, side: Side) -> None:
        """A side closes by itself."""
        self.world.change(side, CloseNow())

    @invariant()
    def money_is_conserved(self) -> None:
        """Every sheet adds up to the deposits, and nobody who is honest is ever taken for a cheat."""
        for side in Side:
            assert self.world.sides[side].sheet.total == self.world.terms.total
        assert self.world.court.case.cheated == (False, False)

    @invariant()
    def sides_never_drift_apart(self) -> None:
        """The sides' newest sheets differ by one proposal at most, and of one number there is one sheet."""
        one, other = (self.world.sides[side].sheet for side in Side)
        if one.sequence == other.sequence:
            assert one == other

    def teardown(self) -> None:
        """In the end every honest side has what the newest sheet gives it, and each wish one outcome."""
        world = self.world
        for side in Side:
            world.change(side, CloseNow())
        paid = world.end()
        newest = world.court.case.sheet.sheet
        if world.court.case.status is Status.CLOSED:
            for side in Side:
                assert world.sides[side].phase is Phase.CLOSED
                assert world.sides[side].sheet.sequence == newest.sequence
                assert (paid.a, paid.b)[side] >= newest.balance(side)
                self.check_outcomes(side)
        self.check_locks()

    def check_outcomes(self, side: Side) -> None:
        """Each payment that a side wanted was made or was not, told once, and never both."""
        world = self.world
        made = [e.reference for e in world.told[side] if isinstance(e, Paid) and not e.incoming]
        got = [e.reference for e in world.told[side.other] if isinstance(e, Paid) and e.incoming]
        failed = [e.op.reference for e in world.told[side] if isinstance(e, NotDone) and hasattr(e.op, "reference")]
        wanted = [op.reference for op in self.wanted[side] if hasattr(op, "reference")]
        assert sorted(made + failed) == sorted(wanted)
        assert made == got

    def check_locks(self) -> None:
        """Both sides were told the same end of each conditional payment, once."""
        ends = [
            {e.lock.lock_id: e.preimage for e in self.world.told[side] if isinstance(e, LockEnded)} for side in Side
        ]
        assert ends[0] == ends[1]
        for side in Side:
            assert len([e for e in self.world.told[side] if isinstance(e, LockEnded)]) == len(ends[0])


class Liars(Channels):
    """The same, where B may submit any sheet that it ever held, and fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.lied = False

    @rule(index=st.integers(0, 30))
    def lies(self, index: int) -> None:
        """B closes with, or answers with, an older sheet."""
        held = self.world.held[Side.B]
        sheet = held[index % len(held)]
        account = self.world.account(Side.B)
        closing = self.world.court.case.status is Status.CLOSING
        done = self.world.submit(Challenge(account, sheet) if closing else Close(account, sheet))
        # Even its newest: its other half goes on signing, as a bank may that was restored from an old copy.
        self.lied = self.lied or done

    @rule()
    def falls_silent(self) -> None:
        """B says no more."""
        self.world.silent.add(Side.B)

    @invariant()
    def money_is_conserved(self) -> None:
        """A is never taken for a cheat, whatever B does."""
        assert self.world.sides[Side.A].sheet.total == self.world.terms.total
        assert not self.world.court.case.cheated[Side.A]

    @invariant()
    def sides_never_drift_apart(self) -> None:
        """Of one number there is one sheet."""

    def teardown(self) -> None:
        """A has at least its newest sheet's balance and what it could claim, and everything if B was caught."""
        world = self.world
        world.change(Side.A, CloseNow())
        paid = world.end()
        a = world.sides[Side.A]
        assert a.phase is Phase.CLOSED
        if world.court.case.cheated[Side.B]:
            assert paid.a == world.terms.total
            assert self.lied
            return
        claimed = sum(lock.amount for lock in a.sheet.locks if lock.payer is Side.B and lock.condition in a.preimages)
        back = sum(
            lock.amount for lock in a.sheet.locks if lock.payer is Side.A and lock.condition not in world.court.reveals
        )
        assert paid.a >= a.sheet.balance_a + claimed + back

    check_outcomes = check_locks = None  # type: ignore[assignment]


TestChannels = Channels.TestCase
TestLiars = Liars.TestCase
TestChannels.settings = settings(max_examples=60, stateful_step_count=40)
TestLiars.settings = settings(max_examples=60, stateful_step_count=40)
