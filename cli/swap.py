"""`causeway swap`: trade bitcoin for an EVM chain's coin or tokens, so that nobody can run away with both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    PasswordFileOption,
    account_secret,
    command_group,
    keystore_password,
    read_text,
    run,
)
from cli.output import Output, facts, short, table
from cli.swap_folder import WALLET_NAME, FolderOption, reading, swap_folder, trader, trader_keys
from foundation.errors import BadInput

if TYPE_CHECKING:
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.machine.changes import Wish
    from settlement.swap.offers import SignedOffer
    from settlement.swap.wallet.secrets import TraderKeys

app = command_group("""Swap bitcoin for an EVM chain's coin or tokens, atomically: both sides get what was agreed, or
both get back what they gave. Everything goes on by itself while a command runs; `resume` takes it up again.

\b
Examples:
  causeway swap init --bitcoin-url http://127.0.0.1:8332 --bitcoin-wallet me --bitcoin-cookie ~/.bitcoin/.cookie \\
    --evm-url http://127.0.0.1:8545 --escrow 0x5FbD…
  causeway swap offer --give 1BTC --want 20ETH --valid 30m
  causeway swap take causeway-swap:aea…
  causeway swap list
  causeway swap resume
""")

SwapArgument = Annotated[str, typer.Argument(metavar="SWAP", help="The first digits of its id.", show_default=False)]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", metavar="URL", help="An order board; by default that of swap.toml.", show_default=False),
]


@app.command()
def init(
    escrow: Annotated[str, typer.Option("--escrow", metavar="0xADDRESS", help="The contract Escrow.")],
    bitcoin_url: Annotated[str, typer.Option("--bitcoin-url", metavar="URL", help="Your bitcoin node.")],
    evm_url: Annotated[list[str], typer.Option("--evm-url", metavar="URL", help="An EVM node; several have to agree.")],
    bitcoin_wallet: Annotated[
        str, typer.Option("--bitcoin-wallet", metavar="NAME", help="The node's wallet that pays and receives.")
    ] = "",
    bitcoin_cookie: Annotated[
        str, typer.Option("--bitcoin-cookie", metavar="FILE", help="The node's cookie file.")
    ] = "",
    bitcoin_user: Annotated[str, typer.Option("--bitcoin-user", metavar="NAME", help="In place of a cookie.")] = "",
    bitcoin_password_file: Annotated[
        Path | None, typer.Option("--bitcoin-password-file", metavar="FILE", help="Of that user.", show_default=False)
    ] = None,
    bitcoin_zmq: Annotated[str, typer.Option("--bitcoin-zmq", metavar="TCP", help="The node's zmqpubhashblock.")] = "",
    escrow_start: Annotated[
        int | None,
        typer.Option("--escrow-start", metavar="BLOCK", help="Where it was deployed; else looked for.", min=0),
    ] = None,
    symbol: Annotated[str, typer.Option("--symbol", help="Of the EVM chain's own coin.")] = "ETH",
    token: Annotated[
        list[str] | None,
        typer.Option("--token", metavar="SYMBOL:0xADDRESS:DECIMALS", help="A token to trade.", show_default=False),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where letters to you come in; loopback.")
    ] = "127.0.0.1:0",
    name: Annotated[str, typer.Option("--name", metavar="URL", help="How others reach that, through a proxy.")] = "",
    board: Annotated[str, typer.Option("--board", metavar="URL", help="The order board that you use.")] = "",
    poll_seconds: Annotated[float, typer.Option("--poll-seconds", help="How often the EVM nodes are asked.")] = 1.0,
    mnemonic_file: Annotated[
        Path | None,
        typer.Option("--mnemonic-file", metavar="FILE", help="Words that you have already.", show_default=False),
    ] = None,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a trader's folder: swap.toml, and a wallet of 24 words.

    The nodes are asked which chains they serve, and whether the contract is an Escrow. The words are shown once: write
    them down. They alone bring back every swap: causeway swap recover.
    """
    import os

    from adapters.bitcoin.hd_keys import ENTROPY_BYTES, new_mnemonic, parse_mnemonic
    from adapters.evm.hexes import address_text, parse_address
    from cli.swap_setup import BitcoinNode, EvmNodes, settings_text, write_settings
    from mpc.cluster_errors import KeystoreExists
    from settlement.swap.wallet.secrets import TraderKeys
    from settlement.swap.wallet.wallet_file import create_wallet

    home = swap_folder(folder)
    wallet = home / WALLET_NAME
    if wallet.exists():
        raise KeystoreExists(wallet)
    given = None if mnemonic_file is None else parse_mnemonic(read_text(mnemonic_file, "--mnemonic-file"))
    password = keystore_password(password_file, confirm=True, what="new swap wallet")
    secret = read_text(bitcoin_password_file, "--bitcoin-password-file").strip() if bitcoin_password_file else ""
    node = BitcoinNode(bitcoin_url, bitcoin_wallet, bitcoin_cookie, bitcoin_user, secret, bitcoin_zmq)
    address = parse_address(escrow, "--escrow")
    tokens = [_token(one) for one in token or ()]
    nodes = EvmNodes(tuple(evm_url), address, escrow_start, symbol, tokens)
    text = run(settings_text(node, nodes, listen, name, board, poll_seconds))
    write_settings(home, text)
    words = given or new_mnemonic(os.urandom(ENTROPY_BYTES))
    create_wallet(wallet, words, password)
    account = address_text(TraderKeys(words).account)
    document = {"folder": str(home), "account": account, **({} if given else {"mnemonic": words})}
    pairs = [("folder", home), ("EVM account", f"{account}: send it what you want to trade, and some coin for gas")]
    shown = facts(pairs)
    if given is None:
        shown += "\n\nWrite these words down. Whoever has them has your swaps; without them nobody has.\n\n" + _in_rows(
            words
        )
    elif given:
        shown += "\n\nIf these words have swapped before: causeway swap recover"
    Output(as_json).result(document, shown)


