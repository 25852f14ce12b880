"""Machine sides for unit tests: states of a swap, and the facts that move them."""

from __future__ import annotations

from settlement.swap.machine.changes import (
    BlockTimes,
    Change,
    FundingPrepared,
    LetterCame,
    LockSeen,
    OutputSeen,
    PeerAgreed,
    RungsComplete,
    RungsOffered,
    RungsSigned,
    SpendSeen,
    Tick,
)
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.facts import LockStatus, SpendKind, expected_lock
from settlement.swap.machine.messages import Message, RungAnswers, RungNonces, RungPartials
from settlement.swap.machine.states import Swap, new_swap
from settlement.swap.machine.step import step
from settlement.swap.planning.conditions import conditions_for
from settlement.swap.planning.plan import check
from settlement.swap.terms import Mode, Role
from tests.support.swap_terms import ETHEREUM, MAINNET, NOW, swap_terms

OUTPOINT = b"\x01" * 32 + bytes(4)
OTHER = b"\x02" * 32 + bytes(4)
TXID = b"\x03" * 32


class Side:
    """A side, its clock, and the orders that it gave. Starts as an engine starts it."""

    def __init__(self, role: Role, mode: Mode = Mode.HASH, *, recovered: bool = False) -> None:
        self.terms = swap_terms(mode, bitcoin=MAINNET, evm=ETHEREUM)
        gates = check(self.terms, NOW, role, conditions_for(MAINNET, ETHEREUM)).gates
        self.state: Swap = new_swap(role, self.terms, gates, NOW * 1000, recovered=recovered)
        self.gates = gates
        self.now = NOW * 1000
        self.last: tuple[Effect, ...] = ()
        self.tell(Tick())

    def tell(self, *changes: Change) -> tuple[Effect, ...]:
        """The orders that follow from all of these."""
        given: list[Effect] = []
        for change in changes:
            self.state, effects = step(self.state, change, self.now)
            given += effects
        self.last = tuple(given)
        return self.last

    def wait(self, seconds: float) -> tuple[Effect, ...]:
        self.now += int(seconds * 1000)
        return self.tell(Tick())

    def until(self, second: int) -> tuple[Effect, ...]:
        self.now = max(self.now, second * 1000)
        return self.tell(Tick())

    def letter(self, message: Message) -> tuple[Effect, ...]:
        return self.tell(LetterCame(message))

    def kinds(self) -> list[type]:
        return [type(effect) for effect in self.last]

    # --- Facts --------------------------------------------------------------------------------------------------------

    def agree(self) -> tuple[Effect, ...]:
        """Both have signed, and in point mode hold the pre-signatures."""
        given = self.tell(PeerAgreed())
        if self.terms.mode is Mode.POINT:
            given = self.prepare()
        return given

    def prepare(self) -> tuple[Effect, ...]:
        nonces, partials, signed = (b"n",), (b"p",), (b"s",)
        if self.state.role is Role.INITIATOR:
            self.letter(RungNonces(0, OUTPOINT, nonces))
            self.tell(RungsOffered(0, nonces, partials))
            self.letter(RungAnswers(0, partials))
            return self.tell(RungsComplete(0, signed))
        self.tell(FundingPrepared(0, OUTPOINT, nonces))
        self.letter(RungPartials(0, nonces, partials))
        return self.tell(RungsSigned(0, signed, partials))

    def lock(self, status: LockStatus = LockStatus.OPEN, *, final: bool = True, **news) -> tuple[Effect, ...]:
        view = expected_lock(self.terms)
        for name, value in news.items():
            view = type(view)(**{**{f: getattr(view, f) for f in view.__struct_fields__}, name: value})
        return self.tell(LockSeen(view, status, 1, final))

    def output(self, confirmations: int, *, value: int | None = None, outpoint: bytes = OUTPOINT) -> tuple[Effect, ...]:
        return self.tell(OutputSeen(outpoint, self.terms.bitcoin.amount if value is None else value, confirmations))

    def spend(self, kind: SpendKind, confirmations: int, outpoint: bytes = OUTPOINT) -> tuple[Effect, ...]:
        return self.tell(SpendSeen(outpoint, kind, TXID, confirmations))

    def times(self, mtp: int, evm_time: int) -> tuple[Effect, ...]:
        return self.tell(BlockTimes(mtp, 900_000, evm_time, 20_000_000))

    # --- Where a swap stands ------------------------------------------------------------------------------------------

    def locked(self) -> Side:
        self.agree()
        self.lock()
        return self

    def funded(self) -> Side:
        """The bitcoin has its confirmations: an initiator shows the secret now."""
        self.locked()
        self.output(self.terms.bitcoin.confirmations)
        return self


def initiator(mode: Mode = Mode.HASH, **more) -> Side:
    return Side(Role.INITIATOR, mode, **more)


def follower(mode: Mode = Mode.HASH, **more) -> Side:
    return Side(Role.FOLLOWER, mode, **more)
