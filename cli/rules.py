"""`causeway rules`: check a file of rules, try it on payments, look at what was decided, and approve."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.books_gateway import GatewayOption, MaybeGatewayOption, PaymentArgument
from cli.context import JsonOption, PasswordFileOption, command_group, keystore_password, run
from cli.exits import ExitCode
from cli.output import Output, facts, table
from foundation.errors import BadInput

app = command_group("Check the rules of payments, try them, audit what was decided, and approve.")

RulesArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file of rules.", show_default=False)]


class VerdictName(StrEnum):
    """What becomes of a payment."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REFER = "refer"
    BLOCK = "block"


_STATUS = {VerdictName.PASS: ExitCode.DONE, VerdictName.REFER: ExitCode.NOT_YET, VerdictName.BLOCK: ExitCode.REFUSED}


@app.command("check")
def check(file: RulesArgument, as_json: JsonOption = False) -> None:
    """Read a file of rules and the lists beside it. What is wrong is told with file, line and field.

    \b
    Example:
      causeway rules check rules.toml
    """
    from cli.rules_trying import rules_row
    from settlement.rules.reload import load_rules

    found = rules_row(load_rules(file))
    Output(as_json).result(found, lambda: facts([(name.replace("_", " "), value) for name, value in found.items()]))


@app.command("dry-run")
def dry_run(
    file: RulesArgument,
    facts_file: Annotated[
        Path | None, typer.Option("--facts", metavar="FILE", help="One payment's facts, as JSON.", show_default=False)
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The moment of that payment; by default now.")
    ] = None,
    config: MaybeGatewayOption = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="With --config: decisions from this moment on.")
    ] = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """What would these rules say? Of one payment (--facts), or of all that a gateway has decided (--config).

    Nothing is stored. Of one payment the exit status is 0 where it passes, 5 where a person has to look first, and 4
    where it is blocked. With --config the rules are held against past decisions in order, and those are listed that
    would have come out otherwise; the gateway's password opens the facts.

    \b
    Example:
      causeway rules dry-run rules.toml --facts payment.json
      causeway rules dry-run new-rules.toml --config ./bank-a/gateway.toml --since 2026-11-01
    """
    if (facts_file is None) is (config is None):
        raise BadInput("--facts", "one of --facts and --config is needed", "a payment's facts, or a gateway")
    if facts_file is not None:
        _one(file, facts_file, at, as_json)
    elif config is not None:
        _past(file, config, since, password_file, as_json)


def _one(file: Path, facts_file: Path, at: str | None, as_json: bool) -> None:
    from cli.rules_trying import decide_one
    from cli.rules_view import decision_text

    document = decide_one(file, facts_file, at)
    Output(as_json).result(document, lambda: decision_text(document))
    if status := _STATUS[VerdictName(document["verdict"])]:
        raise typer.Exit(status)


def _past(file: Path, config: Path, since: str | None, password_file: Path | None, as_json: bool) -> None:
    from cli.rules_trying import replay_past
    from cli.rules_view import changes_table

    found = run(replay_past(file, config, since, password_file))
    counts = [(name, found[name]) for name in ("decisions", "same", "changed", "erased")]
    Output(as_json).result(found, lambda: "\n".join([facts(counts), *changes_table(found["changes"])]))


@app.command("decisions")
def decisions(
    config: GatewayOption,
    payment: Annotated[
        str | None, typer.Option("--payment", metavar="ID", help="Only this payment's.", show_default=False)
    ] = None,
    verdict: Annotated[VerdictName | None, typer.Option("--verdict", help="Only these.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this moment on.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest are shown.")] = 50,
    with_facts: Annotated[
        bool, typer.Option("--facts", help="Open the facts behind them: personal data, by the gateway's password.")
    ] = False,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what a gateway's rules decided, once the whole chain of decisions is verified.

    The head of the chain is shown: compare it with one that you noted down before, or gave away. The exit status is 4
    where a decision was changed, removed or put in.

    \b
    Example:
      causeway rules decisions --config ./bank-a/gateway.toml
      causeway rules decisions --config ./bank-a/gateway.toml --verdict block --since 2026-11-01 --json
    """
    from cli.rules_audit import Wanted, read_decisions
    from cli.rules_view import decisions_text

    wanted = Wanted.of(payment, None if verdict is None else verdict.value, since, limit, with_facts)
    found = run(read_decisions(config, wanted, password_file))
    Output(as_json).result(found, lambda: decisions_text(found))


@app.command("new-key")
def new_key(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The person's name in the rules.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the key is to be; it must not be there.")],
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the key with which a person approves payments, encrypted with a password, and the entry for the rules.

    \b
    Example:
      causeway rules new-key ann --out ann.key
    """
    from cli.rules_approving import make_person_key

    public = make_person_key(person, out, keystore_password(password_file, confirm=True, what=f"key of {person}"))
    entry = f'[[person]]\nname = "{person}"\nroles = ["approver"]\nkey = "{public}"'
    Output(as_json).result({"person": person, "key": public, "key_file": str(out)}, entry)


@app.command("approve")
def approve(
    payment: PaymentArgument,
    config: GatewayOption,
    person: Annotated[str, typer.Option("--person", help="Who approves: a name of the rules.")],
    key_file: Annotated[
        Path, typer.Option("--person-key", metavar="FILE", help="The person's key, as `rules new-key` made it.")
    ],
    clears: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="RULE", help="A rule whose referral the person lifts; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the approval into this file.")
    ] = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a person's approval of a payment that waits for one, for `causeway payment approve` to hand in.

    The payment's last decision is read in the gateway's database; nothing is written there. The approval is bound to
    the facts of that decision, counts for 24 hours, and is checked against the gateway's rules before it is given out.

    \b
    Example:
      causeway rules approve 5f1c… --config ./bank-a/gateway.toml --person ann --person-key ann.key --out approval.json
    """
    from cli.rules_approving import Signing, sign_approval, write_approval
    from cli.rules_view import decision_text

    output = Output(as_json)
    signing = Signing(person, key_file, tuple(clears or ()))
    decision, approval = run(sign_approval(config, payment, signing, password_file))
    output.note(decision_text(decision))
    if out is not None:
        write_approval(approval, out)
        output.note(f"written: {out}")
    output.result(approval, lambda: table(("field", "value"), [(name, value) for name, value in approval.items()]))
