"""What a node writes into its log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog

from cli.logs import log_file

_PROGRAM = """
import sys, structlog
from cli.logs import configure_logging
configure_logging("info", as_json=sys.argv[1] == "json")
def fail():
    share = "a secret " + "share"
    raise RuntimeError("broken")
try:
    fail()
except RuntimeError:
    structlog.get_logger().exception("a duty failed")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_trace_holds_no_local_variable(form: str) -> None:
    """A bug's trace names the error and the line, and not what local variables held: they may be secrets."""
    ran = subprocess.run([sys.executable, "-c", _PROGRAM, form], capture_output=True, text=True, check=True)
    assert "RuntimeError" in ran.stderr
    assert "broken" in ran.stderr
    assert "a secret share" not in ran.stderr


_IMPORTS = """
import importlib, sys
for process in ("gateway_process", "connector_process", "channel_process"):
    importlib.import_module("cli." + process)
    if any(name.partition(".")[0] == "bridge" for name in sys.modules):
        sys.exit(process + " imports the bridge")
"""


def test_a_gateways_processes_import_no_bridge() -> None:
    """A bank's processes start without the half of the project that they do not use."""
    ran = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_log_file_is_left_as_it_was_found(tmp_path: Path) -> None:
    """A logger that wrote into the file writes where it wrote before, once the file is closed."""
    logger = structlog.get_logger("somebody")
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    with log_file(tmp_path / "a.log"):
        logger.info("into the file")
        logging.getLogger("a library").warning("a warning")
    logger.info("elsewhere")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["into the file", "a warning"]
    assert (structlog.get_config(), root.handlers[:], root.level) == before


def test_log_files_end_in_any_order(tmp_path: Path) -> None:
    """Two blocks of one process, of which the one that began first ends first: the other goes on, and no line goes to a
    file that is closed, then or afterwards."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers = root.handlers[:]
    log = structlog.get_logger("test")
    first, second = ExitStack(), ExitStack()
    first.enter_context(log_file(tmp_path / "first.log"))
    second.enter_context(log_file(tmp_path / "second.log"))
    first.close()
    log.info("between")
    second.close()
    assert "between" in (tmp_path / "second.log").read_text()
    assert structlog.get_config() == before
    assert root.handlers == handlers
    log.info("afterwards")
