"""One seeded swap between two sides on two simulated chains, and the verdict on it.

A seed decides everything: who lies or stops, when blocks come, what is lost. A run is told again, step by step, by
`python -m tests.simulation.swap.world SEED`.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from coincurve import PrivateKey

from foundation.quantities import Satoshi, TokenUnits
from registry.caip import BitcoinGenesis, bitcoin_chain, evm_chain
from settlement.swap.machine import changes as ch
from settlement.swap.machine.facts import LockStatus, expected_lock
from settlement.swap.machine.states import Outcome, new_swap
from settlement.swap.planning.conditions import BitcoinConditions, Conditions, Confirmations, EvmConditions
from settlement.swap.planning.plan import check, plan
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, Role, SwapTerms, point_condition
from tests.simulation.swap.bitcoin import Bitcoin
from tests.simulation.swap.engine import FOREVER, Way
from tests.simulation.swap.evm import Evm
from tests.simulation.swap.liars import FOLLOWERS_LIES, INITIATORS_LIES, Liar
from tests.simulation.swap.party import Party

NOW = 1_800_000_000
AMOUNT = Satoshi(100_000_000)
SKEW = 60
LIE = 3_600
STRESS = 4
EVM = EvmConditions(
    interval_s=12,
    is_random=False,
    ordinary_blocks=5,
    stress_blocks=50,
    confirmations=Confirmations((), 5),
    final_s=0,
    final_stress_s=0,
)


@lru_cache
def conditions(confirmations: int) -> Conditions:
    bitcoin = BitcoinConditions(
        interval_s=600,
        is_random=True,
        ordinary_blocks=2,
        stress_blocks=STRESS,
        confirmations=Confirmations((), confirmations),
        lie_s=LIE,
        least_satoshi=1,
    )
    return Conditions(bitcoin, EVM, skew_s=SKEW, margin_s=600)


@lru_cache
def agreed(mode: Mode, confirmations: int, secret: bytes) -> tuple[SwapTerms, dict]:
    """Terms that both sides find safe, and the gates of each."""
    wanted = plan(AMOUNT, NOW, conditions(confirmations))
    keys = [PrivateKey(bytes([n]) * 32).public_key.format()[1:] for n in (1, 2, 3)]
    point = PrivateKey(secret).public_key.format() if mode is Mode.POINT else b""
    bitcoin = BitcoinLeg(
        bitcoin_chain(BitcoinGenesis.REGTEST.value), AMOUNT, keys[0], keys[1], wanted.bitcoin_expires_at, confirmations
    )
    evm = EvmLeg(
        chain=evm_chain(31337),
        escrow=b"e" * 20,
        lock_id=keys[2] if point else keys[0],
        payer=b"p" * 20,
        beneficiary=b"b" * 20,
        refund_to=b"p" * 20,
        asset=bytes(20),
        amount=TokenUnits(20 * 10**18),
        expires_at=wanted.evm_expires_at,
        confirmations=5,
    )
    condition = point_condition(point) if point else hashlib.sha256(secret).digest()
    terms = SwapTerms(mode, condition, point, b"o" * 32, bitcoin, evm, NOW)
    return terms, {role: check(terms, NOW, role, conditions(confirmations)).gates for role in Role}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong.

    Fields: mode; confirmations (of bitcoin); calm (no spikes, no lies of times, no reorganisations: both honest sides
    have to trade); loss (percent of letters); crashes, reorgs (how many); stops (who stops for ever); lie (of the
    liar); owner (a side's owner asks for something); crash (of whom, at which commit, in which way); sleep (for how
    many seconds then).
    """

    mode: Mode = Mode.HASH
    confirmations: int = 2
    calm: bool = False
    loss: int = 0
    crashes: int = 0
    reorgs: int = 0
    stops: Role | None = None
    lie: str = ""
    liar: Role | None = None
    owner: bool = False
    crash: tuple[Role, int, Way] | None = None
    sleep: int = 30


def scenario(random: Random) -> Scenario:
    """One of all kinds."""
    kind = random.choice(("calm", "storm", "storm", "stop", "lie", "lie", "lie"))
    role = random.choice(tuple(Role))
    base = Scenario(
        mode=random.choice(tuple(Mode)),
        confirmations=random.randrange(1, 4),
        calm=kind == "calm",
        loss=random.choice((0, 10, 20) if kind == "calm" else (0, 10, 30)),
        crashes=random.choice((0, 1, 3)),
        reorgs=0 if kind == "calm" else random.choice((0, 1, 2)),
        owner=kind == "storm" and random.random() < 0.2,
    )
    if kind == "stop":
        return replace(base, stops=role)
    if kind == "lie":
        lies = INITIATORS_LIES if role is Role.INITIATOR else FOLLOWERS_LIES
        return replace(base, liar=role, lie=random.choice(lies))
    return base


