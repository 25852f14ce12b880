"""The initiator's lock leaves while it is wanted and in time, and what may be out is seen through."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from settlement.swap.engine.hands import evm as hand
from settlement.swap.evm.leg import Landed
from settlement.swap.machine.changes import Failed, Sent
from settlement.swap.machine.effects import PlaceLock
from settlement.swap.machine.states import Initiator, Why
from tests.support.swap_evm import site_of
from tests.support.swap_sides import initiator

NOT_AFTER = 1_000


class Desk:
    """Remembers whether the lock was made. `is_placing`: it was signed before."""

    def __init__(self, seconds: int, is_placing: bool) -> None:
        self.seconds, self.was_signed = seconds, is_placing
        self.placed = False
        self.evm = self
        self.site = site_of()

    async def is_placing(self, swap_id: bytes) -> bool:
        """See `EscrowLeg`."""
        return self.was_signed

    async def place(self, *_: Any) -> Landed:
        """See `EscrowLeg`."""
        self.placed = True
        return Landed(b"t" * 32)

    def secrets(self, row: Any) -> Any:
        """Somebody's."""
        return SimpleNamespace(bitcoin=b"\x01" * 32, lock=b"\x02" * 32)


@pytest.mark.parametrize("is_placing", [False, True])
@pytest.mark.parametrize(
    ("quits", "seconds", "problem"),
    [
        (None, NOT_AFTER - 1, ""),
        (Why.OWNER, NOT_AFTER - 1, "it was called off"),
        (Why.PEER, NOT_AFTER - 1, "it was called off"),
        (None, NOT_AFTER, "too late to lock"),
        (Why.LATE, NOT_AFTER, "too late to lock"),
    ],
)
async def test_a_lock_that_waited_leaves_only_if_it_is_still_wanted(
    monkeypatch: pytest.MonkeyPatch, quits: Why | None, seconds: int, problem: str, is_placing: bool
) -> None:
    """An owner cancelled, or the other side left, before the order's turn came: no money is bound until T1 for that.
    One that was signed before may be on the chain, and is sent until it is seen there."""
    monkeypatch.setattr(hand, "seal_memo", lambda *_: b"memo")
    monkeypatch.setattr(hand, "memo_of", lambda _: None)
    state = initiator().state
    assert isinstance(state, Initiator)
    desk: Any = Desk(seconds, is_placing)
    row: Any = SimpleNamespace(swap_id=bytes(32), state=replace(state, locking=True, quit=quits))
    order = PlaceLock(NOT_AFTER)
    came = await hand.place(desk, row, order)
    leaves = not problem or is_placing
    assert desk.placed is leaves
    assert came == ((Sent(order.key, b"t" * 32),) if leaves else (Failed(order.key, problem),))
