"""The benchmark runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.run import Figure, MalformedFigure, Noise, Report, figure, markdown, modules

ROW: dict[str, object] = {"name": "sign", "value": 4.2, "unit": "ms", "target": 5, "samples": [4.0, 4.2, 9.0]}


def test_figure_takes_its_extremes_from_the_samples() -> None:
    """A list of samples gives count, minimum and maximum; the value below the target meets it."""
    found = figure("bench_x", ROW)
    assert (found.samples, found.low, found.high, found.verdict) == (3, 4.0, 9.0, "met")


def test_figure_above_its_target_is_shown_as_missed() -> None:
    """A value above the target is missed, and without a target there is no verdict."""
    assert figure("bench_x", ROW | {"value": 5.1}).verdict == "missed"
    assert figure("bench_x", ROW | {"target": None, "samples": 7}).verdict == ""


@pytest.mark.parametrize("key", sorted(ROW))
def test_figure_without_a_key_is_refused_by_name(key: str) -> None:
    """A row that lacks a key is refused, and the error names the key."""
    with pytest.raises(MalformedFigure) as refusal:
        figure("bench_x", {name: value for name, value in ROW.items() if name != key})
    assert key in refusal.value.problem


def test_modules_are_found_by_name(tmp_path: Path) -> None:
    """Only bench_*.py files count, and a part of the name selects."""
    for name in ("bench_frost.py", "bench_scan.py", "run.py"):
        (tmp_path / name).touch()
    assert modules(tmp_path) == ["bench_frost", "bench_scan"]
    assert modules(tmp_path, ["scan"]) == ["bench_scan"]


def test_page_names_what_failed() -> None:
    """A benchmark that failed is on the page too, beside the figures."""
    noise = Noise(1.0, 1.1, 1.3)
    found = Figure("bench_x", "sign", 1234.5, "ms", None, 3, None, None, "")
    page = markdown(Report("2026-01-01", {"cores": "2"}, noise, noise, (found,), {"bench_y": "boom"}))
    assert "| sign | 1,234 ms |" in page
    assert "| bench_y | | | | | failed | | boom |" in page
