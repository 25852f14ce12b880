"""The compose file for people with Docker."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from infra import debian, programs
from infra.cache import CHECKOUT
from infra.errors import DownloadFailed, ToolMissing
from infra.ports import free_ports
from infra.rpc import JsonRpc

COMPOSE = CHECKOUT / "infra" / "compose.yaml"
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"
PORTS = ("BITCOIND", "ZMQ_RAWBLOCK", "ZMQ_HASHBLOCK", "ZMQ_RAWTX", "ANVIL", "POSTGRES")

needs_engine = pytest.mark.skipif(bool(programs.docker_engine()), reason=f"Docker: {programs.docker_engine()}")


@pytest.fixture(scope="session")
def compose_command() -> Iterator[tuple[str, ...]]:
    """`docker compose` where the client has it, else Debian's package of it, unpacked for this session."""
    if shutil.which("docker") is not None:
        known = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if known.returncode == 0:
            yield "docker", "compose"
            return
    with tempfile.TemporaryDirectory() as folder:
        try:
            tree = debian.unpacked("docker-compose", PLUGIN, Path(folder))
        except (DownloadFailed, ToolMissing) as missing:
            pytest.skip(f"no docker compose here: {missing}")
        yield debian.loader_command(tree, PLUGIN)


@pytest.fixture(scope="session")
def configuration(compose_command: tuple[str, ...]) -> dict[str, Any]:
    """What `docker compose config` makes of the file."""
    command = [*compose_command, "--file", str(COMPOSE), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_docker_compose_accepts_the_file(configuration: dict[str, Any]) -> None:
    """`docker compose config` accepts it and sees the three services, each with a health check."""
    services = configuration["services"]
    assert set(services) == {"bitcoind", "anvil", "postgres"}
    assert all("healthcheck" in service for service in services.values())


def test_compose_publishes_on_loopback_only(configuration: dict[str, Any]) -> None:
    """No service can be reached from another machine."""
    published = [port for service in configuration["services"].values() for port in service["ports"]]
    assert published
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_compose_runs_the_versions_that_we_run(configuration: dict[str, Any]) -> None:
    """The images and the anvil package are those that `infra.programs` starts in Docker."""
    services = configuration["services"]
    assert services["bitcoind"]["image"] == programs.BITCOIN_IMAGE
    assert services["postgres"]["image"] == programs.POSTGRES_IMAGE
    assert services["anvil"]["image"] == programs.NODE_IMAGE
    assert programs.ANVIL_PACKAGE in services["anvil"]["command"]
    pinned = json.loads((CHECKOUT / "package.json").read_text())["optionalDependencies"]
    assert pinned == dict([programs.ANVIL_PACKAGE.rsplit("@", 1)])


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    """For pytest-docker."""
    return str(COMPOSE)


@pytest.fixture(scope="session")
def compose_ports() -> dict[str, int]:
    """Free ports, by the first part of their variable's name."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


@pytest.fixture(scope="session")
def docker_setup(compose_ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """For pytest-docker: bring everything up on free ports and wait until it is healthy."""
    environment = tmp_path_factory.mktemp("compose") / "ports.env"
    environment.write_text("".join(f"{name}_PORT={port}\n" for name, port in compose_ports.items()))
    return [f"--env-file {environment} up --detach --wait"]


@needs_engine
async def test_composed_nodes_answer(docker_services: object, compose_ports: dict[str, int]) -> None:
    """The three containers serve on the published ports."""
    bitcoin = JsonRpc("bitcoind", f"http://127.0.0.1:{compose_ports['BITCOIND']}", "causeway", "causeway")
    assert await bitcoin.call("getblockcount") == 0
    anvil = JsonRpc("anvil", f"http://127.0.0.1:{compose_ports['ANVIL']}")
    assert await anvil.call("eth_chainId") == hex(31_337)
    connection = await asyncpg.connect(
        host="127.0.0.1", port=compose_ports["POSTGRES"], user="causeway", password="causeway", database="causeway"
    )
    await connection.close()
