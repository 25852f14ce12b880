"""A node in Docker, with a stand-in for the docker client that runs the container's command right here.

It shows that the command line is what the program inside expects, and that the leash passes on signals; a real engine
is used by the compose file's tests, where one runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import programs
from infra.anvil import Anvil
from infra.programs import Way
from tests.support.patience import PATIENCE_S

DOCKER = """#!/bin/sh
case "$1" in
info) echo 28.0 ;;
image) exit 0 ;;
run)
    shift
    while :; do
        case "$1" in
        --rm | --interactive) shift ;;
        --entrypoint) entrypoint=$2; shift 2 ;;
        --*) shift 2 ;;
        *) shift; exec "$entrypoint" "$@" ;;
        esac
    done ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Docker's client and npm's runner on PATH, and nothing else of ours."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (anvil,) = programs.find_anvil([Way.PATH] if shutil.which("anvil") else [Way.PACKAGE]).command
    for name, text in (("docker", DOCKER), ("npx", f'#!/bin/sh\nshift 2\nexec {anvil} "$@"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    programs.docker_engine.cache_clear()
    yield
    programs.docker_engine.cache_clear()


async def test_node_in_docker_serves_keeps_its_state_and_ends(stand_in: None, tmp_path: Path) -> None:
    """Started through docker, the node serves on its port; asked to end it saves its state, and goes on from there."""
    node = Anvil(tmp_path / "anvil", save_seconds=3600)
    async with node:
        await node.mine(7)
        await node.stop()
        assert not node.is_running
        await node.start()
        assert await node.height() >= 7


async def test_container_ends_when_the_client_loses_us(stand_in: None, tmp_path: Path) -> None:
    """The pipe that holds the container's standard input open is ours alone: closed, the program inside ends."""
    async with Anvil(tmp_path / "anvil") as node:
        process = node._process
        assert process is not None
        assert process._popen is not None
        assert process._popen.stdin is not None
        os.close(process._popen.stdin.fileno())
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
        assert not await node.healthy()
        process._popen.stdin = None
