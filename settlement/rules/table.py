"""Reading a TOML table value by value: each has its type, and what nobody asked for is refused, not passed over."""

from __future__ import annotations

import re
from typing import Any, Final

from foundation.errors import BadInput

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_TEXT_MAX: Final = 1_000


class Table:
    """One table of a file. Each method raises `BadInput` with the path of what is wrong."""

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self._values = values
        self._path = path
        self._read: set[str] = set()

    def at(self, key: str) -> str:
        """The path of a key, such as `limit[2].amount_max`."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._get(key)
        if not isinstance(value, str) or not value or len(value) > _TEXT_MAX:
            raise BadInput(self.at(key), f"{str(value)[:80]!r} is no text", 'write it in quotes, such as "10.00"')
        return value

    def identity(self) -> str:
        """The key `id`."""
        value = self.text("id")
        if not _ID.fullmatch(value):
            raise BadInput(self.at("id"), f"{value[:80]!r} is no id", "1 to 64 of a-z, 0-9, dot, dash and underscore")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where the key is missing."""
        values = self.items(key)
        for value in values:
            if not isinstance(value, str) or not value or len(value) > _TEXT_MAX:
                raise BadInput(self.at(key), f"{str(value)[:80]!r} is no text", 'a list such as ["a", "b"]')
        return values

    def items(self, key: str) -> tuple[Any, ...]:
        """A list; empty where the key is missing."""
        self._read.add(key)
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise BadInput(self.at(key), "is no list", 'a list such as ["a", "b"]')
        return tuple(value)

    def integer(self, key: str, least: int = 0, most: int = 2**63 - 1, default: int | None = None) -> int:
        """A whole number in these bounds."""
        if default is not None and key not in self._values:
            return default
        value = self._get(key)
        if type(value) is not int or not least <= value <= most:  # a bool is an int to isinstance
            raise BadInput(self.at(key), f"{str(value)[:80]} is not a number from {least} to {most}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        self._read.add(key)
        value = self._values.get(key, default)
        if value not in choices:
            raise BadInput(self.at(key), f"{str(value)[:80]!r} is unknown", f"one of {', '.join(choices)}")
        return str(value)

    def table(self, key: str) -> Table:
        """A table; empty where it is missing."""
        self._read.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise BadInput(self.at(key), "is no table", f"write [{key}]")
        return Table(value, self.at(key))

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of tables; empty where it is missing."""
        values = self.items(key)
        if not all(isinstance(value, dict) for value in values):
            raise BadInput(self.at(key), "is no list of tables", f"write [[{key}]] for each")
        return tuple(Table(value, f"{self.at(key)}[{number}]") for number, value in enumerate(values))

    def numbers(self) -> dict[str, int]:
        """All keys of this table, each a whole number from 0."""
        return {key: self.integer(key) for key in self._values}

    def finish(self) -> None:
        """Every key has been asked for. Raises `BadInput` for one that has not: a misspelt rule must not be no rule."""
        for key in self._values:
            if key not in self._read:
                raise BadInput(self.at(key), "is unknown", f"known here: {', '.join(sorted(self._read))}")

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._values:
            raise BadInput(self.at(key), "is missing")
        return self._values[key]
