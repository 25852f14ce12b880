"""`python -m settlement.connector.settle.engines engine.toml` runs an engine; `… new-secret` makes a secret."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from pathlib import Path

from foundation.errors import CausewayError
from foundation.signals import heed
from settlement.connector.settle.engines.config import EngineConfig
from settlement.connector.settle.engines.running import RunningEngine

_USAGE = "usage: python -m settlement.connector.settle.engines CONFIG.toml | new-secret"


def main(arguments: list[str]) -> int:
    """Run what the arguments say; the exit status."""
    try:
        match arguments:
            case ["new-secret"]:
                print(secrets.token_hex(32))
            case [path]:
                asyncio.run(_serve(EngineConfig.load(Path(path))))
            case _:
                print(_USAGE, file=sys.stderr)
                return 2
    except CausewayError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _serve(config: EngineConfig) -> None:
    """Run until SIGTERM or SIGINT, or until the engine fails; says on standard output where it listens."""
    stop = asyncio.Event()
    heed(stop.set, signal.SIGTERM, signal.SIGINT)
    async with RunningEngine(config) as engine:
        print(engine.url, flush=True)
        stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(engine.wait())
        done, pending = await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if failed in done:
            failed.result()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
