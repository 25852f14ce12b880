"""`causeway receipt`: the third entry as a file, and its verification by an auditor who trusts nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.books_gateway import MaybeGatewayOption, PaymentArgument
from cli.context import JsonOption, command_group, run
from cli.exits import ExitCode
from cli.output import Output, facts, table
from cli.payment_api import ApiAccess, ApiCertificateOption, ApiKeyOption, ApiOption

app = command_group("Export a payment's receipt, and verify one offline.")


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt's file.", show_default=False)],
    cards: Annotated[
        Path | None,
        typer.Option("--cards", metavar="FOLDER", help="The parties' cards, from the parties themselves."),
    ] = None,
    rpc: Annotated[
        list[str] | None,
        typer.Option("--rpc", metavar="URL", help="A node of the chain with the anchor; may be repeated."),
    ] = None,
    genesis: Annotated[
        str | None, typer.Option("--genesis", metavar="HASH", help="The hash of that chain's first block.")
    ] = None,
    confirmations: Annotated[
        int | None,
        typer.Option("--confirmations", min=0, help="What is final there: so many blocks; by default its own word."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="What could not be checked counts as a failure.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify a receipt: its three signatures, and its place in a batch that is anchored on a chain.

    Nobody is asked but the chain, and that only with --rpc. Each check is named, and so is what was not checked. The
    exit status is 4 where a check fails.

    \b
    Example:
      causeway receipt verify receipt.json --cards ./cards
      causeway receipt verify receipt.json --cards ./cards --rpc http://127.0.0.1:8545 --genesis 0x1f0b… --strict
    """
    from cli.receipt_files import Asked, report_row
    from cli.receipt_files import verify as verified

    read, report = run(verified(file, cards, Asked(tuple(rpc or ()), genesis, confirmations)))
    found = report_row(read, report)
    is_good = report.is_complete if strict else report.is_sound
    verdict = "sound" if report.is_complete else "sound, as far as it was checked"
    rows = [(check["name"], check["outcome"], check["detail"]) for check in found["checks"]]
    pairs = [("payment", found["payment_id"]), ("receipt", verdict if report.is_sound else "NOT SOUND")]
    Output(as_json).result(found, lambda: "\n".join([facts(pairs), table(("check", "outcome", "detail"), rows)]))
    if not is_good:
        raise typer.Exit(ExitCode.REFUSED)


@app.command("export")
def export(
    payment: PaymentArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the file is to be; by default it is printed.")
    ] = None,
    config: MaybeGatewayOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a payment's receipt as a file that can be verified offline: out of a gateway's database, or over REST.

    No password is needed: a receipt holds nothing secret once the payment is closed.

    \b
    Example:
      causeway receipt export 5f1c… --config ./bank-a/gateway.toml --out receipt.json
      causeway receipt export 5f1c… --api http://127.0.0.1:8501 --key-file api.key --out receipt.json
    """
    import json

    from cli.receipt_files import export_from, export_over, write
    from settlement.books.receipt_file import encode_file

    if config is not None:
        file = run(export_from(config, payment))
    else:
        file = run(export_over(ApiAccess.of(api, key_file, certificate), payment))
    raw = encode_file(file)
    if out is None:
        Output(as_json).result(json.loads(raw), raw.decode().rstrip("\n"))
        return
    write(file, out)
    is_in = file.proof is not None
    place = "in no batch yet" if file.proof is None else f"in batch {file.proof.text.number}"
    document = {"payment_id": file.payment_id.hex(), "file": str(out), "is_in_batch": is_in}
    Output(as_json).result(document, lambda: facts([("written", out), ("receipt", place)]))
