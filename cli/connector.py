"""`causeway connector`: check an Interledger connector's configuration, and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import JsonOption, command_group, run
from cli.node import LogLevel
from cli.output import Output, facts, table

app = command_group("Check and run an Interledger connector.")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="CAUSEWAY_CONNECTOR",
        metavar="FILE",
        help="The connector's configuration (docs/connector.md).",
        exists=True,
        dir_okay=False,
    ),
]


@app.command("run")
def run_connector(
    config: ConfigOption,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", envvar="CAUSEWAY_LOG_LEVEL", help="How much it tells.")
    ] = LogLevel.INFO,
    json_logs: Annotated[bool, typer.Option("--json", help="Log JSON lines also on a terminal.")] = False,
) -> None:
    """Run a connector until it gets SIGTERM or Ctrl-C. Peers and the database may come and go meanwhile.

    It logs to standard error: text on a terminal, else one JSON object a line. At the end it takes no new packets,
    waits up to five seconds for those under way, and writes all balances.

    \b
    Example:
      causeway connector run --config connector.toml
    """
    from cli.connector_process import run_until_stopped

    run_until_stopped(config, log_level.value, json_logs)


@app.command("check")
def check(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Read a connector's configuration, and say what it would do. Nothing is opened and no peer is asked.

    The exit status is 3 where something is wrong in it; the message names the field.

    \b
    Example:
      causeway connector check --config connector.toml
    """
    from settlement.connector.config import load_config
    from settlement.connector.wiring import check_parts

    found = load_config(config)
    run(check_parts(found))
    document = _checked(found)
    Output(as_json).result(document, lambda: _text(document))


def _checked(config: Any) -> dict[str, Any]:
    from cli.connector_client import shown_limit

    listens = {
        name: f"{where.host}:{where.port}"
        for name, where in (
            ("btp", config.btp),
            ("http", config.http),
            ("settlement", config.settlement),
            ("admin", None if config.admin is None else config.admin.listen),
            ("spsp", None if config.local is None else config.local.spsp),
        )
        if where is not None
    }
    accounts = [each.account for each in config.peers]
    if config.local is not None:
        accounts.append(config.local.account)
    transports = {peer.account.id: _transport(peer) for peer in config.peers}
    return {
        "address": config.address or f"given by {config.parent}",
        "database": config.database.partition(":")[0],
        "durability": config.durability.value,
        "listens": listens,
        "rates": config.rates.backend.value,
        "spread_bp": config.rates.spread_bp,
        "accounts": [
            {
                "id": each.id,
                "relation": each.relation.value,
                "asset": each.asset.code,
                "scale": int(each.asset.scale),
                "floor": shown_limit(each.asset, each.floor),
                "ceiling": shown_limit(each.asset, each.ceiling),
                "transport": transports.get(each.id, "this process"),
            }
            for each in accounts
        ],
        "routes": [{"prefix": prefix, "account": account} for prefix, account in config.static_routes],
        "keeps_routing_secret": config.routing_secret is not None,
    }


def _transport(peer: Any) -> str:
    if peer.btp is not None:
        return "BTP, it connects" if peer.btp.endpoint is None else f"BTP to {peer.btp.endpoint.url}"
    if peer.http is not None:
        return "HTTP, it only sends" if peer.http.outgoing is None else f"HTTP to {peer.http.outgoing.target.authority}"
    return "none"


def _text(document: dict[str, Any]) -> str:
    about = facts(
        [
            ("address", document["address"]),
            ("database", f"{document['database']}, survives {document['durability']}"),
            ("listens", ", ".join(f"{name} {where}" for name, where in document["listens"].items())),
            ("rates", f"{document['rates']}, spread {document['spread_bp']} bp"),
            ("routes", ", ".join(f"{each['prefix']} to {each['account']}" for each in document["routes"])),
        ]
    )
    fields = ("id", "relation", "asset", "scale", "floor", "ceiling", "transport")
    rows = [[each[name] for name in fields] for each in document["accounts"]]
    headers = ("account", "relation", "asset", "scale", "floor", "ceiling", "reached by")
    accounts = table(headers, rows, right=("scale", "floor", "ceiling"))
    return f"{about}\n\n{accounts}"
