"""The rules in force, from a file that may change at any time: a broken one is refused and the old stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from settlement.rules.errors import BadRules
from settlement.rules.model import Rules
from settlement.rules.parse import list_files, parse_rules

FILE_BYTES_MAX = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file says what is in force."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """New rules are in force. Fields: old, new (versions, 32 bytes each)."""

    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The file is refused; what was in force stays. `problem` names file, line and field."""

    problem: BadRules


Reload: TypeAlias = Unchanged | Replaced | Kept
Alarm: TypeAlias = Callable[[BadRules], None]


def load_rules(path: Path) -> Rules:
    """The rules of a file and of the lists beside it.

    Raises:
        BadRules: they are not acceptable, or cannot be read.
    """
    raw = _read(path, path.name)
    lists = {name: _read(path.parent / name, path.name) for name in list_files(raw, path.name)}
    return parse_rules(raw, path.name, lists)


class RulesFile:
    """Holds the rules in force. `reload` is called on a signal, or by a ticker; it is cheap where nothing changed."""

    def __init__(self, path: Path, alarm: Alarm) -> None:
        """Load the file.

        Raises:
            BadRules: it is not acceptable; a gateway does not start without rules.
        """
        self._path = path
        self._alarm = alarm
        self._rules = load_rules(path)
        self._refused: tuple[str, int] | None = None

    def current(self) -> Rules:
        """The rules in force."""
        return self._rules

    def reload(self) -> Reload:
        """Look at the file again. A refusal raises the alarm once for each new problem, and is told each time."""
        try:
            rules = load_rules(self._path)
        except BadRules as problem:
            told = (str(problem), problem.line)
            if told != self._refused:
                self._refused = told
                self._alarm(problem)
            return Kept(problem)
        self._refused = None
        if rules.version == self._rules.version:
            return Unchanged()
        old, self._rules = self._rules, rules
        return Replaced(old.version, rules.version)


def _read(path: Path, file: str) -> bytes:
    try:
        with path.open("rb") as opened:
            raw = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadRules(file, 1, "file", f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadRules(file, 1, "file", f"{path.name!r} is no name of a file") from error
    if len(raw) > FILE_BYTES_MAX:
        raise BadRules(file, 1, "file", f"{path.name} has more than {FILE_BYTES_MAX} bytes", "split the lists")
    return raw
