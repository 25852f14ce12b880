"""A maker that answers by itself: prices from a file, a URL or the command line, a spread, and limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from api.board.app import QuoteIn
from cli.swap_making import template
from cli.swap_running import Running, at_work, withdraw_offer
from cli.swap_view import Viewer
from foundation.errors import BadInput, CausewayError, Retryable
from foundation.quantities import Satoshi, TokenUnits, UnixMs
from settlement.connector.rates.backend import RateBackend, StaticRates
from settlement.connector.rates.file import FileRates
from settlement.connector.rates.http import HttpRates
from settlement.swap.engine.own_offers import open_offers
from settlement.swap.engine.trading import Draft
from settlement.swap.offers import Offer, SignedOffer
from settlement.swap.pricing import MakerLimits, amount_for, bitcoin_for, is_still_good
from settlement.swap.store.store import OwnOffer, SwapRow, SwapStore
from settlement.swap.terms import Mode

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import AssetName, TraderSettings
    from settlement.swap.wallet.secrets import TraderKeys

BITCOIN: Final = "BTC"
_RENEW_SECONDS: Final = 5.0


class NoPrice(Retryable):
    """No price is known now. Fields: symbol; cure."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.cure = f"have prices of {BITCOIN} and {symbol} where --price-url looks; swap.log says what came"
        super().__init__(f"no price of {symbol} is known now")


def rates_of(price: str, file: Path | None, url: str, symbols: tuple[str, ...]) -> RateBackend:
    """Where prices come from. Exactly one of the three. Raises `BadInput`."""
    if sum((bool(price), file is not None, bool(url))) != 1:
        raise BadInput("--price", "none of the three, or several", "one of --price, --price-file and --price-url")
    if file is not None:
        return FileRates(file, _now)
    if url:
        if not is_url(url):
            raise BadInput("--price-url", f"{url[:80]!r} is no address of a service", "http(s)://host/path")
        return HttpRates(url, _now)
    (symbol,) = symbols
    try:
        # In the asset's own units: one of it is worth 1, a bitcoin what was written.
        return StaticRates({BITCOIN: price, symbol: "1"})
    except BadInput as error:
        raise BadInput("--price", f"{price[:80]!r} is no price", "a number above 0, like 20 or 20.5") from error


