"""`python -m settlement.ledgers.book book.toml` runs a book; `… new-key ID` makes an operator's key."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from foundation.collector import spare_collector
from foundation.errors import CausewayError
from foundation.signals import heed
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.keys import new_key
from settlement.ledgers.book.service import BookService

_USAGE = "usage: python -m settlement.ledgers.book CONFIG.toml | new-key ID"


def main(arguments: list[str]) -> int:
    """Run what the arguments say; the exit status."""
    try:
        match arguments:
            case ["new-key", key_id]:
                text, digest = new_key(key_id)
                print(f"key: {text}", f'configuration: operators = {{ "{key_id}" = "{digest.hex()}" }}', sep="\n")
            case [path]:
                uvloop.run(_serve(BookConfig.load(Path(path))))
            case _:
                print(_USAGE, file=sys.stderr)
                return 2
    except CausewayError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _serve(config: BookConfig) -> None:
    """Run until SIGTERM or SIGINT; says on standard output where it listens."""
    stop = asyncio.Event()
    heed(stop.set, signal.SIGTERM, signal.SIGINT)
    async with BookService(config) as service:
        spare_collector()
        print(service.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
