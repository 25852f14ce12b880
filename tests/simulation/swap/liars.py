"""Sides that do not follow the protocol: each has a named lie, works without invariants, and may act at random besides.

A lie never breaks cryptography or a chain's rules; everything else is allowed.
"""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.machine import changes as ch
from settlement.swap.machine import effects as ef
from settlement.swap.machine import messages as ms
from settlement.swap.machine import step as stepping
from settlement.swap.terms import Mode, Role
from tests.simulation.swap.bitcoin import TOP_RATE
from tests.simulation.swap.party import Party, is_open

INITIATORS_LIES = (
    "wrong amount",
    "wrong condition",
    "wrong beneficiary",
    "wrong asset",
    "wrong kind of lock",
    "early expiry",
    "late expiry",
    "other contract",
    "other chain",
    "locks twice",
    "lock vanishes",
    "reveals late",
    "claims in silence",
    "bad secrets",
    "oversized secret",
    "bad partials",
    "signs a refund and claims",
    "asks the lock back",
    "quits and claims",
    "claims at the last moment",
    "never claims",
    "secret by letter alone",
    "noise",
)
FOLLOWERS_LIES = (
    "funds less",
    "funds more",
    "funds late",
    "funds twice",
    "funds elsewhere",
    "funds early",
    "spends its funding otherwise",
    "replaces its funding in a reorganisation",
    "races with a refund",
    "gives back and funds",
    "bad partials",
    "never answers",
    "bad answers",
    "asks for refunds",
    "quits and funds",
    "claims and refunds",
    "keeps the lock",
    "noise",
)


