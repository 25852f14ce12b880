"""Three banks and three ledgers in memory, with everything that can go wrong between them.

Each party keeps states and an outbox, changed together, as its database does. Whatever is between a delivery and the
commit that follows it can be lost: the message arrives or the ledger moves, and the party does not know. Clocks differ
within the margin. The world's own random source decides everything, so a seed replays a run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer, states
from settlement.custody.margins import Margins, Times, plan, reveal_ms
from settlement.custody.terms import Leg, Particulars, Quote, Terms, quote_hash, source_transfer_id, target_transfer_id
from settlement.ledgers.protocol import HoldState, HoldView
from tests.support.custody_ledgers import FUNDS, HOLD_MS_MIN, PARTIES, ModelLedger

LEDGERS = ("euro", "yuan", "gold")
GOODS = Particulars("GDDS", "DE", "CN", "legal", "legal")
MARGINS = Margins(skew_ms=2_000, quote_ms=60_000, answer_ms=30_000, target_ms=30_000, downtime_ms=120_000)
PRICE_NUM, PRICE_DEN, FEE = 7, 3, 2


@dataclass
class Party:
    """One bank: what it has committed, and how far it has read each ledger."""

    name: str
    skew: int
    states: dict[bytes, Any] = field(default_factory=dict)
    outbox: dict[int, tuple[bytes, c.AnyEffect]] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LEDGERS, 0))
    wants: dict[bytes, Terms] = field(default_factory=dict)
    others: dict[bytes, bytes] = field(default_factory=dict)
    attempted: set[bytes] = field(default_factory=set)
    posted: list[tuple[bytes, str]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    closed: set[bytes] = field(default_factory=set)
    known_from: int = 0


@dataclass(frozen=True)
class Message:
    """On its way. Fields: sender; to; payment; body."""

    sender: str
    to: str
    payment: bytes
    body: Any


class Wish(msgspec.Struct, frozen=True):
    """A payer's proposal, or one side's acceptance, between the banks' `connect`."""

    terms: Terms
    acceptance: bytes | None


