"""A payout's machine against a simulated chain: whatever happened on the way, only what is there now counts."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.bitcoin.primitives import OutPoint
from bridge.deposits import Alarm
from bridge.payouts import (
    AnchorTaken,
    Change,
    Confirmed,
    InChain,
    OutOfChain,
    Payout,
    PayoutStage,
    Replaced,
    Settled,
    Tip,
    Voided,
    step,
)
from foundation.quantities import BlockHeight, Satoshi

DEPTH = 3
VERSIONS = {name: Satoshi(100 + index) for index, name in enumerate((b"a" * 32, b"b" * 32, b"c" * 32))}
STRANGERS = (b"x" * 32, b"y" * 32)
ANCHOR, OTHERS = OutPoint(b"i" * 32, 0), tuple(OutPoint(bytes([n]) * 32, n) for n in range(4))


class PayoutWorld(RuleBasedStateMachine):
    """A chain in which one transaction at most spends the anchor, a Hub that ends the payout once, and a node."""

    def __init__(self) -> None:
        super().__init__()
        self.chain: list[bytes | None] = [None]
        self.ended: Settled | Voided | None = None
        self.version = 1
        self.alarms = 0
        self.payout = Payout(b"p" * 32, b"g" * 32, b"a" * 32, (b"w" * 32,), (ANCHOR, OTHERS[0]), 1)

    @property
    def spender(self) -> tuple[int, bytes] | None:
        found = [(height, txid) for height, txid in enumerate(self.chain) if txid]
        return found[0] if found else None

    def tell(self, change: Change) -> None:
        """A change, twice: the second time nothing happens."""
        self.payout, effects = step(self.payout, change)
        self.alarms += sum(isinstance(effect, Alarm) for effect in effects)
        assert step(self.payout, change) == (self.payout, ())

    def tell_tip(self) -> None:
        self.tell(Tip(BlockHeight(len(self.chain) - 1), DEPTH))

    @rule(txid=st.none() | st.sampled_from([*VERSIONS, *STRANGERS]))
    def mine(self, txid: bytes | None) -> None:
        txid = None if self.spender else txid
        self.chain.append(txid)
        height = BlockHeight(len(self.chain) - 1)
        if txid in VERSIONS:
            self.tell(InChain(Confirmed(txid, height, VERSIONS[txid])))
        elif txid:
            self.tell(AnchorTaken(txid))
        self.tell_tip()

    @rule(depth=st.integers(1, 5), grow=st.integers(0, 3))
    def reorganise(self, depth: int, grow: int) -> None:
        for _ in range(min(depth, len(self.chain) - 1)):
            if self.chain.pop():
                self.tell(OutOfChain())
        self.chain += [None] * grow
        self.tell_tip()

    @precondition(lambda self: self.ended is None)
    @rule(others=st.lists(st.sampled_from(OTHERS), unique=True, max_size=3), anchor_at=st.integers(0, 3))
    def replace_inputs(self, others: list[OutPoint], anchor_at: int) -> None:
        self.version += 1
        inputs = (*others[:anchor_at], ANCHOR, *others[anchor_at:])
        self.tell(Replaced(inputs, self.version))
        assert sorted(self.payout.inputs) == sorted(inputs)

    @precondition(lambda self: self.ended is None)
    @rule(txid=st.none() | st.sampled_from(list(VERSIONS)))
    def end(self, txid: bytes | None) -> None:
        """The Hub settles or voids whenever it likes: the node may be far behind it, or ahead."""
        self.ended = Voided(b"void") if txid is None else Settled(txid, b"settle")
        self.tell(self.ended)

    @precondition(lambda self: self.ended is not None)
    @rule()
    def hear_the_end_again(self) -> None:
        assert self.ended is not None
        before = self.payout
        self.tell(self.ended)
        assert self.payout == before

    @invariant()
    def the_stage_is_what_the_chains_say_now(self) -> None:
        assert self.payout.stage is self.expected()
        confirmed = self.payout.confirmed
        there = None if confirmed is None else (confirmed.height, confirmed.txid)
        spender = self.spender
        assert there == (spender if spender and spender[1] in VERSIONS else None)
        assert self.payout.stranger == (spender[1] if spender and spender[1] in STRANGERS else None)

    def expected(self) -> PayoutStage:
        if self.ended is not None:
            return PayoutStage.SETTLED if isinstance(self.ended, Settled) else PayoutStage.VOIDED
        spender = self.spender
        if spender is None or spender[1] not in VERSIONS:
            return PayoutStage.RESERVED
        return PayoutStage.PAID if len(self.chain) - spender[0] >= DEPTH else PayoutStage.CONFIRMING

    @invariant()
    def the_anchor_comes_first_in_the_newest_version(self) -> None:
        assert self.payout.anchor == ANCHOR
        assert self.payout.version == self.version

    @invariant()
    def what_must_not_be_was_told(self) -> None:
        """Whenever the chains contradict each other now, at least one alarm has gone out."""
        txid = self.spender[1] if self.spender else None
        stolen = txid in STRANGERS and not isinstance(self.ended, Voided)
        twice = txid in VERSIONS and isinstance(self.ended, Voided)
        other = txid in VERSIONS and isinstance(self.ended, Settled) and self.ended.txid != txid
        assert self.alarms or not (stolen or twice or other)


PayoutWorld.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestPayoutWorld = PayoutWorld.TestCase
