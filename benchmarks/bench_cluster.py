"""The threshold cluster as five processes over loopback: all in, transport, journals on disk and keystores included."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.support.processes import ClusterProcesses

T: Final = 3
N: Final = 5
WARM_UP: Final = 5
SESSIONS: Final = 50
KEY_GENERATIONS: Final = 3
SWEEP_ITEMS: Final = 64
"""The inputs of a large sweep: one item each, all signed in one session."""


async def measure() -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of key generations (proof by the new group included), of sessions with 1 item, and of sweeps."""
    key_generations, single, sweep = [], [], []
    for last in [*[False] * (KEY_GENERATIONS - 1), True]:
        with tempfile.TemporaryDirectory() as folder:
            async with ClusterProcesses(Path(folder), T, N) as cluster:
                made = await cluster.nodes[0].call(do="create")
                key_generations.append(made["seconds"] * 1000)
                if last:
                    for i in range(WARM_UP + SESSIONS):
                        single.append(await _sign(cluster, i, 1))
                        sweep.append(await _sign(cluster, i, SWEEP_ITEMS))
    return key_generations, single[WARM_UP:], sweep[WARM_UP:]


async def _sign(cluster: ClusterProcesses, i: int, items: int) -> float:
    """One session; the coordinator rotates."""
    body = b"".join(bytes([i, k]) + bytes(30) for k in range(items))
    signed = await cluster.nodes[i % N].call(do="sign", body=body.hex())
    assert len(signed["signatures"]) == items
    return float(signed["seconds"]) * 1000


def figure(name: str, target_ms: float | None, times: list[float]) -> dict[str, object]:
    """The median, with all samples."""
    middle = sorted(times)[len(times) // 2]
    samples = [round(t, 2) for t in times]
    return {"name": name, "value": round(middle, 2), "unit": "ms", "target": target_ms, "samples": samples}


def run() -> list[dict[str, object]]:
    """Measure all cases. A target is the most that a case may take; None: for information."""
    key_generations, single, sweep = asyncio.run(measure())
    return [
        figure("signing session 3-of-5, five processes, p50", 40, single),
        figure(f"signing session 3-of-5, five processes, {SWEEP_ITEMS} items, p50", 500, sweep),
        figure("ChillDKG 3-of-5, five processes, with the group's proof", 1000, key_generations),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
