"""Signals that end a process in order, and that leave alone what whoever started it has said about them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_before: Final[dict[signal.Signals, Any]] = {}
"""What was there before the first of several blocks at a time, which end in any order."""


def heed(do: Callable[[], object], *numbers: signal.Signals) -> dict[signal.Signals, Any]:
    """Call `do` on the running loop at each of these signals, for good; the handlers that were there before.

    A signal that the process was started to ignore stays ignored: `nohup` means that it outlives its terminal, and `&`
    in a script that Ctrl-C is not for it. In the main thread alone: another thread's loop gets no signals.
    """
    loop = asyncio.get_running_loop()
    formers = {}
    try:
        for number in numbers:
            former = signal.getsignal(number)
            if former is not signal.SIG_IGN:
                loop.add_signal_handler(number, do)
                formers[number] = former
    except (RuntimeError, ValueError):  # not the main thread
        pass
    return formers


@contextmanager
def cancelled_by(*numbers: signal.Signals) -> Iterator[None]:
    """As `heed`, until the block ends: the current task is cancelled, so that it leaves things in order."""
    task = asyncio.current_task()
    assert task is not None, "a task runs this"
    formers = heed(task.cancel, *numbers)
    for number, former in formers.items():
        _before.setdefault(number, former)
    try:
        yield
    finally:
        for number in formers:
            asyncio.get_running_loop().remove_signal_handler(number)
            if number in _before:
                signal.signal(number, _before.pop(number) or signal.SIG_DFL)
