"""What a command says when its swap has ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from cli.swap_outcomes import tell_end
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import Peer, SwapRow, SwapStore
from settlement.swap.store.tables import SCHEMA
from tests.support.swap_settings import settings_in
from tests.support.swap_sides import initiator
from tests.support.swap_told import Told


@pytest.mark.parametrize(("others", "told"), [(0, None), (1, "1 other swap is open"), (2, "2 other swaps are open")])
async def test_other_swaps_that_are_open_are_counted(tmp_path: Path, others: int, told: str | None) -> None:
    """As a person would say it."""
    state = initiator().state

    def row(number: int, state: Any) -> SwapRow:
        return SwapRow(bytes([number]) * 32, number, True, "", Peer(b"", b"", ""), b"", state, 1, UnixMs(1), UnixMs(1))

    ended = row(9, replace(state, outcome=Outcome.SWAPPED))
    output = Told()
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            for number in range(others):
                await SwapStore(unit.connection).add(row(number, state))
            await unit.commit()
        engine = SimpleNamespace(office=SimpleNamespace(database=database), settings=settings_in(tmp_path))
        running: Any = SimpleNamespace(engine=engine)
        await tell_end(running, ended, output)
    assert output.notes == ([] if told is None else [f"{told}: causeway swap resume"])
