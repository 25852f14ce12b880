"""How much to send at once: the largest packet that the path carries, and how many packets may be under way.

The amount follows what the path says: an F08 tells the maximum, a T04 shrinks it by a third, each packet that passes
at the limit raises it again. The number of packets rises by one for each that passes, later by one for each round, and
is halved when the path is busy; then nothing is sent for a while that doubles. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from foundation.quantities import UnixMs
from settlement.ilp.errors import amount_limits
from settlement.quantities import MAX_UNITS

FIRST_WINDOW: Final = 8
FIRST_PAUSE_MS: Final = 50
LONGEST_PAUSE_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Congestion control's state.

    Fields: amount (of the next packet at most, base units of the sender); maximum (the largest known to pass);
    window (packets under way at most); window_max; passed (packets since the window last grew); growing (no loss yet);
    cut_below (losses of packets with a lower sequence are of the round that was cut already); resume_at; pause_ms (the
    next).
    """

    amount: int = MAX_UNITS
    maximum: int = MAX_UNITS
    window: int = FIRST_WINDOW
    window_max: int = 64
    passed: int = 0
    growing: bool = True
    cut_below: int = 0
    resume_at: UnixMs = UnixMs(0)
    pause_ms: int = FIRST_PAUSE_MS


def fulfilled(pace: Pace, amount: int) -> Pace:
    """The pace after a packet of `amount` passed."""
    window, passed = pace.window, pace.passed + 1
    if window < pace.window_max and (pace.growing or passed >= window):
        window, passed = window + 1, 0
    at_limit = amount >= pace.amount and pace.amount < pace.maximum
    if not at_limit and window == pace.window and pace.pause_ms == FIRST_PAUSE_MS:
        return pace if pace.window == pace.window_max else replace(pace, passed=passed)
    limit = _raised(pace) if at_limit else pace.amount
    return replace(pace, amount=limit, window=window, passed=passed, pause_ms=FIRST_PAUSE_MS)


def too_large(pace: Pace, amount: int, data: bytes) -> Pace:
    """The pace after an F08 for a packet of `amount` with these error data. A maximum of 0: nothing passes."""
    limits = amount_limits(data)
    if limits is None:
        maximum = min(pace.maximum, amount - 1)
        return replace(pace, maximum=maximum, amount=min(pace.amount, max(1, maximum // 2), maximum))
    received, most = limits
    maximum = min(pace.maximum, amount * most // received)
    return replace(pace, maximum=maximum, amount=maximum)


def illiquid(pace: Pace, amount: int, sequence: int, next_sequence: int, now: UnixMs) -> Pace:
    """The pace after a T04 for a packet of `amount`: smaller packets, fewer, and later."""
    smaller = max(1, min(amount, pace.amount) - min(amount, pace.amount) // 3)
    return busy(replace(pace, amount=min(pace.amount, smaller)), sequence, next_sequence, now)


def busy(pace: Pace, sequence: int, next_sequence: int, now: UnixMs) -> Pace:
    """The pace after the packet with this sequence was lost or refused for the time being: once for each round."""
    if sequence < pace.cut_below:
        return pace
    return replace(
        pace,
        window=max(1, pace.window // 2),
        passed=0,
        growing=False,
        cut_below=next_sequence,
        resume_at=UnixMs(now + pace.pause_ms),
        pause_ms=min(LONGEST_PAUSE_MS, pace.pause_ms * 2),
    )


def _raised(pace: Pace) -> int:
    if pace.maximum == MAX_UNITS:
        return min(MAX_UNITS, pace.amount * 2)
    return min(pace.maximum, pace.amount + max(1, pace.maximum // 10))
