"""How long to wait for bitcoin's blocks: they come at random, and a refund waits for the chain's median time besides.

Sources: BIP-113 (an output's time-out is held against the median time of the eleven blocks before, so it passes about
six blocks late); blocks are a Poisson process with a mean of ten minutes at a steady difficulty.
"""

from __future__ import annotations

from math import exp
from typing import Final

BLOCK_S: Final = 600
"""Seconds between two blocks, in the mean."""

MEDIAN_LAG_BLOCKS: Final = 6
"""By so many blocks the median time of eleven is behind the newest."""

INCLUSION_BLOCKS: Final = 3
"""Until a transaction with a fair fee is in a block."""

_CHANCE_MAX: Final = 1e-5
_HOUR_S: Final = 3_600


def settle_blocks(confirmations: int) -> int:
    """After so many blocks whatever was begun is final, a refund that becomes valid only at its time-out too."""
    return MEDIAN_LAG_BLOCKS + INCLUSION_BLOCKS + confirmations


def settle_seconds(confirmations: int) -> int:
    """Whole hours within which that many blocks come but once in 100,000 times."""
    blocks, hours = settle_blocks(confirmations), 1
    while _fewer(blocks, hours * _HOUR_S / BLOCK_S) > _CHANCE_MAX:
        hours += 1
    return hours * _HOUR_S


def settle_seconds_least(confirmations: int) -> int:
    """The time that those blocks take in the mean: with less, every second payment would miss its deadlines."""
    return settle_blocks(confirmations) * BLOCK_S


def _fewer(blocks: int, expected: float) -> float:
    """The chance that fewer than `blocks` come where `expected` are to."""
    term = total = exp(-expected)
    for number in range(1, blocks):
        term *= expected / number
        total += term
    return total
