"""`causeway` without Python's start: one process has imported all commands, and forks for each run.

A run is still a process of its own, with its own arguments, environment, folder, input and output; but what takes most
of its time, the imports, was done before. `forking_causeway` gives the program's path, for shells and for `subprocess`.
"""

from __future__ import annotations

import array
import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_LOOK_S: Final = 2.0

_CLIENT: Final = """#!{python} -ISE
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({place!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
descriptors = array.array("i", (0, 1, 2)).tobytes()
server.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
server.sendall(request)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: server.send(bytes([number])))
status = server.recv(1)
sys.exit(status[0] if status else "the process that forks has gone")
"""


@cache
def forking_causeway() -> Path:
    """The program: a file named `causeway`, which serves until these tests' process ends."""
    folder = tempfile.TemporaryDirectory(prefix="causeway-fork-")
    place = Path(folder.name) / "socket"
    program = Path(folder.name) / "causeway"
    program.write_text(_CLIENT.format(python=sys.executable, place=str(place)))
    program.chmod(0o700)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forking", str(place)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(folder.cleanup)
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "it can fork"
    return program


def serve(place: str) -> None:
    """Fork for every connection. Ends with the process that started it; returns in the process that runs a command."""
    from cli.main import COMMANDS

    for module, _ in COMMANDS.values():
        import_module(module)
    parent = os.getppid()
    gc.collect()
    gc.freeze()  # what was imported is shared by all, and never looked through
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen(64)
        os.write(1, b"ready\n")
        while os.getppid() == parent:
            if not select.select([listening], [], [], _LOOK_S)[0]:
                continue
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                if not _attended(connection):
                    return
                os._exit(0)
            connection.close()
    os._exit(0)


def _attended(connection: socket.socket) -> bool:
    """Fork once more; False in the command's own process, True in the other, once the command has ended."""
    head, ancillary, *_ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    descriptors = array.array("i", ancillary[0][2])
    with connection.makefile("rb") as stream:
        arguments, folder, environment = json.loads(stream.read(int.from_bytes(head, "big")))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    child = os.fork()
    if not child:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become(arguments, folder, environment, descriptors)
        for used in (connection.detach(), woken, wakes):
            os.close(used)
        return False
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(bytes([_status(connection, woken, child)]))
    return True


def _become(arguments: list[str], folder: str, environment: dict[str, str], descriptors: array.array[int]) -> None:
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["causeway", *arguments]


def _status(connection: socket.socket, woken: int, child: int) -> int:
    """How the command ended. Signals are passed on to it, and it is killed where who asked for it was."""
    heard: list[socket.socket | int] = [connection, woken]
    while True:
        ready = select.select(heard, [], [])[0]
        if connection in ready:
            number = connection.recv(1)
            os.kill(child, number[0] if number else signal.SIGKILL)
            if not number:
                os._exit(0)
        if woken in ready:
            os.read(woken, 64)
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


if __name__ == "__main__":
    serve(sys.argv[1])
    from cli.main import app

    app(prog_name="causeway")
