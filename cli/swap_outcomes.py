"""How swaps and offers end, as commands tell it: words, documents, and typed errors for what was no trade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cli.output import short
from cli.swap_view import ENDED, show_document, trade
from foundation.errors import Fatal, Retryable
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import SwapStore

if TYPE_CHECKING:
    from cli.output import Output
    from cli.swap_running import Running
    from settlement.swap.store.store import SwapRow

_GOOD: Final = (Outcome.SWAPPED, Outcome.WINDFALL)
_CURES: Final = {
    Outcome.LOST: "keep the folder with its swap.log, and tell the authors: this should not be possible",
}


class NotSwapped(Fatal):
    """The swap ended without a trade. Fields: swap (hexadecimal); outcome; cure."""

    def __init__(self, row: SwapRow, outcome: Outcome) -> None:
        self.swap = row.swap_id.hex()
        self.outcome = outcome.name.lower()
        name = row.swap_id.hex()[:8]
        otherwise = f"`causeway swap show {name}` tells why; to trade after all, make or take another offer"
        self.cure = _CURES.get(outcome, otherwise)
        super().__init__(f"swap {name} ended without a trade: {ENDED[outcome]}")


class NotTaken(Retryable):
    """Nobody took the offer in time."""

    cure = "offer it again; for longer with --valid, to more people with --publish, or at another price"

    def __init__(self) -> None:
        super().__init__("nobody took the offer while it was valid; no money has moved")


class TakeRefused(Fatal):
    """The offer could not be taken. Fields: problem."""

    cure = "take another offer, or ask the maker for a new one"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


def check_traded(row: SwapRow) -> None:
    """Raises `NotSwapped`: it has ended, and not with a trade."""
    outcome = row.state.outcome
    if outcome is not None and outcome not in _GOOD:
        raise NotSwapped(row, outcome)


async def tell_end(running: Running, row: SwapRow, output: Output) -> None:
    """Print how a swap has ended. Raises `NotSwapped` then, where that was no trade."""
    async with running.engine.office.database.view() as view:
        store = SwapStore(view.connection)
        lines, kept = await store.lines(row.swap_id), await store.all_kept(row.swap_id)
        others = [one for one in await store.swaps(open_only=True) if one.swap_id != row.swap_id]
    gives, gets = trade(running.engine.settings, row)
    outcome = row.state.outcome
    assert outcome is not None, "it has ended"
    text = f"You gave {gives} and got {gets}." if outcome is Outcome.SWAPPED else f"It ended: {ENDED[outcome]}."
    output.result(show_document(row, lines, kept, ()), f"{text}  Swap {row.swap_id.hex()}")
    if others:
        count = "1 other swap is" if len(others) == 1 else f"{len(others)} other swaps are"
        output.note(f"{count} open: causeway swap resume")
    check_traded(row)


def outcome_name(row: SwapRow) -> str | None:
    """For programs."""
    return None if row.state.outcome is None else row.state.outcome.name.lower()


def outcome_line(row: SwapRow) -> str:
    """A line of a list: which swap, and how it ended."""
    told = "open" if row.state.outcome is None else f"{ENDED[row.state.outcome].capitalize()}."
    return f"{short(row.swap_id)}  {told}"
