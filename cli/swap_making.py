"""Making an offer: what it says, and waiting until somebody takes it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import segno

from cli.swap_amounts import parse_asset_amount, parse_span, span
from cli.swap_outcomes import NotTaken, tell_end
from cli.swap_running import Running, at_work, follow, withdraw_offer
from cli.swap_view import Viewer
from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from settlement.swap.engine.trading import Draft
from settlement.swap.offers import SCHEME, VALID_SECONDS_MAX, Offer, check_place
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.planning.plan import plan
from settlement.swap.store.store import OwnOffer, SwapRow
from settlement.swap.terms import Mode

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.wallet.secrets import TraderKeys

GRACE_SECONDS: Final = 5
"""Who took an offer at its last moment was answered so long after it at the latest."""


def template(settings: TraderSettings, token: bytes, place: str) -> Offer:
    """An offer with the configuration's chains and contract; all that is particular is filled in later."""
    now = int(time.time())
    return Offer(
        maker=b"\x02" * 32,
        letters=bytes(32),
        place=place,
        mode=Mode.HASH,
        gives_bitcoin=True,
        bitcoin_chain=settings.bitcoin_chain,
        satoshi=Satoshi(100_000),
        bitcoin_confirmations=1,
        evm_chain=settings.evm_chain,
        escrow=settings.site.escrow,
        asset=token,
        account=b"\x01" * 20,
        amount=TokenUnits(1),
        evm_confirmations=1,
        made_at=now,
        valid_until=now + 1,
        salt=bytes(16),
    )


def draft_of(
    settings: TraderSettings, give: str, want: str, valid: str, private: bool, place: str
) -> tuple[Draft, bytes]:
    """What a maker wrote, and the EVM asset's address. Raises `BadInput` naming the option."""
    given, wanted = parse_asset_amount(give, settings, "--give"), parse_asset_amount(want, settings, "--want")
    if (given[0].token is None) == (wanted[0].token is None):
        raise BadInput("--want", "one side has to be bitcoin, and the other not", "like --give 1BTC --want 20ETH")
    gives_bitcoin = given[0].token is None
    (_, satoshi), (asset, amount) = (given, wanted) if gives_bitcoin else (wanted, given)
    check_bitcoin(settings, satoshi, "--give" if gives_bitcoin else "--want")
    if amount >= 1 << 256:
        raise BadInput(
            "--want" if gives_bitcoin else "--give", f"is more {asset.symbol} than can be", "a smaller amount"
        )
    assert asset.token is not None, "one of them is not bitcoin"
    mode = Mode.POINT if private else Mode.HASH
    seconds = valid_seconds(valid)
    return Draft(gives_bitcoin, Satoshi(satoshi), TokenUnits(amount), mode, seconds, place), asset.token


def check_bitcoin(settings: TraderSettings, satoshi: int, field: str) -> None:
    """Make sure that a swap of so much bitcoin can be planned. Raises `BadInput` naming `field`."""
    try:
        plan(Satoshi(satoshi), int(time.time()), settings.conditions)
    except UnsafeTerms as error:
        raise BadInput(field, error.problem, error.cure) from error


def valid_seconds(text: str, field: str = "--valid") -> int:
    """How long an offer may be taken. Raises `BadInput` naming `field`."""
    seconds = parse_span(text, field)
    if seconds > VALID_SECONDS_MAX:
        raise BadInput(field, f"{text.strip()} is too long: prices move", f"at most {VALID_SECONDS_MAX // 86_400}d")
    return seconds


def board_of(settings: TraderSettings, given: str) -> str:
    """The order board to use. Raises `BadInput`: none is named, or what is named is none."""
    if not given and not settings.board:
        raise BadInput("--board", "no order board is named", "name one, or write it into swap.toml")
    if given:
        check_place(given, "--board")
    return given or settings.board


def publishing_board(settings: TraderSettings, publishes: bool, given: str) -> str:
    """Where to publish; empty: nowhere. Raises `BadInput`: a board is named for nothing, or none is, or it is none."""
    if given and not publishes:
        raise BadInput("--board", "is for what is published, and nothing is", "add --publish, or leave --board out")
    return board_of(settings, given) if publishes else ""


async def make_offer(
    settings: TraderSettings,
    keys: TraderKeys,
    output: Output,
    give: str,
    want: str,
    valid: str,
    private: bool,
    publish: bool,
    board: str,
    *,
    show_qr: bool,
) -> None:
    """Make an offer, wait until it is taken, and swap. However this ends, nobody can take the offer afterwards.

    Raises:
        NotTaken: nobody took it in time.
        NotSwapped: it was taken, and that ended without a trade.
        BadInput, and what `Trading.check_able` raises: it cannot be made.
    """
    where = publishing_board(settings, publish, board)
    draft, token = draft_of(settings, give, want, valid, private, where or "http://127.0.0.1:1")
    async with at_work(settings, keys, listens=not publish, note=output.note) as running:
        draft = replace(draft, place=where if publish else running.place)
        form = template(settings, token, draft.place)
        trading = running.engine.trading
        await trading.check_able(draft, form)
        own = await trading.offer(draft, form)
        viewer = Viewer(settings, quiet=output.as_json)
        try:
            if publish:
                await trading.set_offer(own := replace(own, board=where))  # before it hangs there: who dies knows
                await (await running.engine.letters.post(where)).publish(own.signed)
            output.note(own.signed.text)
            if show_qr and not output.as_json:
                output.note(qr_code(own.signed.text))
            output.note(f"Valid for {span(draft.valid_seconds)}. Keep this running; the swap begins when it is taken.")
            row = await _swapped(running, own, viewer, output)
        finally:
            is_withdrawn = await asyncio.shield(withdraw_offer(running.engine, own, output.note))
        if row is None and not is_withdrawn:  # it was taken at the last moment, when nobody looked any more
            row = await _swapped(running, own, viewer, output)
        if row is None:
            raise NotTaken
        await tell_end(running, row, output)


async def _swapped(running: Running, own: OwnOffer, viewer: Viewer, output: Output) -> SwapRow | None:
    """The swap that comes of an offer, once it has ended; None where nobody took it in time."""
    found: list[SwapRow] = []

    async def is_over(rows: Sequence[SwapRow]) -> bool:
        of_offer = [row for row in rows if row.index == own.index]
        if of_offer and not found:
            output.note(f"Taken: swap {of_offer[0].swap_id.hex()[:8]} begins.")
        found[:] = of_offer
        return not of_offer[0].is_open if of_offer else time.time() > own.signed.offer.valid_until + GRACE_SECONDS

    await follow(running, viewer, is_over)
    return found[0] if found else None


def qr_code(text: str) -> str:
    """A QR code of two rows a line. Upper case, which takes half as much room in it."""
    drawn = io.StringIO()
    segno.make(text.upper() if text.startswith(SCHEME) else text, error="l", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue()