class Liar(Party):
    """A side with a lie. Its gates are wide open, so that it does too late what an honest side would not do."""

    def __init__(self, world, state, lie: str, **more) -> None:
        super().__init__(world, state, **more)
        self.lie = lie
        if lie in ("reveals late", "claims at the last moment", "funds late", "noise"):
            gates = state.gates
            late = gates.refund_evm - 1
            self.state = replace(state, gates=replace(gates, last_reveal=late, last_fund=late, last_lock=late))
        for _ in range(world.random.randrange(3, 12)):
            world.at(world.now + world.random.randrange(1, world.span), self._act)

    def advance(self, change: ch.Change):
        return stepping.advance(self.state, change, (self.world.now + self.skew) * 1000)

    def perform(self, effect: ef.Effect) -> None:
        lie = _INSTEAD.get((self.lie, type(effect)))
        if lie is None:
            super().perform(effect)
        else:
            lie(self, effect)

    def nothing(self, _) -> None:
        """Does not do it."""

    def before_block(self) -> None:
        """What it tries again and again."""
        if not self.is_up:
            return
        world, lie = self.world, self.lie
        outpoints = list(world.bitcoin.outputs)
        if lie in _FORCES:
            for outpoint in outpoints:
                self._claim_by_force(outpoint)
        if lie == "asks the lock back" and outpoints and world.random.random() < 0.5:
            world.evm_tx("give back", world.lock_id)
        funding = self.funding
        if lie == "spends its funding otherwise" and funding is not None and world.random.random() < 0.6:
            world.bitcoin.submit(world.bitcoin.tx("coin", "other", self.role, TOP_RATE))
        if lie in _RACES:
            for outpoint in outpoints:
                self.spend(outpoint, "refund", TOP_RATE, lock_time=self.state.terms.bitcoin.expires_at)
                self._refund_with_it(outpoint)

    # --- At random ----------------------------------------------------------------------------------------------------

    def _act(self, _=None) -> None:
        if not self.is_up:
            return
        if self.role is Role.INITIATOR:
            self._act_as_initiator()
        else:
            self._act_as_follower()

    def _act_as_initiator(self) -> None:
        world, lie = self.world, self.lie
        outpoint = world.random.choice(list(world.bitcoin.outputs) or [bytes(36)])
        if lie == "noise":
            world.post(self.role, ms.GiveBackAsked())
        if lie in ("quits and claims", "noise"):
            world.post(self.role, ms.Quit())
        if lie in ("signs a refund and claims", "quits and claims", "claims in silence", "noise"):
            world.at(world.now + world.random.randrange(1, 7_200), self._claim_by_force, outpoint)
        if lie in ("bad secrets", "noise"):
            secret = world.random.choice((world.secret[:31], world.secret + b"\0", bytes(32), bytes(31), b""))
            world.post(self.role, ms.Secret(secret, b"request"))
        if lie == "oversized secret":
            world.post(self.role, ms.Secret(world.secret * 2, b"request"))
        if lie in ("signs a refund and claims", "noise"):
            world.cosigned_refunds.add(outpoint)
            world.post(self.role, ms.RefundCosigned(outpoint, world.random.choice((b"", b"x"))))
        if lie == "noise":
            world.post(self.role, ms.RungPartials(world.random.randrange(3), (b"n",) * 3, (b"p",) * 3))
            if lie == "noise" and world.lock_id in world.gave_back:
                world.evm_tx("give back", world.lock_id)
        if lie == "claims at the last moment":
            last = world.terms.evm.expires_at - world.random.randrange(1, 1_200)
            world.at(max(last, world.now + 1), self._claim_by_force, outpoint)

    def _claim_by_force(self, outpoint: bytes) -> None:
        """By script, at the highest fee, whatever was promised."""
        world = self.world
        if outpoint not in world.bitcoin.outputs:
            outpoint = next(iter(world.bitcoin.outputs), b"")
        if not outpoint:
            return
        if not self.is_point:
            self.spend(outpoint, "claim", TOP_RATE, shows=world.secret)
        elif self.state.presignatures and outpoint == self.state.presignatures[0][-36:]:
            self.spend(outpoint, "claim", TOP_RATE, shows=(world.secret, self.state.presignatures[-1]))
        world.sync()

    def _act_as_follower(self) -> None:
        world, lie, chain = self.world, self.lie, self.world.bitcoin
        if lie in ("spends its funding otherwise", "noise") and self.was_sent:
            chain.submit(chain.tx("coin", "other", self.role, TOP_RATE))
        if lie in ("funds twice", "noise"):
            extra = self.new_funding(5, coin=world.unique(b"coin").decode("latin1"))
            chain.submit(extra)
        if lie in ("races with a refund", "noise", "claims and refunds"):
            for outpoint in list(chain.outputs):
                self.spend(outpoint, "refund", TOP_RATE, lock_time=self.state.terms.bitcoin.expires_at)
        if lie in ("gives back and funds", "noise") and is_open(world, world.lock_id):
            world.gave_back.add(world.lock_id)
            world.post(self.role, ms.GiveBack(world.lock_id, b"signature"))
        if lie in ("gives back and funds", "quits and funds", "noise"):
            self.fund(ef.BroadcastFunding(3, 0, 0))
        if lie in ("quits and funds", "noise"):
            world.post(self.role, ms.Quit())
        if lie in ("asks for refunds", "noise"):
            for outpoint in list(chain.outputs):
                self.ask_refund(ef.AskRefund(outpoint))
                world.at(world.now + world.random.randrange(60, 3_600), self._refund_with_it, outpoint)
        if lie in ("bad answers", "noise"):
            world.post(self.role, ms.ClaimCosigned(b"nonsense"))
        if lie == "noise":
            world.post(self.role, ms.RungAnswers(world.random.randrange(3), (b"p",) * 3))
            world.post(self.role, ms.RungNonces(world.random.randrange(3), bytes(36), (b"n",) * 3))
        if lie == "claims and refunds" and self.state.secret:
            world.evm_tx("claim", world.lock_id, self.state.secret)
        world.sync()

    def _refund_with_it(self, outpoint: bytes) -> None:
        if outpoint in self.world.cosigned_refunds:
            self.spend(outpoint, "refund", TOP_RATE)
            self.world.sync()

    # --- Instead of an order ------------------------------------------------------------------------------------------

    def lock_otherwise(self, effect: ef.PlaceLock) -> None:
        world = self.world
        view, other = world.view, world.random.randrange(1, 1 << 40)
        expires_at = view.expires_at
        lies = {
            "wrong amount": {"amount": (int.from_bytes(view.amount, "big") - other).to_bytes(32, "big")},
            "wrong condition": {"condition": world.random.randbytes(32)},
            "wrong beneficiary": {"beneficiary": world.random.randbytes(20)},
            "wrong asset": {"asset": world.random.randbytes(20)},
            "wrong kind of lock": {"mode": Mode.POINT if view.mode is Mode.HASH else Mode.HASH},
            "early expiry": {"expires_at": world.random.randrange(world.terms.bitcoin.expires_at, expires_at)},
            "late expiry": {"expires_at": expires_at + 3_600},
            "other contract": {"escrow": world.random.randbytes(20)},
            "other chain": {"chain": "eip155:5"},
        }
        self.send_lock(replace(view, **lies[self.lie]))

    def lock_twice(self, effect: ef.PlaceLock) -> None:
        self.place_lock(effect)
        second = replace(self.world.view, lock_id=b"second".rjust(32))
        self.world.lock_ids.add(second.lock_id)
        self.send_lock(second)

    def lock_and_vanish(self, effect: ef.PlaceLock) -> None:
        self.place_lock(effect)
        for after in (20, 60, 100):
            self.world.at(self.world.now + after, self._vanish)

    def _vanish(self, _=None) -> None:
        if self.world.evm.undo(self.world.lock_id, self.world.now):
            self.world.sync()

    def lock_and_ask(self, effect: ef.PlaceLock) -> None:
        self.place_lock(effect)
        self.world.at(self.world.now + self.world.random.randrange(1, 200), self._ask_back)

    def _ask_back(self, _=None) -> None:
        self.world.post(self.role, self.world.random.choice((ms.GiveBackAsked(), ms.Quit())))

    def claim_and_ask(self, effect: ef.ClaimEvm) -> None:
        self.claim_evm(effect)
        for outpoint in list(self.world.bitcoin.outputs):
            self.ask_refund(ef.AskRefund(outpoint))

    def bad_partials(self, effect: ef.SendLetter) -> None:
        message = effect.message
        if isinstance(message, ms.RungPartials | ms.RungAnswers) and self.world.random.random() < 0.7:
            message = replace(message, partials=tuple(b"x" + p for p in message.partials))
        self.world.post(self.role, message)

    def claim_at_the_end(self, effect) -> None:
        late = self.world.terms.bitcoin.expires_at + self.world.random.randrange(-3_600, 9 * 3_600)
        self.world.at(max(late, self.world.now + 1), self._claim_by_force, effect.outpoint)

    def fund_otherwise(self, effect: ef.BroadcastFunding) -> None:
        amount = self.state.terms.bitcoin.amount
        value = amount * 9 // 10 if self.lie == "funds less" else amount * 11 // 10
        if self.funding is None or not self.was_sent:
            self.funding = self.new_funding(5, value)
        self.was_sent = True
        self.world.bitcoin.submit(self.funding)

    def fund_late(self, effect: ef.BroadcastFunding) -> None:
        if "late" in self.nonces:
            return
        self.nonces["late"] = b""
        # About T2, or a little later: whoever still shows the secret then has to race with the refund.
        late = self.state.terms.bitcoin.expires_at + self.world.random.randrange(-9_000, 6_000)
        self.world.at(max(late, self.world.now + 1), self._fund_now)

    def _fund_now(self, _=None) -> None:
        self.fund(ef.BroadcastFunding(3, 0, 0))
        self.world.sync()

    def fund_twice(self, effect: ef.BroadcastFunding) -> None:
        self.fund(effect)
        self.world.bitcoin.submit(self.new_funding(5, coin="second"))

    def sign_terms_and_fund(self, effect: ef.SignTerms) -> None:
        self.sign_terms(effect)
        self._fund_now()

    def bad_answer(self, effect) -> None:
        self.world.post(self.role, ms.ClaimCosigned(b"B" + effect.request))

    def refund_at_once(self, effect: ef.ClaimEvm) -> None:
        self.claim_evm(effect)
        for outpoint in list(self.world.bitcoin.outputs):
            self.spend(outpoint, "refund", TOP_RATE, lock_time=self.state.terms.bitcoin.expires_at)


