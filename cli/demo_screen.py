"""What the demo shows: one line a step, live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.output import WIDTH_MAX, cut

_TITLE = 46
_INDENT = 15
_DETAIL = 36


class Step:
    """A step under way. `say` tells what it does just now, `done` how it ended, `also` adds lines below."""

    def __init__(self, progress: Progress | None, title: str) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(title, detail="")
        self.result = ""
        self.details: list[str] = []

    def say(self, detail: str) -> None:
        """What is going on; shown on a terminal only, and gone when the step is done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, detail=cut(detail, _DETAIL))

    def done(self, result: str) -> None:
        """How it ended; stands on the step's line."""
        self.result = result

    def also(self, detail: str) -> None:
        """A line below the step's."""
        self.details.append(detail)


class Screen:
    """Prints to standard output, at most 100 columns wide."""

    def __init__(self, console: Console | None = None) -> None:
        found = console or Console(highlight=False)
        # A pipe has no width of its own: then the lines are as wide as they may be.
        width = min(found.width, WIDTH_MAX) if found.is_terminal else WIDTH_MAX
        self.console = Console(file=found.file, force_terminal=found.is_terminal, width=width, highlight=False)
        self.live = found.is_terminal
        self._number = 0
        self._step: Step | None = None
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._started

    def detail(self, text: str) -> None:
        """What the step that is under way does just now."""
        if self._step is not None:
            self._step.say(text)

    def say(self, text: str = "", style: str = "") -> None:
        """Lines as they are: what is to be copied is neither cut nor broken."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    @contextmanager
    def step(self, title: str, number: str | None = None) -> Iterator[Step]:
        """A step: its line is printed when the block ends, marked where it failed. `number`: in place of the next
        one.
        """
        if number is None:
            self._number += 1
        shown = f"{self._number}" if number is None else number
        began = time.monotonic()
        progress = self._progress() if self.live else None
        step = self._step = Step(progress, f"{shown:>2}  {title}")
        try:
            if progress is None:
                yield step
            else:
                with progress:
                    yield step
        except BaseException:
            self._print(step, shown, title, time.monotonic() - began, ok=False)
            raise
        self._print(step, shown, title, time.monotonic() - began, ok=True)

    def table(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the second column holds amounts. Only the last column is cut where it is too wide."""
        shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        widths = [max(len(row[index]) for row in [headers, *rows]) for index in range(len(headers) - 1)]
        for index, header in enumerate(headers):
            justify: Literal["left", "right"] = "right" if index == 1 else "left"
            shown.add_column(header, justify=justify, no_wrap=True, min_width=[*widths, None][index])
        # Cut here and not by Rich, which leaves no sign of it.
        room = max(self.console.width - sum(widths) - 3 * len(widths) - 2, 10)
        for row in rows:
            shown.add_row(*(Text(cell) for cell in row[:-1]), Text(cut(row[-1], room)))
        self.console.print(shown)

    def _progress(self) -> Progress:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self.console, transient=True)

    def _print(self, step: Step, number: str, title: str, seconds: float, *, ok: bool) -> None:
        line = Text()
        line.append(f"{number:>2} ", "dim")
        line.append("✓" if ok else "✗", "bold green" if ok else "bold red")
        line.append(f"{seconds:6.1f} s   ", "dim")
        line.append(f"{cut(title, _TITLE):<{_TITLE}}  ")
        room = self.console.width - len(line)
        line.append(cut(step.result, max(room, 10)), "cyan")
        self.console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        for detail in step.details:
            text = " " * _INDENT + detail
            self.console.print(Text(cut(text, self.console.width), "dim"), no_wrap=True, crop=True)