@app.command("deploy-escrow")
def deploy_escrow(
    evm_url: Annotated[str, typer.Option("--evm-url", metavar="URL", help="A node of the chain.")],
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy an Escrow on an EVM chain, for everybody: nobody owns it, and nobody can change or stop it.

    Where there is one already that both sides know, use that.
    """
    from adapters.evm.hexes import address_text
    from cli.swap_setup import new_escrow

    output = Output(as_json)
    address, block = run(new_escrow(evm_url, account_secret(account_key)))
    document = {"escrow": address_text(address), "start": block}
    output.result(document, facts([("escrow", address_text(address)), ("deployed in block", f"{block:,}")]))


@app.command()
def funds(folder: FolderOption = None, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """What you have: your EVM account, and your node's wallet."""
    from adapters.evm.hexes import address_text
    from cli.swap_amounts import btc, evm_amount
    from cli.swap_funds import read_funds

    settings = trader(folder)
    keys = trader_keys(settings, password_file)
    found = run(read_funds(settings, keys.account))
    document = {
        "account": address_text(keys.account),
        "bitcoin": str(found.satoshi),
        "evm": {symbol: str(units) for symbol, _, units in found.assets},
    }
    rows = [("EVM account", address_text(keys.account)), ("bitcoin wallet", btc(found.satoshi))]
    rows += [(symbol, evm_amount(settings, address, units)) for symbol, address, units in found.assets]
    Output(as_json).result(document, facts(rows))


@app.command()
def plan(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Of bitcoin, like 1BTC.")],
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a swap of that size would take: confirmations, time-outs, and why."""
    import time

    from cli.swap_amounts import parse_asset_amount, span
    from foundation.quantities import Satoshi
    from settlement.swap.planning.plan import plan as make_plan

    settings = trader(folder)
    asset, units = parse_asset_amount(amount, settings, "AMOUNT")
    if asset.token is not None:
        raise BadInput("AMOUNT", f"is of {asset.symbol}", "of bitcoin: its value decides the confirmations")
    now = int(time.time())
    found = make_plan(Satoshi(units), now, settings.conditions)
    document = {
        "bitcoin_confirmations": found.bitcoin_confirmations,
        "evm_confirmations": found.evm_confirmations,
        "bitcoin_seconds": found.bitcoin_expires_at - now,
        "evm_seconds": found.evm_expires_at - now,
        "reasons": list(found.reasons),
    }
    pairs = [
        ("bitcoin's time-out T2", f"in {span(found.bitcoin_expires_at - now)}"),
        ("the lock's time-out T1", f"in {span(found.evm_expires_at - now)}"),
    ]
    Output(as_json).result(document, facts(pairs) + "\n\n" + "\n".join(f"- {line}" for line in found.reasons))


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
    money; one side of it has to be bitcoin.
    """
    from cli.swap_making import make_offer

    settings = trader(folder)
    keys = trader_keys(settings, password_file)
    run(
        make_offer(settings, keys, Output(as_json), give, want, valid, private, publish, board or "", show_qr=not no_qr)
    )


@app.command()
def quote(
    place: Annotated[str, typer.Argument(metavar="URL", help="Where a maker serves.", show_default=False)],
    give: Annotated[str, typer.Option("--give", help="What you give: an amount like 20ETH, or a symbol.")],
    want: Annotated[str, typer.Option("--want", help="What you want: a symbol, or an amount.")],
    private: Annotated[bool, typer.Option("--private", help="Lock by a point.")] = False,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a maker that serves for an offer. Nothing is agreed: take it with `causeway swap take`.

    \b
    Example:
      causeway swap quote http://127.0.0.1:8123 --give 20ETH --want BTC
    """
    from cli.swap_serving import ask

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
) -> None:
    """Be a maker that answers by itself, within limits, at a price with a spread.

    Prices are of whole units in one money of your choice: with --price-file, [prices] and BTC = "60000", ETH = "3000".

    \b
    Examples:
      causeway swap serve --price 20 --spread 0.5 --most 0.5BTC
      causeway swap serve --price-file prices.toml --publish 0.1BTC --publish 1BTC
    """
    from cli.swap_amounts import parse_asset_amount, parse_span
    from cli.swap_serving import Maker, Side, rates_of
    from cli.swap_serving import serve as serve_takers
    from foundation.quantities import Satoshi
    from registry.amounts import parse_amount
    from settlement.swap.pricing import MakerLimits

    settings = trader(folder)
    traded = settings.asset(asset, "--asset")
    if traded.token is None:
        raise BadInput("--asset", "is bitcoin, which is always the other side", "the EVM chain's coin or a token")

    def satoshi(text: str, field: str) -> Satoshi:
        found, units = parse_asset_amount(text, settings, field)
        if found.token is not None:
            raise BadInput(field, f"is of {found.symbol}", "an amount of bitcoin, like 0.5BTC")
        return Satoshi(units)

    only = settings.asset(gives, "--gives") if gives else None
    if only is not None and only not in (settings.assets[0], traded):
        raise BadInput("--gives", f"is {only.symbol}", f"BTC or {traded.symbol}")
    side = Side(traded, only is None or only.token is None, only is None or only.token is not None)
    limits = MakerLimits(
        least=satoshi(least, "--least"),
        most=satoshi(most, "--most"),
        spread_bp=parse_amount(spread.strip().removesuffix("%"), 2, "--spread"),
        at_once=at_once,
        valid_seconds=parse_span(valid, "--valid"),
    )
    rates = rates_of(price, price_file, price_url, (traded.symbol,))
    where = board or settings.board
    shelf = []
    for text in publish or ():
        size = satoshi(text, "--publish")
        limits.check_amount(size)
        shelf += [
            (way, size) for way, is_traded in ((True, side.gives_bitcoin), (False, side.gives_asset)) if is_traded
        ]
    if shelf and not where:
        raise BadInput("--board", "no order board is named", "name one, or write it into swap.toml")
    keys = trader_keys(settings, password_file)
    run(serve_takers(settings, keys, Output(), Maker(settings, rates, limits, side), rates, shelf, where))


@app.command()
def take(
    offer: Annotated[str, typer.Argument(metavar="OFFER", help="The link, or - to read it from standard input.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before taking it.")] = False,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take somebody's offer, and swap. An offer that was changed, is over, or is of unknown assets is refused."""
    import sys

    from cli.swap_making import take_offer
    from settlement.swap.offers import SignedOffer

    settings = trader(folder)
    signed = SignedOffer.read(sys.stdin.read(2_000) if offer == "-" else offer)
    _confirm(settings, signed, yes or as_json)
    run(take_offer(settings, trader_keys(settings, password_file), Output(as_json), signed))


@app.command()
def board(
    give: Annotated[str, typer.Option("--give", metavar="SYMBOL", help="What makers are to give.")] = "",
    want: Annotated[str, typer.Option("--want", metavar="SYMBOL", help="What makers are to want.")] = "",
    board: BoardOption = None,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offers on the order board."""
    import time

    from cli.swap_amounts import sides, span
    from cli.swap_making import board_offers

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


@app.command("list")
def list_swaps(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """All swaps, and offers that wait for somebody."""
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
    """One swap: where it stands, what happens next and until when, its transactions, and what happened."""
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
    """Take up all open swaps where they stand, and carry on until each has ended."""
    from cli.swap_making import resume_all

    settings = trader(folder)
    run(resume_all(settings, trader_keys(settings, password_file), Output(as_json)))


@app.command()
def redeem(
    swap: SwapArgument,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Claim what you get at once, without waiting for the other side's signature."""
    from settlement.swap.machine.changes import Wish

    _wish(swap, Wish.REDEEM, folder, password_file, as_json)


@app.command()
def refund(
    swap: SwapArgument,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what you gave as soon as the chain allows, and do not trade. Too late once the secret is out."""
    from settlement.swap.machine.changes import Wish

    _wish(swap, Wish.REFUND, folder, password_file, as_json)


@app.command()
def recover(
    gap: Annotated[int, typer.Option("--gap", help="Keys to try beyond the last one that was found.", min=1)] = 5_000,
    since: Annotated[
        int | None, typer.Option("--since", metavar="BLOCK", help="The EVM chain's first block to look at.", min=0)
    ] = None,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find all swaps of your words on the chains: for a database that was lost, or words on a new machine."""
    from cli.swap_rescue import recover_swaps

    settings = trader(folder)
    run(recover_swaps(settings, trader_keys(settings, password_file), Output(as_json), gap, since))


@app.command("export")
def export_rescue(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The rescue file to make.", show_default=False)],
    swap: Annotated[str | None, typer.Option("--swap", metavar="SWAP", help="This one alone; else all.")] = None,
    with_words: Annotated[
        bool, typer.Option("--with-words", help="Put your 24 words in, too: the file alone suffices then.")
    ] = False,
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a rescue file, encrypted under your wallet's password, for another machine to carry on with.

    For somebody who is to act for you and to hold no key of yours: causeway swap bundle.
    """
    from cli.swap_rescue import check_file, export_swaps

    settings = trader(folder)
    check_file(file)
    password = keystore_password(password_file, what="swap wallet")
    run(export_swaps(settings, password, Output(as_json), swap, file, with_words))


@app.command("import")
def import_rescue(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The rescue file.", show_default=False)],
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a rescue file's swaps into this folder. Let only one machine work on them.

    What happened after the file was written is read from the chains; an imported swap signs nothing new.
    """
    from cli.swap_rescue import import_swaps

    settings = trader(folder)
    password = keystore_password(password_file, what="rescue file")
    run(import_swaps(settings, password, Output(as_json), file))


@app.command()
def bundle(
    swap: SwapArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to make.", show_default=False)],
    folder: FolderOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle for a watchtower: what it needs to act for you in a swap, and no key.

    Whoever has it can take nothing, and sees the swap's terms and where your bitcoin goes to. With [watchtower] folder
    in swap.toml bundles are made, and made anew, by whichever command runs your swaps.

    \b
    Example:
      causeway swap bundle 3f9a tower.bundle
    """
    from cli.swap_watch import make_bundle_file

    if file.is_dir():
        raise BadInput("FILE", f"{file} is a folder", "a file's name")
    settings = trader(folder)
    run(make_bundle_file(settings, trader_keys(settings, password_file), Output(as_json), swap, file))


@app.command()
def watch(
    bundle: Annotated[
        list[Path],
        typer.Option("--bundle", metavar="FILE", help="A bundle, or a folder of *.bundle.", show_default=False),
    ],
    account_key: AccountKeyOption = None,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the trader is left to act itself.")
    ] = "10m",
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="FOLDER", help="What the tower remembers; in the folder.", show_default=False),
    ] = None,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch over others' swaps, without any key of theirs, and act where they do not.

    Of the folder only swap.toml is used: its nodes and fees. The account pays gas and needs nothing else. A bundle that
    is replaced is read again. Ends when nothing is left to do; where a folder is watched, it stays. --json: a document
    for each piece of news, on a line of its own.

    \b
    Example:
      causeway swap watch --bundle alice.bundle --account-key gas.key
    """
    from cli.context import account_secret
    from cli.swap_amounts import parse_span
    from cli.swap_watch import watch_bundles

    settings = trader(folder)
    grace_s = parse_span(grace, "--grace")
    run(watch_bundles(settings, bundle, account_secret(account_key), grace_s, state, as_json=as_json))


def _wish(swap: str, wish: Wish, folder: Path | None, password_file: Path | None, as_json: bool) -> None:
    from cli.swap_making import ask_and_carry_on

    settings = trader(folder)

    def keys() -> TraderKeys:
        return trader_keys(settings, password_file)

    run(ask_and_carry_on(settings, keys, Output(as_json), swap, wish))


def _confirm(settings: TraderSettings, signed: SignedOffer, yes: bool) -> None:
    """Show what is to be agreed, and ask."""
    import sys

    from cli.swap_making import offer_text

    print(offer_text(settings, signed), file=sys.stderr)
    if not yes and not typer.confirm("Take it?", err=True):
        raise typer.Abort


def _token(text: str) -> tuple[str, str, int]:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].isascii() or not parts[2].isdigit():
        raise BadInput("--token", f"{text[:80]!r} is no token", "SYMBOL:0xADDRESS:DECIMALS, like USDC:0xA0b8…:6")
    return parts[0], parts[1], int(parts[2])


def _in_rows(words: str) -> str:
    listed = [f"{number:>2} {word:<10}" for number, word in enumerate(words.split(), 1)]
    return "\n".join("  " + "".join(listed[at : at + 4]).rstrip() for at in range(0, len(listed), 4))
