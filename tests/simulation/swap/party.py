"""One side with its engine: a durable store that crashes at commits, a view of both chains, keys that need no curve."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from settlement.swap.machine import changes as ch
from settlement.swap.machine import effects as ef
from settlement.swap.machine import messages as ms
from settlement.swap.machine import step as stepping
from settlement.swap.machine.facts import LockStatus, LockView, SpendKind
from settlement.swap.machine.states import decode_state, encode_state
from settlement.swap.terms import Mode, Role

RUNGS = 3
FOREVER = 1 << 60


class Way(StrEnum):
    """What becomes of a commit, as in the simulations of the bridge."""

    UNDONE = "undone"
    LAST = "last"
    AFTER_ORDERS = "after orders"
    UNSURE = "unsure"


class Party:
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
        handler = HANDLERS.get(type(effect))
        if handler is not None:
            handler(self, effect)

    def rate(self, attempt: int) -> int:
        return 2 + attempt * attempt

    def send(self, effect: ef.SendLetter) -> None:
        self.world.post(self.role, effect.message)

    def sign_terms(self, _) -> None:
        self.world.post(self.role, None)

    # Initiator

    def sign_rungs(self, effect: ef.SignRungs) -> None:
        mine = tuple(self.world.unique(b"n") for _ in effect.nonces)
        partials = tuple(b"I" + n + m + effect.outpoint for n, m in zip(effect.nonces, mine, strict=True))
        self.inbox.append(ch.RungsOffered(effect.round, mine, partials))

    def complete_rungs(self, effect: ef.CompleteRungs) -> None:
        state = self.state
        want = [b"F" + partial for partial in state.offered_partials]
        if list(effect.partials) != want:
            self.inbox.append(ch.RoundFailed(effect.round))
            return
        self.inbox.append(ch.RungsComplete(effect.round, tuple(b"P" + p for p in state.offered_partials)))

    def place_lock(self, effect: ef.PlaceLock) -> None:
        world = self.world
        if world.now + self.skew > effect.not_after:
            self.inbox.append(ch.Failed(effect.key, "too late"))
            return
        self.send_lock(world.view)

    def send_lock(self, view: LockView) -> None:
        world = self.world
        if view.lock_id not in world.locks_sent:
            world.locks_sent.add(view.lock_id)
            world.at(world.now + world.evm.delay(), world.include_lock, view)

    def reveal(self, effect: ef.RevealByLetter) -> None:
        request = b""
        if not self.is_point:
            request = self.world.unique(b"r") + effect.outpoint
            self.nonces["claim"] = request
        self.world.post(self.role, ms.Secret(self.world.secret, request))

    def claim_by_key(self, effect: ef.ClaimBitcoinByKey) -> None:
        request = self.nonces.pop("claim", None)
        if request is None or effect.answer != b"A" + request or request[-36:] != effect.outpoint:
            self.inbox.append(ch.CosignFailed(effect.outpoint))
            return
        self.spend(effect.outpoint, "claim", 2)

    def claim_by_script(self, effect: ef.ClaimBitcoinByScript) -> None:
        self.spend(effect.outpoint, "claim", self.rate(effect.attempt + 1), shows=self.world.secret)

    def claim_by_rung(self, effect: ef.ClaimBitcoinByRung) -> None:
        presignatures = self.state.presignatures
        if effect.outpoint != presignatures[0][-36:]:
            return
        rung = min(effect.attempt, len(presignatures) - 1)
        shows = (self.world.secret, presignatures[rung])
        tx = self.spend(effect.outpoint, "claim", self.rate(2 * rung + 1), shows=shows)
        if effect.attempt > rung and tx is not None:
            self.world.bitcoin.raise_rate(tx, self.rate(effect.attempt + 4))

    def sign_refund(self, effect: ef.SignRefundWith) -> None:
        self.world.cosigned_refunds.add(effect.outpoint)
        self.world.post(self.role, ms.RefundCosigned(effect.outpoint, b"A" + effect.request))

    def submit_give_back(self, effect: ef.SubmitGiveBack) -> None:
        self.world.evm_tx("give back", effect.view.lock_id)

    def refund_evm(self, effect: ef.RefundEvm) -> None:
        self.world.evm_tx("refund", effect.view.lock_id)

    # Follower

    def prepare(self, effect: ef.PrepareFunding) -> None:
        if self.funding is None:
            self.funding = self.new_funding(2)
        nonces = tuple(self.world.unique(b"n") for _ in range(RUNGS))
        self.nonces["round", effect.round] = b"".join(nonces)
        self.inbox.append(ch.FundingPrepared(effect.round, self.funding.outpoint(), nonces))

    def new_funding(self, rate: int, value: int | None = None, coin: str = "coin"):
        amount = self.state.terms.bitcoin.amount if value is None else value
        return self.world.bitcoin.tx(coin, "fund", self.role, rate, pays=((0, amount),))

    def countersign(self, effect: ef.CountersignRungs) -> None:
        nonces, outpoint = self.state.nonces, self.state.prepared
        held = self.nonces.pop(("round", effect.round), None)
        want = tuple(b"I" + n + m + outpoint for n, m in zip(nonces, effect.nonces, strict=False))
        if held != b"".join(nonces) or effect.partials != want or len(want) != len(nonces):
            self.inbox.append(ch.RoundFailed(effect.round))
            return
        presignatures = tuple(b"P" + partial for partial in want)
        self.inbox.append(ch.RungsSigned(effect.round, presignatures, tuple(b"F" + partial for partial in want)))

    def fund(self, effect: ef.BroadcastFunding) -> None:
        chain = self.world.bitcoin
        is_late = effect.not_after and self.world.now + self.skew > effect.not_after
        if is_late and not self.was_sent:
            self.inbox.append(ch.Failed(effect.key, "too late"))
            return
        rate = self.rate(effect.attempt)
        if self.funding is None:
            self.funding = self.new_funding(rate)
        elif chain.confirmations(self.funding) == 0:
            if self.is_point:
                chain.raise_rate(self.funding, rate)
            elif rate > self.funding.rate:
                self.funding = self.new_funding(rate)
        self.was_sent = True
        self.paid.add(self.funding.outpoint())
        chain.submit(self.funding)

    def abandon(self, _) -> None:
        chain = self.world.bitcoin
        spender = chain.spent.get("coin")
        if self.funding is None or not self.was_sent:
            self.funding = None
            self.inbox.append(ch.FundingAbandoned())
        elif spender is not None and spender.kind == "other" and chain.confirmations(spender) >= self.world.deep:
            self.inbox.append(ch.FundingAbandoned())
        elif spender is None:
            rate = 1 + max((tx.rate for tx in chain.mempool.values() if tx.coin == "coin"), default=5)
            chain.submit(chain.tx("coin", "other", self.role, rate))

    def claim_evm(self, effect: ef.ClaimEvm) -> None:
        self.world.evm_tx("claim", effect.view.lock_id, effect.secret)

    def cosign_claim(self, effect: ef.CosignClaim) -> None:
        self.world.post(self.role, ms.ClaimCosigned(b"A" + effect.request))

    def ask_refund(self, effect: ef.AskRefund) -> None:
        request = self.world.unique(b"r") + effect.outpoint
        self.nonces["refund", effect.outpoint] = request
        self.world.post(self.role, ms.RefundAsked(effect.outpoint, request))

    def refund_by_key(self, effect: ef.RefundBitcoinByKey) -> None:
        request = self.nonces.pop(("refund", effect.outpoint), None)
        if request is None or effect.answer != b"A" + request or effect.outpoint not in self.world.cosigned_refunds:
            self.inbox.append(ch.CosignFailed(effect.outpoint))
            return
        self.spend(effect.outpoint, "refund", 3)

    def refund_by_script(self, effect: ef.RefundBitcoin) -> None:
        lock_time = self.state.terms.bitcoin.expires_at
        self.spend(effect.outpoint, "refund", self.rate(effect.attempt + 1), lock_time=lock_time)

    def sign_give_back(self, effect: ef.SignGiveBack) -> None:
        self.world.gave_back.add(effect.view.lock_id)
        self.world.post(self.role, ms.GiveBack(effect.view.lock_id, b"signature"))

    def spend(self, outpoint, kind, rate, **more):
        """Broadcast; where an own transaction waits already, a repeat pays more or is dropped."""
        chain = self.world.bitcoin
        tx = chain.tx(outpoint, kind, self.role, rate, **more)
        if chain.submit(tx):
            return tx
        return next((old for old in chain.mempool.values() if old.coin == outpoint and old.by is self.role), None)


def is_open(world, lock_id: bytes) -> bool:
    lock = world.evm.locks.get(lock_id)
    return lock is not None and lock.status is LockStatus.OPEN


HANDLERS = {
    ef.SendLetter: Party.send,
    ef.SignTerms: Party.sign_terms,
    ef.SignRungs: Party.sign_rungs,
    ef.CompleteRungs: Party.complete_rungs,
    ef.PlaceLock: Party.place_lock,
    ef.RevealByLetter: Party.reveal,
    ef.ClaimBitcoinByKey: Party.claim_by_key,
    ef.ClaimBitcoinByScript: Party.claim_by_script,
    ef.ClaimBitcoinByRung: Party.claim_by_rung,
    ef.SignRefundWith: Party.sign_refund,
    ef.SubmitGiveBack: Party.submit_give_back,
    ef.RefundEvm: Party.refund_evm,
    ef.PrepareFunding: Party.prepare,
    ef.CountersignRungs: Party.countersign,
    ef.BroadcastFunding: Party.fund,
    ef.AbandonFunding: Party.abandon,
    ef.ClaimEvm: Party.claim_evm,
    ef.CosignClaim: Party.cosign_claim,
    ef.AskRefund: Party.ask_refund,
    ef.RefundBitcoinByKey: Party.refund_by_key,
    ef.RefundBitcoin: Party.refund_by_script,
    ef.SignGiveBack: Party.sign_give_back,
}
