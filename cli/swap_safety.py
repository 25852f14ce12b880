"""Commands for when something dies: recover, export, import, bundle, watch."""

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
    run,
)
from cli.output import Output
from cli.swap_app import SwapArgument, app
from cli.swap_folder import FolderOption, trader, trader_keys
from cli.swap_nodes import nodes_of, run_naming
from foundation.errors import BadInput

if TYPE_CHECKING:
    pass


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
    """Find all your swaps on the chains.

    For a database that was lost, or words on a new machine.

    \b
    Example:
      causeway swap recover
    """
    from cli.swap_rescue import recover_swaps

    settings = trader(folder)
    work = recover_swaps(settings, trader_keys(settings, password_file), Output(as_json), gap, since)
    run_naming(work, nodes_of(settings))


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
    """Write a rescue file.

    Encrypted under your wallet's password, for another machine to carry on with.

    For somebody who is to act for you and to hold no key of yours: causeway swap bundle.

    \b
    Example:
      causeway swap export mine.rescue
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

    \b
    Example:
      causeway swap import mine.rescue
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
    work = make_bundle_file(settings, trader_keys(settings, password_file), Output(as_json), swap, file)
    run_naming(work, nodes_of(settings))


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
    from cli.swap_amounts import parse_span
    from cli.swap_watch import watch_bundles

    settings = trader(folder)
    grace_s = parse_span(grace, "--grace")
    work = watch_bundles(settings, bundle, account_secret(account_key), grace_s, state, as_json=as_json)
    run_naming(work, nodes_of(settings))
