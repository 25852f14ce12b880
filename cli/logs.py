"""What a process of ours logs: one form for every line, its libraries' too. Imports nothing of a node or a gateway."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

_LOG = structlog.get_logger(__name__)


def configure_logging(level: str, as_json: bool, file: TextIO | None = None) -> None:
    """Log to standard error, or to a file: one JSON object a line, or text with colours. Libraries' warnings come
    along.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Traces without local variables: they may hold secrets.
    plain = structlog.dev.RichTracebackFormatter(show_locals=False)
    last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    if as_json:
        trace = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
        last = [trace, structlog.processors.JSONRenderer(default=_plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file or sys.stderr),
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
