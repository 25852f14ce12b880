"""What a node writes into its log."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
