"""Channels: what it costs stays within its bounds."""

from __future__ import annotations

from benchmarks.bench_channels import run
from contracts.build import CODE_LIMIT_BYTES
from tests.support.channels_contract import compiled


def test_costs_stay_within_their_bounds() -> None:
    """No step of a channel takes more gas than its bound; what has none is told only."""
    over = {row["name"]: row["value"] for row in run() if row["target"] and row["value"] > row["target"]}  # type: ignore[operator]
    assert not over


def test_code_fits_on_every_chain() -> None:
    """The contract's code is within EIP-170's limit, with room to spare."""
    assert len(compiled()["bytecode"]) // 2 < CODE_LIMIT_BYTES
