"""Runs the benchmarks: every `benchmarks/bench_*.py` has a function `run() -> list[dict]`, one dict a figure.

Keys of a figure: `name`; `value` (a number, in `unit`); `unit`; `target` (the most that `value` may be, None where
there is none); `samples` (how many measurements stand behind it, or the list of them); `note` (optional). `run` may be
`async`.

Prints a table, writes JSON to `benchmarks/out/`, and with `--write-results` renders `benchmarks/RESULTS.md`. A fixed
loop is timed before and after: how far its times lie apart tells how noisy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import inspect
import json
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foundation.errors import Fatal

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER / "out"
RESULTS = FOLDER / "RESULTS.md"
_CALIBRATION_REPEATS = 15
_CALIBRATION_HASHES = 100_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. Fields as in the module's text; `low` and `high`: the extremes, where samples were given."""

    module: str
    name: str
    value: float
    unit: str
    target: float | None
    samples: int
    low: float | None
    high: float | None
    note: str

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "missed"


@dataclass(frozen=True, slots=True)
class Noise:
    """Times of the fixed loop, in milliseconds."""

    low_ms: float
    median_ms: float
    high_ms: float

    def __str__(self) -> str:
        spread = (self.high_ms - self.low_ms) / self.median_ms
        return f"{self.low_ms:.1f} / {self.median_ms:.1f} / {self.high_ms:.1f} ms (spread {spread:.0%})"


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run found."""

    started: str
    machine: dict[str, str]
    noise_before: Noise
    noise_after: Noise
    figures: tuple[Figure, ...]
    failures: dict[str, str]


class MalformedFigure(Fatal):
    """A benchmark returned something that is not a figure. Fields: module; problem."""

    def __init__(self, module: str, problem: str) -> None:
        self.module = module
        self.problem = problem
        super().__init__(f"{module}: {problem}")


def calibrate(repeats: int = _CALIBRATION_REPEATS) -> Noise:
    """Time a loop that always does the same work."""
    times = []
    for _ in range(repeats):
        digest = b""
        started = time.perf_counter()
        for _ in range(_CALIBRATION_HASHES):
            digest = hashlib.sha256(digest).digest()
        times.append((time.perf_counter() - started) * 1000)
    return Noise(min(times), statistics.median(times), max(times))


def modules(folder: Path = FOLDER, wanted: Sequence[str] = ()) -> list[str]:
    """The names of the benchmark modules, in order; only those whose name holds one of `wanted`, where any is given."""
    names = sorted(path.stem for path in folder.glob("bench_*.py"))
    return [name for name in names if not wanted or any(part in name for part in wanted)]


def figure(module: str, row: dict[str, object]) -> Figure:
    """Check one row that a benchmark returned. Raises `MalformedFigure`."""
    missing = {"name", "value", "unit", "target", "samples"} - row.keys()
    if missing:
        raise MalformedFigure(module, f"a figure lacks {', '.join(sorted(missing))}")
    value, target, samples = row["value"], row["target"], row["samples"]
    if not isinstance(value, int | float) or not isinstance(target, int | float | None):
        raise MalformedFigure(module, f"{row['name']}: value and target have to be numbers")
    numbers = [float(sample) for sample in samples] if isinstance(samples, Sequence) else []
    if not numbers and not isinstance(samples, int):
        raise MalformedFigure(module, f"{row['name']}: samples has to be a count or a list of numbers")
    return Figure(
        module=module,
        name=str(row["name"]),
        value=float(value),
        unit=str(row["unit"]),
        target=None if target is None else float(target),
        samples=len(numbers) if numbers else int(str(samples)),
        low=min(numbers) if numbers else None,
        high=max(numbers) if numbers else None,
        note=str(row.get("note", "")),
    )


def measure(name: str) -> list[Figure]:
    """Run one benchmark module."""
    run = importlib.import_module(f"benchmarks.{name}").run
    rows = asyncio.run(run()) if inspect.iscoroutinefunction(run) else run()
    return [figure(name, row) for row in rows]


def run_all(names: Sequence[str], console: Console) -> Report:
    """Run the benchmarks one after the other, with a calibration before and after."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    before = calibrate()
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    for name in names:
        console.print(f"[dim]{name} …[/dim]")
        try:
            figures += measure(name)
        except Exception as error:  # noqa: BLE001 - one broken benchmark must not lose the others' figures
            traceback.print_exc()
            failures[name] = f"{type(error).__name__}: {error}"
    return Report(started, machine(), before, calibrate(), tuple(figures), failures)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    load = ", ".join(f"{figure:.2f}" for figure in os.getloadavg())
    return {"cpu": cpu, "cores": str(os.cpu_count()), "python": platform.python_version(), "load before": load}


