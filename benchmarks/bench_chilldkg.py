"""ChillDKG in one process: all participants and the coordinator one after the other, without any network."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from mpc import chilldkg


def full_session(t: int, n: int) -> chilldkg.DKGOutput:
    """A whole session; every participant computes everything for itself."""
    hostseckeys = [os.urandom(32) for _ in range(n)]
    params = chilldkg.SessionParams([chilldkg.hostpubkey_gen(key) for key in hostseckeys], t)
    first = [chilldkg.participant_step1(key, params, os.urandom(32)) for key in hostseckeys]
    coordinator, cmsg1 = chilldkg.coordinator_step1([pmsg for _, pmsg in first], params)
    second = [
        chilldkg.participant_step2(key, state, cmsg1, os.urandom(32))
        for key, (state, _) in zip(hostseckeys, first, strict=True)
    ]
    cmsg2, output, _ = chilldkg.coordinator_finalize(coordinator, [pmsg for _, pmsg in second])
    for state, _ in second:
        own, _ = chilldkg.participant_finalize(state, cmsg2)
        assert (own.thresh_pk, own.pubshares) == (output.thresh_pk, output.pubshares)
    return output


def measure(name: str, target_ms: float | None, samples: int, call: Callable[[], object]) -> dict[str, object]:
    """The median of `samples` runs in milliseconds."""
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    value = round(statistics.median(times), 1)
    return {"name": name, "value": value, "unit": "ms", "target": target_ms, "samples": samples}


def run() -> list[dict[str, object]]:
    """Measure all cases. A target is the most that a case may take; None: for information."""
    return [
        measure("ChillDKG 3-of-5, one process", None, 20, lambda: full_session(3, 5)),
        measure("ChillDKG 67-of-100, one process", 10_000, 1, lambda: full_session(67, 100)),
    ]


def print_table(rows: list[dict[str, object]]) -> None:
    for row in rows:
        target = "" if row["target"] is None else f"target {row['target']} {row['unit']}"
        sys.stdout.write(f"{row['name']:<55} {row['value']:>10} {row['unit']}  {target}  ({row['samples']} samples)\n")


if __name__ == "__main__":
    results = run()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        print_table(results)
