"""A side's engine: a durable store that crashes at commits, and a view of both chains."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from settlement.swap.machine import changes as ch
from settlement.swap.machine import effects as ef
from settlement.swap.machine import messages as ms
from settlement.swap.machine import step as stepping
from settlement.swap.machine.facts import SpendKind
from settlement.swap.machine.states import decode_state, encode_state
from settlement.swap.terms import Mode, Role

FOREVER = 1 << 60


class Way(StrEnum):
    """What becomes of a commit, as in the simulations of the bridge."""

    UNDONE = "undone"
    LAST = "last"
    AFTER_ORDERS = "after orders"
    UNSURE = "unsure"


class Engine:
    """An honest side. `crashes`: number of a commit → (way, seconds until it is started again).

    Memory: `nonces` (secret nonces), `seen` (facts told). What survives: `state`, `orders`, `mail`, `funding`.
    """

    def __init__(self, world, state, *, skew: int, crashes: dict[int, tuple[Way, int]]) -> None:
        self.world, self.state, self.skew, self.crashes = world, state, skew, crashes
        self.role: Role = state.role
        self.is_point = state.terms.mode is Mode.POINT
        self.orders: dict[str, ef.Effect] = {}
        self.mail: deque[ms.Message] = deque()
        self.funding = None  # the newest version of the own funding transaction
        self.was_sent = False
        self.down_until = 0
        self.commits = 0
        self.nonces: dict[object, bytes] = {}
        self.seen: dict[object, object] = {}
        self.inbox: deque[ch.Change] = deque()
        self.ticks_at = 0
        self.paid: set[bytes] = set()
        self.is_busy = False
        self.had_decided = self.had_shown = False  # at its last crash, to show the secret

    @property
    def is_up(self) -> bool:
        return self.world.now >= self.down_until

    # --- Changes and commits ------------------------------------------------------------------------------------------

    def hear(self, change: ch.Change) -> None:
        self.inbox.append(change)
        self.work()

    def letter(self, message: ms.Message) -> None:
        self.mail.append(message)
        self.work()

    def work(self) -> None:
        """Everything that is there, one commit after another."""
        if self.is_busy:
            return
        self.is_busy = True
        while self.is_up and (self.inbox or self.mail):
            if self.inbox:
                self._commit(self.inbox.popleft(), None)
            else:
                self._commit(ch.LetterCame(self.mail[0]), self.mail)
        self.is_busy = False

    def advance(self, change: ch.Change):
        return stepping.step(self.state, change, (self.world.now + self.skew) * 1000)

    def _commit(self, change: ch.Change, mail: deque | None) -> None:
        state, effects = self.advance(change)
        self.world.steps += 1
        self.commits += 1
        crash = self.crashes.get(self.commits)
        if crash is not None and crash[0] is Way.UNDONE:
            return self._go_down(crash[1])
        self.state = state
        if mail is not None:
            mail.popleft()
        for effect in effects:
            self.orders[effect.key] = effect
        if crash is not None and crash[0] is not Way.AFTER_ORDERS:
            return self._go_down(crash[1] if crash[0] is Way.LAST else 1)
        if crash is not None:
            for effect in effects:
                self.perform(effect)
            return self._go_down(crash[1])
        self._deliver()
        self._wake()
        return None

    def _deliver(self) -> None:
        """Carry out what is due. An order may make new ones; each is taken out when it is done."""
        for key in list(self.orders):
            effect = self.orders.pop(key, None)
            if effect is not None:
                self.perform(effect)

    def _wake(self) -> None:
        due = self.state.wake_at
        if due and due != self.ticks_at:
            self.ticks_at = due
            self.world.at(max(self.world.now + 1, -(-due // 1000) - self.skew), self._tick, due)

    def _tick(self, due: int) -> None:
        if self.is_up and due == self.ticks_at:
            self.ticks_at = 0
            self.hear(ch.Tick())

    def _go_down(self, seconds: int) -> None:
        self.down_until = self.world.now + seconds
        if self.role is Role.INITIATOR:
            self.had_decided, self.had_shown = bool(self.state.revealed_at), self.state.shown
        self.inbox.clear()
        self.nonces.clear()
        self.seen.clear()
        self.ticks_at = 0
        if seconds < FOREVER:
            self.world.at(self.down_until, self._start)

    def _start(self, _=None) -> None:
        self.state = decode_state(encode_state(self.state))
        self._recall()
        self._deliver()
        self.sync()
        self.hear(ch.Tick())

    def _recall(self) -> None:
        """What the machine believes, to tell it what is not so any more."""
        for out in self.state.outputs:
            spend = out.spend
            depth = None if spend is None else spend.confirmations
            self.seen[out.outpoint] = (out.confirmations, None if spend is None else spend.txid, depth)
        for lock in self.state.locks:
            self.seen[lock.view.lock_id] = None

    # --- What it sees -------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Tell the machine what is new on both chains."""
        if not self.is_up:
            return
        self._sync_outputs()
        self._sync_locks()
        self._sync_times()
        self.work()

    def _sync_outputs(self) -> None:
        chain, inbox = self.world.bitcoin, self.inbox
        if not chain.outputs:
            return
        spenders = {tx.coin: tx for tx in chain.mempool.values()}
        for outpoint, (tx, value) in chain.outputs.items():
            confirmations = chain.confirmations(tx)
            before = self.seen.get(outpoint)
            if confirmations is None:
                if before is not None:
                    inbox.append(ch.OutputGone(outpoint))
                    self.seen[outpoint] = None
                continue
            confirmations = min(confirmations, self.world.deep)
            spender = chain.spent.get(outpoint) or spenders.get(outpoint)
            depth = None if spender is None else min(chain.confirmations(spender), self.world.deep)
            now = (confirmations, None if spender is None else spender.txid, depth)
            if now == before:
                continue
            if before is None or before[0] != confirmations:
                inbox.append(ch.OutputSeen(outpoint, value, confirmations))
            if before is None or before[1:] != now[1:]:
                self._spend(outpoint, spender, depth, None if before is None else before[1])
            self.seen[outpoint] = now

    def _spend(self, outpoint, spender, depth, before) -> None:
        if spender is None:
            if before is not None:
                self.inbox.append(ch.SpendGone(outpoint))
            return
        kind = SpendKind.CLAIM if spender.kind == "claim" else SpendKind.REFUND
        self.inbox.append(ch.SpendSeen(outpoint, kind, spender.txid, depth))
        secret = self.extract(spender.shows)
        if secret:
            self.inbox.append(ch.SecretSeen(secret))

    def extract(self, shown) -> bytes:
        """What a claim's witness tells: the preimage, or (point mode) the scalar to who holds its pre-signature."""
        if shown is None or self.role is Role.INITIATOR:
            return b""
        if isinstance(shown, bytes):
            return shown
        known = any(shown[1] in rungs for rungs in self.state.presignatures)
        return shown[0] if known else b""

    def _sync_locks(self) -> None:
        evm, now = self.world.evm, self.world.now
        for lock_id, lock in evm.locks.items():
            if lock.view.escrow != self.state.terms.evm.escrow or lock.view.chain != str(self.state.terms.evm.chain):
                continue  # nobody looks there
            final = evm.is_final(lock, now)
            view = (lock.status, lock.changed_at, final)
            if self.seen.get(lock_id) != view:
                self.seen[lock_id] = view
                self.inbox.append(ch.LockSeen(lock.view, lock.status, 1, final))
        for lock_id in [key for key in self.seen if key in self.world.lock_ids and key not in evm.locks]:
            del self.seen[lock_id]
            self.inbox.append(ch.LockGone(lock_id))
        if self.role is Role.FOLLOWER:
            for secret in evm.shown - self.seen.setdefault("shown", frozenset()):
                self.inbox.append(ch.SecretSeen(secret))
            self.seen["shown"] = frozenset(evm.shown)

    def _sync_times(self) -> None:
        """Only when a gate that is read off the chains was passed: repeats change nothing."""
        chain, gates = self.world.bitcoin, self.state.gates
        mtp, evm_time = chain.mtp, self.world.now
        passed = (mtp > gates.refund_bitcoin, evm_time >= gates.refund_evm)
        if self.seen.get("times") != passed:
            self.seen["times"] = passed
            self.inbox.append(ch.BlockTimes(mtp, chain.height, evm_time, 0))

    # --- What it does -------------------------------------------------------------------------------------------------

    def perform(self, effect: ef.Effect) -> None:
        """Carry out an order."""
        raise NotImplementedError
