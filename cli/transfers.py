"""`causeway transfers`: what goes over the bridge, and the whole journey of one transfer. Reads a node's database."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import CONFIG, JsonOption, NodeOption, command_group, node_folder, open_native, run
from cli.exits import NotFound
from cli.output import Output, clock, short, table
from foundation.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.journey_parts import Journey, Unit
    from bridge.settings import Settings
    from bridge.storage import TransferRow
    from registry.assets import Asset

app = command_group("What goes over the bridge, and the whole journey of one transfer.", no_args_is_help=False)


class KindName(StrEnum):
    """Which way a transfer goes."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


StageOption = Annotated[str | None, typer.Option("--stage", help="Only those in this stage, such as minted.")]
KindOption = Annotated[KindName | None, typer.Option("--kind", help="Only deposits, or only withdrawals.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, the newest first.")]


@app.callback(invoke_without_command=True)
def transfers(
    ctx: typer.Context,
    stage: StageOption = None,
    kind: KindOption = None,
    limit: LimitOption = 20,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List transfers as a node knows them, the newest first.

    \b
    Example:
      causeway transfers --kind deposit --stage minted
      causeway transfers show 5f1a9c
    """
    if ctx.invoked_subcommand is None:
        _show_list(stage, kind, limit, node, as_json)


@app.command("list")
def list_transfers(
    stage: StageOption = None,
    kind: KindOption = None,
    limit: LimitOption = 20,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List transfers as a node knows them, the newest first. causeway transfers alone does the same.

    \b
    Example:
      causeway transfers list --kind withdrawal --limit 100
    """
    _show_list(stage, kind, limit, node, as_json)


def _show_list(stage: str | None, kind: KindName | None, limit: int, node: Path | None, as_json: bool) -> None:
    if stage is not None:
        _check_stage(stage)
    folder, output = node_folder(node), Output(as_json)
    rows, units = run(_list(folder, kind, stage, limit))
    _warn(folder, output)
    output.result([_row_json(row, units) for row in rows], lambda: _list_text(rows, units))


def _warn(folder: Path, output: Output) -> None:
    """Say so where the node does not run: then what it knows may be old."""
    from cli.node_status import read_report

    report = run(read_report(folder, 0))
    if not report.alive:
        output.note(f"{report.settings.node.name} is not running: this is what it knew last")


def _check_stage(stage: str) -> None:
    from bridge.deposits import Stage
    from bridge.payouts import WithdrawalStage

    known = list(dict.fromkeys([*map(str, Stage), *map(str, WithdrawalStage)]))
    if stage not in known:
        raise BadInput("--stage", f"{stage!r} is no stage", f"one of {', '.join(known)}")


async def _list(
    folder: Path, kind: KindName | None, stage: str | None, limit: int
) -> tuple[list[TransferRow], Callable[[TransferRow], Unit]]:
    """The rows, and in what each one's amount is told."""
    from bridge.settings import Settings

    settings = Settings.load(folder / CONFIG)
    rows = await _rows(settings, kind, stage, limit)
    are_foreign = any(_asset(row)[0] != settings.asset for row in rows)
    assets = await known_assets(settings) if are_foreign else {}
    return rows, lambda row: _unit(row, settings, assets)


async def _rows(settings: Settings, kind: KindName | None, stage: str | None, limit: int) -> list[TransferRow]:
    from bridge.storage import Database, TransferKind

    wanted = None if kind is None else TransferKind(kind.value)
    async with await Database.open(settings.database_url) as database, database.view() as view:
        if stage is None:
            return list(await view.transfers.page(limit, wanted))
        kinds = [wanted] if wanted is not None else list(TransferKind)
        found = [row for one in kinds for row in await view.transfers.by_stage(one, stage)]
    return sorted(found, key=lambda row: (row.created_at_ms, row.id), reverse=True)[:limit]


async def known_assets(settings: Settings) -> Mapping[bytes, Asset]:
    """What the Registry says of each asset, by id; nothing where the native chain is away."""
    from cli.context import NetworkFile
    from foundation.errors import CausewayError

    try:
        async with open_native(NetworkFile(settings.folder / CONFIG, settings), check=False) as native:
            return {asset.id: asset for asset in await native.assets("latest")}
    except CausewayError:
        return {}  # amounts are told in base units then


def _asset(row: TransferRow) -> tuple[bytes, int, str]:
    """Asset, amount, and the EVM chain of a lock."""
    from bridge.codec import decode_deposit, decode_withdrawal
    from bridge.storage import TransferKind

    if row.kind is TransferKind.DEPOSIT:
        deposit = decode_deposit(row)
        return deposit.asset, deposit.amount, "" if deposit.lock is None else deposit.lock.chain
    withdrawal = decode_withdrawal(row)
    return withdrawal.asset, withdrawal.amount, ""


def _unit(row: TransferRow, settings: Settings, assets: Mapping[bytes, Asset]) -> Unit:
    from bridge.journey_parts import BITCOIN, Unit

    asset, _, chain = _asset(row)
    known = assets.get(asset)
    if known is not None:
        return Unit(known.symbol, known.decimals, known.caip19.partition("/")[0])
    return BITCOIN if asset == settings.asset else Unit("", None, chain)


def _row_json(row: TransferRow, units: Callable[[TransferRow], Unit]) -> dict[str, Any]:
    (asset, amount, _), unit = _asset(row), units(row)
    in_sat = {"amount_sat": amount} if unit.symbol == "BTC" and not unit.chain.startswith("eip155:") else {}
    return {
        "id": row.id.hex(),
        "kind": str(row.kind),
        "stage": row.stage,
        "asset": asset.hex(),
        "chain": unit.chain,
        "amount": str(amount),
        "shown": unit.show(amount),
        **in_sat,
        "height": row.height,
        "created_at_ms": row.created_at_ms,
        "updated_at_ms": row.updated_at_ms,
    }


def _list_text(rows: list[TransferRow], units: Callable[[TransferRow], Unit]) -> str:
    if not rows:
        return "no transfers"
    lines = [
        (row.id.hex()[:16], row.kind, row.stage, units(row).show(_asset(row)[1]), clock(row.updated_at_ms))
        for row in rows
    ]
    return table(("id", "kind", "stage", "amount", "last news"), lines, right=("amount",))


@app.command("show")
def show(
    transfer: Annotated[
        str, typer.Argument(metavar="ID", help="A transfer's id or its beginning, or a transaction id of any chain.")
    ],
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a transfer's whole journey. Stage, transactions, confirmations, what it waits for, and the way back.

    \b
    Example:
      causeway transfers show 5f1a9c
    """
    from bridge.settings import Settings
    from cli.transfer_view import journey_json, journey_text

    folder, output = node_folder(node), Output(as_json)
    settings = Settings.load(folder / CONFIG)
    journey, now = run(_journey(settings, transfer))
    _warn(folder, output)
    document = journey_json(journey, settings.network)
    output.result(document, lambda: journey_text(journey, settings.network, now))


async def _journey(settings: Settings, text: str) -> tuple[Journey, int]:
    import time

    from adapters.native.deployment import Deployment
    from bridge.journey_parts import Surroundings
    from bridge.journeys import find, group_keys, journey
    from bridge.storage import Database
    from foundation.quantities import UnixMs

    deployment = Deployment.load(settings.path(settings.native.deployment))
    now = UnixMs(int(time.time() * 1000))
    async with await Database.open(settings.database_url) as database:
        async with database.view() as view:
            rows = await find(view, text, settings.asset)
        if not rows:
            cure = "causeway transfers lists them, a new one after some blocks; transaction ids are given whole"
            raise NotFound(f"this node knows no transfer {text}", cure)
        if len(rows) > 1:
            ids = ", ".join(short(row.id, head=12) for row in rows)
            raise BadInput("ID", f"{text} may mean several transfers: {ids}", "give more digits")
        estimate = await _estimate(settings)
        async with database.view() as view:
            keys = await group_keys(view)
            where = (settings.policy, deployment.chain_id, deployment.hub)
            around = Surroundings(*where, keys, estimate, now, await known_assets(settings))
            found = await journey(view, rows[0].id, around)
    assert found is not None, "transfers are never deleted"
    return found, now


async def _estimate(settings: Settings) -> Any:
    """The bitcoin node's fee estimate; None where it has none or is away, which the journey says."""
    from cli.context import CONFIG, NetworkFile, open_bitcoin
    from foundation.errors import CausewayError

    try:
        network = NetworkFile(settings.folder / CONFIG, settings)
        async with open_bitcoin(network, check=False, timeout_s=5, pauses_s=()) as bitcoin:
            return await bitcoin.estimate_fee_rate(settings.policy.fee_target_blocks)
    except CausewayError:
        return None  # the journey is in the database: it is told all the same
