"""`causeway book`: a ledger of accounts, holds and payments, that stands for a bank's core or an RTGS."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.book_access import CertificateOption, KeyFileOption, UrlOption
from cli.context import JsonOption, command_group, run
from cli.exits import ExitCode
from cli.output import Output, facts, table
from foundation.errors import BadInput

app = command_group("A ledger of accounts, holds and payments, for a bank's core or a central bank.")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Read the database of this book instead.", show_default=False),
]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.", show_default=False)]


class Kind(StrEnum):
    """What an account is in the book's own balance sheet."""

    LIABILITY = "liability"
    ASSET = "asset"
    EQUITY = "equity"
    ISSUER = "issuer"


@app.command("new-key")
def new_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's name: 1 to 32 of a-z, 0-9 and -.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the key is to be; it must not be there.")],
    as_json: JsonOption = False,
) -> None:
    """Make an operator's API key: the key into a file, and the line for the book's configuration.

    The configuration holds the key's digest alone. Nothing is overwritten.

    \b
    Example:
      causeway book new-key root --out root.api-key
    """
    from cli.book_service import make_operator_key

    digest = make_operator_key(key_id, out)
    line = f'operators = {{ "{key_id}" = "{digest}" }}'
    Output(as_json).result(
        {"key_id": key_id, "digest": digest, "key_file": str(out)},
        lambda: facts([("key", out), ("configuration", line)]),
    )


