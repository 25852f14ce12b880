"""A payout's machine against simulated chains: whatever happened on the way, only what is there now counts."""

from __future__ import annotations

from collections.abc import Collection, Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.bitcoin.primitives import OutPoint
from bridge.deposits import Alarm
from bridge.intake.releases import contradiction, look_at_payout
from bridge.intake.steps import Steps
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
    Withdrawal,
    step,
)
from bridge.storage import ReleaseOutcome, ReleaseRow
from bridge.tiers import Tier, Tiers
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, UnixMs
from tests.support.bridge_evm import PAYEE, STRANGE_TOKEN, TOKEN, EvmSide

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


SIDE = EvmSide(1)
ASSET = SIDE.token()
DIRECTORY = SimpleNamespace(
    chain_of=lambda asset: SIDE.chain.id,
    assets={ASSET.id: ASSET},
    origins={SIDE.chain.id: SimpleNamespace(chain=SIDE.chain)},
    shown=lambda asset, units: f"{units} units",
)
AMOUNT, FEE = 2**100, 1_000
WRONGS: tuple[dict[str, Any], ...] = (
    {"payee": b"e" * 20},
    {"asset": STRANGE_TOKEN},
    {"asset": bytes(20)},
    {"amount": AMOUNT - FEE + 1},
    {"amount": AMOUNT - FEE - 1},
    {"fee": FEE - 1},
)


class Rows:
    """The numbers that the vault has consumed, as the database would give them."""

    def __init__(self) -> None:
        self.rows: dict[int, ReleaseRow] = {}

    async def get_many(self, chain: bytes, numbers: Collection[int]) -> dict[int, ReleaseRow]:
        assert chain == SIDE.chain.id
        return {number: self.rows[number] for number in numbers if number in self.rows}


def now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


