"""`causeway books`: a gateway's books, for its accountant, its auditor and its CFO."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.books_gateway import GatewayOption, gateway
from cli.context import JsonOption, PasswordFileOption, command_group, run
from cli.exits import ExitCode
from cli.output import Output, facts

app = command_group("A gateway's books: balances, journal, export, monitors, reconciliation.")


class RoleName(StrEnum):
    """Who looks."""

    ACCOUNTANT = "accountant"
    AUDITOR = "auditor"
    CFO = "cfo"
    OBSERVER = "observer"


class FormatName(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    BEANCOUNT = "beancount"


RoleOption = Annotated[RoleName, typer.Option("--role", help="For whom: each role sees and does its share.")]
EntryArgument = Annotated[int, typer.Argument(metavar="ENTRY", min=1, help="The entry's number.", show_default=False)]
ByOption = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who does it: a person of the rules.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept, sealed.")]
PersonKeyOption = Annotated[
    Path | None,
    typer.Option("--person-key", metavar="FILE", help="The person's key, as `causeway rules new-key` made it."),
]
PersonPasswordOption = Annotated[
    Path | None, typer.Option("--person-password-file", metavar="FILE", help="Holds the password of the person's key.")
]


@app.command("balance")
def balance(
    config: GatewayOption,
    role: RoleOption,
    confirmed: Annotated[bool, typer.Option("--confirmed", help="Without what is suspended.")] = False,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tree of balances, and that assets are liabilities and equity. Debits are positive.

    \b
    Example:
      causeway books balance --config ./bank-a/gateway.toml --role accountant
    """
    from cli.books_reading import Opened, balances
    from cli.books_view import balances_text

    found = run(balances(Opened.of(config, role.value, password_file), confirmed))
    Output(as_json).result(found, lambda: balances_text(found))


