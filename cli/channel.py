"""`causeway channel`: prefunded channels with other banks, on a book or on a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import JsonOption, PasswordFileOption, command_group, keystore_password, run
from cli.output import Output, facts

app = command_group("Channels with other banks: prefunded, paid in without the ledger, settled on it at the end.")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="CAUSEWAY_CHANNELS",
        metavar="FILE",
        help="The configuration of this bank's channels.",
        exists=True,
        dir_okay=False,
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The channel, as in [channels.NAME].")]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the outcome; 0: not at all.")
]
LevelOption = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]


@app.command("watch")
def watch(
    config: ConfigOption,
    password_file: PasswordFileOption = None,
    level: LevelOption = "info",
    as_json: JsonOption = False,
) -> None:
    """Run this bank's channels until SIGTERM or Ctrl-C: its letters, its orders, and the watch over its ledgers.

    Keep it running: a stale close is answered here, within the challenge period or never.

    \b
    Example:
      causeway channel watch --config channels.toml --password-file bank-a.password
    """
    from cli.channel_process import watch_until_stopped

    run(watch_until_stopped(config, keystore_password(password_file, what="bank's key"), level, as_json))


@app.command("adjudicate")
def adjudicate(
    config: Annotated[
        Path,
        typer.Option("--config", metavar="FILE", help="The adjudicator's configuration.", exists=True, dir_okay=False),
    ],
    level: LevelOption = "info",
    as_json: JsonOption = False,
) -> None:
    """Adjudicate the channels of a book, as its operator, until SIGTERM or Ctrl-C.

    \b
    Example:
      causeway channel adjudicate --config adjudicator.toml
    """
    from cli.channel_process import adjudicate_until_stopped

    run(adjudicate_until_stopped(config, level, as_json))


@app.command("open")
def open_channel(
    config: ConfigOption, name: NameArgument, wait: WaitOption = 60.0, as_json: JsonOption = False
) -> None:
    """Open a channel: put this bank's deposit in. Both banks do so, in whatever order.

    \b
    Example:
      causeway channel open bank-b --config channels.toml
    """
    from cli.channel_commands import order_open

    _tell(run(order_open(config, name, wait)), as_json)


@app.command("pay")
def pay(
    config: ConfigOption,
    name: NameArgument,
    amount: Annotated[str | None, typer.Argument(metavar="AMOUNT", help="Such as 10.00, in the channel.")] = None,
    invoice: Annotated[
        Path | None, typer.Option("--invoice", metavar="FILE", help="Pay this invoice; NAME is the proxy then.")
    ] = None,
    wait: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Pay in a channel at once, or an invoice of a third bank over a proxy that both have a channel with.

    \b
    Example:
      causeway channel pay bank-b 250.00 --config channels.toml
      causeway channel pay hub --invoice from-bank-c.json --config channels.toml
    """
    from cli.channel_commands import order_payment

    _tell(run(order_payment(config, name, amount, invoice, wait)), as_json)


@app.command("invoice")
def invoice(
    config: ConfigOption,
    name: NameArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="What is to arrive, in the channel with the proxy.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it, for the payer.")],
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="How long it can be paid.")] = 60,
    wait: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Ask to be paid over a proxy: a signed invoice, to be handed to the payer.

    \b
    Example:
      causeway channel invoice hub 80.00 --out invoice.json --config channels.toml
    """
    from cli.channel_commands import order_invoice

    _tell(run(order_invoice(config, name, amount, out, minutes, wait)), as_json)


@app.command("show")
def show(
    config: ConfigOption,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One channel; without it, all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show channels: balances, what is set aside, and the last payments.

    \b
    Example:
      causeway channel show --config channels.toml
    """
    from cli.channel_commands import shown

    channels = run(shown(config, name))
    lines = [facts([(field.replace("_", " "), value) for field, value in each.items() if field != "payments"])
             for each in channels]  # fmt: skip
    Output(as_json).result(channels, "\n\n".join(lines))


@app.command("close")
def close(
    config: ConfigOption,
    name: NameArgument,
    alone: Annotated[
        bool, typer.Option("--alone", help="Do not ask the other bank: takes a challenge period.")
    ] = False,
    wait: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """End a channel: together with the other bank, or alone by the newest sheet that this bank holds.

    \b
    Example:
      causeway channel close bank-b --config channels.toml
      causeway channel close bank-b --alone --config channels.toml
    """
    from cli.channel_commands import order_close

    _tell(run(order_close(config, name, alone, wait)), as_json)


@app.command("vouch")
def vouch(
    party: Annotated[str, typer.Argument(metavar="PARTY", help="The proxy's name.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its channel account, 0x and 40 hex digits.")],
    key_file: Annotated[Path, typer.Option("--key-file", metavar="FILE", help="The network authority's key, in hex.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the credential.")],
    days: Annotated[int, typer.Option("--days", min=1, help="How long it counts.")] = 365,
    as_json: JsonOption = False,
) -> None:
    """Vouch for a proxy, as the network's authority: a credential that payers check.

    \b
    Example:
      causeway channel vouch hub 0x5FbDB2315678afecb367f032d93F642f64180aa3 --key-file authority.key --out hub.json
    """
    from cli.channel_commands import vouched

    _tell(vouched(party, account, key_file, out, days), as_json)


def _tell(found: dict[str, object], as_json: bool) -> None:
    Output(as_json).result(found, lambda: facts([(name.replace("_", " "), value) for name, value in found.items()]))
