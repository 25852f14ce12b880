"""Reading TOML tables field by field: what is wrong is named by its dotted path, and nothing unknown is overlooked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from foundation.errors import BadInput
from settlement.quantities import Asset

Choice = TypeVar("Choice", bound=StrEnum)
_TYPES: Final = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_READ_BYTES_MAX: Final = 1 << 20
NO_LIMIT: Final = "none"


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        BadInput: it cannot be read, is larger than 1 MiB, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_READ_BYTES_MAX + 1)
        if len(raw) > _READ_BYTES_MAX:
            raise BadInput(str(path), "larger than 1 MiB", "is it the right file?")
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise BadInput(str(path), error.strerror or "cannot be read", "name a file that is there") from error
    except (ValueError, RecursionError) as error:  # of the parser, of UTF-8, a number too long, a thousand brackets
        raise BadInput(str(path), f"no TOML: {error}", "see the line that it names") from error


class Section:
    """One table. Take each field once, then call `end`. All methods raise `BadInput` naming the field."""

    def __init__(self, content: Any, path: str) -> None:
        """`path`: what the table is called, for messages; empty for the file."""
        if not isinstance(content, dict):
            raise BadInput(path, "no table", f"write [{path}]")
        self._content: dict[str, Any] = dict(content)
        self.path = path

    def name(self, field: str) -> str:
        """A field's dotted path."""
        return f"{self.path}.{field}" if self.path else field

    def text(self, field: str, default: str | None = None) -> str:
        """A text; required where there is no default."""
        value: str = self._take(field, str, default)
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, None where it is missing."""
        value: str | None = self._take(field, str, None, is_optional=True)
        return value

    def flag(self, field: str, default: bool) -> bool:
        """True or false."""
        value: bool = self._take(field, bool, default)
        return value

    def number(self, field: str, default: int | None = None, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """A whole number between `least` and `most`."""
        value = self._take(field, int, default)
        return self._within(field, value, least, most)

    def optional_number(self, field: str, *, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """A whole number, None where it is missing."""
        value: int | None = self._take(field, int, None, is_optional=True)
        return None if value is None else self._within(field, value, least, most)

    def choice(self, field: str, kind: type[Choice], default: Choice | None = None) -> Choice:
        """One of an enumeration's values."""
        text = self.text(field, default)
        try:
            return kind(text)
        except ValueError:
            allowed = ", ".join(member.value for member in kind)
            raise BadInput(self.name(field), f"{text[:80]!r} is not known", f"one of {allowed}") from None

    def amount(self, field: str, asset: Asset, default: int | None = None) -> int | None:
        """An amount such as `"-100.00"` in base units; `"none"`, and a missing one without default, is None."""
        text = self._take(field, str, None, is_optional=True)
        if text is None:
            return default
        if text == NO_LIMIT:
            return None
        magnitude = asset.units(text.removeprefix("-"), self.name(field))
        return -magnitude if text.startswith("-") else magnitude

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts; empty where it is missing."""
        values = self._take(field, list, [])
        if not all(isinstance(value, str) for value in values):
            raise BadInput(self.name(field), "not all are text", 'such as ["g.bank"]')
        return tuple(values)

    def mapping(self, field: str) -> dict[str, str]:
        """A table of texts; empty where it is missing."""
        values = self._take(field, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise BadInput(self.name(field), "not all are text", 'write numbers in quotes: EUR = "1.08"')
        return dict(values)

    def section(self, field: str) -> Section:
        """A table; an empty one where it is missing."""
        return Section(self._take(field, dict, {}), self.name(field))

    def optional_section(self, field: str) -> Section | None:
        """A table, None where it is missing."""
        return self.section(field) if field in self._content else None

    def sections(self, field: str, label: str) -> Iterator[Section]:
        """Each table of an array, called by the text in its field `label` where it has one."""
        for index, each in enumerate(self._take(field, list, [])):
            name = each.get(label) if isinstance(each, dict) else None
            yield Section(each, f"{self.name(field)}.{name if isinstance(name, str) else index}")

    def named_sections(self, field: str) -> Iterator[tuple[str, Section]]:
        """Each table in a table, with its key."""
        for key, each in self._take(field, dict, {}).items():
            yield key, Section(each, f"{self.name(field)}.{key}")

    def secret(self, field: str, folder: Path) -> str | None:
        """A text that is given here, or in the file that `<field>_file` names; None where neither is."""
        here, elsewhere = self.optional_text(field), self.optional_text(f"{field}_file")
        if here is not None and elsewhere is not None:
            raise BadInput(self.name(field), f"given beside {field}_file", "give one")
        if elsewhere is None:
            return here
        try:
            return (folder / elsewhere).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(self.name(f"{field}_file"), f"cannot be read: {error}", "name a file of text") from error

    def end(self) -> None:
        """Nothing else may be in the table."""
        if self._content:
            field = next(iter(self._content))
            raise BadInput(self.name(field), "is not known here", "check the spelling, or remove it")

    def _take(self, field: str, kind: type[Any], default: Any, *, is_optional: bool = False) -> Any:
        if field not in self._content:
            if default is None and not is_optional:
                raise BadInput(self.name(field), "missing", f"write {field} = …")
            return default
        value = self._content.pop(field)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BadInput(self.name(field), f"not {_TYPES[kind]}", f"{field} is {_TYPES[kind]}")
        return value

    def _within(self, field: str, value: int, least: int, most: int) -> int:
        if not least <= value <= most:
            raise BadInput(self.name(field), f"{value} is out of bounds", f"{least} to {most}")
        return value
