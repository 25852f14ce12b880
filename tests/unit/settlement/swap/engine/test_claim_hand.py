"""The initiator's hand claims a private swap's output at whatever a mempool asks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from settlement.swap.bitcoin.desk import Submission
from settlement.swap.engine.hands import claims as hand
from settlement.swap.machine.effects import ClaimBitcoinByRung

OUTPOINT = b"\x01" * 36


class FakeDesk:
    """A node whose mempool takes nothing alone; `standing`: what it has in the output's place."""

    def __init__(self, standing: bytes | None) -> None:
        self.bitcoin = self
        self.there = None if standing is None else SimpleNamespace(txid=standing)

    def coin(self, row: Any, outpoint: bytes) -> Any:
        return SimpleNamespace(outpoint=outpoint)

    def output(self, row: Any) -> None: ...

    def secrets(self, row: Any) -> Any:
        return SimpleNamespace(scalar=b"\x07" * 32)

    async def keep(self, *_: Any) -> None: ...

    async def submit(self, raw: bytes) -> Submission:
        return Submission.OUTBID

    async def standing(self, outpoint: Any) -> Any:
        return self.there


@pytest.mark.parametrize(("standing", "paid_for"), [(None, [b"3"]), (b"1", [b"1"]), (b"x", [])])
async def test_a_child_pays_where_no_rung_is_taken(monkeypatch, standing, paid_for):
    """For the rung that lingers; for the highest where the mempool asks more; never for another's spend."""
    rungs = {
        name: SimpleNamespace(fee=1, claim=lambda *_, name=name: name, spend=lambda coin, name=name: named(name))
        for name in (b"1", b"2", b"3")
    }

    def named(name: bytes) -> Any:
        return SimpleNamespace(txid=lambda: name)

    done: list[bytes] = []

    async def pay(desk: Any, row: Any, order: Any, coin: Any, rung: Any, scalar: bytes) -> None:
        done.append(rung.claim())

    monkeypatch.setattr(hand, "_pay_for", pay)
    monkeypatch.setattr(hand, "Rung", SimpleNamespace(decode=rungs.__getitem__))
    monkeypatch.setattr(hand, "parse_transaction", lambda raw: SimpleNamespace(txid=raw))
    row: Any = SimpleNamespace(state=SimpleNamespace(presignatures=tuple(rungs)))
    desk: Any = FakeDesk(standing)
    assert await hand.claim_by_rung(desk, row, ClaimBitcoinByRung(OUTPOINT, 0, 1)) == ()
    assert done == paid_for
