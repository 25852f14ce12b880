"""Makes sure that every program of the development network can be had; `make setup` runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from foundation.errors import CausewayError
from infra.programs import Program, find_anvil, find_bitcoind, find_postgres


def main() -> int:
    """Look for each program, fetch what is missing, and say where each was found. Returns the exit status."""
    finders: tuple[Callable[[], Program], ...] = (find_bitcoind, find_anvil, lambda: find_postgres("postgres"))
    failures = 0
    for find in finders:
        started = time.monotonic()
        try:
            program = find()
        except CausewayError as missing:
            print(missing, file=sys.stderr)
            failures += 1
            continue
        where = program.image or program.command[-1]
        print(f"  {program.name}: {program.way}, {where} ({time.monotonic() - started:.1f} s)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
