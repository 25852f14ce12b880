"""Commands that trade: offer, quote, serve, take, and looking at the board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import (
    JsonOption,
    PasswordFileOption,
    run,
)
from cli.output import Output, short, table
from cli.swap_app import BoardOption, app
from cli.swap_folder import FolderOption, trader, trader_keys
from cli.swap_nodes import nodes_of, run_naming
from foundation.errors import BadInput


@app.command()
def offer(
    give: Annotated[str, typer.Option("--give", metavar="AMOUNT", help="What you give, like 1BTC.")],
    want: Annotated[str, typer.Option("--want", metavar="AMOUNT", help="What you want for it, like 20ETH.")],
    valid: Annotated[
        str, typer.Option("--valid", metavar="TIME", help="How long it can be taken: 90s, 30m, 2h.")
    ] = "30m",
    private: Annotated[
        bool, typer.Option("--private", help="Lock by a point: nobody can link the two chains' transactions.")
    ] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Publish it on the order board.")] = False,
    board: BoardOption = None,
    no_qr: Annotated[bool, typer.Option("--no-qr", help="Print no QR code.")] = False,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an offer, wait until somebody takes it, and swap.

    Without a board the taker's letters come to this machine (see listen and name in swap.toml). The offer binds no
    money; one side of it has to be bitcoin. When this ends the offer is withdrawn, and so are offers that earlier
    commands left open: nobody can take what you do not see any more.

    \b
    Example:
      causeway swap offer --give 1BTC --want 20ETH --valid 30m
    """
    from cli.swap_making import make_offer

    settings = trader(folder)
    keys = trader_keys(settings, password_file)
    output = Output(as_json)
    work = make_offer(settings, keys, output, give, want, valid, private, publish, board or "", show_qr=not no_qr)
    run_naming(work, nodes_of(settings))


