"""`causeway payment`: pay through a gateway over its REST interface, and look at payments."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.books_gateway import MaybeGatewayOption, PaymentArgument
from cli.context import JsonOption, PasswordFileOption, command_group, run
from cli.exits import ExitCode
from cli.output import Output
from cli.payment_api import ApiAccess, ApiCertificateOption, ApiKeyOption, ApiOption
from foundation.errors import BadInput

app = command_group("Pay through a gateway, and look at payments.")

KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="TEXT", help="The idempotency key, to repeat a call whose answer got lost."),
]


class KindName(StrEnum):
    """What the one who is paid is."""

    NATURAL = "natural"
    LEGAL = "legal"


class StatusName(StrEnum):
    """Where the money of a payment is."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PAID = "paid"
    RETURNED = "returned"
    FAILED = "failed"
    LOST = "lost"


@app.command("send")
def send(
    payee: Annotated[str, typer.Option("--payee", metavar="PARTY", help="The bank that is paid.")],
    clearing: Annotated[str, typer.Option("--clearing", metavar="PARTY", help="The clearing bank.")],
    source: Annotated[str, typer.Option("--from", metavar="LEDGER", help="The ledger that it is paid from.")],
    target: Annotated[str, typer.Option("--to", metavar="LEDGER", help="The ledger on which the payee is paid.")],
    amount: Annotated[str, typer.Option("--amount", help="What the payee's bank is to get, such as 2000.00.")],
    currency: Annotated[str, typer.Option("--currency", help="Of that amount, such as CNY.")],
    debtor: Annotated[str, typer.Option("--debtor", metavar="ACCOUNT", help="Our customer who pays.")],
    creditor: Annotated[str, typer.Option("--creditor", metavar="ACCOUNT", help="Who is paid, at the payee's bank.")],
    country: Annotated[str, typer.Option("--creditor-country", metavar="XX", help="Of the one who is paid.")],
    kind: Annotated[KindName, typer.Option("--creditor-kind", help="A human being, or an organisation.")],
    purpose: Annotated[str, typer.Option("--purpose", metavar="CODE", help="ISO 20022 purpose code, such as GDDS.")],
    scale: Annotated[
        int | None, typer.Option("--scale", min=0, max=255, help="Decimals of a currency of no ledger of ours.")
    ] = None,
    reference: Annotated[str, typer.Option("--reference", help="The customer's own text; stays with this bank.")] = "",
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="AMOUNT", help="Pay without asking if it costs no more, fee included."),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for its end; 0 does not.")
    ] = 0.0,
    key: KeyOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay: ask the clearing bank for a quote, show it, and pay by it once it is agreed.

    Without --max-cost the quote has to be confirmed. The idempotency key is told before anything is asked for; if no
    answer came, repeat the command with --key: it is the same payment. With --wait the exit status is 4 where the money
    came back or never left, and 5 where the payment has not ended in time.

    \b
    Example:
      causeway payment send --api http://127.0.0.1:8501 --key-file api.key \\
        --payee bank-b --clearing clearing --from digital-euro --to digital-yuan --amount 2000.00 --currency CNY \\
        --debtor DE02120300000000202051 --creditor SG-0042-1717 --creditor-country SG --creditor-kind legal \\
        --purpose GDDS --max-cost 1010.00 --wait 60
    """
    from cli.payment_asking import Wish, check_cost, confirm, new_key
    from cli.payment_asking import send as asked
    from cli.payment_view import payment_text, quote_text

    output = Output(as_json)
    access = ApiAccess.of(api, key_file, certificate)
    places = (payee, clearing, source, target, amount, currency, scale)
    wish = Wish(*places, debtor, creditor, country, kind.value, purpose, reference)

    def agreed(quote: dict[str, Any]) -> None:
        output.note(quote_text(quote))
        if max_cost is not None:
            check_cost(quote, max_cost)
        else:
            confirm(output)

    named = key or new_key()
    output.note(f"key {named}")
    paid = run(asked(access, wish, named, agreed, wait))
    output.result(paid, lambda: payment_text(paid))
    if wait > 0 and paid["status"] != StatusName.PAID:
        raise typer.Exit(ExitCode.REFUSED)


@app.command("list")
def list_payments(
    status: Annotated[
        list[StatusName] | None, typer.Option("--status", help="Only these; may be repeated.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many of the newest.")] = 50,
    config: MaybeGatewayOption = None,
    password_file: PasswordFileOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List payments, newest first: over REST, or in a gateway's database whether it runs or not.

    \b
    Example:
      causeway payment list --status in_progress --api http://127.0.0.1:8501 --key-file api.key
      causeway payment list --config ./bank-a/gateway.toml --password-file bank-a.password
    """
    from cli.payment_asking import listed, listed_in
    from cli.payment_view import payments_table

    statuses = [one.value for one in status or ()]
    if config is not None:
        found = run(listed_in(config, statuses, limit, password_file))
    else:
        found = run(listed(ApiAccess.of(api, key_file, certificate), statuses, limit))
    Output(as_json).result(found, lambda: payments_table(found))


