"""What can go wrong while the development network is put up. All carry fields; none needs its text parsed."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import Fatal, Retryable


class ToolMissing(Fatal):
    """A program could not be had in any of the ways that were tried.

    Fields: tool (its name); tried (one line a way: what was looked for and why it did not serve);
    cure (what a person can install).
    """

    def __init__(self, tool: str, tried: tuple[str, ...], cure: str) -> None:
        self.tool = tool
        self.tried = tried
        self.cure = cure
        ways = "".join(f"\n  - {line}" for line in tried)
        super().__init__(f"{tool} is missing. Tried:{ways}\nTo have it: {cure}")


class DownloadFailed(Retryable):
    """A package could not be fetched or did not work once unpacked; nothing was put into the cache.

    Fields: what (the package); problem (the last lines that the failing command printed).
    """

    def __init__(self, what: str, problem: str) -> None:
        self.what = what
        self.problem = problem
        super().__init__(f"{what} could not be fetched: {problem}")


class CacheBusy(Retryable):
    """Another run holds the cache's lock for longer than we care to wait.

    Fields: lock (the lock file); waited_seconds.
    """

    def __init__(self, lock: Path, waited_seconds: float) -> None:
        self.lock = lock
        self.waited_seconds = waited_seconds
        super().__init__(f"another run holds {lock} (waited {waited_seconds:.0f} s)")


class StartFailed(Fatal):
    """A process ended before it was ready.

    Fields: name; status (exit status, negative for a signal, None where it is not known); log (its last lines).
    """

    def __init__(self, name: str, status: int | None, log: str) -> None:
        self.name = name
        self.status = status
        self.log = log
        super().__init__(f"{name} ended with status {status} before it was ready:\n{log}")


class NotReady(Retryable):
    """A node does not answer as it should, yet.

    Fields: name; problem; waited_seconds (0 for a single look).
    """

    def __init__(self, name: str, problem: str, waited_seconds: float = 0) -> None:
        self.name = name
        self.problem = problem
        self.waited_seconds = waited_seconds
        after = f" after {waited_seconds:.0f} s" if waited_seconds else ""
        super().__init__(f"{name} is not ready{after}: {problem}")


class NotRunning(Fatal):
    """Something was asked of a process that does not run.

    Fields: name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} does not run")


class NoFreePort(Retryable):
    """No loopback port could be bound.

    Fields: attempts.
    """

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        super().__init__(f"no free port on 127.0.0.1 after {attempts} attempts")


class StateDamaged(Fatal):
    """A node's saved state cannot be read, so starting it would silently begin another chain.

    Fields: path; problem.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path} cannot be read: {problem}; move it away to begin anew")


class RpcRefused(Fatal):
    """A node answered a JSON-RPC call with an error.

    Fields: method; code; message.
    """

    def __init__(self, method: str, code: int, message: str) -> None:
        self.method = method
        self.code = code
        self.message = message
        super().__init__(f"{method}: {message} (code {code})")
