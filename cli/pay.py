"""`causeway pay`: pay a payment pointer, or an endpoint's URL, over Interledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import JsonOption, command_group, run
from cli.output import Output, facts

app = command_group("Pay a payment pointer over Interledger.")


@app.command("pay")
def pay(
    pointer: Annotated[str, typer.Argument(metavar="POINTER", help="Whom to pay, such as '$pay.example/alice'.")],
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="What to send, in our asset; with --deliver, what is to arrive.")
    ],
    connector: Annotated[
        Path | None,
        typer.Option(
            "--connector",
            envvar="CAUSEWAY_PAY",
            metavar="FILE",
            help="How to reach our connector: url, token (or token_file). By default .causeway/pay.toml.",
            show_default=False,
        ),
    ] = None,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="AMOUNT is what arrives, in the payee's asset; needs --max-source.")
    ] = False,
    max_source: Annotated[
        str | None, typer.Option("--max-source", metavar="AMOUNT", help="With --deliver: send at most this.")
    ] = None,
    min_delivered: Annotated[
        str | None,
        typer.Option(
            "--min-delivered",
            metavar="AMOUNT",
            help="Without --deliver: send nothing at a rate at which all of AMOUNT would deliver less than this.",
        ),
    ] = None,
    max_slippage: Annotated[
        str,
        typer.Option("--max-slippage", metavar="PERCENT", help="How far a packet's rate may fall below the first one."),
    ] = "1",
    timeout: Annotated[int, typer.Option("--timeout", min=1, max=3_600, help="Seconds for the whole payment.")] = 60,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Ask the payee over plain http: on this machine only, for tests.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Pay a payment pointer over Interledger (STREAM), through our connector. Progress goes to standard error.

    The amount goes in many packets; each is either delivered at an acceptable rate, or not paid at all. Where a payment
    stops half-way, what was delivered stays delivered: the error says how much was. Status 5 may go on later with the
    rest, status 4 will not.

    \b
    Example:
      causeway pay '$pay.example/alice' 10.00
      causeway pay '$pay.example/alice' 25.00 --deliver --max-source 24.00 --max-slippage 0.5
    """
    from cli.paying import Order, paid, read_connection, slippage_bps

    order = Order(
        pointer=pointer,
        amount=amount,
        is_delivered=deliver,
        max_source=max_source,
        min_delivered=min_delivered,
        slippage_bps=slippage_bps(max_slippage),
        timeout_ms=timeout * 1000,
        is_insecure=insecure,
    )
    output = Output(as_json)
    found = run(paid(order, read_connection(connector), (lambda _text: None) if quiet else output.progress))
    output.result(found, lambda: _text(found))


def _text(found: dict[str, Any]) -> str:
    return facts(
        [
            ("sent", f"{found['sent']} {found['asset']['code']}"),
            ("delivered", _delivered(found)),
            ("rate", found["rate"]),
            ("packets", f"{found['packets']:,} in {found['seconds']} s"),
            ("receipt", found["receipt"]),
        ]
    )


def _delivered(found: dict[str, Any]) -> str:
    if found["peer_asset"] is None:
        return f"{found['delivered_units']} base units"
    return f"{found['delivered']} {found['peer_asset']['code']}"