def table(report: Report) -> Table:
    """The report for a terminal."""
    drawn = Table(
        title=f"Benchmarks, {report.started}", caption=f"fixed loop, min / median / max: {report.noise_after}"
    )
    drawn.add_column("what")
    for heading in ("value", "min", "max"):
        drawn.add_column(heading, justify="right")
    for heading in ("target", "", "samples", "note"):
        drawn.add_column(heading)
    colours = {"met": "[green]met[/green]", "missed": "[red]missed[/red]", "": ""}
    for found in report.figures:
        name, value, low, high, target, verdict, samples, note = cells(found)
        drawn.add_row(name, value, low, high, target, colours[verdict], samples, note)
    for name, problem in report.failures.items():
        drawn.add_row(name, "", "", "", "", "[red]failed[/red]", "", problem)
    return drawn


def cells(found: Figure) -> tuple[str, ...]:
    """The columns of one figure."""
    low = "" if found.low is None else _number(found.low)
    high = "" if found.high is None else _number(found.high)
    target = "" if found.target is None else f"≤ {_number(found.target)} {found.unit}"
    value = f"{_number(found.value)} {found.unit}"
    return found.name, value, low, high, target, found.verdict, str(found.samples), found.note


def markdown(report: Report) -> str:
    """The report as the page `RESULTS.md`."""
    about = "; ".join(f"{key}: {value}" for key, value in report.machine.items())
    lines = [
        "# Measured speed",
        "",
        f"Written by `make bench BENCH_ARGS=--write-results` on {report.started}. {about}.",
        "",
        f"A fixed loop took, min / median / max: before {report.noise_before}, after {report.noise_after}.",
        "",
        "| what | value | min | max | target | | samples | note |",
        "| --- | --: | --: | --: | --- | --- | --: | --- |",
        *("| " + " | ".join(cells(found)) + " |" for found in report.figures),
        *(f"| {name} | | | | | failed | | {problem} |" for name, problem in report.failures.items()),
    ]
    return "\n".join(lines) + "\n"


def write(report: Report, *, results: bool) -> Path:
    """Write the JSON, and the page where `results` is set. Returns the JSON's path."""
    OUT.mkdir(exist_ok=True)
    text = json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n"
    path = OUT / f"{report.started.replace(':', '').replace('+0000', 'Z')}.json"
    for target in (path, OUT / "latest.json"):
        target.write_text(text)
    if results:
        RESULTS.write_text(markdown(report))
    return path


def _number(value: float) -> str:
    """Three significant digits, and every digit before the point."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit status 1 where a benchmark failed; a missed target is only shown."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure and print a table.")
    parser.add_argument("names", nargs="*", help="only the modules whose name holds one of these")
    parser.add_argument("--write-results", action="store_true", help=f"render {RESULTS.name}")
    chosen = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    names = modules(wanted=chosen.names)
    if not names:
        console.print("no benchmark of that name")
        return 2
    report = run_all(names, console)
    console.print(table(report))
    console.print(f"[dim]{write(report, results=chosen.write_results)}[/dim]")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