@app.command("journal")
def journal(
    config: GatewayOption,
    role: RoleOption,
    after: Annotated[int, typer.Option("--after", min=0, help="Entries with numbers above this one.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show entries with their lines, and how each stands. Auditors see no narratives.

    \b
    Example:
      causeway books journal --config ./bank-a/gateway.toml --role auditor --after 1000
    """
    from cli.books_reading import Opened
    from cli.books_reading import journal as read
    from cli.books_view import journal_text

    found = run(read(Opened.of(config, role.value, password_file), after, limit))
    Output(as_json).result(found, lambda: journal_text(found))


@app.command("acts")
def acts(
    config: GatewayOption,
    role: RoleOption,
    entry: Annotated[int | None, typer.Option("--entry", min=1, help="With this entry alone.")] = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who suspended, confirmed or cancelled what, when and why.

    \b
    Example:
      causeway books acts --config ./bank-a/gateway.toml --role cfo
    """
    from cli.books_reading import Opened
    from cli.books_reading import acts as read
    from cli.books_view import acts_text

    found = run(read(Opened.of(config, role.value, password_file), entry))
    Output(as_json).result(found, lambda: acts_text(found))


@app.command("export")
def export(
    config: GatewayOption,
    role: RoleOption,
    form: Annotated[FormatName, typer.Option("--format", help="What is written.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to.")],
    first: Annotated[str | None, typer.Option("--first", metavar="DAY", help="By default the year's first.")] = None,
    last: Annotated[str | None, typer.Option("--last", metavar="DAY", help="Included; by default today.")] = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the journal of a period (days in UTC) as CSV, or as a Beancount file that asserts its closing balances.

    \b
    Example:
      causeway books export --config ./bank-a/gateway.toml --role cfo --format beancount --out 2026.beancount
    """
    from cli.books_reading import Opened, period_of
    from cli.books_writing import write_export

    period = period_of(first, last)
    size = run(write_export(Opened.of(config, role.value, password_file), form.value, period, out))
    document = {"file": str(out), "format": form.value, "first": str(period.first), "last": str(period.last)}
    Output(as_json).result({**document, "bytes": size}, lambda: facts([("written", out), ("bytes", size)]))


@app.command("monitor")
def monitor(config: GatewayOption, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """Check the books from the beginning, and show the alerts that stand.

    With --password-file what people did with entries is replayed, too: their words are sealed. A running gateway also
    compares the books with the ledgers and the chain, each minute: its alerts are shown. The exit status is 4 where
    something is wrong.

    \b
    Example:
      causeway books monitor --config ./bank-a/gateway.toml
    """
    from cli.books_reading import checked, narrative_key
    from cli.books_view import monitor_text

    loaded = gateway(config)
    found = run(checked(loaded, narrative_key(loaded, password_file)))
    Output(as_json).result(found, lambda: monitor_text(found))
    if not found["ok"]:
        raise typer.Exit(ExitCode.REFUSED)


@app.command("acknowledge")
def acknowledge(
    alert: Annotated[int, typer.Argument(metavar="ALERT", help="The alert's number, as `monitor` shows it.")],
    config: GatewayOption,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who looks at it.")],
    as_json: JsonOption = False,
) -> None:
    """Say that somebody looks at an alert. It goes away by itself once the check finds nothing any more.

    \b
    Example:
      causeway books acknowledge 7 --config ./bank-a/gateway.toml --by ann
    """
    from cli.books_reading import acknowledge as told

    run(told(gateway(config), alert, by))
    Output(as_json).result({"alert": alert, "by": by}, f"{by} looks at alert {alert}")


@app.command("suspend")
def suspend(
    entry: EntryArgument,
    config: GatewayOption,
    by: ByOption,
    why: WhyOption,
    person_key: PersonKeyOption = None,
    person_password: PersonPasswordOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """As the auditor: take an entry out of the confirmed balances until somebody else has looked at it.

    \b
    Example:
      causeway books suspend 42 --config ./bank-a/gateway.toml --by carl --why "no invoice" --person-key carl.key
    """
    _acted(RoleName.AUDITOR, "suspend", entry, config, (by, why, person_key, person_password), password_file, as_json)


@app.command("confirm")
def confirm(
    entry: EntryArgument,
    config: GatewayOption,
    by: ByOption,
    why: WhyOption,
    person_key: PersonKeyOption = None,
    person_password: PersonPasswordOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """As the accountant: confirm an entry, also one that the auditor has suspended.

    \b
    Example:
      causeway books confirm 42 --config ./bank-a/gateway.toml --by ann --why "the invoice is there"
    """
    who = (by, why, person_key, person_password)
    _acted(RoleName.ACCOUNTANT, "confirm", entry, config, who, password_file, as_json)


@app.command("cancel")
def cancel(
    entry: EntryArgument,
    config: GatewayOption,
    by: ByOption,
    why: WhyOption,
    person_key: PersonKeyOption = None,
    person_password: PersonPasswordOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """As the CFO: take a suspended entry back by an entry that reverses it. Nothing is ever deleted.

    The books alone change: what was paid is paid.

    \b
    Example:
      causeway books cancel 42 --config ./bank-a/gateway.toml --by dora --why "posted twice"
    """
    _acted(RoleName.CFO, "cancel", entry, config, (by, why, person_key, person_password), password_file, as_json)


@app.command("fund")
def fund(
    config: GatewayOption,
    by: ByOption,
    why: WhyOption,
    ledger: Annotated[str, typer.Option("--ledger", help="The ledger whose account it came to.")],
    amount: Annotated[str, typer.Option("--amount", help="What came in; with a minus what went out.")],
    reference: Annotated[
        str, typer.Option("--reference", help="What tells it from others: the same again is the same entry.")
    ],
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """As the accountant: take money into the books that no payment of this gateway brought or took.

    The gateway opens its books with what its accounts hold. Of later deposits and withdrawals it has to be told: until
    then the monitor says by how much ledger and books differ.

    \b
    Example:
      causeway books fund --config ./bank-a/gateway.toml --by ann --ledger digital-euro --amount 500.00 \\
        --reference R-17 --why "deposit"
    """
    from cli.books_acting import Funding
    from cli.books_acting import fund as posted
    from cli.books_reading import Opened

    books = Opened.of(config, RoleName.ACCOUNTANT.value, password_file)
    number = run(posted(books, by, Funding(ledger, amount, reference, why)))
    Output(as_json).result({"entry": number, "ledger": ledger, "amount": amount}, f"posted as entry {number}")


@app.command("reconcile")
def reconcile(
    config: GatewayOption,
    role: RoleOption,
    ledger: Annotated[str, typer.Option("--ledger", help="The ledger that the statement is of.")],
    statement: Annotated[Path, typer.Option("--statement", metavar="FILE", help="The other side's camt.053.")],
    theirs: Annotated[
        bool, typer.Option("--reversed", help="It is of their own account with us: their debits are our credits.")
    ] = False,
    days: Annotated[int, typer.Option("--days", min=0, help="By how many days value dates may differ.")] = 0,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the books of one ledger with a camt.053 of our account there, and name the first transfer that differs.

    The statement's own period is compared. The exit status is 4 where there is a difference.

    \b
    Example:
      causeway books reconcile --config ./bank-a/gateway.toml --role accountant --ledger digital-euro \\
        --statement statement.xml
    """
    from cli.books_reading import Opened, reconciled, reconciliation_row
    from cli.books_view import reconciliation_text

    books = Opened.of(config, role.value, password_file)
    found = reconciliation_row(run(reconciled(books, ledger, statement, theirs, days)))
    Output(as_json).result(found, lambda: reconciliation_text(found))
    if not found["ok"]:
        raise typer.Exit(ExitCode.REFUSED)


def _acted(
    role: RoleName,
    action: str,
    entry: int,
    config: Path,
    who: tuple[str, str, Path | None, Path | None],
    password_file: Path | None,
    as_json: bool,
) -> None:
    from cli.books_acting import Officer, act
    from cli.books_reading import Opened

    by, why, key, key_password = who
    books = Opened.of(config, role.value, password_file)
    found: dict[str, Any] = run(act(books, entry, action, Officer(by, key, key_password), why))
    Output(as_json).result(found, lambda: facts([(name.replace("_", " "), value) for name, value in found.items()]))
