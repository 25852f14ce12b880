"""A connector as a process: its configuration, its log, and an event loop that is fast."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from cli.logs import configure_logging
from settlement.connector.config import load_config
from settlement.connector.runtime import serve


def run_until_stopped(path: Path, level: str, as_json: bool) -> None:
    """Run the connector of a configuration until SIGTERM or SIGINT.

    Raises:
        BadInput: a field of the file is not acceptable, or another process has the balances.
        What `Connector.start` raises.
    """
    configure_logging(level, as_json or not sys.stderr.isatty())
    uvloop.run(serve(load_config(path)))
