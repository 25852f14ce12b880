"""`causeway gateway`: make a bank's gateway, exchange cards with the others, and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import JsonOption, PasswordFileOption, command_group, keystore_password, read_text, run
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
    Example:
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
    as_json: Annotated[bool, typer.Option("--json", help="Write the log as JSON lines.")] = False,
) -> None:
    """Run a gateway until SIGTERM or Ctrl-C: its payments, its letter box and its REST interface.

    \b
    Example:
      causeway gateway run --config ./bank-a/gateway.toml --password-file ./bank-a.password
    """
    import uvloop

    from cli.gateway_process import run_until_stopped

    uvloop.run(run_until_stopped(config, keystore_password(password_file, what="gateway's key"), level, as_json))


@app.command("key")
def key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's short name: 1 to 32 of a-z, 0-9 and -.")],
    config: ConfigOption,
    principal: Annotated[
        str, typer.Option("--principal", help="Who uses it; stands beside everything that is done with it.")
    ] = "",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="What it may do; may be repeated. Without it: everything.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="PEM", help="Instead of a key: a client's certificate, for mutual TLS."),
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the key of this name back, for ever.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an API key for the gateway's REST interface, which is shown once; or take a client's certificate; or revoke.

    \b
    Example:
      causeway gateway key core-banking --config ./bank-a/gateway.toml --principal core-banking
      causeway gateway key dashboard --config ./bank-a/gateway.toml --scope payments:read --scope statements
      causeway gateway key core-banking --config ./bank-a/gateway.toml --certificate core.pem
      causeway gateway key core-banking --config ./bank-a/gateway.toml --revoke
    """
    from api.principals import Scope
    from cli.exits import NotFound
    from cli.gateway_keys import make_key, register_certificate, revoke_key
    from foundation.errors import BadInput
    from settlement.gateway.config import load_config

    loaded = load_config(config)
    if revoke:
        if not run(revoke_key(loaded, key_id)):
            raise NotFound(f"there is no key {key_id}, or it was revoked before")
        Output(as_json).result({"key": key_id, "revoked": True}, f"{key_id} is revoked")
        return
    try:
        scopes = tuple(Scope(name) for name in scope) if scope else tuple(Scope)
    except ValueError as error:
        raise BadInput("--scope", str(error), f"one of {', '.join(Scope)}") from error
    if certificate is not None:
        text = run(
            register_certificate(loaded, read_text(certificate, "--certificate").encode(), principal or key_id, scopes)
        )
    else:
        text = run(make_key(loaded, key_id, principal or key_id, scopes))
    Output(as_json).result({"key": text, "scopes": list(scopes)}, text)


@app.command("keys")
def keys(config: ConfigOption, as_json: JsonOption = False) -> None:
    """List the API keys and certificates that the REST interface knows, without their secrets.

    \b
    Example:
      causeway gateway keys --config ./bank-a/gateway.toml
    """
    from cli.gateway_keys import listed_keys
    from cli.output import table
    from settlement.gateway.config import load_config

    found = run(listed_keys(load_config(config)))
    rows = [(each["key"], each["principal"], " ".join(each["scopes"]), each["is_good"]) for each in found]
    Output(as_json).result(found, lambda: table(("key", "principal", "may", "is good"), rows))


@app.command("alarms")
def alarms(
    config: ConfigOption,
    acknowledge: Annotated[
        int | None, typer.Option("--acknowledge", metavar="NUMBER", help="Somebody has looked at this one.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were acknowledged.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List a gateway's alarms, such as a hold that was returned although its preimage was shown.

    None is ever raised while clocks, ledgers and parties keep within the configured margins: a person has to look.
    The exit status is 7 as long as one is open, so that a monitor need not read the text; 0 once all are acknowledged.

    \b
    Example:
      causeway gateway alarms --config ./bank-a/gateway.toml
      causeway gateway alarms --config ./bank-a/gateway.toml --json | jq length
      causeway gateway alarms --config ./bank-a/gateway.toml --acknowledge 3
    """
    from cli.exits import ExitCode, NotFound
    from cli.gateway_alarms import OPEN, listed_alarms
    from cli.gateway_alarms import acknowledge as acknowledged
    from cli.output import table
    from settlement.gateway.config import load_config

    loaded = load_config(config)
    if acknowledge is not None and not run(acknowledged(loaded, acknowledge)):
        raise NotFound(f"there is no open alarm {acknowledge}", "list them without --acknowledge")
    found = run(listed_alarms(loaded, everything))
    rows = [(each["number"], each["state"], each["payment"][:16] + "…", each["detail"]) for each in found]
    text = table(("number", "state", "payment", "what"), rows) if rows else "no alarms"
    Output(as_json).result(found, text)
    if any(each["state"] == OPEN for each in found):
        raise typer.Exit(ExitCode.ATTENTION)


@app.command("resolve")
def resolve(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="The lost payment, as its alarm shows it.")],
    config: ConfigOption,
    by: Annotated[str, typer.Option("--by", help="Who has looked.")],
    reason: Annotated[str, typer.Option("--reason", help="What was found; at most 500 characters.")],
    counts: Annotated[
        bool,
        typer.Option("--counts/--does-not-count", help="Whether its money has moved, and so counts for the limits."),
    ],
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was found of a payment that was lost; its alarms are acknowledged by it.

    What it had taken of the rules' limits is kept with --counts, and given back with --does-not-count. The finding and
    the name stay in the payment's history, and cannot be changed. No money is moved. The gateway may run meanwhile.

    \b
    Example:
      causeway gateway resolve 5f1c… --config ./bank-a/gateway.toml --by olga --counts --reason "paid; we bear it"
    """
    from cli.gateway_resolve import resolve_payment
    from settlement.gateway.config import load_config

    password = keystore_password(password_file, what="gateway's key")
    run(resolve_payment(load_config(config), password, payment, by, counts, reason))
    Output(as_json).result({"payment": payment, "counts": counts, "by": by}, f"{payment} is resolved")


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