class World:
    """Everything. `chance(p)` decides; `rules_bar` is the chance that a party's rules bar a payment."""

    def __init__(self, seed: int, rules_bar: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.rules_bar = rules_bar
        self.now = 1_700_000_000_000
        self.healed_at = self.now
        self.ledgers = {name: ModelLedger(name, lambda: self.now) for name in LEDGERS}
        half = MARGINS.skew_ms // 2
        self.parties = {name: Party(name, self.random.randint(-half, half)) for name in PARTIES}
        self.network: list[Message] = []
        self.shown_in_vain: list[bytes] = []
        self.orders: dict[bytes, payer.Order] = {}
        self._count = 0

    # ---- what a person does

    def order(self, amount: int, source: str, target: str, source_max: int | None = None) -> bytes:
        self._count += 1
        payment = self._count.to_bytes(32, "big")
        most = source_max if source_max is not None else cost(amount)
        made = payer.Order(
            payment,
            *("bank-a", "clearing", "bank-b"),
            target,
            amount,
            source,
            "bank-a",
            most,
            GOODS,
            self._answer_by(),
        )
        self.orders[payment] = made
        self._commit(self.parties["bank-a"], payment, payer.begin(made))
        return payment

    def cancel(self, party: str, payment: bytes) -> None:
        if payment in self.parties[party].states:
            self._change(self.parties[party], payment, c.Cancel("a person says so"))

    # ---- what happens by itself

    def pass_time(self, ms: int) -> None:
        """Time passes; nobody is away for longer than the margin allows."""
        while ms > 0:
            stretch = min(ms, self.healed_at + MARGINS.downtime_ms - HOLD_MS_MIN - self.now)
            if stretch <= 0:
                self.heal()
                continue
            self.now += stretch
            ms -= stretch
        for name in PARTIES:
            self.tick(name)

    def tick(self, name: str) -> None:
        for payment in tuple(self.parties[name].states):
            self._change(self.parties[name], payment, c.Tick())

    def heal(self) -> None:
        """All ledgers answer, and all that waits is delivered."""
        for ledger in self.ledgers.values():
            ledger.up = True
            ledger.expire()
        for _ in range(10_000):
            moved = [self.deliver(0, keep=False) for _ in range(len(self.network))]
            for party in self.parties.values():
                self.tick(party.name)
                moved += [self.work(party.name, number, knows=True) for number in tuple(party.outbox)]
                moved += [self.read(party.name, ledger) for ledger in LEDGERS]
            if not any(moved) and not self.network:
                break
        else:
            raise AssertionError("the world does not come to rest")
        self.healed_at = self.now

    def deliver(self, position: int, *, keep: bool) -> bool:
        """One message arrives, in any order; kept, it arrives once more later."""
        if not self.network:
            return False
        place = position % len(self.network)
        message = self.network[place] if keep else self.network.pop(place)
        self._receive(self.parties[message.to], message)
        return True

    def work(self, name: str, number: int, *, knows: bool) -> bool:
        """A party carries out one effect. If it does not come to know, the effect stays, and is carried out again."""
        party = self.parties[name]
        if number not in party.outbox:
            return False
        payment, effect = party.outbox[number]
        change = self._carry_out(party, payment, effect)
        if change is NOT_NOW or not knows:
            return False
        del party.outbox[number]
        if change is not None:
            self._change(party, payment, change)
        return True

    def read(self, name: str, ledger_name: str, *, knows: bool = True) -> bool:
        """A party reads one event of a ledger's feed. If it crashes before the commit, it reads it again."""
        party, ledger = self.parties[name], self.ledgers[ledger_name]
        cursor = party.cursors[ledger_name]
        if not ledger.up or cursor >= len(ledger.events):
            return False
        if knows:
            party.cursors[ledger_name] = cursor + 1
        view = ledger.events[cursor]
        if name in (view.hold.payer, view.hold.payee):
            for payment in tuple(party.states):
                change = event_change(name, ledger_name, view)
                ids = (source_transfer_id(payment), target_transfer_id(payment))  # type: ignore[arg-type]
                if change is not None and view.hold.transfer_id in ids:
                    self._change(party, payment, change)
        return True

    # ---- inside

    def _clock(self, party: Party) -> UnixMs:
        return UnixMs(self.now + party.skew)

    def _answer_by(self) -> int:
        return self.now + MARGINS.answer_ms

    def _change(self, party: Party, payment: bytes, change: c.AnyChange) -> None:
        state, now = party.states[payment], self._clock(party)
        limits = dict.fromkeys(LEDGERS, MARGINS.skew_ms + HOLD_MS_MIN)
        times = states.Times(limits, limits, dict.fromkeys(LEDGERS, party.known_from))
        made = states.step(state, change, now, times)
        assert made == states.step(state, change, now, times), "a step is a function of its arguments"
        self._commit(party, payment, made)

    def _commit(self, party: Party, payment: bytes, made: tuple[Any, c.Effects]) -> None:
        state, effects = made
        party.states[payment] = state
        for effect in effects:
            match effect:
                case c.Post():
                    party.posted.append((payment, effect.event))
                case c.Alarm():
                    party.alarms.append(effect.detail)
                case c.Close():
                    assert payment not in party.closed, "a payment is closed once"
                    party.closed.add(payment)
                case _:
                    self._count += 1
                    party.outbox[self._count] = (payment, effect)

    def _send(self, party: Party, to: str, payment: bytes, body: Any) -> None:
        self.network.append(Message(party.name, to, payment, body))

    def _carry_out(self, party: Party, payment: bytes, effect: c.AnyEffect) -> Any:
        match effect:
            case c.AskSecret():
                self._send(party, "bank-b", payment, "secret, please")
            case c.GiveSecret():
                self._send(party, "bank-a", payment, c.SecretGiven(effect.secret, effect.address, effect.account))
            case c.AskQuote():
                self._send(party, "clearing", payment, effect)
            case c.GiveQuote():
                self._send(party, "bank-a", payment, c.QuoteGiven(effect.quote, effect.signature))
            case c.Validate():
                barred = self.random.random() < self.rules_bar
                return c.Barred("1", "a rule says so") if barred else c.Cleared("1")
            case c.Consent():
                self._consent(party, payment, effect.terms)
            case c.Decline():
                self._send(party, "bank-a", payment, c.AgreementFailed(effect.why, effect.detail))
            case c.Tell():
                self._send(party, effect.party, payment, c.Told(party.name, effect.why, effect.detail))
            case c.SignReceipt():
                signed = c.Signed(party.name, effect.receipt_hash, b"signed by " + party.name.encode())
                for other in set(PARTIES) - {party.name}:
                    self._send(party, other, payment, signed)
                return signed
            case _:
                return self._on_ledger(party, effect)
        return None

    def _consent(self, party: Party, payment: bytes, terms: Terms) -> None:
        """`connect` in short: the payer proposes, the payee accepts, the payer accepts, and then both know."""
        party.wants[payment] = terms
        if party.name == "bank-a":
            self._send(party, "bank-b", payment, Wish(terms, None))
        else:
            self._send(party, "bank-a", payment, Wish(terms, b"accepted by bank-b"))

    def _on_ledger(self, party: Party, effect: Any) -> Any:
        ledger = self.ledgers[effect.ledger]
        limit = effect.not_after if isinstance(effect, c.Fulfil) else None
        if limit is not None and effect.transfer_id not in party.attempted and self._clock(party) > limit:
            return c.NotSent(effect.ledger, effect.transfer_id)
        if not ledger.up:
            return NOT_NOW
        match effect:
            case c.MakeHold():
                answer = ledger.hold(effect)
                if isinstance(answer, str):
                    return c.HoldRefused(c.Why.NO_FUNDS if answer == "insufficient_funds" else c.Why.TOO_LATE, answer)
                if answer.state is HoldState.HELD:
                    return c.HoldMade(ledger.name, effect.transfer_id)
                return event_change(party.name, ledger.name, answer)
            case c.Fulfil():
                party.attempted.add(effect.transfer_id)
                view = ledger.fulfil(effect.transfer_id, effect.preimage)
                if view.state is not HoldState.FULFILLED:
                    self.shown_in_vain.append(effect.transfer_id)
                return event_change(party.name, ledger.name, view)
            case c.Look():
                seen = ledger.holds.get(effect.transfer_id)
                if seen is None or seen.hold.payer != party.name:
                    return c.Absent(ledger.name, effect.transfer_id)
                return event_change(party.name, ledger.name, seen)
            case c.GiveBack():
                ended = ledger.cancel(effect.transfer_id, party.name)
                if ended is None or ended.state is HoldState.HELD:
                    return None
                return event_change(party.name, ledger.name, ended)
        raise AssertionError(effect)

    def _receive(self, party: Party, message: Message) -> None:
        payment, body = message.payment, message.body
        match body:
            case "secret, please":
                if payment not in party.states:
                    order = self.orders[payment]
                    secret = self.random.randbytes(32)
                    until = self.now + MARGINS.answer_ms + MARGINS.quote_ms
                    invitation = payee.Invitation(
                        payment, order.payer, order.payee, secret, "g.bank-b.x", order.target_ledger, "bank-b", until
                    )
                    self._commit(party, payment, payee.begin(invitation, bytes(32)))
            case c.AskQuote():
                self._quote(party, payment, body)
            case Wish(acceptance=None):
                if payment in party.states:
                    self._change(party, payment, c.Proposed(body.terms))
            case Wish() if party.name == "bank-a":
                if party.wants.get(payment) == body.terms and body.acceptance is not None:
                    agreed = c.Agreed(body.terms, b"accepted by bank-a", body.acceptance, b"both")
                    self._change(party, payment, agreed)
                    self._send(party, "bank-b", payment, agreed)
            case c.Agreed():
                if party.wants.get(payment) == body.terms:
                    self._change(party, payment, body)
            case _:
                if payment in party.states:
                    self._change(party, payment, body)

    def _quote(self, party: Party, payment: bytes, asked: c.AskQuote) -> None:
        known = party.states.get(payment)
        if known is None:
            order = self.orders[payment]
            quote = quote_for(order, asked.target_account, self._clock(party), self.ledgers)
            self._commit(party, payment, clearer.begin(clearer.Offer(payment, quote, quote_hash(quote))))
        else:
            self._change(party, payment, c.QuoteAsked("bank-a"))


NOT_NOW = object()


def cost(amount: int) -> int:
    """What the clearing bank takes for `amount`: rounded up, and its fee."""
    return -(-amount * PRICE_DEN // PRICE_NUM) + FEE


def quote_for(order: payer.Order, account: str, now: UnixMs, ledgers: dict[str, ModelLedger]) -> Quote:
    """The clearing bank's quote."""
    source, target = ledgers[order.source_ledger].facts, ledgers[order.target_ledger].facts
    times: Times = plan(now, source, target, MARGINS)
    return Quote(
        quote_id=bytes(reversed(order.payment_id)),
        payer=order.payer,
        clearer=order.clearer,
        payee=order.payee,
        source=Leg(order.source_ledger, "SRC", 2, "bank-a", "clearing", cost(order.target_amount), times.source),
        target=Leg(order.target_ledger, "TGT", 2, "clearing", account, order.target_amount, times.target),
        rate_num=PRICE_NUM,
        rate_den=PRICE_DEN,
        fee=FEE,
        expires_at=times.quote,
    )


def event_change(name: str, ledger: str, view: HoldView) -> c.AnyChange | None:
    """What a ledger's event is to a party's machine."""
    hold = view.hold
    match view.state:
        case HoldState.HELD if name == hold.payee:
            return c.HoldSeen(
                ledger,
                hold.transfer_id,
                hold.payer,
                hold.payee,
                hold.amount,
                hold.condition,
                hold.expires_at,
                hold.memo,
                instructed=True,
            )
        case HoldState.HELD:
            return c.HoldMade(ledger, hold.transfer_id)
        case HoldState.FULFILLED:
            assert view.preimage is not None
            return c.Fulfilled(ledger, hold.transfer_id, hold.payer, view.preimage)
        case _:
            return c.Returned(ledger, hold.transfer_id, hold.payer, view.state is HoldState.EXPIRED)


__all__ = ["FUNDS", "LEDGERS", "MARGINS", "PARTIES", "World", "cost", "reveal_ms"]
