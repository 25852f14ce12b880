"""Commands about swaps that are there: list, show, resume, redeem, refund."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.context import (
    JsonOption,
    PasswordFileOption,
    run,
)
from cli.output import Output
from cli.swap_app import SwapArgument, app
from cli.swap_folder import FolderOption, reading, trader, trader_keys
from cli.swap_nodes import nodes_of, run_naming

if TYPE_CHECKING:
    from settlement.swap.machine.changes import Wish
    from settlement.swap.wallet.secrets import TraderKeys


@app.command("list")
def list_swaps(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """All swaps, and offers that wait for somebody.

    \b
    Example:
      causeway swap list
    """
    from cli.swap_view import list_document, list_text

    settings = trader(folder)

    async def look() -> tuple[Any, str]:
        from settlement.swap.store.store import SwapStore

        async with reading(settings) as database, database.view() as view:
            store = SwapStore(view.connection)
            rows, offers = await store.swaps(), await store.open_offers()
        return list_document(rows, offers), list_text(settings, rows, offers)

    document, text = run(look())
    Output(as_json).result(document, text)


@app.command()
def show(swap: SwapArgument, folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Where one swap stands.

    What happens next and until when, its transactions, and what has happened.

    \b
    Example:
      causeway swap show 3f9a
    """
    from cli.swap_view import show_document, show_text

    settings = trader(folder)

    async def look() -> tuple[Any, str]:
        from settlement.swap.store.store import SwapStore

        async with reading(settings) as database, database.view() as view:
            store = SwapStore(view.connection)
            row = await store.named(swap)
            lines, kept = await store.lines(row.swap_id), await store.all_kept(row.swap_id)
            waiting = await store.orders(row.swap_id, due_only=True)
        document = show_document(row, lines, kept, waiting)
        return document, show_text(settings, row, lines, kept, waiting)

    document, text = run(look())
    Output(as_json).result(document, text)


@app.command()
def resume(folder: FolderOption = None, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """Carry on with all open swaps, offers that wait to be taken, and offers that you took.

    Each is taken up where it stands, until it has ended; status 4 where one ended without a trade, 5 where nobody took
    an offer. Offers to which no letters can come here are withdrawn, and those of `causeway swap serve`. What was paid
    late to a swap that ended in the last 30 days is refunded.

    \b
    Example:
      causeway swap resume
    """
    from cli.swap_resuming import resume_all

    settings = trader(folder)
    run_naming(resume_all(settings, trader_keys(settings, password_file), Output(as_json)), nodes_of(settings))


@app.command()
def redeem(
    swap: SwapArgument,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Claim at once what you get.

    Without waiting for the other side's signature.

    \b
    Example:
      causeway swap redeem 3f9a
    """
    from settlement.swap.machine.changes import Wish

    _wish(swap, Wish.REDEEM, folder, password_file, as_json)


@app.command()
def refund(
    swap: SwapArgument,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do not trade: take back what you gave.

    As soon as the chain allows; once the secret is out it is too late. Of a swap that ended in the last 30 days: take
    back what was paid to it late.

    \b
    Example:
      causeway swap refund 3f9a
    """
    from settlement.swap.machine.changes import Wish

    _wish(swap, Wish.REFUND, folder, password_file, as_json)


def _wish(swap: str, wish: Wish, folder: Path | None, password_file: Path | None, as_json: bool) -> None:
    from cli.swap_resuming import ask_and_carry_on

    settings = trader(folder)

    def keys() -> TraderKeys:
        return trader_keys(settings, password_file)

    run_naming(ask_and_carry_on(settings, keys, Output(as_json), swap, wish), nodes_of(settings))
