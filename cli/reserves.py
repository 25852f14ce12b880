"""`causeway reserves`: every token of every asset is backed, and everyone can count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.context import (
    CONFIG,
    JsonOption,
    NetworkFile,
    NetworkOption,
    NodeOption,
    command_group,
    network_file,
    node_folder,
    open_bitcoin,
    open_native,
    run,
)
from cli.exits import ExitCode, NotFound
from cli.output import Output, btc, cut, facts, width

if TYPE_CHECKING:
    from bridge.reserves import Reserves
    from cli.reserves_vaults import Vaults
    from foundation.quantities import BlockHeight

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 1.0

app = command_group("Proof of reserves: the vault's coins against the tokens.", no_args_is_help=False)


@app.command("reserves")
def reserves(
    verify: Annotated[
        bool, typer.Option("--verify", help="Count anew from the two chains, and compare with the node's database.")
    ] = False,
    node: NodeOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each vault holds against the supply of its tokens.

    Reads a node's database. With --verify it counts again from the chains alone (the network file's nodes), which needs
    no node of ours. The exit status is 4 where tokens are not covered, where the database and the chains differ,
    and where something could not be counted.

    \b
    Example:
      causeway reserves
      causeway reserves --verify --network network.toml
    """
    folder = _folder(node, verify)
    ours, theirs, vaults = run(_counted(folder, network_file(network) if verify else None))
    document, text, fine = _told(ours, theirs, vaults)
    Output(as_json).result(document, text)
    if not fine:
        raise typer.Exit(ExitCode.REFUSED)


def _folder(node: Path | None, verify: bool) -> Path | None:
    """The node's folder; with --verify none is needed."""
    try:
        return node_folder(node)
    except NotFound:
        if verify and node is None:
            return None
        raise


async def _counted(folder: Path | None, network: NetworkFile | None) -> tuple[Reserves | None, Reserves | None, Vaults]:
    """From the database and from the chains, each where it is asked for: of bitcoin, and of all assets in vaults.

    All of them move on while they are read: where they differ, they are read again.
    """
    from bridge.reserves import differences
    from cli.reserves_vaults import counted_vaults

    for _ in range(_TRIES):
        ours = None if folder is None else await _recorded(folder)
        theirs = None if network is None else await _observed(network, None if ours is None else ours.block)
        vaults = await counted_vaults(folder, network)
        agree = ours is None or theirs is None or not differences(ours, theirs)
        if agree and not vaults.differences:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    return ours, theirs, vaults


async def _recorded(folder: Path) -> Reserves:
    from bridge.reserves import recorded
    from bridge.settings import Settings
    from bridge.storage import Database

    async with await Database.open(Settings.load(folder / CONFIG).database_url) as database, database.view() as view:
        return await recorded(view)


async def _observed(network: NetworkFile, at: BlockHeight | None) -> Reserves:
    from adapters.bitcoin.unspent import SCAN_SECONDS
    from bridge.reserves import observed

    async with open_bitcoin(network, timeout_s=SCAN_SECONDS) as bitcoin, open_native(network) as native:
        return await observed(bitcoin, native, network.chain, network.asset, at)


def _told(ours: Reserves | None, theirs: Reserves | None, vaults: Vaults) -> tuple[dict[str, Any], str, bool]:
    """The document, the text, and whether all is well."""
    from bridge.reserves import differences
    from cli.reserves_vaults import vault_facts

    counted = [("the node's database", ours, vaults.ours), ("the chains", theirs, vaults.theirs)]
    shown = []
    for name, one, assets in counted:
        if one is not None:
            shown.append(f"From {name}:\n" + "\n\n".join([_facts(one), *map(vault_facts, assets or ())]))
    differ = () if ours is None or theirs is None else (*differences(ours, theirs), *vaults.differences)
    if ours is not None and theirs is not None:
        lines = [f"  {line}" for line in differ]
        shown.append("\n".join(["They DIFFER:", *lines]) if differ else "Both agree.")
    newest = theirs or ours
    assert newest is not None, "without a database the chains are read"
    lines = [f"Proof of reserves: {newest.line()}"]
    lines += [f"Proof of reserves, {one.asset.symbol} on {one.chain}: {one.line()}" for one in vaults.newest]
    shown += ["\n".join(lines), *vaults.notes]
    covered = newest.covered and vaults.covered
    whole = covered and not vaults.notes  # a note says what was not counted: no proof of everything
    document = {
        "database": None if ours is None else ours.as_json(),
        "chains": None if theirs is None else theirs.as_json(),
        "assets": [one.as_json() for one in vaults.newest],
        "differences": list(differ),
        "notes": list(vaults.notes),
        "covered": covered,
        "complete": not vaults.notes,
        "proof": newest.line(),
    }
    return document, "\n\n".join(shown), whole and not differ


def _facts(one: Reserves) -> str:
    at = "not known" if one.height is None else f"block {one.height:,}"
    native = "" if one.block is None else f", native block {one.block:,}"
    pairs = [
        ("bitcoin", at + native),
        ("vault", f"{btc(sum(one.vault.values()))} in {len(one.vault)} coin(s)"),
        ("unswept deposits", f"{btc(sum(one.deposits.values()))} in {len(one.deposits)} coin(s)"),
        ("paid, not burnt", btc(one.unsettled)),
        ("supply", btc(one.supply)),
        ("surplus", btc(one.surplus)),
    ]
    return "\n".join(cut(f"  {line}", width()) for line in facts(pairs).splitlines())
