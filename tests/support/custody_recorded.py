"""A payment that goes well, step by step, so that a test may let another thing happen at any of them."""

from __future__ import annotations

from typing import Any

import msgspec

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.terms import Quote, source_transfer_id, target_transfer_id
from tests.support.custody_world import World

REVEAL_MS = 3_000
AMOUNT = 7_000


class Recorded(World):
    """A payment that goes well, with each state that a party was in, and each change that came to it."""

    def __init__(self) -> None:
        self.stages: dict[tuple[str, str], Any] = {}
        self.changes: dict[tuple[str, type], Any] = {}
        self.begun_at = 0
        super().__init__(7)
        self.begun_at = self.now
        self.payment = self.order(AMOUNT, "euro", "yuan")
        self.heal()
        self.stages["clearing", "checking"], _ = self.step("clearing", "forwarding", c.HoldRefused(c.Why.LEDGER, "no"))
        self.stages["clearing", "returning"], _ = self.step("clearing", "checking", c.Absent("yuan", self.target))
        strange = msgspec.structs.replace(self.changes["bank-b", c.HoldSeen], amount=1)
        self.stages["bank-b", "refusing"], _ = self.step("bank-b", "expecting", strange)

    def _change(self, party: Any, payment: bytes, change: c.AnyChange) -> None:
        self.changes.setdefault((party.name, type(change)), change)
        super()._change(party, payment, change)

    def _commit(self, party: Any, payment: bytes, made: tuple[Any, c.Effects]) -> None:
        stage = type(made[0]).__struct_config__.tag
        self.stages.setdefault((party.name, stage), made[0])
        super()._commit(party, payment, made)

    def step(self, name: str, stage: str, change: c.AnyChange, later: int = 0) -> tuple[Any, c.Effects]:
        state, now = self.stages[name, stage], UnixMs(self.begun_at + later)
        match state:
            case payer.State():
                return payer.step(state, change, now)  # type: ignore[arg-type]
            case clearer.State():
                return clearer.step(state, change, now, REVEAL_MS)  # type: ignore[arg-type]
            case _:
                return payee.step(state, change, now, REVEAL_MS)

    def given_back(self, state: Any, effects: c.Effects) -> None:
        """The target's ledger is asked first, and only when it has no hold of ours the source goes back."""
        assert isinstance(state, clearer.Checking)
        assert effects == (c.Look("yuan", self.target),)
        state, effects = clearer.step(state, c.Absent("yuan", self.target), UnixMs(self.begun_at), REVEAL_MS)
        assert isinstance(state, clearer.Returning)
        assert effects[0] == c.GiveBack("euro", self.source)

    def unmoved(self, name: str, stage: str, change: c.AnyChange, later: int = 0) -> None:
        """The change moves nothing at all."""
        state, effects = self.step(name, stage, change, later)
        assert (state, effects) == (self.stages[name, stage], ())

    @property
    def quote(self) -> Quote:
        return self.stages["clearing", "quoted"].offer.quote  # type: ignore[no-any-return]

    @property
    def source(self) -> bytes:
        return source_transfer_id(self.payment)  # type: ignore[arg-type]

    @property
    def target(self) -> bytes:
        return target_transfer_id(self.payment)  # type: ignore[arg-type]

    @property
    def preimage(self) -> bytes:
        return self.stages["bank-a", "paid"].preimage  # type: ignore[no-any-return]
