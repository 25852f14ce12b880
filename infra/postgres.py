"""A PostgreSQL server for tests and the development network."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar, Self

import asyncpg

from foundation.errors import BadInput
from infra.errors import NotReady, StartFailed
from infra.node import Node
from infra.processes import Process, User, read_record
from infra.programs import Program, find_postgres

_INITDB_SECONDS = 120
_PREFIX = "causeway-pg-"
_LEFTOVER_SECONDS = 3600
_UNPRIVILEGED = ("postgres", "nobody")
_IDENTIFIER_MAX = 63
"""Bytes of a database's name that PostgreSQL keeps."""


class Postgres(Node):
    """PostgreSQL over TCP on loopback, with a password and no unix socket.

    The server refuses to run as root: started by root, it runs as the user postgres or nobody, which must be able to
    enter `folder`. Without a folder it has one of its own under the system's temporary folder; `remove()` deletes it.
    """

    name: ClassVar[str] = "postgres"
    user: ClassVar[str] = "causeway"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    """End now, in order. SIGTERM would wait for all clients to leave (PostgreSQL, "Shutting Down the Server")."""
    death_signal: ClassVar[signal.Signals] = signal.SIGQUIT
    """End at once. On SIGKILL the server could not give its shared memory back."""

    def __init__(
        self, folder: Path | None = None, *, port: int | None = None, durable: bool = False, detached: bool = False
    ) -> None:
        """Describe the server; see `Node`.

        Args:
            folder: its data folder; a new temporary one where None.
            port: for a fixed port; a free one where None.
            durable: flush each commit to the disk. Off, it is faster and loses data only if the machine crashes.
            detached: let it outlive this process.
        """
        self._temporary = folder is None
        super().__init__(folder or _temporary_folder(), detached=detached)
        self._wanted_port = port
        self.durable = durable

    @property
    def password(self) -> str:
        """Of the superuser `user`; made at first use and kept in the folder."""
        return self._setting("password", secrets.token_urlsafe(24))

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port("port", self._wanted_port)

    def url(self, database: str = "postgres", driver: str = "postgresql+asyncpg") -> str:
        """SQLAlchemy's URL of a database on this server."""
        return f"{driver}://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    async def create_database(self, name: str) -> str:
        """Make a database and return its URL. Raises `BadInput` for a name that is not lower-case ASCII."""
        await self._execute(f"CREATE DATABASE {_checked(name)}")
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database, closing what connections it has; harmless where there is none."""
        await self._execute(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE)")

    async def remove(self) -> None:
        """Stop it and delete its temporary folder. A folder that the caller named is kept."""
        await self.stop()
        if self._temporary:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def __aenter__(self) -> Self:
        """As `start`; a temporary folder is deleted where that fails."""
        try:
            return await self.start()
        except BaseException:  # also when we are cancelled
            await self.remove()
            raise

    async def __aexit__(self, *exception: object) -> None:
        """Stop it; delete a temporary folder."""
        await self.remove()

    async def _execute(self, statement: str) -> None:
        connection = await self._connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _connect(self, timeout_seconds: float = 10) -> asyncpg.Connection:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            database="postgres",
            timeout=timeout_seconds,
        )

    def _find(self) -> Program:
        return find_postgres("postgres")

    async def _prepared(self, program: Program) -> Process:
        user = _server_user()
        data = self.folder / "data"
        if user is not None:
            os.chown(self.folder, user.uid, user.gid)
        _check_reachable(self.folder, user)
        initdb = find_postgres("initdb", (program.way,))
        if not program.image:
            program, initdb = await asyncio.to_thread(self._reachable, program, initdb, user)
        if not (data / "PG_VERSION").exists():
            await asyncio.to_thread(self._initialise, initdb, data, user)
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        settings |= {"max_connections": "200", "shared_buffers": "64MB"}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments: list[str | Path] = ["-D", data]
        arguments += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._supervised(program, arguments, user)

    def _initialise(self, initdb: Program, data: Path, user: User | None) -> None:
        """Make the cluster; it appears whole or not at all."""
        fresh, secret = self.folder / "data.new", self.folder / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        secret.write_text(self.password)
        if user is not None:
            os.chown(secret, user.uid, user.gid)
        secret.chmod(0o600)
        arguments: list[str | Path] = ["-D", fresh, "-U", self.user, "--pwfile", secret, "--auth", "scram-sha-256"]
        arguments += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
        inside = user if user and not initdb.image else None
        try:
            done = subprocess.run(
                initdb.argv(arguments, folder=self.folder, user=user),
                user=inside.uid if inside else None,
                group=inside.gid if inside else None,
                extra_groups=[] if inside else None,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INITDB_SECONDS,
                check=False,
            )
        finally:
            secret.unlink()
        if done.returncode:
            raise StartFailed("initdb", done.returncode, (done.stderr or done.stdout).strip())
        fresh.replace(data)

    def _reachable(self, program: Program, initdb: Program, user: User | None) -> tuple[Program, Program]:
        """The programs where the server's user can execute them.

        A checkout in root's home is closed to everyone else; the packaged server is then copied into the folder.
        """
        binary = Path(program.command[0])
        if user is None or _can_enter(binary.resolve().parent, user):
            return program, initdb
        home, copy = binary.parent.parent, self.folder / "server"
        if not copy.exists():
            # The libraries lie beside the package and are found relative to it.
            shutil.copytree(home, copy / home.parent.name / home.name)
            for libraries in home.parents[1].glob(f"{home.parent.name}.libs"):
                shutil.copytree(libraries, copy / libraries.name)
            copy.chmod(0o755)
        folder = copy / home.parent.name / home.name / "bin"
        return (
            Program(program.name, program.way, (str(folder / binary.name),)),
            Program(initdb.name, initdb.way, (str(folder / Path(initdb.command[0]).name),)),
        )

    async def _probe(self, timeout_seconds: float) -> None:
        try:
            connection = await self._connect(timeout_seconds)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise NotReady(self.name, f"{type(error).__name__}: {error}") from error
        await connection.close()


def _temporary_folder() -> Path:
    """A new folder that every user may enter; those that killed runs left behind are removed."""
    base = Path(tempfile.gettempdir())
    for leftover in base.glob(f"{_PREFIX}*"):
        try:
            age_seconds = time.time() - leftover.stat().st_mtime
            owner = read_record(leftover / "process.json")
        except OSError:  # another user's, or removed meanwhile
            continue
        if age_seconds > _LEFTOVER_SECONDS and not (owner and owner.is_alive()):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    folder.chmod(0o711)
    return folder


def _server_user() -> User | None:
    """The user that the server runs as where we are root; None for our own."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_uid, entry.pw_gid)
    return User(65_534, 65_534)


def _can_enter(folder: Path, user: User) -> bool:
    """Whether `user` may pass through every folder on the way to `folder`, and into it."""
    for step in (folder, *folder.parents):
        status = step.stat()
        shift = 6 if status.st_uid == user.uid else 3 if status.st_gid == user.gid else 0
        if not (status.st_mode >> shift) & 0o1:
            return False
    return True


def _check_reachable(folder: Path, user: User | None) -> None:
    if user is not None and not _can_enter(folder, user):
        raise BadInput(
            "folder", f"{folder} is closed to uid {user.uid}, as which PostgreSQL runs", "use another folder"
        )


def _checked(name: str) -> str:
    if not (name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= _IDENTIFIER_MAX):
        raise BadInput("database", f"{name!r} is not a plain lower-case name")
    return name
