"""A book as a process, and the key of its operator."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.output import Output
from foundation.collector import spare_collector
from foundation.errors import BadInput
from foundation.signals import heed
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.keys import new_key
from settlement.ledgers.book.service import BookService


async def serve(path: Path, output: Output) -> None:
    """Run the book of a configuration until SIGTERM or SIGINT.

    Raises:
        BadInput: a value of the configuration cannot be used.
        DatabaseUnavailable: the database does not answer.
    """
    config = BookConfig.load(path)
    stopped = asyncio.Event()
    heed(stopped.set, signal.SIGTERM, signal.SIGINT)
    async with BookService(config) as service:
        spare_collector()
        output.result({"ledger": config.ledger_id, "url": service.url}, f"{config.ledger_id} listens on {service.url}")
        await stopped.wait()


def make_operator_key(key_id: str, out: Path) -> str:
    """Write a new key to a file; the digest for the configuration, 64 hex digits. Raises `BadInput`."""
    text, digest = new_key(key_id)
    with new_secret_file(out) as write:
        write(text)
    return digest.hex()


@contextmanager
def new_secret_file(path: Path) -> Iterator[Callable[[str], None]]:
    """A new file that its owner alone may read, to be written inside the block; gone again where the block fails.

    It is made before the secret is: no secret is made that could not be kept.

    Raises:
        BadInput: a file is there already.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BadInput("--out", f"{path} is there already", "name another file; a key is never overwritten") from error
    try:
        with os.fdopen(descriptor, "w") as file:

            def write(text: str) -> None:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())

            yield write
    except BaseException:
        path.unlink(missing_ok=True)
        raise
