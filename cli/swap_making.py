"""What the commands that trade do: make an offer and wait, take one, carry on with what is open."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import segno

from cli.exits import NotFound
from cli.swap_amounts import parse_asset_amount, parse_span, sides, span
from cli.swap_running import Running, at_work, follow
from cli.swap_view import Viewer, show_document, trade
from foundation.errors import BadInput, Fatal, Retryable
from foundation.quantities import Satoshi, TokenUnits
from settlement.swap.engine.runtime import WalletBusy, open_store
from settlement.swap.engine.trading import Draft
from settlement.swap.letters.post import Post
from settlement.swap.machine.outlook import outlook
from settlement.swap.machine.states import Outcome
from settlement.swap.offers import SCHEME, Offer, SignedOffer
from settlement.swap.planning.plan import plan
from settlement.swap.store.store import OfferState, OwnOffer, SwapRow, SwapStore, Taking, TakingState
from settlement.swap.terms import Mode

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.machine.changes import Wish
    from settlement.swap.wallet.secrets import TraderKeys

_GOOD: Final = (Outcome.SWAPPED, Outcome.WINDFALL)


class NotSwapped(Fatal):
    """The swap ended without a trade. Fields: outcome; cure."""

    def __init__(self, outcome: Outcome, cure: str) -> None:
        self.outcome = outcome.name.lower()
        self.cure = cure
        super().__init__(f"the swap ended without a trade: {outcome.value}")


class NotTaken(Retryable):
    """Nobody took the offer in time."""

    def __init__(self) -> None:
        super().__init__("nobody took the offer while it was valid; no money has moved")


class TakeRefused(Fatal):
    """The offer could not be taken. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


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
    """What a maker wrote, and the EVM asset's address. Raises `BadInput`."""
    given, wanted = parse_asset_amount(give, settings, "--give"), parse_asset_amount(want, settings, "--want")
    if (given[0].token is None) == (wanted[0].token is None):
        raise BadInput("--want", "one side has to be bitcoin, and the other not", "like --give 1BTC --want 20ETH")
    gives_bitcoin = given[0].token is None
    (_, satoshi), (asset, amount) = (given, wanted) if gives_bitcoin else (wanted, given)
    assert asset.token is not None, "one of them is not bitcoin"
    mode = Mode.POINT if private else Mode.HASH
    seconds = parse_span(valid, "--valid")
    return Draft(gives_bitcoin, Satoshi(satoshi), TokenUnits(amount), mode, seconds, place), asset.token


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
    """Make an offer, wait until it is taken, and swap."""
    where = board or settings.board
    if publish and not where:
        raise BadInput("--board", "no order board is named", "name one, or write it into swap.toml")
    draft_of(settings, give, want, valid, private, "http://127.0.0.1:1")  # what is wrong is said before anything opens
    async with at_work(settings, keys, listens=not publish) as running:
        draft, token = draft_of(settings, give, want, valid, private, where if publish else running.place)
        trading = running.engine.trading
        own = await trading.offer(draft, template(settings, token, draft.place))
        await trading.check_able(own.signed.offer)
        if publish:
            post = await running.engine.letters.post(where)
            await post.publish(own.signed)
            own = replace(own, board=where)
            await trading.set_offer(own)
        output.note(own.signed.text)
        if show_qr and not output.as_json:
            output.note(qr_code(own.signed.text))
        output.note(f"Valid for {span(draft.valid_seconds)}. Keep this running; the swap begins when it is taken.")
        row = await _taken(running, own)
        if row is None:
            await trading.set_offer(replace(own, state=OfferState.WITHDRAWN))
            raise NotTaken
        await _swap(running, row, output)


async def _taken(running: Running, own: OwnOffer) -> SwapRow | None:
    """The swap that comes of an offer; None where nobody took it in time."""
    office = running.engine.office
    found: list[SwapRow] = []

    async def look() -> bool:
        async with office.database.view() as view:
            row = await SwapStore(view.connection).swap_of(own.index)
        if row is not None:
            found.append(row)
        return row is not None

    await running.until(look, own.signed.offer.valid_until - time.time() + 5)
    return found[0] if found else None


async def take_offer(settings: TraderSettings, keys: TraderKeys, output: Output, signed: SignedOffer) -> None:
    """Take an offer, and swap."""
    async with at_work(settings, keys) as running:
        taking = await running.engine.trading.take(signed)
        output.note("Taken. Keep this running until the swap has ended; `causeway swap resume` takes it up again.")
        answered = await _answered(running, taking)
        if answered.state is TakingState.REFUSED:
            raise TakeRefused(answered.problem)
        assert answered.swap_id is not None, "it is agreed"
        row = await running.engine.office.swap(answered.swap_id)
        assert row is not None, "stored with it"
        await _swap(running, row, output)


