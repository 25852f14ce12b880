"""A node as a process: its configuration, its password, its log, and the signals that end it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from bridge.runtime import run_node
from bridge.settings import Settings
from cli.context import CONFIG, keystore_password

_LOG = structlog.get_logger(__name__)


def run_until_stopped(folder: Path, password_file: Path | None, level: str, as_json: bool) -> None:
    """Run the node in `folder` until SIGTERM or SIGINT.

    Raises:
        BadInput: the configuration or the password is missing or wrong.
        What `run_node` raises.
    """
    configure_logging(level, as_json or not sys.stderr.isatty())
    settings = Settings.load(folder / CONFIG)
    named = settings.node.password_file
    password = keystore_password(password_file or (None if named is None else settings.path(named)))
    asyncio.run(_run(settings, password))


async def _run(settings: Settings, password: str) -> None:
    """Run it; a signal cancels it, and it closes everything in order."""
    node = asyncio.create_task(run_node(settings, password), name="node")
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        _LOG.info("stopping", signal=number.name)
        stopped.set()
        node.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await node
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    _LOG.info("stopped", name=settings.node.name)


def configure_logging(level: str, as_json: bool) -> None:
    """Log to standard error: one JSON object a line, or text with colours. Libraries' warnings come along."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.dev.ConsoleRenderer()]
    if as_json:
        last = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=_plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_Forward()], force=True)


class _Forward(logging.Handler):
    """Passes what libraries log through our renderer, so that every line of the log has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info if record.exc_info and record.exc_info[0] else None
        _LOG.log(record.levelno, record.getMessage(), logger=record.name, exc_info=exception)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