def is_url(text: str) -> bool:
    """Whether a service could be there."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Side:
    """What a maker trades against bitcoin. Fields: asset; buys (gives it for bitcoin), sells (gives bitcoin for it)."""

    asset: AssetName
    gives_bitcoin: bool
    gives_asset: bool


class Maker:
    """Answers takers within its limits, at the price of the moment."""

    def __init__(self, settings: TraderSettings, rates: RateBackend, limits: MakerLimits, side: Side) -> None:
        self._settings = settings
        self._rates = rates
        self._limits = limits
        self._side = side
        self._open = 0
        self.running: Running | None = None

    @property
    def price(self) -> Fraction:
        """Whole units of the asset for one bitcoin. Raises `NoPrice`."""
        rate = self._rates.rate(BITCOIN, self._side.asset.symbol)
        if rate is None or rate.expires_at <= _now():
            raise NoPrice(self._side.asset.symbol)
        return Fraction(rate.numerator, rate.denominator)

    @property
    def symbol(self) -> str:
        """Of the asset."""
        return self._side.asset.symbol

    def check_priced(self) -> None:
        """Make sure that there is a price at the start. Raises `BadInput` (a file lacks it), `NoPrice`."""
        try:
            _ = self.price
        except NoPrice:
            if not isinstance(self._rates, FileRates):
                raise
            known = set(self._rates.prices())
            missing = ", ".join(one for one in (BITCOIN, self.symbol) if one not in known) or "one that still holds"
            cure = f'under [prices], {BITCOIN} = "60000" and {self.symbol} = "3000", in one money'
            raise BadInput("--price-file", f"lacks a price: {missing}", cure) from None

    async def quote(self, asked: QuoteIn) -> SignedOffer:
        """Make an offer for a taker. Raises `BadInput`, `NoPrice`."""
        assert self.running is not None, "it serves"
        gives_bitcoin = self._direction(asked)
        decimals, spread = self._side.asset.decimals, self._limits.spread_bp
        named, units = (asked.give if asked.of == "give" else asked.want), int(asked.amount)
        if named == self._names[0]:
            satoshi = Satoshi(min(units, 1 << 60))
            self._limits.check_amount(satoshi)
            amount = amount_for(satoshi, self.price, decimals, spread, maker_gives_bitcoin=gives_bitcoin)
        else:
            amount = TokenUnits(units)
            satoshi = bitcoin_for(amount, self.price, decimals, spread, maker_gives_bitcoin=gives_bitcoin)
            self._limits.check_amount(satoshi)
        return (await self.offer(satoshi, amount, gives_bitcoin, asked.private, self.running.place)).signed

    async def offer_at_price(self, satoshi: Satoshi, gives_bitcoin: bool, place: str) -> OwnOffer:
        """Sign and keep an offer of so much bitcoin. Raises `NoPrice`."""
        decimals, spread = self._side.asset.decimals, self._limits.spread_bp
        amount = amount_for(satoshi, self.price, decimals, spread, maker_gives_bitcoin=gives_bitcoin)
        return await self.offer(satoshi, amount, gives_bitcoin, False, place)

    async def offer(
        self, satoshi: Satoshi, amount: TokenUnits, gives_bitcoin: bool, private: bool, place: str
    ) -> OwnOffer:
        """Sign and keep an offer."""
        assert self.running is not None, "it serves"
        assert self._side.asset.token is not None, "it is not bitcoin"
        mode = Mode.POINT if private else Mode.HASH
        draft = Draft(gives_bitcoin, satoshi, amount, mode, self._limits.valid_seconds, place)
        return await self.running.engine.trading.offer(draft, template(self._settings, self._side.asset.token, place))

    def accepts(self, offer: Offer) -> None:
        """Take part in a swap by an own offer: see `Trading`. It counts from now on, before it is among those that are
        open: many may be taken within a moment. Raises `BadInput`, `NoPrice`."""
        self.check(offer)
        self._open += 1

    def check(self, offer: Offer) -> None:
        """Whether an own offer may still be taken. Raises `BadInput`, `NoPrice`."""
        if self._open >= self._limits.at_once:
            raise BadInput("offer", f"comes while {self._open} swaps are open", "take it again later")
        good = is_still_good(
            offer.satoshi,
            offer.amount,
            self.price,
            self._side.asset.decimals,
            self._limits.slack_bp,
            maker_gives_bitcoin=offer.gives_bitcoin,
        )
        if not good:
            raise BadInput("offer", "is of another price", "ask for a new one")

    def count(self, swaps: int) -> None:
        """How many swaps are open now."""
        self._open = swaps

    @property
    def _names(self) -> tuple[str, str]:
        some = template(self._settings, self._side.asset.token or bytes(20), "http://127.0.0.1:1")
        return str(some.bitcoin_asset), str(some.evm_asset)

    def _direction(self, asked: QuoteIn) -> bool:
        """Whether the maker is to give bitcoin. Raises `BadInput`: it does not trade that."""
        bitcoin, asset = self._names
        pair = (asked.give, asked.want)
        if pair == (asset, bitcoin) and self._side.gives_bitcoin:
            return True
        if pair == (bitcoin, asset) and self._side.gives_asset:
            return False
        raise BadInput("give", "this maker does not trade that", f"{bitcoin} and {asset}, as it serves them")


async def serve(
    settings: TraderSettings,
    keys: TraderKeys,
    output: Output,
    maker: Maker,
    rates: RateBackend,
    published: list[tuple[bool, Satoshi]],
    board: str,
) -> None:
    """Answer takers until the command is ended; what was offered until then can be taken no more.

    Args:
        published: what to keep published on the board: whether bitcoin is given, and how much.
        board: the board's URL; empty: none.

    Raises:
        BadInput: the file of prices lacks one.
        NoPrice: the service of prices does not answer.
    """
    await rates.start()
    try:
        maker.check_priced()
        async with at_work(
            settings, keys, listens=True, accepts=maker.accepts, quoter=maker.quote, note=output.note
        ) as running:
            maker.running = running
            _tell_place(output, running.place, maker)
            shelf = Shelf(running, maker, board, published, output.note)
            viewer = Viewer(settings, quiet=True)
            told = {row.swap_id for row in await running.engine.office.swaps() if not row.is_open}
            try:
                while True:
                    rows = await running.engine.office.swaps()
                    maker.count(sum(row.is_open for row in rows))
                    await viewer.show(rows, running.engine)
                    if output.as_json:
                        _tell_ends(rows, told)
                    await shelf.renew()
                    await running.until(_never, _RENEW_SECONDS)
            finally:
                await asyncio.shield(_close(shelf, running, output))
    finally:
        await rates.close()


def _tell_place(output: Output, place: str, maker: Maker) -> None:
    price = f"{float(maker.price):,.8g} {maker.symbol}"
    if output.as_json:
        print(json.dumps({"serving": place, "asset": maker.symbol, "price": str(float(maker.price))}), flush=True)
    output.note(f"Serving at {place}; one bitcoin is {price}. Ctrl-C ends it; open swaps: `causeway swap resume`.")


async def _close(shelf: Shelf, running: Running, output: Output) -> None:
    """Nothing that was offered can be taken any more."""
    await shelf.clear()
    for own in await open_offers(running.engine.office):
        await withdraw_offer(running.engine, own, output.note)


def _tell_ends(rows: Sequence[SwapRow], told: set[bytes]) -> None:
    """A line of JSON for each swap that has ended since the last time."""
    for row in rows:
        if row.state.outcome is not None and row.swap_id not in told:
            told.add(row.swap_id)
            print(json.dumps({"swap": row.swap_id.hex(), "outcome": row.state.outcome.name.lower()}), flush=True)


class Shelf:
    """Offers that a maker keeps published: made anew when they were taken, are about to end, or the price has moved."""

    def __init__(
        self,
        running: Running,
        maker: Maker,
        board: str,
        wanted: list[tuple[bool, Satoshi]],
        note: Callable[[str], None],
    ) -> None:
        self._running = running
        self._maker = maker
        self._board = board
        self._note = note
        self._shown: dict[tuple[bool, Satoshi], OwnOffer | None] = dict.fromkeys(wanted)

    async def renew(self) -> None:
        """Look at each offer, and replace it where that is due."""
        for place, shown in self._shown.items():
            try:
                if shown is None or await self._is_over(shown):
                    await self._replace(place, shown)
            except CausewayError as error:
                self._note(f"cannot publish now: {error}")

    async def clear(self) -> None:
        """Take all offers down."""
        for place, shown in self._shown.items():
            if shown is not None:
                await self._take_down(shown)
                self._shown[place] = None

    async def _is_over(self, shown: OwnOffer) -> bool:
        async with self._running.engine.office.database.view() as view:
            now = await SwapStore(view.connection).offer(shown.offer_id)
        if now is None or not now.state.is_open:
            return True
        offer = shown.signed.offer
        if offer.valid_until - time.time() < 2 * _RENEW_SECONDS:
            return True
        try:
            self._maker.check(offer)
        except BadInput:
            return True
        return False

    async def _replace(self, place: tuple[bool, Satoshi], shown: OwnOffer | None) -> None:
        if shown is not None:
            await self._take_down(shown)
            self._shown[place] = None
        gives_bitcoin, satoshi = place
        own = await self._maker.offer_at_price(satoshi, gives_bitcoin, self._board)
        own = replace(own, board=self._board)
        await self._running.engine.trading.set_offer(own)
        self._shown[place] = own  # before it is on the board: whoever ends now takes it down
        post = await self._running.engine.letters.post(self._board)
        await post.publish(own.signed)

    async def _take_down(self, shown: OwnOffer) -> None:
        await withdraw_offer(self._running.engine, shown, self._note)


async def _never() -> bool:
    return False


def _now() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)