class World:
    """A run."""

    def __init__(self, seed: int, chosen: Scenario | None = None, *, trace: bool = False) -> None:
        self.random = random = Random(seed)
        self.scenario = s = chosen or scenario(random)
        self.now, self.steps, self._events, self._count = NOW, 0, [], 0
        self.trace = trace
        self.secret = bytes([random.randrange(1, 5)]) * 32
        self.terms, gates = agreed(s.mode, s.confirmations, self.secret)
        self.deep = s.confirmations
        self.view = expected_lock(self.terms)
        self.lock_id = self.view.lock_id
        self.lock_ids = {self.lock_id}
        self.locks_sent: set[bytes] = set()
        self.gave_back: set[bytes] = set()
        self.cosigned_refunds: set[bytes] = set()
        self.span = self.terms.evm.expires_at - NOW
        self.bitcoin = Bitcoin(random, NOW, calm=s.calm, interval=600, lie=LIE, stress=STRESS)
        self.evm = Evm(random, self.secret, calm=s.calm, interval=12, final_after=60, stress=600)
        self.parties = {role: self._party(role, gates[role]) for role in Role}
        self.liar = self.parties.get(s.liar)
        self.at(NOW + self.bitcoin.next_block_in(), self._mine)
        for moment in (self.terms.evm.expires_at, self.terms.evm.expires_at + 3_601):
            self.at(moment, self.sync)
        for _ in range(s.reorgs):
            self.at(NOW + random.randrange(self.span), self._reorganise)
        for party in self.parties.values():
            if s.owner:
                wish = random.choice(tuple(ch.Wish))
                self.at(NOW + random.randrange(self.span), self._ask, (party, wish))
            self.at(NOW, self._begin, party)

    def _party(self, role: Role, gates) -> Party:
        s, random = self.scenario, self.random
        crashes = {
            random.randrange(1, 40): (
                random.choice(tuple(Way)),
                random.choice((2, 30, 100)) if s.calm else random.choice((2, 100, 500)),
            )
            for _ in range(s.crashes)
        }
        if s.crash is not None and s.crash[0] is role:
            crashes[s.crash[1]] = (s.crash[2], s.sleep)
        if s.stops is role:
            crashes[random.randrange(1, 60)] = (random.choice(tuple(Way)[:3]), FOREVER)
        more = {"skew": random.randrange(-SKEW // 2, SKEW // 2), "crashes": crashes}
        state = new_swap(role, self.terms, gates, NOW * 1000)
        return Liar(self, state, s.lie, **more) if s.liar is role else Party(self, state, **more)

    # --- Time ---------------------------------------------------------------------------------------------------------

    def at(self, when: int, what, argument=None) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what, argument))

    def run(self) -> World:
        end = self.terms.evm.expires_at + 24 * 3_600
        seen = 0
        while self._events and self.now < end:
            self.now, _, what, argument = heapq.heappop(self._events)
            what(argument)
            if self.steps != seen:
                seen = self.steps
                honest = self.honest
                if honest and all(party.state.outcome is not None for party in honest):
                    break
        return self

    @property
    def honest(self) -> list[Party]:
        """Sides that follow the protocol, and are alive to the end."""
        s = self.scenario
        return [p for role, p in self.parties.items() if role is not s.liar and p.down_until < FOREVER]

    # --- Events -------------------------------------------------------------------------------------------------------

    def _begin(self, party: Party) -> None:
        party.sync()
        party.hear(ch.Tick())

    def _ask(self, whom_what) -> None:
        party, wish = whom_what
        if party.is_up:
            party.hear(ch.OwnerAsked(wish))

    def _mine(self, _=None) -> None:
        if self.liar is not None:
            self.liar.before_block()
        self.bitcoin.mine(self.now)
        self.at(self.now + self.bitcoin.next_block_in(), self._mine)
        self.sync()

    def _reorganise(self, _=None) -> None:
        depth = self.deep - 1
        if depth and self.random.random() < 0.7:
            follower, favoured = self.parties[Role.FOLLOWER], None
            if self.scenario.lie == "replaces its funding in a reorganisation" and follower.was_sent:
                favoured = self.bitcoin.tx("coin", "other", Role.FOLLOWER, 50)
            self.bitcoin.reorganise(self.random.randrange(1, depth + 1), self.now, favoured=favoured)
        for lock_id in list(self.evm.locks):
            lock = self.evm.locks[lock_id]
            status, view, secret = lock.status, lock.view, lock.secret
            if self.evm.undo(lock_id, self.now):
                again = self.now + self.random.randrange(1, 60)
                if not lock.previous and lock_id not in self.evm.locks:
                    self.at(again, self.include_lock, view)
                elif status is LockStatus.CLAIMED:
                    self.at(again, self._include, ("claim", lock_id, secret))
        self.sync()

    def sync(self, _=None) -> None:
        for party in self.parties.values():
            party.sync()

    # --- What parties do ----------------------------------------------------------------------------------------------

    def unique(self, prefix: bytes) -> bytes:
        self._count += 1
        return prefix + self._count.to_bytes(6, "big")

    def post(self, role: Role, message) -> None:
        """A letter to the other side, which may get lost, come twice, or late. None: the signature of the terms."""
        if self.trace:
            self.tell(f"{role} writes {message}")
        other = self.parties[role.other]
        for _ in range(2 if self.scenario.loss and self.random.random() < 0.1 else 1):
            if self.random.randrange(100) >= self.scenario.loss:
                self.at(self.now + self._post_delay(), self._arrive, (other, message))

    def _post_delay(self) -> int:
        if self.scenario.loss and self.random.random() < 0.1:
            return self.random.randrange(1, 1_000)
        return self.random.randrange(1, 4)

    def _arrive(self, whom_what) -> None:
        party, message = whom_what
        if party.down_until >= FOREVER:
            return
        if message is not None:
            party.letter(message)
        elif party.is_up and not party.state.peer_agreed:
            party.hear(ch.PeerAgreed())

    def include_lock(self, view) -> None:
        self.evm.place(view, self.now)
        self._evm_changed()

    def evm_tx(self, kind: str, lock_id: bytes, secret: bytes = b"") -> None:
        if kind == "give back" and lock_id not in self.gave_back:
            return
        if secret:
            self.evm.shown.add(secret)
        if (lock_id, kind) not in self.evm.pending:
            self.evm.pending.add((lock_id, kind))
            self.at(self.now + self.evm.delay(), self._include, (kind, lock_id, secret))

    def _include(self, what) -> None:
        kind, lock_id, secret = what
        self.evm.pending.discard((lock_id, kind))
        if kind == "claim":
            self.evm.claim(lock_id, secret, self.now)
        elif kind == "refund":
            self.evm.refund(lock_id, self.now)
        else:
            self.evm.give_back(lock_id, self.now)
        self._evm_changed()

    def _evm_changed(self) -> None:
        self.at(self.now + self.evm.final_after, self.sync)
        self.sync()

    def tell(self, text: str) -> None:
        print(f"{self.now - NOW:>7} s  {text}")

    # --- The verdict --------------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """What should not have happened to somebody honest."""
        found = []
        for party in self.honest:
            outcome = party.state.outcome
            if outcome is None:
                found.append(f"the {party.role} has not come to an end")
            if outcome is Outcome.LOST:
                found.append(f"the {party.role} says that it lost")
        found += self._initiators_faults() + self._followers_faults()
        s = self.scenario
        if s.calm and s.stops is None and s.liar is None and not s.owner:
            outcomes = {party.state.outcome for party in self.parties.values()}
            if outcomes != {Outcome.SWAPPED}:
                found.append(f"both are honest, and yet: {outcomes}")
        return found

    def _initiators_faults(self) -> list[str]:
        party = self.parties[Role.INITIATOR]
        if party not in self.honest:
            return []
        locks = self.evm.locks.values()
        got = any(tx.kind == "claim" and self._value(coin) >= AMOUNT for coin, tx in self.bitcoin.spent.items())
        found = []
        if any(lock.status is LockStatus.OPEN for lock in locks):
            found.append("the initiator's lock is still there")
        if any(lock.status is LockStatus.CLAIMED for lock in locks) and not got:
            found.append("the initiator's lock was claimed, and it has no bitcoin")
        return found

    def _followers_faults(self) -> list[str]:
        party = self.parties[Role.FOLLOWER]
        if party not in self.honest:
            return []
        lock = self.evm.locks.get(self.lock_id)
        has_claimed = lock is not None and lock.status is LockStatus.CLAIMED and lock.view == self.view
        found = []
        for outpoint in party.paid:
            tx, _ = self.bitcoin.outputs.get(outpoint, (None, 0))
            if tx is None or tx.height is None:
                continue
            spender = self.bitcoin.spent.get(outpoint)
            if spender is None and not has_claimed:
                found.append("the follower's bitcoin is still there")
            if spender is not None and spender.kind == "claim" and not has_claimed:
                found.append("the follower's bitcoin was claimed, and it has no lock")
        return found

    def _value(self, coin) -> int:
        return self.bitcoin.outputs[coin][1] if coin in self.bitcoin.outputs else 0


def run(seed: int, chosen: Scenario | None = None) -> World:
    """The whole of a run."""
    return World(seed, chosen).run()


def main() -> None:
    seed = int(sys.argv[1])
    world = World(seed, trace=True)
    print(world.scenario)
    for party in world.parties.values():
        _trace(party)
    world.run()
    for party in world.parties.values():
        print(
            party.role, party.state.outcome, getattr(party.state, "quit", None), getattr(party.state, "never_fund", "")
        )
    print(world.faults() or "nothing wrong")


def _trace(party: Party) -> None:
    advance = party.advance

    def told(change):
        state, effects = advance(change)
        party.world.tell(f"{party.role}: {change} -> {[effect.key for effect in effects]}")
        return state, effects

    party.advance = told


if __name__ == "__main__":
    main()
