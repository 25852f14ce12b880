"""What commands print: one JSON document or text on standard output; progress and errors on standard error."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cli.exits import ExitCode, Explanation
from registry.amounts import format_amount

WIDTH_MAX: Final = 100
_BITCOIN_DECIMALS: Final = 8
_COIN_DECIMALS: Final = 18
_GAP: Final = "  "
_TEXT_LEAST: Final = 30


class Output:
    """A command's output. `as_json`: one JSON document on standard output instead of text."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._started = time.monotonic()

    def progress(self, text: str) -> None:
        """A line about what is going on, with the seconds since the start; on standard error."""
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Something that a person should know; on standard error."""
        print(text, file=sys.stderr, flush=True)

    def result(self, document: Mapping[str, Any] | Sequence[Any], text: Callable[[], str] | str) -> None:
        """The command's result: `document` with --json, else `text`."""
        if self.as_json:
            print(json.dumps(document, indent=2, default=_plain), flush=True)
        else:
            print(text if isinstance(text, str) else text(), flush=True)


def show_error(explanation: Explanation, as_json: bool) -> None:
    """Tell why a command failed, on standard error."""
    if as_json:
        print(json.dumps(explanation.as_json(), indent=2), file=sys.stderr, flush=True)
        return
    if explanation.code is ExitCode.BUG:
        print(explanation.fields["traceback"], file=sys.stderr)
    print(f"error: {explanation.message}", file=sys.stderr)
    if explanation.cure:
        print(f"cure: {explanation.cure}", file=sys.stderr, flush=True)


def width() -> int:
    """Columns to use: the terminal's, at most 100; 100 where there is no terminal."""
    return min(shutil.get_terminal_size((WIDTH_MAX, 24)).columns, WIDTH_MAX)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> str:
    """Columns of text as wide as needed; the last one is cut where the line would be too long.

    Args:
        headers: the first line.
        rows: one line each.
        right: headers of columns to be aligned to the right.
    """
    lines = [[str(cell) for cell in headers], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(len(headers[-1]), width() - before))
    printed = []
    for line in lines:
        cells = [
            cell.rjust(size) if header in right else cell.ljust(size)
            for cell, size, header in zip([*line[:-1], cut(line[-1], widths[-1])], widths, headers, strict=True)
        ]
        printed.append(_GAP.join(cells).rstrip())
    return "\n".join(printed)


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Lines of names and values, the values below each other."""
    known = [(name, _cell(value)) for name, value in pairs]
    longest = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name.ljust(longest)}{_GAP}{value}".rstrip() for name, value in known)


def wrapped_facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """As `facts`, where long values go on below themselves."""
    known = [(name, _cell(value)) for name, value in pairs]
    longest = max((len(name) for name, _ in known), default=0)
    return "\n".join(paragraph(value, name.ljust(longest) + _GAP) for name, value in known)


def paragraph(text: str, head: str = "") -> str:
    """Lines no wider than may be. The first begins with `head`, the others below the text after it."""
    return textwrap.fill(
        text,
        max(width(), len(head) + _TEXT_LEAST),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,  # an id or a link is copied whole
        break_on_hyphens=False,
    )


def cut(text: str, size: int) -> str:
    """The text, shortened with an ellipsis where it is longer than `size`."""
    return text if len(text) <= size else text[: max(size - 1, 0)] + "…"


def short(identifier: bytes | str | None, *, head: int = 8) -> str:
    """The beginning of an id, for tables; a dash for None."""
    if identifier is None:
        return "–"
    text = identifier.hex() if isinstance(identifier, bytes) else identifier
    prefix, digits = ("0x", text[2:]) if text.startswith("0x") else ("", text)
    return f"{prefix}{digits[:head]}…" if len(digits) > head + 1 else text


def btc(units: int | None) -> str:
    """An amount of bitcoin, or of its mapping token, from satoshi; a dash for None."""
    return "–" if units is None else format_amount(units, _BITCOIN_DECIMALS, symbol="BTC")


def coin(wei: int | None, *, places: int = _COIN_DECIMALS) -> str:
    """An amount of the native chain's coin from wei, rounded down to `places` decimals; a dash for None."""
    if wei is None:
        return "–"
    unit: int = 10 ** (_COIN_DECIMALS - places)
    return format_amount(wei // unit * unit, _COIN_DECIMALS)


def duration(milliseconds: int) -> str:
    """A time span for people: `3 s`, `12 min`, `5 h 20 min`, `9 d 4 h`."""
    seconds = max(milliseconds, 0) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def clock(at_ms: int) -> str:
    """A moment as text, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_ms / 1000))


def _cell(value: Any) -> str:
    return "–" if value is None or value == "" else str(value).replace("\n", " ")


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)
