"""`causeway gateway`: make a bank's gateway, exchange cards with the others, and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import JsonOption, PasswordFileOption, command_group, keystore_password, run
from cli.output import Output, facts

app = command_group("Make and run a bank's, or a clearing bank's, settlement gateway.")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="CAUSEWAY_GATEWAY",
        metavar="FILE",
        help="The gateway's configuration.",
        exists=True,
        dir_okay=False,
    ),
]


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the gateway is to live.")],
    party: Annotated[str, typer.Option("--party", help="Its name: 1 to 32 of a-z, 0-9 and -.")],
    address: Annotated[str, typer.Option("--address", help="Its Interledger address, such as g.eu.bank-a.")],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where its letter box listens.")
    ] = "127.0.0.1:8500",
    api: Annotated[
        str, typer.Option("--api", metavar="HOST:PORT", help="Where its REST interface listens.")
    ] = "127.0.0.1:8501",
    url: Annotated[
        str | None, typer.Option("--url", help="How the others reach the letter box, if that differs.")
    ] = None,
    database: Annotated[
        str, typer.Option("--database", metavar="URL", help="SQLite, or postgresql://user:password@host/name.")
    ] = "sqlite:///gateway.db",
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a gateway's folder: its key, its card for the others, and files to fill in.

    Nothing that is there is overwritten.

    \b
    Examples:
      causeway gateway init ./bank-a --party bank-a --address g.bank-a
      causeway gateway init ./bank-a --party bank-a --address g.bank-a --url https://pay.bank-a.example
    """
    from cli.gateway_folder import NewGateway, make_folder

    password = keystore_password(password_file, confirm=True, what="gateway's key")
    made = make_folder(folder, NewGateway(party, address, listen, api, url or f"http://{listen}", database), password)
    Output(as_json).result(
        {"folder": str(made.folder), "config": str(made.config), "card": str(made.card), "party": party},
        lambda: facts(
            [
                ("made", made.folder),
                ("configuration", f"{made.config} (fill in the ledgers)"),
                ("card", f"{made.card} (hand it to the other parties; put theirs beside it)"),
            ]
        ),
    )


@app.command("run")
def run_gateway(
    config: ConfigOption,
    password_file: PasswordFileOption = None,
    level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
    json_log: Annotated[bool, typer.Option("--json-log", help="Write the log as JSON lines.")] = False,
) -> None:
    """Run a gateway until SIGTERM or Ctrl-C: its payments, its letter box and its REST interface.

    \b
    Examples:
      causeway gateway run --config ./bank-a/gateway.toml --password-file ./bank-a.password
    """
    from cli.gateway_process import run_until_stopped

    run(run_until_stopped(config, keystore_password(password_file, what="gateway's key"), level, json_log))


@app.command("check")
def check(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Read a gateway's configuration, rules, policy, customers and cards, and say what it would do.

    Nothing is started, and no ledger is asked.

    \b
    Example:
      causeway gateway check --config ./bank-a/gateway.toml
    """
    from cli.gateway_folder import checked

    found = checked(config)
    Output(as_json).result(found, lambda: facts([(name.replace("_", " "), value) for name, value in found.items()]))
