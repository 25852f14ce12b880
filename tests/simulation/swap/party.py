"""A side that carries out its machine's orders: keys and signatures that need no curve."""

from __future__ import annotations

from settlement.swap.machine import changes as ch
from settlement.swap.machine import effects as ef
from settlement.swap.machine import messages as ms
from settlement.swap.machine.facts import LockStatus, LockView
from tests.simulation.swap.engine import Engine

RUNGS = 3


class Party(Engine):
    """An honest side."""

    def perform(self, effect: ef.Effect) -> None:
        if isinstance(effect, ef.SHOWING) and not self._may_show(effect):
            return
        handler = HANDLERS.get(type(effect))
        if handler is not None:
            handler(self, effect)

    def _may_show(self, effect: ef.Effect) -> bool:
        """A commit of its own before the secret leaves; the order stays due where that one did not happen."""
        if not self.state.shown:
            self._commit(ch.Showing(), None)
            if not self.is_up:
                self.orders[effect.key] = effect
        return self.is_up and self.state.shown

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
        is_off = world.now + self.skew > effect.not_after or self.state.quit is not None
        if is_off and world.view.lock_id not in world.locks_sent:
            self.inbox.append(ch.Failed(effect.key, "too late, or called off"))
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