@app.command("show")
def show(
    payment: PaymentArgument,
    config: MaybeGatewayOption = None,
    password_file: PasswordFileOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one payment: stage, amounts, time-outs and history; over REST, or in a gateway's database.

    \b
    Example:
      causeway payment show 5f1c… --api http://127.0.0.1:8501 --key-file api.key
      causeway payment show 5f1c… --config ./bank-a/gateway.toml --password-file bank-a.password
    """
    from cli.payment_asking import show as asked
    from cli.payment_asking import show_in
    from cli.payment_view import payment_text

    if config is not None:
        found = run(show_in(config, payment, password_file))
    else:
        found = run(asked(ApiAccess.of(api, key_file, certificate), payment))
    Output(as_json).result(found, lambda: payment_text(found))


@app.command("report")
def report(
    payment: PaymentArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the message into this file.")] = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what has become of a payment as a pacs.002, checked against its schema.

    It calls the transfer as the pacs.008 did that began it.

    \b
    Example:
      causeway payment report 5f1c… --out status.xml
    """
    from cli.output import facts
    from cli.payment_asking import status_report

    found = run(status_report(ApiAccess.of(api, key_file, certificate), payment, out))
    Output(as_json).result(found, lambda: facts([(name.replace("_", " "), value) for name, value in found.items()]))


@app.command("cancel")
def cancel(
    payment: PaymentArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the payment.")] = "",
    key: KeyOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a payment as long as nothing is held for it. Afterwards it ends by itself: paid, or returned.

    \b
    Example:
      causeway payment cancel 5f1c… --reason "the customer has changed their mind" --key-file api.key
    """
    from cli.payment_asking import cancel as asked
    from cli.payment_asking import new_key
    from cli.payment_view import payment_text

    found = run(asked(ApiAccess.of(api, key_file, certificate), payment, reason, key or new_key()))
    Output(as_json).result(found, lambda: payment_text(found))


@app.command("approve")
def approve(
    payment: PaymentArgument,
    approval: Annotated[
        Path | None,
        typer.Option("--approval", metavar="FILE", help="Hand in what `causeway rules approve` has signed."),
    ] = None,
    person: Annotated[
        str, typer.Option("--person", help="Who approves; without it who the API key belongs to.", show_default=False)
    ] = "",
    person_key: Annotated[
        Path | None,
        typer.Option("--person-key", metavar="FILE", help="Sign with this key, as `causeway rules new-key` made it."),
    ] = None,
    clears: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="RULE", help="A rule whose referral the person lifts; may be repeated."),
    ] = None,
    password_file: PasswordFileOption = None,
    key: KeyOption = None,
    api: ApiOption = None,
    key_file: ApiKeyOption = None,
    certificate: ApiCertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a payment that waits for a person; the rules look at it again at once.

    The last decision is shown first. A person for whom the rules name a key signs with it (--person-key, or
    --approval); of others the login counts. Who asked for the payment never counts.

    \b
    Example:
      causeway payment approve 5f1c… --person ann --person-key ann.key --clear one-payment --key-file api.key
      causeway payment approve 5f1c… --approval approval.json --key-file api.key
    """
    from cli.payment_asking import approval_body, decision, new_key
    from cli.payment_asking import approve as asked
    from cli.rules_approving import Signing, read_approval
    from cli.rules_view import decision_text

    if person_key is not None and not person:
        raise BadInput("--person", "is missing", "whose key it is")
    output = Output(as_json)
    access = ApiAccess.of(api, key_file, certificate)
    signed = None if approval is None else read_approval(approval)
    said = run(decision(access, payment))
    output.note(decision_text(said))
    signing = Signing(person, person_key, tuple(clears or ()))
    body = approval_body(payment.strip().lower(), said, signing, signed, password_file)
    found = run(asked(access, payment, body, key or new_key()))
    output.result(found, lambda: decision_text(found))
