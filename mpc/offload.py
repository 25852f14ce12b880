"""Long computations beside the event loop, which also follows chains and answers peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

INLINE_COST: Final = 32
"""Units of about 0.2 ms (a nonce made, an item signed, a partial signature added) that the loop may spend at once."""


async def compute(cost: int, call: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
    """The result of a pure `call`: at once where `cost` is small, else from a thread.

    libsecp256k1 runs without the interpreter's lock, so the loop goes on meanwhile. The thread is not stopped when the
    caller is cancelled: `call` must have no effects.
    """
    if cost <= INLINE_COST:
        return call(*arguments, **options)
    return await asyncio.to_thread(call, *arguments, **options)