_LOCK_LIES = INITIATORS_LIES[: INITIATORS_LIES.index("locks twice")]
_FORCES = ("asks the lock back", "lock vanishes", *_LOCK_LIES)
_RACES = ("funds late", "asks for refunds", "races with a refund", "claims and refunds")
_CLAIMS = (ef.ClaimBitcoinByKey, ef.ClaimBitcoinByScript, ef.ClaimBitcoinByRung)
_INSTEAD = {
    **{(lie, ef.PlaceLock): Liar.lock_otherwise for lie in _LOCK_LIES},
    ("locks twice", ef.PlaceLock): Liar.lock_twice,
    ("lock vanishes", ef.PlaceLock): Liar.lock_and_vanish,
    ("asks the lock back", ef.PlaceLock): Liar.lock_and_ask,
    ("asks the lock back", ef.SubmitGiveBack): Liar.nothing,
    ("funds late", ef.CosignClaim): Liar.nothing,
    ("asks for refunds", ef.ClaimEvm): Liar.claim_and_ask,
    ("asks for refunds", ef.CosignClaim): Liar.nothing,
    ("bad partials", ef.SendLetter): Liar.bad_partials,
    ("claims in silence", ef.RevealByLetter): Liar.nothing,
    ("claims at the last moment", ef.RevealByLetter): Liar.nothing,
    **{("claims at the last moment", kind): Liar.claim_at_the_end for kind in _CLAIMS},
    **{("never claims", kind): Liar.nothing for kind in (*_CLAIMS, ef.RevealByLetter)},
    **{("secret by letter alone", kind): Liar.nothing for kind in _CLAIMS},
    ("funds less", ef.BroadcastFunding): Liar.fund_otherwise,
    ("funds more", ef.BroadcastFunding): Liar.fund_otherwise,
    ("funds late", ef.BroadcastFunding): Liar.fund_late,
    ("funds twice", ef.BroadcastFunding): Liar.fund_twice,
    ("funds elsewhere", ef.BroadcastFunding): Liar.nothing,
    ("funds early", ef.SignTerms): Liar.sign_terms_and_fund,
    ("never answers", ef.CosignClaim): Liar.nothing,
    ("never answers", ef.SignGiveBack): Liar.nothing,
    ("bad answers", ef.CosignClaim): Liar.bad_answer,
    ("claims and refunds", ef.ClaimEvm): Liar.refund_at_once,
    ("keeps the lock", ef.SignGiveBack): Liar.nothing,
}
