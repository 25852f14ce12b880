"""The world of `custody_world` with parties that lie: whatever they say, hold, bring, cancel or leave undone.

A liar runs its machine like the others, until a test lets it do something else with its keys, its accounts and all
that it has seen. What honest parties verify before a change comes to a machine is verified here: who sent a letter, who
signed a quote, an acceptance, an instruction.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import Memo, SharedSecret, decode_memo, preimage_of
from settlement.custody.terms import PaymentId, Quote, Terms, quote_hash, terms_hash
from settlement.gateway.feeds import told_by
from settlement.gateway.ledger_asking import ended, look
from settlement.ledgers.protocol import Cursor, HoldState, HoldView, LedgerAccount, LedgerEvent, LedgerId
from tests.support.custody_ledgers import Key, OpenLedger
from tests.support.custody_world import (
    FUNDS,
    HOLD_MS_MIN,
    LEDGERS,
    MARGINS,
    NOT_NOW,
    PARTIES,
    Message,
    Party,
    Wish,
    World,
    quote_for,
)

ACCOUNTS = (*PARTIES, *(f"{name}-2" for name in PARTIES))
A, C, B = PARTIES
OWN_PREIMAGE = hashlib.sha256(b"a liar's own").digest()


class LyingWorld(World):
    """Fields: liars; silent (liars that do nothing by themselves now); sent (all messages); late; quotes, accepted,
    instructed (what honest parties have signed)."""

    def __init__(self, seed: int, liars: frozenset[str], chains: int, rules_bar: float = 0.0) -> None:
        """`chains`: how many of the three ledgers are chains."""
        super().__init__(seed, rules_bar)
        self.liars = liars
        self.silent: set[str] = set()
        self.books = {
            name: OpenLedger(name, lambda: self.now, place < chains, HOLD_MS_MIN, dict.fromkeys(ACCOUNTS, FUNDS))
            for place, name in enumerate(LEDGERS)
        }
        self.ledgers = self.books  # type: ignore[assignment]
        self.sent: list[Message] = []
        self.late: list[Message] = []
        self.is_healing = False
        self.quotes: dict[bytes, Quote] = {}
        self.accepted: dict[tuple[str, bytes], bytes] = {}
        self.instructed: set[tuple[str, bytes, bytes]] = set()
        self.ghosts: list[tuple[int, c.MakeHold]] = []
        self._snapshot: tuple[Party, set[bytes]] | None = None

    @property
    def honest(self) -> list[str]:
        return [name for name in PARTIES if name not in self.liars]

    # ---- the honest side: what is verified before a machine hears of it

    def _receive(self, party: Party, message: Message) -> None:
        sender, payment, body = message.sender, message.payment, message.body
        match body:
            case "secret, please" if party.name == B:
                self._asked_for_secret(party, sender, payment)
            case c.SecretGiven() if party.name == A and sender == B:
                self._tell(party, payment, body)
            case c.AskQuote() if party.name == C:
                self._asked_for_quote(party, sender, payment, body)
            case c.QuoteGiven() if self._is_signed(body.quote):
                self._tell(party, payment, body)
            case c.Told() | c.Signed() | c.QuoteRefused():
                self._tell(party, payment, msgspec.structs.replace(body, party=sender))
            case c.AgreementFailed() if sender == B:
                self._tell(party, payment, body)
            case Wish(acceptance=None) if party.name == B and self._is_signed(body.terms.quote):
                state = party.states.get(payment)
                if isinstance(state, payee.State) and state.invitation.payer == sender:
                    self._change(party, payment, c.Proposed(body.terms))
            case Wish() if party.name == A and sender == B:
                self._both_accepted(party, payment, body)
            case c.Agreed() if party.name == B and sender == A:
                own = self.accepted.get((B, terms_hash(body.terms)))
                if party.wants.get(payment) == body.terms and own == body.payee_acceptance:
                    self._tell(party, payment, body)

    def _tell(self, party: Party, payment: bytes, change: c.AnyChange) -> None:
        if payment in party.states:
            self._change(party, payment, change)

    def _asked_for_secret(self, party: Party, sender: str, payment: bytes) -> None:
        if payment in party.states:
            self._change(party, payment, c.SecretAsked(sender, bytes(32)))
            return
        order = self.orders[payment]
        until = self.now + MARGINS.answer_ms + MARGINS.quote_ms
        invitation = payee.Invitation(
            payment, sender, B, self.random.randbytes(32), "g.bank-b.x", order.target_ledger, B, until
        )
        self._commit(party, payment, payee.begin(invitation, bytes(32)))

    def _asked_for_quote(self, party: Party, sender: str, payment: bytes, asked: c.AskQuote) -> None:
        if payment in party.states:
            self._change(party, payment, c.QuoteAsked(sender))
            return
        if sender == C or {asked.source_ledger, asked.target_ledger} - {*LEDGERS} or asked.source_account == C:
            return
        wanted = msgspec.structs.replace(
            self.orders[payment],
            payer=sender,
            target_ledger=asked.target_ledger,
            target_amount=max(1, asked.target_amount),
            source_ledger=asked.source_ledger,
        )
        quote = quote_for(wanted, asked.target_account, self._clock(party), self.ledgers)
        source = msgspec.structs.replace(quote.source, payer=asked.source_account)
        quote = msgspec.structs.replace(quote, quote_id=self.random.randbytes(32), source=source)
        if quote.target.payee != C:
            self._sign_quote(quote)
            self._commit(party, payment, clearer.begin(clearer.Offer(payment, quote, quote_hash(quote))))

    def _sign_quote(self, quote: Quote) -> None:
        self.quotes[quote_hash(quote)] = quote

    def _is_signed(self, quote: Quote) -> bool:
        return quote.clearer in self.liars or quote_hash(quote) in self.quotes

    def _consent(self, party: Party, payment: bytes, terms: Terms) -> None:
        party.wants[payment] = terms
        if party.name == A:
            self._send(party, B, payment, Wish(terms, None))
        else:
            self._send(party, A, payment, Wish(terms, self._accept(party.name, payment, terms)))

    def _accept(self, name: str, payment: bytes, terms: Terms) -> bytes:
        """The signed acceptance, which nobody can guess, and the part of the instruction."""
        self.instructed.add((name, payment, quote_hash(terms.quote) + terms_hash(terms)))
        known = self.accepted.get((name, terms_hash(terms)))
        return known or self.accepted.setdefault((name, terms_hash(terms)), self.random.randbytes(32))

    def _both_accepted(self, party: Party, payment: bytes, wish: Wish) -> None:
        terms, theirs = wish.terms, wish.acceptance
        is_real = B in self.liars or self.accepted.get((B, terms_hash(terms))) == theirs
        if party.wants.get(payment) != terms or theirs is None or not is_real:
            return
        agreed = c.Agreed(terms, self._accept(A, payment, terms), theirs, b"both")
        self._change(party, payment, agreed)
        self._send(party, B, payment, agreed)

    def _is_instructed(self, payment: bytes, state: Any, memo: Memo) -> bool:
        """Whether both banks' signatures are on it; liars sign anything."""
        if not isinstance(state, clearer.Quoted):
            return False
        text = quote_hash(state.offer.quote) + memo.terms
        return all(name in self.liars or (name, payment, text) in self.instructed for name in (A, B))

    def _send(self, party: Party, to: str, payment: bytes, body: Any) -> None:
        super()._send(party, to, payment, body)
        self.sent.append(self.network[-1])

    def _carry_out(self, party: Party, payment: bytes, effect: c.AnyEffect) -> Any:
        answer = super()._carry_out(party, payment, effect)
        if isinstance(effect, c.Fulfil) and effect.not_after is not None and effect.transfer_id in party.attempted:
            quote = party.states[payment].deal.terms.quote
            if self.state_at(effect.ledger, quote.target.payer, effect.transfer_id) is not HoldState.FULFILLED:
                self.shown_in_vain.append(effect.transfer_id)
        return answer

    # ---- ledgers

    def read(self, name: str, ledger_name: str, *, knows: bool = True) -> bool:
        party, ledger = self.parties[name], self.books[ledger_name]
        cursor = party.cursors[ledger_name]
        if not ledger.up or cursor >= len(ledger.events):
            return False
        if knows:
            party.cursors[ledger_name] = cursor + 1
        view = ledger.events[cursor]
        if name not in (view.hold.payer, view.hold.payee):
            return True
        told = told_by(LedgerId(ledger_name), LedgerAccount(name), LedgerEvent(Cursor(""), view))
        if told is not None and told[0] in party.states:
            payment, change = told
            if isinstance(change, c.HoldSeen):
                is_instructed = self._is_instructed(payment, party.states[payment], decode_memo(view.hold.memo))
                change = msgspec.structs.replace(change, instructed=is_instructed)
            self._change(party, payment, change)
        return True

    def _on_ledger(self, party: Party, effect: Any) -> Any:
        ledger = self.books[effect.ledger]
        limit = effect.not_after if isinstance(effect, c.Fulfil) else None
        if limit is not None and effect.transfer_id not in party.attempted and self._clock(party) > limit:
            return c.NotSent(ledger.name, effect.transfer_id)
        if not ledger.up:
            return NOT_NOW
        answer = self._done_on(party, ledger, effect)
        # On a chain it is done long before it is final, and the caller asks again until then.
        return NOT_NOW if ledger.own_ids and not self.is_healing and self.random.random() < 0.5 else answer

    def _done_on(self, party: Party, ledger: OpenLedger, effect: Any) -> Any:
        name = LedgerId(ledger.name)
        match effect:
            case c.MakeHold():
                answer = ledger.hold(effect)
                if isinstance(answer, str):
                    return c.HoldRefused(c.Why.LEDGER, answer)
                held = answer.state is HoldState.HELD
                return c.HoldMade(name, effect.transfer_id) if held else ended(name, answer)
            case c.Fulfil():
                party.attempted.add(effect.transfer_id)
                return self._end(name, ledger.fulfil(party.name, effect.transfer_id, effect.preimage))
            case c.Look():
                return self._looked(party, effect)
            case c.GiveBack():
                view = ledger.cancel(party.name, effect.transfer_id)
                return None if view is None else self._end(name, view)
        raise AssertionError(effect)

    def _end(self, ledger: LedgerId, view: HoldView | None) -> Any:
        return NOT_NOW if view is None or view.state is HoldState.HELD else ended(ledger, view)

    def _looked(self, party: Party, effect: c.Look) -> c.AnyChange:
        ledger = self.books[effect.ledger]

        class Asked:
            own = party.name

            async def transfers(self, ids: list[bytes]) -> tuple[HoldView | None, ...]:
                return tuple(ledger.look(party.name, one) for one in ids)

        running = look(LedgerId(effect.ledger), Asked(), [effect.transfer_id])  # type: ignore[arg-type,list-item]
        try:
            running.send(None)
        except StopIteration as done:
            (change,) = done.value
            return change  # type: ignore[no-any-return]
        raise AssertionError("nothing is waited for")

    def advance(self, count: int) -> None:
        """So many things are done, read and heard, one after the other, by all who are not silent."""
        for _ in range(count):
            moves = self._moves()
            if moves:
                self.random.choice(moves)()

    def hurry(self, name: str) -> None:
        """One party does all that it can, while nobody else does anything."""
        self._deliver_to([name])
        for ledger in LEDGERS:
            while self.read(name, ledger):
                pass
        for number in tuple(self.parties[name].outbox):
            self.work(name, number, knows=True)

    def delay(self) -> None:
        """What is on its way is late."""
        self.late, self.network = [*self.late, *self.network], []

    def catch_up(self) -> None:
        """What was late comes."""
        self.late, self.network = [], [*self.network, *self.late]

    def _moves(self) -> list[Callable[[], object]]:
        at_work = [name for name in PARTIES if name not in self.silent]
        moves: list[Callable[[], object]] = []
        if self.random.random() < 0.5 and any(message.to in at_work for message in self.network):
            moves.append(lambda: self._deliver_to(at_work, 1))
        for name in at_work:
            for number, (_, effect) in self.parties[name].outbox.items():
                ledger = self.books.get(getattr(effect, "ledger", ""))
                if ledger is None or ledger.up:
                    moves.append(partial(self.work, name, number, knows=self.random.random() < 0.9))
            for ledger_name, ledger in self.books.items():
                if ledger.up and self.parties[name].cursors[ledger_name] < len(ledger.events):
                    moves.append(partial(self.read, name, ledger_name, knows=self.random.random() < 0.8))
        return moves

    def heal(self) -> None:
        """All ledgers answer, and all that waits is done and delivered, by whoever is not silent."""
        self.catch_up()
        self.is_healing = True
        for ledger in self.books.values():
            ledger.up = True
            ledger.expire()
        at_work = [name for name in PARTIES if name not in self.silent]
        for _ in range(10_000):
            moved = [self._deliver_to(at_work)]
            for name in at_work:
                self.tick(name)
                moved += [self.work(name, number, knows=True) for number in tuple(self.parties[name].outbox)]
                moved += [self.read(name, ledger) for ledger in LEDGERS]
            if not any(moved):
                break
        else:
            raise AssertionError("the world does not come to rest")
        self.is_healing = False
        self.healed_at = self.now

    def _deliver_to(self, names: list[str], at_most: int = 10_000) -> bool:
        heard = [message for message in self.network if message.to in names]
        heard = heard if len(heard) <= at_most else self.random.sample(heard, at_most)
        for message in heard:
            self.network.remove(message)
            self._receive(self.parties[message.to], message)
        return bool(heard)

    # ---- an old database

    def save(self) -> None:
        """Copy the clearing bank's database."""
        party = self.parties[C]
        self._snapshot = (copy.deepcopy(party), set(party.states))

    def restore(self) -> bool:
        """The clearing bank goes on with its copy, if that has heard of all payments. What the process before it asked
        the ledgers for may still come there, for a moment."""
        if self._snapshot is None or self._snapshot[1] != set(self.parties[C].states):
            return False
        old, self.parties[C] = self.parties[C], copy.deepcopy(self._snapshot[0])
        soon = self.now + MARGINS.skew_ms // 2
        self.ghosts += [(soon, effect) for _, effect in old.outbox.values() if isinstance(effect, c.MakeHold)]
        self.parties[C].known_from = self._clock(old) + MARGINS.skew_ms
        return True

    def haunt(self, position: int) -> None:
        """A request of a process that is no more comes to its ledger."""
        self.ghosts = [(until, effect) for until, effect in self.ghosts if self.now <= until]
        if self.ghosts:
            _, effect = self.ghosts.pop(position % len(self.ghosts))
            if self.books[effect.ledger].up:
                self.books[effect.ledger].hold(effect)

    # ---- what liars have

    def known_preimages(self) -> list[bytes]:
        """What the liars can open holds with: by a secret that one of them shares, or because it was shown."""
        known = {view.preimage for ledger in self.books.values() for view in ledger.events if view.preimage is not None}
        for name in self.liars:
            for payment, state in self.parties[name].states.items():
                deal = getattr(state, "deal", None)
                secret = _secret_of(state)
                if deal is not None and secret is not None:
                    known.add(preimage_of(SharedSecret(secret), PaymentId(payment), deal.agreement))
        return sorted({*known, OWN_PREIMAGE})

    def all_holds(self) -> Iterator[tuple[OpenLedger, Key, HoldView]]:
        for ledger in self.books.values():
            for key, view in ledger.holds.items():
                yield ledger, key, view

    def state_at(self, ledger: str, payer_: str, transfer_id: bytes) -> HoldState | None:
        """How a payer's own hold stands."""
        view = self.books[ledger].holds.get(self.books[ledger].key(payer_, transfer_id))
        return view.state if view is not None and view.hold.payer == payer_ else None


def _secret_of(state: Any) -> bytes | None:
    if isinstance(state, payee.State):
        return state.invitation.secret
    return state.deal.secret if isinstance(state, payer.State) and hasattr(state, "deal") else None