class VaultWorld(RuleBasedStateMachine):
    """A vault that consumes numbers in any order and in any way, a Hub that settles once, and a node behind on both."""

    def __init__(self) -> None:
        super().__init__()
        self.releases = Rows()
        self.steps = Steps(
            cast(Any, None),
            UnixMs(1),
            lambda state: SIDE.chain.id,
            Tiers((Tier(None, 1),)),
            mint_margin=0,
            settled_depth=1,
        )
        self.height = 10
        self.reserved = False
        self.settled: Settled | None = None
        self.wrong: set[int] = set()

    @initialize(count=st.integers(1, 4))
    def ask(self, count: int) -> None:
        self.withdrawals = [
            Withdrawal(
                *(bytes([n]) * 32, ASSET.id, b"o" * 20, TokenUnits(AMOUNT), TokenUnits(FEE), PAYEE, b"q" * 32),
                requested_at=BlockHeight(5),
                number=n,
            )
            for n in range(1, count + 1)
        ]

    @property
    def payout(self) -> Payout:
        return self.steps.payouts[b"p" * 32]

    @property
    def open_numbers(self) -> list[int]:
        return [w.number for w in self.withdrawals if w.number not in self.releases.rows]

    @rule()
    def look(self) -> None:
        """The intake looks whenever one of the two chains has news; to look again changes nothing."""
        if not self.reserved:
            return
        for _ in range(2):
            now(
                look_at_payout(
                    cast(Any, SimpleNamespace(releases=self.releases)), self.steps, cast(Any, DIRECTORY), self.payout
                )
            )

    @precondition(lambda self: not self.reserved)
    @rule()
    def reserve(self) -> None:
        self.reserved = True
        ids = tuple(withdrawal.withdrawal_id for withdrawal in self.withdrawals)
        self.steps.withdrawals.update({w.withdrawal_id: w for w in self.withdrawals})
        self.steps.add_payout(Payout(b"p" * 32, b"g" * 32, ASSET.id, ids, (), 1))
        self.look()

    @precondition(lambda self: self.open_numbers)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([ReleaseOutcome.PAID, ReleaseOutcome.FAILED, ReleaseOutcome.CANCELLED]),
        same_block=st.booleans(),
        wrong=st.none() | st.none() | st.none() | st.sampled_from(WRONGS),
    )
    def consume(
        self, data: st.DataObject, outcome: ReleaseOutcome, same_block: bool, wrong: dict[str, Any] | None
    ) -> None:
        """The vault pays a number, sets it aside, or gives it up untried; once in a while it does something wrong."""
        number = data.draw(st.sampled_from(self.open_numbers))
        self.height += not same_block
        at = (bytes([100 + len(self.releases.rows)]) * 32, BlockHeight(self.height))
        index = len(self.releases.rows)
        row = ReleaseRow(SIDE.chain.id, number, outcome, TOKEN, PAYEE, AMOUNT - FEE, FEE, *at, index, *at)
        if outcome is ReleaseOutcome.CANCELLED:
            row = replace(row, asset=b"", payee=b"", amount=0, fee=0)
        elif wrong is not None and self.settled is None:
            row = replace(row, **wrong)
            self.wrong.add(number)
        self.releases.rows[number] = row
        self.look()

    @precondition(lambda self: any(r.outcome is ReleaseOutcome.FAILED for r in self.releases.rows.values()))
    @rule(data=st.data(), outcome=st.sampled_from([ReleaseOutcome.CLAIMED, ReleaseOutcome.CANCELLED]))
    def end_a_failure(self, data: st.DataObject, outcome: ReleaseOutcome) -> None:
        """Its payee claims it, or the group gives it up: it was consumed before, by the same transaction as before."""
        failed = [n for n, row in self.releases.rows.items() if row.outcome is ReleaseOutcome.FAILED]
        row = self.releases.rows[data.draw(st.sampled_from(failed))]
        self.height += 1
        changed = replace(row, outcome=outcome, changed_by=b"c" * 32, changed_height=BlockHeight(self.height))
        self.releases.rows[row.number] = changed
        self.look()

    @precondition(lambda self: self.reserved and self.settled is None and not self.wrong)
    @rule()
    def settle(self) -> None:
        """The Hub burns for the transaction that consumed the last number; this node may read of that later."""
        self.settled = Settled(bytes([99 + len(self.withdrawals)]) * 32, b"settle")
        self.steps.step_payout(b"p" * 32, self.settled)
        self.look()

    @property
    def last(self) -> ReleaseRow:
        return max(self.releases.rows.values(), key=lambda row: (row.height, row.log_index))

    @invariant()
    def it_is_paid_exactly_when_all_its_numbers_are_consumed_as_they_should(self) -> None:
        if not self.reserved:
            return
        complete = not self.open_numbers and not self.wrong
        if self.settled is not None:
            assert self.payout.stage is PayoutStage.SETTLED
        else:
            assert self.payout.stage is (PayoutStage.PAID if complete else PayoutStage.RESERVED)
        confirmed = self.payout.confirmed
        assert (confirmed is not None) == complete
        if confirmed is not None:
            fees = sum(row.fee for row in self.releases.rows.values())
            assert (confirmed.txid, confirmed.height, confirmed.fee) == (self.last.transaction, self.last.height, fees)
            assert confirmed.fee <= FEE * len(self.withdrawals)

    @invariant()
    def operators_hear_of_what_is_wrong_and_of_nothing_else(self) -> None:
        assert bool(self.steps._alarms) == (self.reserved and bool(self.wrong))

    @invariant()
    def what_is_wrong_is_found(self) -> None:
        by_number = {withdrawal.number: withdrawal for withdrawal in self.withdrawals} if self.reserved else {}
        for number, row in self.releases.rows.items():
            if number in by_number:
                assert (contradiction(by_number[number], row, TOKEN) is not None) == (number in self.wrong)


VaultWorld.TestCase.settings = settings(max_examples=60, stateful_step_count=15)
TestVaultWorld = VaultWorld.TestCase
