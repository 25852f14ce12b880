"""The page for operators of gateways: its example runs as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, STDOUT
from contextlib import suppress
from pathlib import Path

import pytest

from infra.ports import free_ports
from tests.support.forking import forking_causeway
from tests.support.patience import TEST_S

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PORT = re.compile(r"\b8[45][0-9]{2}\b")


def example(page: str) -> str:
    """The page's commands one after the other, on ports that are free here."""
    script = "\n".join(_BLOCK.findall(page))
    ports = sorted(set(_PORT.findall(script)))
    free = dict(zip(ports, map(str, free_ports(len(ports))), strict=True))
    return _PORT.sub(lambda found: free[found.group()], script)


@pytest.mark.timeout(1.4 * TEST_S)
async def test_the_example_of_three_banks_runs_as_it_stands(tmp_path: Path) -> None:
    """Two books, three gateways, one payment, its receipt and the books: no command of the page fails."""
    path = os.pathsep.join((str(forking_causeway().parent), os.environ["PATH"]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAUSEWAY_")}
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-o", "pipefail", "-c", example(PAGE.read_text())),
        cwd=tmp_path,
        env=environment | {"PATH": path},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        said = (await shell.communicate())[0].decode()
    finally:
        _end(tmp_path / "pids")
    assert shell.returncode == 0, said[-4_000:]
    assert "status   paid" in said
    assert "receipt  sound" in said
    assert "books     right" in said


def _end(pids: Path) -> None:
    """End what the example has started, also where it broke off."""
    for pid in pids.read_text().split() if pids.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
