"""A node as a process: its configuration, its password, its log, and the signals that end it.

Importing this imports a whole node, which takes about a second: only `causeway node run` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import structlog

from bridge.runtime import run_node
from bridge.settings import Settings
from bridge.status import STATUS
from bridge.storage import Database, DatabaseUnavailable
from cli.context import keystore_password
from cli.logs import configure_logging
from cli.node_folder import load_settings
from cli.node_status import read_status
from foundation.signals import heed
from mpc.transport import wall_clock

_LOG = structlog.get_logger(__name__)


def run_until_stopped(folder: Path, password_file: Path | None, level: str, as_json: bool) -> None:
    """Run the node in `folder` until SIGTERM or SIGINT.

    Raises:
        BadInput: the configuration or the password is missing or wrong.
        What `run_node` raises.
    """
    configure_logging(level, as_json or not sys.stderr.isatty())
    settings = load_settings(folder)
    named = settings.node.password_file
    password = keystore_password(password_file or (None if named is None else settings.path(named)))
    asyncio.run(_run(settings, password))


async def _run(settings: Settings, password: str) -> None:
    """Run it; a signal cancels it, and it closes everything in order."""
    node = asyncio.create_task(run_node(settings, password), name="node")
    stopped = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        _LOG.info("stopping", signal=number.name)
        stopped.set()
        node.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        heed(partial(stop, number), number)
    try:
        await node
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    finally:
        await say_stopped(settings)
    _LOG.info("stopped", name=settings.node.name)


async def say_stopped(settings: Settings) -> None:
    """Write into the node's status that it has ended, so that nobody has to wait for its silence."""
    try:
        said = (await read_status(settings))[0]
        if said is None or said["pid"] != os.getpid():
            return  # it never came to speak
        async with await Database.open(settings.database_url) as database, database.unit() as uow:
            await uow.node_meta.put(STATUS, json.dumps(said | {"stopped_at_ms": wall_clock()}).encode())
            await uow.commit()
    except DatabaseUnavailable as error:
        _LOG.warning("could not say that it stopped", problem=str(error))
