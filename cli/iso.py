"""`causeway iso`: check messages of ISO 20022, and turn them from XML into JSON and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import JsonOption, command_group
from cli.output import Output, facts

app = command_group("Check ISO 20022 messages, and turn them from XML into JSON and back.")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The message: XML, or the JSON of one.", show_default=False)
]
OutOption = Annotated[
    Path | None, typer.Option("--xml", metavar="FILE", help="Write the message as XML into this file.")
]
AssetOption = Annotated[
    list[str] | None,
    typer.Option("--asset", metavar="CODE/SCALE", help="A currency and its decimals, such as EUR/2; may be repeated."),
]


@app.command("pacs008")
def pacs008(file: FileArgument, asset: AssetOption = None, xml: OutOption = None, as_json: JsonOption = False) -> None:
    """Check a pacs.008.001.08, a customer's credit transfer between banks; with --json show all that it says.

    The currencies in it have to be named with --asset, with their decimals. Names and accounts are personal: without
    --json none is shown.

    \b
    Example:
      causeway iso pacs008 payment.xml --asset EUR/2 --asset SGD/2
      causeway iso pacs008 payment.xml --asset EUR/2 --asset SGD/2 --json > payment.json
      causeway iso pacs008 payment.json --xml payment.xml
    """
    _told("pacs008", file, asset, xml, as_json)


@app.command("pacs002")
def pacs002(file: FileArgument, xml: OutOption = None, as_json: JsonOption = False) -> None:
    """Check a pacs.002.001.10, what has become of a credit transfer; with --json show all that it says.

    \b
    Example:
      causeway iso pacs002 status.xml --json
    """
    _told("pacs002", file, None, xml, as_json)


@app.command("camt053")
def camt053(file: FileArgument, asset: AssetOption = None, xml: OutOption = None, as_json: JsonOption = False) -> None:
    """Check a camt.053.001.08, a statement of an account: its entries lead from one balance to the other, exactly.

    \b
    Example:
      causeway iso camt053 statement.xml --asset EUR/2
    """
    _told("camt053", file, asset, xml, as_json)


def _told(name: str, file: Path, asset: list[str] | None, xml: Path | None, as_json: bool) -> None:
    from cli.iso_files import FORMS, assets_of, open_message, write_message
    from cli.iso_view import summary

    output = Output(as_json)
    message = open_message(file, FORMS[name], assets_of(asset or ()))
    if xml is not None:
        write_message(message, xml)
        output.note(f"written: {xml}")
    output.result(message.document(), lambda: facts(summary(message)))
