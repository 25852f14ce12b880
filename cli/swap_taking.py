"""Taking an offer: what is refused, what its taker has to know before it agrees, and the swap."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from cli.exits import ExitCode
from cli.output import paragraph, wrapped_facts
from cli.swap_amounts import sides, span
from cli.swap_outcomes import TakeRefused, tell_end
from cli.swap_running import at_work, follow
from cli.swap_view import Viewer
from foundation.errors import BadInput, Fatal
from settlement.swap.engine.market import check_known
from settlement.swap.engine.trading import OFFER_MARGIN_SECONDS
from settlement.swap.planning.plan import plan
from settlement.swap.store.store import SwapRow, SwapStore, Taking, TakingState
from settlement.swap.terms import Mode

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.offers import SignedOffer
    from settlement.swap.wallet.secrets import TraderKeys


class Declined(Fatal):
    """The person at the terminal said no."""

    cure = "run the command again to be asked again"

    def __init__(self) -> None:
        super().__init__("you did not take the offer; nothing was agreed, and no money has moved")


def check_takeable(settings: TraderSettings, signed: SignedOffer) -> None:
    """Make sure that an offer could be swapped here, before anybody is asked.

    Raises:
        OfferExpired: it is too late.
        OfferUnknown: of chains, contracts or assets that are not known.
        UnsafeTerms: no safe swap comes of it.
    """
    now = int(time.time())
    signed.check_time(now + OFFER_MARGIN_SECONDS)
    check_known(settings, signed.offer)
    plan(signed.offer.satoshi, now, settings.conditions)


def confirm(settings: TraderSettings, signed: SignedOffer, *, yes: bool, is_piped: bool, as_json: bool) -> None:
    """Show what is to be agreed, and ask.

    Args:
        settings: of the folder.
        signed: the offer.
        yes: do not ask.
        is_piped: whether the offer came from standard input, which can answer nothing then.
        as_json: whether a program reads.

    Raises:
        BadInput: there is nobody to ask.
        Declined: the answer is no.
    """
    if not yes and as_json:
        raise BadInput("--yes", "is missing: with --json nobody is asked", "look at the offer, and give --yes")
    if not yes and (is_piped or not sys.stdin.isatty()):
        raise BadInput("--yes", "is missing: there is no terminal to ask at", "look at the offer, and give --yes")
    print(offer_text(settings, signed), file=sys.stderr, flush=True)
    if yes:
        return
    try:
        is_wanted = typer.confirm("Take it?", err=True)
    except typer.Abort:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if not is_wanted:
        raise Declined


def offer_text(settings: TraderSettings, signed: SignedOffer) -> str:
    """What a taker should know before it agrees."""
    offer, now = signed.offer, int(time.time())
    gives, wants = sides(settings, offer)
    planned = plan(offer.satoshi, now, settings.conditions)
    pairs: list[tuple[str, Any]] = [
        ("you give", wants),
        ("you get", gives),
        ("by", "a point: the two chains' transactions cannot be linked" if offer.mode is Mode.POINT else "a hash"),
        ("maker", offer.maker.hex()),
        ("valid for", span(offer.valid_until - now)),
        ("if it fails", f"your money is back after at most {span(planned.evm_expires_at - now)}"),
    ]
    return wrapped_facts(pairs) + "\n" + "\n".join(paragraph(line, "  - ") for line in planned.reasons)


async def take_offer(settings: TraderSettings, keys: TraderKeys, output: Output, signed: SignedOffer) -> None:
    """Take an offer, and swap. Raises `TakeRefused`, `NotSwapped`, and what `Trading.take` raises."""
    async with at_work(settings, keys, taking=signed.offer.offer_id, note=output.note) as running:
        office = running.engine.office
        taking = await running.engine.trading.take(signed)
        output.note(
            "The maker is asked. Keep this running until the swap has ended; `causeway swap resume` takes it up again."
        )
        found: list[SwapRow] = []

        async def is_over(rows: Sequence[SwapRow]) -> bool:
            nonlocal taking
            if taking.state is TakingState.ASKED:
                async with office.database.view() as view:
                    taking = _kept(await SwapStore(view.connection).taking(taking.offer_id))
                if taking.state is TakingState.AGREED:
                    output.note("Taken: the maker has agreed.")
            found[:] = [row for row in rows if row.swap_id == taking.swap_id]
            return taking.state is TakingState.REFUSED or any(not row.is_open for row in found)

        await follow(running, Viewer(settings, quiet=output.as_json), is_over)
        if taking.state is TakingState.REFUSED:
            raise TakeRefused(taking.problem)
        await tell_end(running, found[0], output)


def _kept(taking: Taking | None) -> Taking:
    assert taking is not None, "it is kept"
    return taking
