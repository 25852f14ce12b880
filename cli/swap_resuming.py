"""Carrying on: with all that is open, with one swap by its owner's word, and with what was paid late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.exits import NotFound
from cli.output import short
from cli.swap_amounts import sides, span
from cli.swap_making import GRACE_SECONDS
from cli.swap_outcomes import NotTaken, TakeRefused, check_traded, outcome_line, outcome_name
from cli.swap_running import Running, at_work, follow, withdraw_offer
from cli.swap_view import Viewer
from settlement.swap.engine.own_offers import open_offers
from settlement.swap.engine.runtime import WalletBusy, open_store, wall_clock
from settlement.swap.engine.watchers import LATE_DAYS, recently_ended
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.states import Follower
from settlement.swap.store.store import OfferState, OwnOffer, SwapRow, SwapStore, Taking, TakingState

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.wallet.secrets import TraderKeys


async def resume_all(settings: TraderSettings, keys: TraderKeys, output: Output) -> None:
    """Carry on with all open swaps, takings and offers, until each has ended; and refund what came late to others.

    Raises:
        NotSwapped, TakeRefused, NotTaken: the first that ended so, when all have ended.
    """
    async with at_work(settings, keys, keeps=True, note=output.note) as running:
        resumed = await _found(running, output)
        try:
            rows = await _followed(running, resumed, output)
        finally:
            for own in resumed.offers:
                await asyncio.shield(withdraw_offer(running.engine, own, output.note))
        output.result(resumed.document(rows), resumed.text(rows))
        resumed.check(rows)


async def _followed(running: Running, resumed: _Resumed, output: Output) -> list[SwapRow]:
    """All swaps that were open, or became so, once nothing is awaited.

    Offers whose time is over are withdrawn then; one that was taken at the last moment, when nobody looked any more, is
    followed too.
    """
    viewer = Viewer(running.engine.settings, quiet=output.as_json)
    shown: dict[bytes, SwapRow] = {}
    while True:
        rows = await follow(running, viewer, lambda rows: resumed.is_over(running, rows))
        shown.update((row.swap_id, row) for row in rows)
        withdrawn = [await withdraw_offer(running.engine, own, output.note) for own in resumed.untaken]
        if all(withdrawn):
            return [*shown.values()]


@dataclass
class _Resumed:
    """What `resume` carries on with besides open swaps. Fields: late (ended swaps whose outputs are looked at);
    takings; offers, untaken (of these, those whose time was over)."""

    late: tuple[SwapRow, ...]
    takings: list[Taking]
    offers: list[OwnOffer]
    untaken: list[OwnOffer] = field(default_factory=list)

    async def is_over(self, running: Running, rows: Sequence[SwapRow]) -> bool:
        """Whether nothing is awaited, and nothing open."""
        office = running.engine.office
        has_looked = not self.late or running.engine.watchers.has_looked
        async with office.database.view() as view:
            store = SwapStore(view.connection)
            takings = [await store.taking(one.offer_id) for one in self.takings]
            offers = [await store.offer(one.offer_id) for one in self.offers]
            is_open = any(row.is_open for row in rows) or bool(await store.swaps(open_only=True))
        self.takings = [one for one in takings if one is not None]
        now = time.time()
        waiting = [one for one in offers if one is not None and one.state is not OfferState.TAKEN]
        self.untaken = [one for one in waiting if now > one.signed.offer.valid_until + GRACE_SECONDS]
        is_asked = any(one.state is TakingState.ASKED for one in self.takings)
        return has_looked and not is_asked and len(self.untaken) == len(waiting) and not is_open

    def _reopened(self, rows: Sequence[SwapRow]) -> list[SwapRow]:
        ended = {row.swap_id for row in self.late}
        return [row for row in rows if row.swap_id in ended]

    def _refused(self) -> list[Taking]:
        return [one for one in self.takings if one.state is TakingState.REFUSED]

    def document(self, rows: Sequence[SwapRow]) -> list[dict[str, Any]]:
        """For programs."""
        late = self._reopened(rows)
        found: list[dict[str, Any]] = [
            {"swap": row.swap_id.hex(), "outcome": outcome_name(row), "paid_late": row in late} for row in rows
        ]
        found += [{"offer": one.offer_id.hex(), "refused": one.problem} for one in self._refused()]
        return [*found, *({"offer": one.offer_id.hex(), "refused": "nobody took it"} for one in self.untaken)]

    def text(self, rows: Sequence[SwapRow]) -> str:
        """For people."""
        late = self._reopened(rows)
        lines = [outcome_line(row) + ("  What was paid to it late is refunded." if row in late else "") for row in rows]
        lines += [f"offer {short(one.offer_id)}  {one.problem}" for one in self._refused()]
        lines += [f"offer {short(one.offer_id)}  nobody took it in time" for one in self.untaken]
        if self.late and not late:
            count = "1 swap" if len(self.late) == 1 else f"{len(self.late)} swaps"
            looked = f"{count} that ended in the last {LATE_DAYS} days " + ("was" if count == "1 swap" else "were")
            looked += " looked at for late payments"
            lines.append(looked if lines else f"nothing is open; {looked}")
        return "\n".join(lines) or "nothing is open"

    def check(self, rows: Sequence[SwapRow]) -> None:
        """Raises `NotSwapped`, `TakeRefused`, `NotTaken`: the first that ended so."""
        late = self._reopened(rows)
        for row in rows:
            if row not in late:
                check_traded(row)
        for one in self._refused():
            raise TakeRefused(one.problem)
        if self.untaken:
            raise NotTaken


async def _found(running: Running, output: Output) -> _Resumed:
    """What is there to carry on with; offers whose letters can reach nobody are withdrawn."""
    engine, now = running.engine, int(time.time())
    async with engine.office.database.view() as view:
        takings = [*await SwapStore(view.connection).open_takings()]
    offers = []
    for own in await open_offers(engine.office):
        offer, name = own.signed.offer, short(own.offer_id)
        if offer.valid_until <= now:
            await withdraw_offer(engine, own, output.note)
        elif own.board or offer.place == running.place:
            gives, wants = sides(engine.settings, offer)
            output.note(f"offer {name} ({gives} for {wants}) can be taken for {span(offer.valid_until - now)} more")
            offers.append(own)
        else:
            await withdraw_offer(engine, own, output.note)
            output.note(f"offer {name} is withdrawn: letters to {offer.place} do not come here any more")
    for one in takings:
        output.note(f"the maker of offer {short(one.offer_id)}, which you took, is asked again")
    return _Resumed(await recently_ended(engine.office), takings, offers)


async def ask_and_carry_on(
    settings: TraderSettings, keys: Callable[[], TraderKeys], output: Output, name: str, wish: Wish
) -> None:
    """Write down what an owner wants; where no other process runs the swaps, carry on with this one to its end.

    Raises:
        NotFound: it has ended, and there is nothing to refund.
        NotSwapped: it was to be claimed, and ended without a trade.
    """
    async with open_store(settings.folder) as database, database.unit() as unit:
        store = SwapStore(unit.connection)
        row = await store.named(name)
        if row.is_open:
            await store.wish(row.swap_id, wish)
            await unit.commit()
    if not row.is_open and (wish is not Wish.REFUND or not _may_be_paid_late(row)):
        raise NotFound(f"swap {name} has ended already", f"`causeway swap show {name}` tells how")
    try:
        async with at_work(settings, keys(), note=output.note) as running:
            ended = await _ended(running, row, Viewer(settings, quiet=output.as_json), output)
            document = {"swap": row.swap_id.hex(), "outcome": outcome_name(ended)}
            output.result(document, outcome_line(ended))
    except WalletBusy:
        text = "asked; the process that runs your swaps does it"
        if not row.is_open:
            text = "it has ended; the process that runs your swaps refunds what was paid to it late"
        output.result({"swap": row.swap_id.hex(), "asked": wish.value}, text)
        return
    if wish is Wish.REDEEM:
        check_traded(ended)


def _may_be_paid_late(row: SwapRow) -> bool:
    return isinstance(row.state, Follower) and row.updated_at >= wall_clock() - LATE_DAYS * 86_400_000


async def _ended(running: Running, row: SwapRow, viewer: Viewer, output: Output) -> SwapRow:
    """A swap once it has ended; one that had ended before, once what was paid to it late is refunded."""
    if not row.is_open:
        output.note("It has ended. Whether anything was paid to it late is looked up on the chains.")
    found = [row]

    async def is_over(rows: Sequence[SwapRow]) -> bool:
        has_looked = row.is_open or running.engine.watchers.has_looked
        now = await running.engine.office.swap(row.swap_id)
        assert now is not None, "it is kept"
        found[:] = [now]
        return has_looked and not now.is_open

    await follow(running, viewer, is_over)
    if not row.is_open and len(found[0].state.outputs) <= len(row.state.outputs):
        what = f"swap {row.swap_id.hex()[:8]} has ended already, and nothing was paid to it since"
        raise NotFound(what, "`causeway swap show` tells how it ended")
    return found[0]
