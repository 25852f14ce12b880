"""Two banks, an adjudicator and a network that loses, repeats and delays: channels without any I/O."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.errors import BadStep, ForgedSheet, Overruled
from settlement.channels.judge import (
    Case,
    Challenge,
    Close,
    Command,
    Join,
    PayOut,
    Settle,
    Status,
    judge,
    open_case,
    reveal,
)
from settlement.channels.machine import step
from settlement.channels.messages import Message, decode, encode
from settlement.channels.ops import Fulfil, Offer, Pay, Return
from settlement.channels.signing import KeySigner, book_domain
from settlement.channels.state import (
    Change,
    Channel,
    Effect,
    Policy,
    Received,
    Registered,
    Ruled,
    Send,
    SubmitChallenge,
    SubmitClose,
    SubmitCloseAgreed,
    SubmitReveal,
    SubmitSettle,
    Tick,
    Want,
    new_channel,
)
from settlement.channels.terms import Account, Lock, LockId, Side, SignedSheet, Terms
from settlement.quantities import Condition, Preimage, Units, condition_of

DOMAIN = book_domain("test-book")
KEYS = {Side.A: KeySigner(b"a" * 32), Side.B: KeySigner(b"b" * 32)}
START = UnixMs(1_800_000_000_000)
POLICY = Policy(resend_ms=2_000, accept_ms=20_000, reveal_ms=10_000, patience_ms=30_000)
CHALLENGE_MS = 60_000


def terms(a: int = 1_000, b: int = 1_000, *, one_way: bool = False, ledger: bytes = DOMAIN) -> Terms:
    """A channel of the two test banks."""
    accounts = KEYS[Side.A].account, KEYS[Side.B].account
    return Terms(ledger, *accounts, Units(a), Units(b), CHALLENGE_MS, one_way, b"s" * 32)


def secret(number: int) -> Preimage:
    """A preimage."""
    return Preimage(hashlib.sha256(f"secret {number}".encode()).digest())


def lock(number: int, payer: Side, amount: int = 100, expires_at: int = START + 100_000) -> Lock:
    """A conditional payment under `secret(number)`."""
    lock_id = LockId(hashlib.sha256(f"lock {number}".encode()).digest())
    return Lock(lock_id, payer, Units(amount), condition_of(secret(number)), UnixMs(expires_at - expires_at % 1000))


def pay(amount: int, number: int = 0) -> Pay:
    """A payment at once."""
    return Pay(Units(amount), number.to_bytes(32, "big"))


def offer(number: int, payer: Side, amount: int = 100, expires_at: int = START + 100_000) -> Offer:
    """Setting money aside under `secret(number)`."""
    return Offer(lock(number, payer, amount, expires_at), b"memo")


def fulfil(number: int) -> Fulfil:
    """Claiming with the right preimage."""
    return Fulfil(lock(number, Side.A).lock_id, secret(number))


def give_back(number: int) -> Return:
    """Ending a conditional payment without paying."""
    return Return(lock(number, Side.A).lock_id)


@dataclass
class Court:
    """An adjudicator in memory: one channel, a register of preimages, and the money that left."""

    case: Case
    reveals: dict[Condition, tuple[Preimage, UnixMs]] = field(default_factory=dict)
    paid: PayOut | None = None

    def act(self, command: Command, now: UnixMs) -> None:
        """Decide, and pay out at most once."""
        times = {condition: at for condition, (_, at) in self.reveals.items()}
        self.case, paid = judge(self.case, command, times, now)
        if paid is not None:
            assert self.paid is None, "paid twice"
            assert paid.a + paid.b == self.case.terms.total
            self.paid = paid

    def show(self, preimage: Preimage, now: UnixMs) -> None:
        """Register a preimage."""
        condition, at = reveal({c: at for c, (_, at) in self.reveals.items()}, preimage, now)
        self.reveals.setdefault(condition, (preimage, at))

    def view(self) -> Ruled:
        """What a side sees of it."""
        conditions = {each.condition for each in self.case.sheet.sheet.locks}
        shown = [Registered(*self.reveals[c]) for c in sorted(conditions) if c in self.reveals]
        return Ruled(self.case, tuple(shown))


class World:
    """Both sides of one channel and all that lies between them."""

    def __init__(self, its_terms: Terms | None = None, seed: int = 0) -> None:
        self.terms = its_terms or terms()
        self.now = START
        self.random = random.Random(seed)
        self.court = Court(open_case(self.terms, self.terms.a))
        if self.court.case.status is Status.WAITING:
            self.court.act(Join(self.terms.b), self.now)
        self.sides: dict[Side, Channel] = {side: new_channel(self.terms, side, POLICY) for side in Side}
        self.wire: list[tuple[Side, bytes]] = []
        self.told: dict[Side, list[Effect]] = {Side.A: [], Side.B: []}
        self.held: dict[Side, list[SignedSheet]] = {Side.A: [], Side.B: []}
        self.signed: dict[tuple[Side, int], bytes] = {}
        self.refused: list[Exception] = []
        self.silent: set[Side] = set()
        for side in Side:
            self.change(side, self.court.view())

    def change(self, side: Side, change: Change) -> tuple[Effect, ...]:
        """One step of a side, stored, then its effects delivered."""
        if side in self.silent:
            return ()
        try:
            state, effects = step(self.sides[side], change, self.now, KEYS[side])
        except (BadStep, ForgedSheet) as error:
            self.refused.append(error)
            return ()
        self.sides[side] = state
        if not self.held[side] or self.held[side][-1] != state.newest:
            self.held[side].append(state.newest)
        for effect in effects:
            self._deliver(side, effect)
        return effects

    def _deliver(self, side: Side, effect: Effect) -> None:
        account = self.terms.account(side)
        match effect:
            case Send(message=message):
                self._check_signed_once(side, message)
                self.wire.append((side.other, encode(message)))
            case SubmitClose(sheet=sheet):
                self.submit(Close(account, sheet))
            case SubmitChallenge(sheet=sheet, held=held):
                self.submit(Challenge(account, sheet, held))
            case SubmitCloseAgreed(command=command):
                self.submit(command)
            case SubmitReveal(preimage=preimage):
                self.court.show(preimage, self.now)
            case SubmitSettle():
                self.submit(Settle())
            case _:
                self.told[side].append(effect)

    def _check_signed_once(self, side: Side, message: Message) -> None:
        """No side ever signs two sheets of one number."""
        if type(message).__name__ in {"Propose", "Accept"}:
            key = (side, message.sequence)
            assert self.signed.setdefault(key, message.signature) == message.signature, "two sheets of one number"

    def submit(self, command: Command) -> bool:
        """A command at the adjudicator; whether it was followed."""
        try:
            self.court.act(command, self.now)
        except Overruled as error:
            self.refused.append(error)
            return False
        return True

    def deliver(self, index: int = 0, *, keep: bool = False) -> None:
        """One message from the wire arrives."""
        if self.wire:
            index %= len(self.wire)
            to, raw = self.wire[index] if keep else self.wire.pop(index)
            try:
                message = decode(raw)
            except BadInput as error:
                self.refused.append(error)
                return
            self.change(to, Received(message))

    def run(self, rounds: int = 200) -> World:
        """Deliver everything, in order."""
        for _ in range(rounds):
            if not self.wire:
                return self
            self.deliver()
        raise AssertionError("the sides never come to rest")

    def tick(self, ms: int = 1_000) -> World:
        """Time passes, and everybody notices, the ledger's events included."""
        self.now = UnixMs(self.now + ms)
        for side in Side:
            if self.court.case.status is not Status.OPEN:
                self.change(side, self.court.view())
            for preimage, at in list(self.court.reveals.values()):
                self.change(side, Registered(preimage, at))
            self.change(side, Tick())
        return self

    def want(self, side: Side, *ops: Pay | Offer | Fulfil | Return) -> World:
        """A side wants something."""
        self.change(side, Want(ops))
        return self

    def balances(self) -> tuple[int, int]:
        """The balances, where both sides hold the same sheet."""
        one, other = self.sides[Side.A].sheet, self.sides[Side.B].sheet
        assert one == other, "the sides differ"
        return one.balance_a, one.balance_b

    def events(self, side: Side, kind: type) -> list[Effect]:
        """What a side's gateway was told of one kind."""
        return [effect for effect in self.told[side] if isinstance(effect, kind)]

    def account(self, side: Side) -> Account:
        """A side's account."""
        return self.terms.account(side)

    def end(self) -> PayOut:
        """Let time pass until the ledger has paid out."""
        for _ in range(400):
            if self.court.paid is not None:
                break
            self.tick(1_000)
            self.run()
        assert self.court.paid is not None, "never paid out"
        for side in Side:
            self.change(side, self.court.view())
        return self.court.paid


def with_signature(signed: SignedSheet, side: Side, signature: bytes) -> SignedSheet:
    """The sheet with one signature replaced."""
    return replace(signed, **{"signature_a" if side is Side.A else "signature_b": signature})
