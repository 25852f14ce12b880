"""A ROAST session without any network: a coordinator's machine and simulated members, driven by a test's choices."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpc import frost, roast
from mpc.evidence import session_of
from mpc.keystore import KeyShare
from mpc.messages import Round, offer_hash
from mpc.ports import SigningItem


@dataclass
class SimulatedMember:
    """A member that answers invitations and rounds. Behaviours: honest, liar, staller, absent, refuser.

    `forgets`: it loses its nonces before each of the first that many rounds, as by a crash.
    """

    share: KeyShare
    items: Sequence[SigningItem]
    behaviour: str = "honest"
    forgets: int = 0
    nonces: dict[bytes, frost.SecNonce] = field(default_factory=dict)
    revealed: list[bytes] = field(default_factory=list)
    offered: list[bytes] = field(default_factory=list)
    last: tuple[bytes, ...] = ()

    def offer(self) -> roast.Nonces:
        made = [
            frost.nonce_gen(self.share.secshare, None, None, item.message, None, os.urandom(32)) for item in self.items
        ]
        self.nonces |= {pubnonce: secnonce for secnonce, pubnonce in made}
        self.last = tuple(pubnonce for _, pubnonce in made)
        self.offered += self.last
        return roast.Nonces(self.last, b"envelope of the offer")

    def invited(self) -> roast.Change | None:
        i = self.share.index
        if self.behaviour == "absent":
            return None
        if self.behaviour == "refuser":
            return roast.Declined(i, "NotYet", "I have not seen it")
        return roast.Offered(i, self.offer())

    def asked(self, asked: Round) -> roast.Change | None:
        i = self.share.index
        if self.behaviour == "staller":
            return None
        if self.forgets or offer_hash(self.last) != asked.offer:
            self.forgets = max(0, self.forgets - 1)
            return roast.Lost(i, asked.number)
        return roast.Shared(i, asked.number, self._psigs(asked), self.offer())

    def _psigs(self, asked: Round) -> tuple[bytes, ...]:
        signers = self.share.key.signers(asked.ids)
        psigs = []
        for item, aggnonce, pubnonce in zip(self.items, asked.aggnonces, self.last, strict=True):
            session = session_of(signers, item, aggnonce)
            psig = frost.sign(self.nonces.pop(pubnonce), self.share.secshare, self.share.index, session)
            self.revealed.append(pubnonce)
            if self.behaviour == "liar":  # errors of different size, which cannot cancel each other
                psig = psig[:-1] + bytes([psig[-1] ^ 1 << self.share.index])
            psigs.append(psig)
        return tuple(psigs)


@dataclass
class Course:
    """How a session went."""

    state: roast.State
    blamed: list[int]
    rounds: int


def run(
    members: Sequence[SimulatedMember],
    items: Sequence[SigningItem],
    candidates: Sequence[int],
    choose: Callable[[int], int] = lambda _: 0,
    repeat: Callable[[], bool] = lambda: False,
) -> Course:
    """Run a session until nothing moves.

    `choose(n)`: which of n pending changes happens next; `repeat()`: whether it happens twice. Time passes only when
    nothing else happens.
    """
    key = members[0].share.key
    state: roast.State
    state, effects = roast.start(os.urandom(32), key, items, candidates, roast.UnixMs(10_000))
    pending: list[roast.Change] = []
    blamed: list[int] = []
    rounds: set[int] = set()
    now = 0
    while True:
        for effect in effects:
            match effect:
                case roast.Invite(signer=signer):
                    change = members[signer].invited()
                case roast.Ask(signer=signer, round=asked):
                    rounds.add(asked.number)
                    change = members[signer].asked(asked)
                case roast.Blame(evidence=evidence):
                    blamed.append(evidence.index)
                    change = None
            if change is not None:
                pending.append(change)
        if not pending:
            if not isinstance(state, roast.Signing) or now >= 5_000 or len(state.ready) < key.threshold:
                return Course(state, blamed, len(rounds))
            now += roast.HEAD_START_MS
            pending.append(roast.Tick())
        change = pending.pop(choose(len(pending)))
        if repeat():
            pending.append(change)
        state, effects = roast.step(state, change, roast.UnixMs(now))
