"""A gateway as a process: its configuration, its key, its log, and the signals that end it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import structlog

from api.server import serve_api
from api.settings import load_settings
from cli.logs import configure_logging
from foundation.collector import spare_collector
from foundation.errors import BadInput
from foundation.signals import heed
from settlement.cosign.keyfile import open_key_file
from settlement.gateway.config import load_config
from settlement.gateway.process import run_gateway

_LOG = structlog.get_logger(__name__)


async def run_until_stopped(path: Path, password: str, level: str, as_json: bool) -> None:
    """Run the gateway of a configuration until SIGTERM or SIGINT.

    Raises:
        BadInput: a file, a field or the password is not acceptable.
        What `run_gateway` raises.
    """
    configure_logging(level, as_json or not sys.stderr.isatty())
    config = load_config(path)
    try:
        seed = open_key_file(config.key_file, config.party, password)
    except OSError as error:
        raise BadInput(
            "gateway.key_file", f"{config.key_file} cannot be read", "name the key that `init` made"
        ) from error
    stopped = asyncio.Event()
    heed(stopped.set, signal.SIGTERM, signal.SIGINT)
    settings = load_settings(config.folder / "api.toml")
    async with run_gateway(config, seed) as running, serve_api(running, *config.api, settings) as serving:
        spare_collector()
        _LOG.info("gateway runs", party=config.party, letters=running.letters, api=serving.url)
        await stopped.wait()
        _LOG.info("stopping", party=config.party)