@app.command()
def quote(
    place: Annotated[str, typer.Argument(metavar="URL", help="Where a maker serves.", show_default=False)],
    give: Annotated[str, typer.Option("--give", help="What you give: an amount like 20ETH, or a symbol.")],
    want: Annotated[str, typer.Option("--want", help="What you want: a symbol, or an amount.")],
    private: Annotated[bool, typer.Option("--private", help="Lock by a point.")] = False,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a maker that serves for an offer.

    Nothing is agreed by that: take it with `causeway swap take`. An answer to another question is refused.

    \b
    Example:
      causeway swap quote http://127.0.0.1:8123 --give 20ETH --want BTC
    """
    from cli.swap_asking import ask

    run(ask(trader(folder), Output(as_json), place, give, want, private))


@app.command()
def serve(
    asset: Annotated[str, typer.Option("--asset", metavar="SYMBOL", help="What is traded against bitcoin.")] = "ETH",
    price: Annotated[
        str, typer.Option("--price", metavar="NUMBER", help="So much of it for one bitcoin, like 20.")
    ] = "",
    price_file: Annotated[
        Path | None,
        typer.Option("--price-file", metavar="FILE", help="TOML with [prices]; read again when it changes."),
    ] = None,
    price_url: Annotated[str, typer.Option("--price-url", metavar="URL", help='Answers {"prices": {…}}.')] = "",
    spread: Annotated[str, typer.Option("--spread", metavar="PERCENT", help="In your favour.")] = "0.5",
    least: Annotated[str, typer.Option("--least", metavar="AMOUNT", help="Of bitcoin in one swap.")] = "0.001BTC",
    most: Annotated[str, typer.Option("--most", metavar="AMOUNT", help="Of bitcoin in one swap.")] = "1BTC",
    gives: Annotated[str, typer.Option("--gives", metavar="SYMBOL", help="BTC or the asset; by default both.")] = "",
    at_once: Annotated[int, typer.Option("--at-once", help="Swaps that may be open together.", min=1)] = 4,
    valid: Annotated[str, typer.Option("--valid", metavar="TIME", help="How long an answer holds.")] = "60s",
    publish: Annotated[
        list[str] | None,
        typer.Option("--publish", metavar="AMOUNT", help="Keep offers of so much bitcoin on the board."),
    ] = None,
    board: BoardOption = None,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Be a maker that answers by itself.

    Within limits, at a price with a spread.

    With --json a document on a line of its own says where it serves, and one each how a swap has ended.

    Prices are of whole units in one money of your choice: with --price-file, [prices] and BTC = "60000", ETH = "3000".

    \b
    Example:
      causeway swap serve --price 20 --spread 0.5 --most 0.5BTC
      causeway swap serve --price-file prices.toml --publish 0.1BTC --publish 1BTC
    """
    from cli.swap_amounts import parse_asset_amount
    from cli.swap_making import check_bitcoin, publishing_board, valid_seconds
    from cli.swap_serving import Maker, Side, rates_of
    from cli.swap_serving import serve as serve_takers
    from foundation.quantities import Satoshi
    from registry.amounts import parse_amount
    from settlement.swap.pricing import BASIS_POINTS, MakerLimits

    settings = trader(folder)
    traded = settings.asset(asset, "--asset")
    if traded.token is None:
        raise BadInput("--asset", "is bitcoin, which is always the other side", "the EVM chain's coin or a token")

    def satoshi(text: str, field: str) -> Satoshi:
        found, units = parse_asset_amount(text, settings, field)
        if found.token is not None:
            raise BadInput(field, f"is of {found.symbol}", "an amount of bitcoin, like 0.5BTC")
        check_bitcoin(settings, units, field)
        return Satoshi(units)

    only = settings.asset(gives, "--gives") if gives else None
    if only is not None and only not in (settings.assets[0], traded):
        raise BadInput("--gives", f"is {only.symbol}", f"BTC or {traded.symbol}")
    side = Side(traded, only is None or only.token is None, only is None or only.token is not None)
    spread_bp = parse_amount(spread.strip().removesuffix("%"), 2, "--spread")
    if spread_bp >= BASIS_POINTS:
        raise BadInput("--spread", f"{spread.strip()} is no spread", "0 to 99.99, in per cent")
    limits = MakerLimits(
        least=satoshi(least, "--least"),
        most=satoshi(most, "--most"),
        spread_bp=spread_bp,
        at_once=at_once,
        valid_seconds=valid_seconds(valid),
    )
    rates = rates_of(price, price_file, price_url, (traded.symbol,))
    where = publishing_board(settings, bool(publish), board or "")
    shelf = []
    for text in publish or ():
        size = satoshi(text, "--publish")
        if not limits.least <= size <= limits.most:
            raise BadInput("--publish", f"{text} is not within --least and --most", f"{least} to {most}")
        shelf += [
            (way, size) for way, is_traded in ((True, side.gives_bitcoin), (False, side.gives_asset)) if is_traded
        ]
    keys = trader_keys(settings, password_file)
    work = serve_takers(settings, keys, Output(as_json), Maker(settings, rates, limits, side), rates, shelf, where)
    run_naming(work, nodes_of(settings))


@app.command()
def take(
    offer: Annotated[str, typer.Argument(metavar="OFFER", help="The link, or - to read it from standard input.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before taking it.")] = False,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take somebody's offer, and swap. An offer that was changed, is over, or is of unknown assets is refused.

    Shows what you give and get, and asks. Where nobody can be asked (--json, OFFER from standard input, no terminal),
    --yes has to be given. Who says no ends with status 4. Another offer that you took before and whose maker has not
    answered is given up.

    \b
    Example:
      causeway swap take causeway-swap:aea…
    """
    import sys

    from cli.swap_taking import check_takeable, confirm, take_offer
    from settlement.swap.offers import SignedOffer

    settings = trader(folder)
    is_piped = offer == "-"
    signed = SignedOffer.read(sys.stdin.read(2_000) if is_piped else offer)
    check_takeable(settings, signed)
    confirm(settings, signed, yes=yes, is_piped=is_piped, as_json=as_json)
    work = take_offer(settings, trader_keys(settings, password_file), Output(as_json), signed)
    run_naming(work, nodes_of(settings))


@app.command()
def board(
    give: Annotated[str, typer.Option("--give", metavar="SYMBOL", help="What makers are to give.")] = "",
    want: Annotated[str, typer.Option("--want", metavar="SYMBOL", help="What makers are to want.")] = "",
    board: BoardOption = None,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offers on the order board.

    \b
    Example:
      causeway swap board --give BTC --want ETH
    """
    import time

    from cli.swap_amounts import sides, span
    from cli.swap_board import board_offers

    settings = trader(folder)
    found = run(board_offers(settings, board or "", give, want))
    now = int(time.time())
    document = [{"offer": one.text, "offer_id": one.offer.offer_id.hex()} for one in found]
    rows = []
    for one in found:
        gives, wants = sides(settings, one.offer)
        rows.append((short(one.offer.offer_id), gives, wants, one.offer.mode.value, span(one.offer.valid_until - now)))
    links = "\n\n".join(f"{short(one.offer.offer_id)}\n{one.text}" for one in found)
    text = table(("offer", "gives", "wants", "by", "valid for"), rows) + "\n\n" + links if found else "no offers"
    Output(as_json).result(document, text)
