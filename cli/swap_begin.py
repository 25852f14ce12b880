"""Commands before the first swap: a folder, an Escrow, what one has, how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    PasswordFileOption,
    account_secret,
    keystore_password,
    read_text,
)
from cli.output import Output, facts, paragraph
from cli.swap_app import app
from cli.swap_folder import WALLET_NAME, FolderOption, swap_folder, trader, trader_keys
from cli.swap_nodes import Nodes, nodes_of, run_naming
from foundation.errors import BadInput

if TYPE_CHECKING:
    pass


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

    \b
    Example:
      causeway swap init --bitcoin-url http://127.0.0.1:8332 --bitcoin-wallet me \\
        --bitcoin-cookie ~/.bitcoin/.cookie --evm-url http://127.0.0.1:8545 --escrow 0x5FbD…
    """
    import os

    from adapters.bitcoin.hd_keys import ENTROPY_BYTES, new_mnemonic, parse_mnemonic
    from adapters.evm.hexes import address_text, parse_address
    from cli.swap_setup import BitcoinNode, EvmNodes, settings_text, write_settings
    from settlement.swap.engine.settings import check_symbol
    from settlement.swap.offers import check_place
    from settlement.swap.sealed_file import FileThere
    from settlement.swap.wallet.secrets import TraderKeys
    from settlement.swap.wallet.wallet_file import WALLET_FILE, create_wallet

    home = swap_folder(folder)
    wallet = home / WALLET_NAME
    if wallet.exists():
        raise FileThere(wallet, WALLET_FILE.what)
    given = None if mnemonic_file is None else parse_mnemonic(read_text(mnemonic_file, "--mnemonic-file"))
    password = keystore_password(password_file, confirm=True, what="new swap wallet")
    secret = read_text(bitcoin_password_file, "--bitcoin-password-file").strip() if bitcoin_password_file else ""
    node = BitcoinNode(bitcoin_url, bitcoin_wallet, bitcoin_cookie, bitcoin_user, secret, bitcoin_zmq)
    address = parse_address(escrow, "--escrow")
    check_symbol(symbol, "--symbol")
    for place, option in ((name, "--name"), (board, "--board")):
        if place:
            check_place(place, option)
    tokens = [_token(one) for one in token or ()]
    nodes = EvmNodes(tuple(evm_url), address, escrow_start, symbol, tokens)
    text = run_naming(
        settings_text(node, nodes, listen, name, board, poll_seconds),
        Nodes(bitcoin_url, tuple(evm_url), "--bitcoin-url", "--evm-url", "--bitcoin-cookie or --bitcoin-user"),
    )
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
    """Deploy an Escrow on a chain that has none.

    It is for everybody: nobody owns it, and nobody can change or stop it.

    Where both sides know one already, use that.

    \b
    Example:
      causeway swap deploy-escrow --evm-url http://127.0.0.1:8545 --account-key account.key
    """
    from adapters.evm.hexes import address_text
    from cli.swap_setup import new_escrow

    output = Output(as_json)
    nodes = Nodes("", (evm_url,), "", "--evm-url", "")
    address, block = run_naming(new_escrow(evm_url, account_secret(account_key)), nodes)
    document = {"escrow": address_text(address), "start": block}
    output.result(document, facts([("escrow", address_text(address)), ("deployed in block", f"{block:,}")]))


@app.command()
def funds(folder: FolderOption = None, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """What you have on both chains.

    \b
    Example:
      causeway swap funds
    """
    from adapters.evm.hexes import address_text
    from cli.swap_amounts import btc, evm_amount
    from cli.swap_funds import read_funds

    settings = trader(folder)
    keys = trader_keys(settings, password_file)
    found = run_naming(read_funds(settings, keys.account), nodes_of(settings))
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
    """How long a swap may take, and why.

    \b
    Example:
      causeway swap plan 0.5BTC
    """
    import time

    from cli.swap_amounts import parse_asset_amount, span
    from cli.swap_making import check_bitcoin
    from foundation.quantities import Satoshi
    from settlement.swap.planning.plan import plan as make_plan

    settings = trader(folder)
    asset, units = parse_asset_amount(amount, settings, "AMOUNT")
    if asset.token is not None:
        raise BadInput("AMOUNT", f"is of {asset.symbol}", "of bitcoin: its value decides the confirmations")
    check_bitcoin(settings, units, "AMOUNT")
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
    reasons = "\n".join(paragraph(line, "- ") for line in found.reasons)
    Output(as_json).result(document, facts(pairs) + "\n\n" + reasons)


def _token(text: str) -> tuple[str, str, int]:
    from settlement.swap.engine.settings import check_symbol

    parts = text.split(":")
    if len(parts) != 3 or not parts[2].isascii() or not parts[2].isdigit():
        raise BadInput("--token", f"{text[:80]!r} is no token", "SYMBOL:0xADDRESS:DECIMALS, like USDC:0xA0b8…:6")
    check_symbol(parts[0], "--token")
    return parts[0], parts[1], int(parts[2])


def _in_rows(words: str) -> str:
    listed = [f"{number:>2} {word:<10}" for number, word in enumerate(words.split(), 1)]
    return "\n".join("  " + "".join(listed[at : at + 4]).rstrip() for at in range(0, len(listed), 4))