async def _answered(running: Running, taking: Taking) -> Taking:
    office, found = running.engine.office, [taking]

    async def look() -> bool:
        async with office.database.view() as view:
            now = await SwapStore(view.connection).taking(taking.offer_id)
        assert now is not None, "it is kept"
        found[0] = now
        return now.state is not TakingState.ASKED

    await running.until(look)
    return found[0]


async def _swap(running: Running, row: SwapRow, output: Output) -> None:
    """Follow a swap to its end, and tell how it ended."""
    settings = running.engine.settings
    (ended,) = await follow(running, [row.swap_id], Viewer(settings, quiet=output.as_json))
    await _tell(running, ended, output)
    _check(ended)


async def _tell(running: Running, row: SwapRow, output: Output) -> None:
    async with running.engine.office.database.view() as view:
        store = SwapStore(view.connection)
        lines, kept = await store.lines(row.swap_id), await store.all_kept(row.swap_id)
    gives, gets = trade(running.engine.settings, row)
    outcome = row.state.outcome
    assert outcome is not None, "it has ended"
    text = f"You gave {gives} and got {gets}." if outcome is Outcome.SWAPPED else f"Ended: {outcome.value}."
    output.result(show_document(row, lines, kept, ()), f"{text}  Swap {row.swap_id.hex()}")


def _check(row: SwapRow) -> None:
    outcome = row.state.outcome
    assert outcome is not None, "it has ended"
    if outcome not in _GOOD:
        now = row.updated_at
        raise NotSwapped(outcome, outlook(row.state, now).if_it_dies)


async def resume_all(settings: TraderSettings, keys: TraderKeys, output: Output) -> None:
    """Carry on with all open swaps, takings and offers, until each has ended."""
    async with at_work(settings, keys) as running:
        office = running.engine.office
        rows = await office.swaps(open_only=True)
        async with office.database.view() as view:
            takings = await SwapStore(view.connection).open_takings()
        for taking in takings:
            answered = await _answered(running, taking)
            row = None if answered.swap_id is None else await office.swap(answered.swap_id)
            rows = (*rows, row) if row is not None else rows
        if not rows:
            output.result([], "nothing is open")
            return
        ended = await follow(running, [row.swap_id for row in rows], Viewer(settings, quiet=output.as_json))
        shown = [{"swap": row.swap_id.hex(), "outcome": _outcome(row)} for row in ended]
        output.result(shown, "\n".join(f"{row.swap_id.hex()[:16]}  {_words(row)}" for row in ended))


async def ask_and_carry_on(
    settings: TraderSettings, keys: Callable[[], TraderKeys], output: Output, name: str, wish: Wish
) -> None:
    """Write down what an owner wants; where no other process runs the swaps, carry on with this one to its end."""
    async with open_store(settings.folder) as database, database.unit() as unit:
        store = SwapStore(unit.connection)
        row = await store.named(name)
        if not row.is_open:
            raise NotFound(f"swap {name} has ended already", "causeway swap show tells how")
        await store.wish(row.swap_id, wish)
        await unit.commit()
    try:
        async with at_work(settings, keys()) as running:
            (ended,) = await follow(running, [row.swap_id], Viewer(settings, quiet=output.as_json))
            output.result({"swap": row.swap_id.hex(), "outcome": _outcome(ended)}, _words(ended))
    except WalletBusy:
        output.result(
            {"swap": row.swap_id.hex(), "asked": wish.value}, "asked; the process that runs your swaps does it"
        )


async def board_offers(settings: TraderSettings, board: str, give: str, want: str) -> Sequence[SignedOffer]:
    """Offers on a board of assets that are known, newest first."""
    place = board or settings.board
    if not place:
        raise BadInput("--board", "no order board is named", "name one, or write it into swap.toml")
    async with Post(place, lambda: int(time.time())) as post:
        found = await post.offers()
    wanted = [(symbol, settings.asset(symbol).token if symbol else b"") for symbol in (give, want)]

    def fits(offer: Offer) -> bool:
        given, asked = (None, offer.asset) if offer.gives_bitcoin else (offer.asset, None)
        pairs = zip(wanted, (given, asked), strict=True)
        known = offer.escrow == settings.site.escrow and settings.token(offer.asset) is not None
        return known and all(not symbol or token == there for (symbol, token), there in pairs)

    return [one for one in found if fits(one.offer)]


def offer_text(settings: TraderSettings, signed: SignedOffer) -> str:
    """What a taker should know before it agrees."""
    from cli.output import facts

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
    return facts(pairs) + "\n" + "\n".join(f"  - {line}" for line in planned.reasons)


def qr_code(text: str) -> str:
    """A QR code of two rows a line. Upper case, which takes half as much room in it."""
    drawn = io.StringIO()
    segno.make(text.upper() if text.startswith(SCHEME) else text, error="l", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue()


def _outcome(row: SwapRow) -> str | None:
    return None if row.state.outcome is None else row.state.outcome.name.lower()


def _words(row: SwapRow) -> str:
    return "open" if row.state.outcome is None else row.state.outcome.value
