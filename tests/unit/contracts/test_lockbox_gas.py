"""Lockbox: what it costs stays within its bounds, and what others burn in it too."""

from __future__ import annotations

import pytest

from benchmarks.bench_lockbox import run
from contracts.build import CODE_LIMIT_BYTES
from tests.support.lockbox import compiled


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, object]]:
    """The figures of the benchmark, by name."""
    return {str(row["name"]): row for row in run()}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("release, 1 payment of coin", 75_000),
        ("release, 50 payments of coin, for each", 18_000),
        ("lock of coin", 40_000),
        ("lock of a token", 90_000),
        ("release, 1 payment of a token", 115_000),
    ],
)
def test_gas_is_bounded(figures: dict[str, dict[str, object]], name: str, most: int) -> None:
    """A whole transaction, with cold storage and its data, costs at most this."""
    assert isinstance(figures[name]["value"], int)
    assert figures[name]["value"] <= most


def test_code_is_far_below_the_limit() -> None:
    """The Lockbox can be deployed on any EVM chain."""
    assert compiled()["size"] < CODE_LIMIT_BYTES * 2 // 3
