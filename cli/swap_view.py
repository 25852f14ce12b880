"""What swaps look like: the live view, the list, and one swap whole."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from adapters.evm.hexes import address_text
from cli.output import WIDTH_MAX, clock, paragraph, short, table, wrapped_facts
from cli.swap_amounts import btc, evm_amount, moment, sides, span
from foundation.quantities import UnixMs
from settlement.swap.machine.outlook import Outlook, outlook
from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Role

if TYPE_CHECKING:
    from settlement.swap.engine.runtime import Engine
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.store.store import DueOrder, KeptTransaction, Line, OwnOffer, SwapRow

_HISTORY: Final = 6
ENDED: Final = {
    Outcome.NOTHING_MOVED: "nothing moved",
    Outcome.SWAPPED: "swapped",
    Outcome.RETURNED: "your money came back",
    Outcome.WINDFALL: "you got both sides' money",
    Outcome.LOST: "your money is gone",
}
"""How a swap has ended, to the one whose swap it is."""


class Viewer:
    """Shows swaps while they are under way: a live picture on a terminal, a line for each piece of news elsewhere.

    On standard error: standard output is for the result. Use as `with`.
    """

    def __init__(self, settings: TraderSettings, *, quiet: bool = False, header: Sequence[str] = ()) -> None:
        """`quiet`: lines only, for `--json`; `header`: lines above the picture."""
        self._settings = settings
        self._header = list(header)
        self._console = Console(stderr=True, highlight=False)
        self._is_live = self._console.is_terminal and not quiet
        self._live = Live(console=self._console, refresh_per_second=4, transient=True, auto_refresh=False)
        self._told: dict[bytes, int] = {}
        self._problems: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    async def show(self, rows: Sequence[SwapRow], engine: Engine) -> None:
        """Show how these swaps stand now."""
        from settlement.swap.store.store import SwapStore

        async with engine.office.database.view() as view:
            store = SwapStore(view.connection)
            history = {row.swap_id: await store.lines(row.swap_id) for row in rows}
        if not self._is_live:
            for row in rows:
                self._tell(row, history[row.swap_id])
            self._tell_problems(engine.watchers.problems)
            return
        now = UnixMs(int(time.time() * 1000))
        parts: list[Any] = [Text(line) for line in self._header]
        for row in rows:
            parts += _picture(self._settings, row, history[row.swap_id][-_HISTORY:], now, self._width)
        problems = engine.watchers.problems
        parts += [Text(f"{name} cannot be asked now: {text}", "yellow") for name, text in problems.items()]
        self._live.update(Group(*parts), refresh=True)

    @property
    def _width(self) -> int:
        return min(self._console.width, WIDTH_MAX)

    def _tell_problems(self, problems: Mapping[str, str]) -> None:
        """Each once, until it is over."""
        for name, text in problems.items():
            if self._problems.get(name) != text:
                print(f"{name} cannot be asked now: {text}", file=self._console.file, flush=True)
        self._problems = {**problems}

    def _tell(self, row: SwapRow, lines: Sequence[Line]) -> None:
        seen = self._told.get(row.swap_id, 0)
        for line in lines[seen:]:
            print(f"{clock(line.at)}  {short(row.swap_id)}  {line.note}", file=self._console.file, flush=True)
        self._told[row.swap_id] = len(lines)


def _picture(settings: TraderSettings, row: SwapRow, lines: Sequence[Line], now: UnixMs, width: int) -> list[Any]:
    found = outlook(row.state, now)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(max_width=width - 16)
    for name, value in _facts(settings, row, found, now):
        grid.add_row(name, value)
    told = [Text(f"  {clock(line.at)[11:]}  {line.note}", "dim", overflow="ellipsis", no_wrap=True) for line in lines]
    return [Rule(f"swap {short(row.swap_id)}", align="left"), grid, *told]


def _facts(settings: TraderSettings, row: SwapRow, found: Outlook, now: UnixMs) -> list[tuple[str, str]]:
    gives, gets = trade(settings, row)
    deadlines = [f"{moment(one.at, now // 1000)} ({_until(one.left_s)}): {one.what}" for one in found.deadlines]
    pairs = [
        ("you", f"give {gives}, get {gets}"),
        (found.phase.value, found.now),
        ("EVM lock", found.lock),
        ("bitcoin", found.funding),
        ("next", found.then),
        *zip(("until", *[""] * len(deadlines)), deadlines, strict=False),
        *(("note", note) for note in found.notes),
        ("if it dies", found.if_it_dies),
    ]
    return [(name, value) for name, value in pairs if value]


def _until(left_s: int) -> str:
    return "over" if left_s < 0 else f"in {span(left_s)}"


def trade(settings: TraderSettings, row: SwapRow) -> tuple[str, str]:
    """What this side gives and gets."""
    terms = row.state.terms
    bitcoin = btc(terms.bitcoin.amount)
    evm = evm_amount(settings, terms.evm.asset, terms.evm.amount)
    return (evm, bitcoin) if row.role is Role.INITIATOR else (bitcoin, evm)


# --- The list ---------------------------------------------------------------------------------------------------------


def list_document(rows: Sequence[SwapRow], offers: Sequence[OwnOffer]) -> dict[str, Any]:
    """For programs."""
    return {
        "swaps": [_brief(row) for row in rows],
        "offers": [
            {
                "offer_id": one.offer_id.hex(),
                "offer": one.signed.text,
                "valid_until": one.signed.offer.valid_until,
                "board": one.board,
            }
            for one in offers
        ],
    }


def list_text(settings: TraderSettings, rows: Sequence[SwapRow], offers: Sequence[OwnOffer]) -> str:
    """For people."""
    now = UnixMs(int(time.time() * 1000))
    lines = []
    for row in rows:
        gives, gets = trade(settings, row)
        lines.append((short(row.swap_id), gives, gets, clock(row.created_at)[5:16], _standing(row, now)))
    parts = [table(("swap", "give", "get", "since", "state"), lines) if lines else "no swaps yet"]
    waiting = [one for one in offers if one.signed.offer.valid_until > now // 1000]
    if waiting:
        shown = []
        for one in waiting:
            gives, wants = sides(settings, one.signed.offer)
            shown.append((short(one.offer_id), gives, wants, span(one.signed.offer.valid_until - now // 1000)))
        parts.append(table(("offer", "give", "want", "valid for"), shown))
    return "\n\n".join(parts)


def _standing(row: SwapRow, now: UnixMs) -> str:
    """How far it is, or how it has ended."""
    outcome = row.state.outcome
    return outlook(row.state, now).phase.value if outcome is None else ENDED[outcome]


# --- One swap ---------------------------------------------------------------------------------------------------------


def show_document(
    row: SwapRow, lines: Sequence[Line], kept: Sequence[KeptTransaction], waiting: Sequence[DueOrder]
) -> dict[str, Any]:
    """For programs. Amounts as text, in base units; times in seconds since 1970."""
    terms, found = row.state.terms, outlook(row.state, UnixMs(int(time.time() * 1000)))
    return {
        **_brief(row),
        "offer_id": terms.offer_id.hex(),
        "mode": terms.mode.value,
        "bitcoin": {
            "chain": str(terms.bitcoin.chain),
            "amount": str(terms.bitcoin.amount),
            "confirmations": terms.bitcoin.confirmations,
            "expires_at": terms.bitcoin.expires_at,
            "funding": found.funding,
        },
        "evm": {
            "chain": str(terms.evm.chain),
            "escrow": address_text(terms.evm.escrow),
            "lock_id": terms.evm.lock_id.hex(),
            "asset": address_text(terms.evm.asset),
            "amount": str(terms.evm.amount),
            "payer": address_text(terms.evm.payer),
            "beneficiary": address_text(terms.evm.beneficiary),
            "confirmations": terms.evm.confirmations,
            "expires_at": terms.evm.expires_at,
            "lock": found.lock,
        },
        "now": found.now,
        "then": found.then,
        "notes": list(found.notes),
        "deadlines": [{"what": one.what, "at": one.at} for one in found.deadlines],
        "if_it_dies": found.if_it_dies,
        "transactions": [
            {"order": one.key, "attempt": one.attempt, "txid": one.txid[::-1].hex(), "fee": str(one.fee)}
            for one in kept
        ],
        "waiting": [{"order": one.key, "attempts": one.attempts, "problem": one.problem} for one in waiting],
        "history": [{"at_ms": line.at, "note": line.note} for line in lines],
    }


def show_text(
    settings: TraderSettings,
    row: SwapRow,
    lines: Sequence[Line],
    kept: Sequence[KeptTransaction],
    waiting: Sequence[DueOrder],
) -> str:
    """For people."""
    now = UnixMs(int(time.time() * 1000))
    terms, found = row.state.terms, outlook(row.state, now)
    gives, gets = trade(settings, row)
    pairs: list[tuple[str, Any]] = [
        ("swap", row.swap_id.hex()),
        ("you", f"give {gives}, get {gets}; you are the {row.role.value}"),
        ("locked by", "a point (private)" if terms.mode.value == "point" else "a hash"),
        (found.phase.value, found.now),
        ("EVM lock", f"{found.lock}; {terms.evm.chain}, Escrow {address_text(terms.evm.escrow)}"),
        ("bitcoin", found.funding),
        ("next", found.then),
        *((_until(one.left_s), f"{clock(one.at * 1000)}: {one.what}") for one in found.deadlines),
        *(("note", note) for note in found.notes),
        ("if this machine dies", found.if_it_dies),
    ]
    parts = [wrapped_facts(pairs)]
    troubled = [(one.key.split(":")[0], one.attempts, one.problem) for one in waiting if one.problem]
    if troubled:
        parts.append(table(("waits", "tries", "because"), troubled))
    if kept:
        sent = [(one.key.split(":")[0], one.attempt, f"{one.fee:,}", one.txid[::-1].hex()) for one in kept]
        parts.append(table(("bitcoin transaction", "try", "fee", "txid"), sent, right=("fee",)))
    parts.append("\n".join(paragraph(line.note, f"{clock(line.at)}  ") for line in lines))
    return "\n\n".join(parts)


def _brief(row: SwapRow) -> dict[str, Any]:
    outcome = row.state.outcome
    return {
        "swap": row.swap_id.hex(),
        "role": row.role.value,
        "is_maker": row.is_maker,
        "phase": outlook(row.state, UnixMs(int(time.time() * 1000))).phase.value,
        "outcome": None if outcome is None else outcome.name.lower(),
        "created_at_ms": row.created_at,
        "updated_at_ms": row.updated_at,
    }
