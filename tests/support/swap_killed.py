"""A trader's process that is killed (SIGKILL) at every step once, and started again until its swaps have ended.

    python -m tests.support.swap_killed FOLDER SECONDS

`FOLDER` is a trader's, with the 24 words in `words`; its clock is so many seconds ahead. The parent imports everything
once and forks a child for each life; a child kills itself where it has not been killed before: after a step is stored
and before any of its orders is carried out, and after an order is carried out and before that is stored. `kills` in the
folder lists where.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundation.quantities import UnixMs
from settlement.swap.engine import performer
from settlement.swap.engine.hands.desk import Changes, Desk
from settlement.swap.engine.office import Beside, Office, notes
from settlement.swap.engine.runtime import open_engine, wall_clock
from settlement.swap.engine.settings import TraderSettings, load_settings
from settlement.swap.machine.changes import Change
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Swap
from settlement.swap.store.store import SwapRow, SwapStore
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_people import QUICK

KILLS = "kills"
WORDS = "words"
_LIVES = 200
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG (prctl(2))."""


class Killer:
    """Kills this process at each site once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KILLS
        self._known = set(killed_at(folder))

    def at(self, site: str) -> None:
        """Die here, unless that has happened before."""
        if site in self._known:
            return
        with self._path.open("a") as file:
            file.write(site + "\n")
        os.kill(os.getpid(), signal.SIGKILL)


def killed_at(folder: Path) -> list[str]:
    """Where a trader was killed, in order."""
    path = folder / KILLS
    return path.read_text().splitlines() if path.exists() else []


def patient(settings: TraderSettings) -> TraderSettings:
    """Time for all those lives, and little waiting for letters."""
    known = replace(settings.conditions, handshake_s=3_000, patience_ms=1_500, resend_ms=300)
    return replace(settings, conditions=replace(known, bump_bitcoin_ms=1_500, bump_evm_ms=1_500))


async def live(folder: Path, ahead_s: int) -> None:
    """One life: until all swaps have ended."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    _mortal(Killer(folder))
    keys = TraderKeys((folder / WORDS).read_text())
    async with open_engine(patient(load_settings(folder)), keys, clock=lambda: _now(ahead_s), sender=QUICK) as engine:
        task = asyncio.create_task(engine.run())
        try:
            while not task.done():
                rows = await engine.office.swaps()
                if rows and not any(row.is_open for row in rows):
                    return
                await asyncio.wait({task}, timeout=0.1)
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _now(ahead_s: int) -> UnixMs:
    return UnixMs(wall_clock() + 1_000 * ahead_s)


def _mortal(killer: Killer) -> None:
    """Have the engine die at its steps."""
    store, apply, begin = Office._store, Office.apply, Office.begin  # noqa: SLF001
    steps: list[str] = []

    async def storing(
        self: Office, where: SwapStore, row: SwapRow, state: Swap, effects: Sequence[Effect], now: Any
    ) -> SwapRow:
        newer = await store(self, where, row, state, effects, now)
        told = [*notes(row.state, state), *(_kind(effect.key) for effect in effects)]
        if told:
            steps.append("stored: " + ", ".join(sorted({one.split(":")[0] for one in told})))
        return newer

    async def applying(
        self: Office, swap_id: bytes, changes: Sequence[Change], beside: Beside | None = None, *, signature: bytes = b""
    ) -> SwapRow | None:
        found = await apply(self, swap_id, changes, beside, signature=signature)
        while steps:
            killer.at(steps.pop())
        return found

    async def beginning(
        self: Office, row: SwapRow, changes: Sequence[Change] = (), beside: Beside | None = None
    ) -> None:
        await begin(self, row, changes, beside)
        killer.at("begun")

    Office._store, Office.apply, Office.begin = storing, applying, beginning  # type: ignore[method-assign] # noqa: SLF001

    def deadly(hand: performer.Hand) -> performer.Hand:
        async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
            changes = await hand(desk, row, order)
            killer.at("done: " + _kind(order.key))
            return changes

        return carry_out

    performer.HANDS = {kind: deadly(hand) for kind, hand in performer.HANDS.items()}  # type: ignore[misc]


def _kind(key: str) -> str:
    """An order's kind and, of a letter, what it says."""
    parts = key.split(":")
    return " ".join(parts[:2]) if parts[0] == "SendLetter" else parts[0]


def main() -> int:
    """Live until the swaps have ended, as often as it takes."""
    folder = Path(sys.argv[1])
    for _ in range(_LIVES):
        child = os.fork()
        if not child:
            try:
                asyncio.run(live(folder, int(sys.argv[2])))
            except BaseException as error:  # noqa: BLE001 - a fork must not run on in its parent's code
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
    return 2


if __name__ == "__main__":
    sys.exit(main())
