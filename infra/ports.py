"""Free loopback ports that stay free long enough to be used."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from infra.errors import NoFreePort

_LOWEST, _HIGHEST = 15_000, 32_000
"""Below the range from which the kernel gives ports to outgoing connections (from 32,768 on Linux), so that a node
which is stopped for a while finds its port still free when it starts again."""

_ATTEMPTS = 200
_given: set[int] = set()
_random = random.SystemRandom()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: an old connection in TIME_WAIT must not make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, and that neither this process nor another one that runs was given.

    Raises:
        NoFreePort: none of 200 random ports could be bound.
    """
    for port in _candidates():
        if port not in _given and _reserve(port) and is_free(port):
            _given.add(port)
            return port
    raise NoFreePort(_ATTEMPTS)


def free_ports(count: int) -> tuple[int, ...]:
    """`count` distinct free ports. Raises `NoFreePort`."""
    return tuple(free_port() for _ in range(count))


def _reserve(port: int) -> bool:
    """Whether no other process of this user has the port in mind: a lock, which ends with the process, on a byte of a
    file that all share. Between the choice and the server's start lie seconds, in which two would choose the same."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    return True


@cache
def _reservations() -> int:
    """The file. Never closed: to close it would end all locks of the process."""
    path = Path(tempfile.gettempdir()) / f"causeway-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _candidates() -> Iterator[int]:
    for _ in range(_ATTEMPTS):
        yield _random.randint(_LOWEST, _HIGHEST)