@app.command("run")
def run_book(
    config: Annotated[
        Path,
        typer.Option("--config", envvar="CAUSEWAY_BOOK", metavar="FILE", help="The book's configuration."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Run a book until SIGTERM or Ctrl-C. It says where it listens.

    \b
    Example:
      causeway book run --config book.toml
    """
    import uvloop

    from cli.book_service import serve

    uvloop.run(serve(config, Output(as_json)))


@app.command("open-account")
def open_account(
    account: AccountArgument,
    asset: Annotated[str, typer.Option("--asset", help="What it is denominated in, such as EUR.")],
    scale: Annotated[int, typer.Option("--scale", min=0, max=255, help="The asset's decimals: 2 for cents.")],
    owner: Annotated[
        str | None,
        typer.Option("--owner", help="Whose keys may use it; by default the account's name, or operator."),
    ] = None,
    kind: Annotated[
        Kind, typer.Option("--kind", help="A holder's account is a liability; an issuer is where money comes from.")
    ] = Kind.LIABILITY,
    floor: Annotated[
        str | None,
        typer.Option("--floor", metavar="AMOUNT", help="The least that may be available, such as -1000.00."),
    ] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open an account; again with the same terms changes nothing.

    \b
    Example:
      causeway book open-account issuer --asset EUR --scale 2 --kind issuer --key-file root.api-key
      causeway book open-account bank-a --asset EUR --scale 2 --key-file root.api-key
    """
    from cli.book_access import account_row, reached
    from cli.book_operating import NewAccount, open_one, row_facts

    owner = owner or (account if kind is Kind.LIABILITY else "operator")
    wanted = NewAccount.of(account, asset, scale, owner, kind.value, floor)
    opened = run(open_one(reached(url, key_file, certificate), wanted))
    Output(as_json).result(account_row(opened), lambda: row_facts(opened))


@app.command("api-key")
def api_key(
    holder: Annotated[str, typer.Argument(metavar="HOLDER", help="The owner of the accounts that it opens.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the key is to be; it must not be there.")],
    key_id: Annotated[
        str | None, typer.Option("--key-id", help="The key's name; by default the holder's.", show_default=False)
    ] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key for a holder of accounts. The book does not know it afterwards.

    \b
    Example:
      causeway book api-key bank-a --out bank-a.api-key --key-file root.api-key
    """
    from cli.book_access import reached
    from cli.book_operating import make_key

    named = key_id or holder
    run(make_key(reached(url, key_file, certificate), named, holder, out))
    Output(as_json).result(
        {"key_id": named, "holder": holder, "key_file": str(out)}, lambda: facts([("holder", holder), ("key", out)])
    )


@app.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's name: what is before its point.")],
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a holder's key back, for ever. Every process of the book refuses it two seconds later at the latest.

    \b
    Example:
      causeway book revoke-key bank-a --key-file root.api-key
    """
    from cli.book_access import reached
    from cli.book_operating import revoke

    run(revoke(reached(url, key_file, certificate), key_id))
    Output(as_json).result({"key_id": key_id, "revoked": True}, f"{key_id} is revoked")


@app.command("accounts")
def accounts(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ACCOUNT]...", help="Which; with --config all where none is named.")
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show accounts: over REST those that are named, in the book's database all.

    \b
    Example:
      causeway book accounts bank-a bank-b --key-file root.api-key
      causeway book accounts --config book.toml
    """
    from cli.book_access import account_row, load_book, reached
    from cli.book_operating import accounts_in, accounts_over, accounts_table

    if config is not None:
        found = run(accounts_in(load_book(config), names or []))
    elif not names:
        raise BadInput("ACCOUNT", "is missing", "name accounts, or read the database with --config")
    else:
        found = run(accounts_over(reached(url, key_file, certificate), names))
    Output(as_json).result([account_row(each) for each in found], lambda: accounts_table(found))


@app.command("issue")
def issue(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much, such as 1000.00.", show_default=False)],
    issuer: Annotated[str, typer.Option("--from", metavar="ACCOUNT", help="The issuer.")] = "issuer",
    transfer: Annotated[
        str | None,
        typer.Option("--id", metavar="HEX", help="The transfer's id, 64 hex digits, to repeat a call that got lost."),
    ] = None,
    memo: Annotated[str, typer.Option("--memo", help="A reference, kept with the payment.")] = "",
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring money into being: the issuer pays it to an account.

    The id of the transfer is told before it is asked for. If no answer came, repeat the command with --id: the same id
    is the same transfer, and pays once.

    \b
    Example:
      causeway book issue bank-a 1000000.00 --key-file root.api-key
    """
    from cli.book_access import reached
    from cli.book_operating import NewMoney, pay_out

    output = Output(as_json)
    wanted = NewMoney.of(issuer, account, amount, transfer, memo)
    output.note(f"transfer {wanted.transfer_id.hex()}")
    paid = run(pay_out(reached(url, key_file, certificate), wanted))
    output.result(paid, lambda: f"{paid['amount_text']} {paid['asset']} issued to {account}")


@app.command("freeze")
def freeze(
    account: AccountArgument,
    thaw: Annotated[bool, typer.Option("--thaw", help="Let it be used again.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nothing new be held or paid from or to an account. Holds that stand end as they would.

    \b
    Example:
      causeway book freeze bank-a --key-file root.api-key
      causeway book freeze bank-a --thaw --key-file root.api-key
    """
    from cli.book_access import reached
    from cli.book_operating import set_frozen

    run(set_frozen(reached(url, key_file, certificate), account, not thaw))
    state = "open" if thaw else "frozen"
    Output(as_json).result({"account": account, "frozen": not thaw}, f"{account} is {state}")


@app.command("verify")
def verify(
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a whole book: all entries sum to zero, and every total is what the journal says.

    The exit status is 4 where it is not. With --config the database is checked, whether the book runs or not.

    \b
    Example:
      causeway book verify --key-file root.api-key
      causeway book verify --config book.toml
    """
    from cli.book_access import load_book, reached
    from cli.book_operating import verdict_in, verdict_over

    if config is not None:
        found = run(verdict_in(load_book(config)))
    else:
        found = run(verdict_over(reached(url, key_file, certificate)))
    sums = [(f"sum of {asset}", total) for asset, total in sorted(found["sums"].items())]
    pairs = [("book", "right" if found["ok"] else "WRONG"), ("entries", found["entries"]), *sums]
    Output(as_json).result(found, lambda: "\n".join([facts(pairs), *found["faults"]]))
    if not found["ok"]:
        raise typer.Exit(ExitCode.REFUSED)


@app.command("statement")
def statement(
    account: AccountArgument,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this moment on.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this moment.")] = None,
    camt053: Annotated[
        Path | None, typer.Option("--camt053", metavar="FILE", help="Write it as ISO 20022 camt.053 as well.")
    ] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    certificate: CertificateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was booked on an account, from an opening balance to a closing one.

    Times are days or moments of ISO 8601, in UTC where they name no zone.

    \b
    Example:
      causeway book statement bank-a --since 2026-11-01 --key-file bank-a.api-key
      causeway book statement bank-a --camt053 bank-a.xml --key-file bank-a.api-key
    """
    from cli.book_access import reached
    from cli.book_statement import as_camt053, read_statement, statement_rows
    from cli.book_times import EARLIEST, LATEST, moment

    output = Output(as_json)
    period = moment(since, "--since", EARLIEST), moment(until, "--until", LATEST)
    found = run(read_statement(reached(url, key_file, certificate), account, *period))
    if camt053 is not None:
        as_camt053(found, camt053)
        output.note(f"written: {camt053}")
    headers = ("at", "number", "amount", "balance", "counterparty", "transfer")
    output.result(
        found.document(),
        lambda: "\n".join(
            [
                facts([("account", account), ("opening", found.text(found.opening))]),
                table(headers, statement_rows(found), right=("number", "amount", "balance")),
                facts([("closing", found.text(found.closing))]),
            ]
        ),
    )
