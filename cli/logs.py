"""What a process of ours logs: one form for every line, its libraries' too. Imports nothing of a node or a gateway."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import structlog

_LOG = structlog.get_logger(__name__)
_FILES: list[TextIO] = []
"""Of the `log_file` blocks that have not ended."""
_BEFORE: dict[str, Any] = {}
"""How it was logged before the first of them."""


def configure_logging(level: str, as_json: bool) -> None:
    """Log to standard error, for as long as the process lives: one JSON object a line, or text with colours.
    Libraries' warnings come along.
    """
    _configure(level, as_json, sys.stderr, is_for_ever=True)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Log to the end of a file, one JSON object a line, until the block ends; then as before. Of several blocks at the
    same time the one that began last counts, in whatever order they end."""
    if not _FILES:
        root = logging.getLogger()
        _BEFORE.update(config=structlog.get_config(), handlers=root.handlers[:], level=root.level)
    with path.open("a", encoding="utf-8", buffering=1) as file:
        _FILES.append(file)
        _configure("info", True, file, is_for_ever=False)
        try:
            yield
        finally:
            _FILES.remove(file)
            if _FILES:
                _configure("info", True, _FILES[-1], is_for_ever=False)
            else:
                _restore()


def _restore() -> None:
    root = logging.getLogger()
    structlog.configure(**_BEFORE["config"])
    root.handlers[:] = _BEFORE["handlers"]
    root.setLevel(_BEFORE["level"])


def _configure(level: str, as_json: bool, file: TextIO, *, is_for_ever: bool) -> None:
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
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=is_for_ever,  # a cached logger would write to a file that is closed
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(max(number, logging.WARNING))


class _Forward(logging.Handler):
    """Passes what libraries log through our renderer, so that every line of the log has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info if record.exc_info and record.exc_info[0] else None
        _LOG.log(record.levelno, record.getMessage(), logger=record.name, exc_info=exception)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
