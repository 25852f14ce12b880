"""Where in a TOML file a value stands, so that a refusal can name the line; the parser tells only its own errors'."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"'-]+)\s*\]\]?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=")
_PARSER_LINE: Final = re.compile(r"line (\d+)")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, from 1, of the value at `path`, such as `("limit", 2, "amount_max")`; of its table where it is missing.

    1 where not even the table is there.
    """
    table, number, key = _parts(path)
    line_of_table = 1
    seen = -1
    inside = table == ""
    for line, content in _outside_texts(text):
        if header := _HEADER.match(content):
            if table == "" and header.group(2).strip("\"'") == key:
                return line
            inside = header.group(2).strip("\"'") == table
            if inside and header.group(1) == "[[":
                seen += 1
                inside = seen == number
            if inside:
                line_of_table = line
        elif inside and key and (found := _KEY.match(content)) and found.group(1).strip("\"'") == key:
            return line
    return line_of_table


def line_of_parser(problem: str) -> int:
    """The line that TOML's parser names in its message; 1 where it names none."""
    found = _PARSER_LINE.search(problem)
    return int(found.group(1)) if found else 1


def _parts(path: Sequence[str | int]) -> tuple[str, int, str]:
    """Name of the table, its number among tables of this name, and the key in it."""
    match list(path):
        case [str() as table, int() as number, str() as key, *_]:
            return table, number, key
        case [str() as table, int() as number]:
            return table, number, ""
        case [str() as table, str() as key, *_]:
            return table, 0, key
        case [str() as key]:
            return "", 0, key
        case _:
            return "", 0, ""


def _outside_texts(text: str) -> Iterator[tuple[int, str]]:
    """The lines that do not lie inside a text of several lines, numbered from 1."""
    closing = ""
    for number, content in enumerate(text.splitlines(), 1):
        if closing:
            if closing in content:
                closing = ""
            continue
        yield number, content
        for quotes in ('"""', "'''"):
            if content.count(quotes) % 2:
                closing = quotes
                break
