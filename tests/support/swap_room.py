"""Time for a swap on development chains, where a side allows for a minute of letters and half a minute of trouble."""

from __future__ import annotations

from dataclasses import replace

from settlement.swap.planning.conditions import Conditions


def roomy(conditions: Conditions) -> Conditions:
    """Time-outs that no machine is too slow for: a test that wants one to pass moves the clock."""
    return replace(conditions, handshake_s=1_200, margin_s=600)
