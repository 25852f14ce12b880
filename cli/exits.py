"""What a command's exit status says, and what a person is told to do about an error."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from foundation.errors import BadInput, CausewayError, Fatal, Retryable


class ExitCode(IntEnum):
    """The exit statuses of every command; docs/cli.md lists them."""

    DONE = 0
    BUG = 1
    """Something that we did not foresee."""
    USAGE = 2
    """The command line itself is wrong."""
    BAD_INPUT = 3
    """A value, a file or a configuration is not acceptable."""
    REFUSED = 4
    """A chain, a contract or a program said no for good."""
    NOT_YET = 5
    """The same command may succeed later."""
    NOT_FOUND = 6
    """What was asked about does not exist."""
    ATTENTION = 7
    """Done, and what was found has to be looked at by a person."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells count."""


EXPLAINED: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "done",
    ExitCode.BUG: "unexpected: a bug; please report it",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.BAD_INPUT: "a value, a file or the configuration is wrong; the message names it",
    ExitCode.REFUSED: "a chain, a contract or a program refused",
    ExitCode.NOT_YET: "not yet: try again (a node is down, a time-out)",
    ExitCode.NOT_FOUND: "there is no such thing",
    ExitCode.ATTENTION: "done, and a person has to look: open alarms",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}

REPORT: Final = "report it with the text above, the command, and the output of `causeway --version`"


class NotFound(Fatal):
    """What a command asks about does not exist. Fields: what; cure (empty where there is nothing to suggest)."""

    def __init__(self, what: str, cure: str = "") -> None:
        self.what = what
        self.cure = cure
        super().__init__(what)


class TimedOut(Retryable):
    """What a command waits for has not happened in time. Fields: what; seconds; cure."""

    def __init__(self, what: str, seconds: float, cure: str = "") -> None:
        self.what = what
        self.seconds = seconds
        self.cure = cure
        super().__init__(f"{what}: not within {seconds:.0f} s")


_CURES: Final = {
    "NodeUnavailable": "start the chain's node, or correct its url in the network file or the node's config.toml",
    "AccessDenied": "correct user and password (or cookie_file) in the network file or the node's config.toml",
    "WrongChain": "the url leads to another chain, or the deployment file belongs to another bridge",
    "WrongPassword": "give the password with which the keystore was made",
    "KeystoreInUse": "another process runs this node: stop it first",
    "CannotListen": "correct listen in config.toml, or stop what uses the port",
    "KeystoreExists": "choose another folder; a keystore is never overwritten",
    "WrongDatabase": "the database belongs to another node or bridge: name another one in config.toml",
    "InsufficientBalance": "send the account some of the native chain's coin",
    "ToolMissing": "run `make setup`",
    "DatabaseUnavailable": "start the database, or wait until another process has finished with it",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error as a command tells it. Fields: code; error (name of its type); message; cure; fields (its own)."""

    code: ExitCode
    error: str
    message: str
    cure: str
    fields: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "error": {
                "code": int(self.code),
                "type": self.error,
                "message": self.message,
                "cure": self.cure,
                "fields": {name: _plain(value) for name, value in self.fields.items()},
            }
        }


def explain(error: BaseException) -> Explanation:
    """What to tell about an error that ended a command."""
    error = _innermost(error)
    name = type(error).__name__
    fields = {key: value for key, value in vars(error).items() if not key.startswith("_")}
    if isinstance(error, BadInput):
        message = f"{error.field}: {error.problem}" if type(error) is BadInput else _without_cure(error)
        return Explanation(ExitCode.BAD_INPUT, name, message, error.cure or _CURES.get(name, ""), fields)
    if isinstance(error, CausewayError):
        return Explanation(_code(error), name, str(error) or name, _cure(error), fields)
    if isinstance(error, OSError):
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return Explanation(ExitCode.BAD_INPUT, name, message, "check the path and its permissions", {})
    trace = "".join(traceback.format_exception(error))
    return Explanation(ExitCode.BUG, name, f"{name}: {error}", REPORT, {"traceback": trace})


def _code(error: CausewayError) -> ExitCode:
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    return ExitCode.NOT_YET if isinstance(error, Retryable) else ExitCode.REFUSED


def _cure(error: CausewayError) -> str:
    for kind in type(error).__mro__:
        if kind.__name__ in _CURES:
            return str(getattr(error, "cure", "")) or _CURES[kind.__name__]
    cure = str(getattr(error, "cure", ""))
    return cure or ("try again" if isinstance(error, Retryable) else "")


def _without_cure(error: BadInput) -> str:
    return str(error).removesuffix(f" ({error.cure})") if error.cure else str(error)


def _innermost(error: BaseException) -> BaseException:
    """Of a group of errors the first: tasks that failed with it were cancelled because of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
