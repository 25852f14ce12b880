"""The `causeway` command: its groups of commands, each imported when it is used, and what an error becomes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from cli.exits import EXPLAINED, ExitCode, explain
from cli.output import show_error

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "dev": ("cli.dev.commands", "A whole development network on this machine."),
    "node": ("cli.node", "Make, run and look at a storeman's or voucher's node."),
    "group": ("cli.group", "Propose a group of storemen, and look at groups."),
    "chain": ("cli.chain", "Add an EVM chain to a bridge, and look at its chains."),
    "asset": ("cli.asset", "Register assets, change their policies, and look at them."),
    "voucher": ("cli.voucher", "Admit a voucher, and join as one."),
    "deposit": ("cli.deposit", "Turn bitcoin into tokens: an address, its state, and the way back."),
    "lock": ("cli.lock", "Turn a coin or a token of an EVM chain into mapping tokens."),
    "withdraw": ("cli.withdraw", "Turn tokens back into what they stand for, on its own chain."),
    "relay": ("cli.relay", "Carry signed payments to an EVM chain's vault, for their fees."),
    "bond": ("cli.bond", "Bond coin to operators, earn with them, and report a liar."),
    "transfers": ("cli.transfers", "What goes over the bridge, and the whole journey of one transfer."),
    "token": ("cli.token", "The mapping token: an account's balance, and sending it."),
    "reserves": ("cli.reserves", "Proof of reserves: the vault's coins against the tokens."),
    "gateway": ("cli.gateway", "Make and run a bank's, or a clearing bank's, settlement gateway."),
    "channel": ("cli.channel", "Prefunded channels with other banks, on a book or on a chain."),
    "book": ("cli.book", "A ledger of accounts, holds and payments, such as a bank's core."),
    "payment": ("cli.payment", "Pay through a gateway, and look at payments."),
    "books": ("cli.books", "A gateway's books: balances, journal, export, monitors."),
    "receipt": ("cli.receipt", "Export a payment's receipt, and verify one offline."),
    "iso": ("cli.iso", "Check ISO 20022 messages; from XML into JSON and back."),
    "rules": ("cli.rules", "Check rules, try them on payments, audit decisions, approve."),
    "connector": ("cli.connector", "Check and run an Interledger connector."),
    "pay": ("cli.pay", "Pay a payment pointer over Interledger."),
    "accounts": ("cli.accounts", "A running connector's accounts: balances, limits, what passed."),
    "routes": ("cli.routes", "A running connector's routes: which account packets go to."),
    "rates": ("cli.rates", "A running connector's prices, from which its rates follow."),
    "statement": ("cli.statement", "One account of a running connector: balance and settlements."),
    "swap": ("cli.swap", "Swap bitcoin for Ether or tokens with somebody, atomically."),
    "deploy": ("cli.deploy", "Deploy the bridge's contracts on a native chain."),
}
"""Name, module (whose `app` it is) and the line in the overview. Nothing of a module is imported for the overview."""

_STATUSES: Final = "\n".join(f"{int(code):>4}  {text}" for code, text in EXPLAINED.items())
_HELP: Final = f"""Causeway: a bridge whose vaults no single party can spend, and payments between banks' ledgers.

\b
Examples:
  causeway dev up
  causeway dev status --json
  causeway node status ./storeman-1

\b
Exit status:
{_STATUSES}
"""


class Commands(TyperGroup):
    """The top level: finds commands by name, and turns errors into an exit status and two lines."""

    _in_overview = False

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # as above
        """The command; in the overview only its name and line."""
        if cmd_name not in COMMANDS:
            return None
        module, line = COMMANDS[cmd_name]
        if self._in_overview:
            return TyperCommand(cmd_name, help=line, short_help=line)
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        return command

    def format_help(self, *arguments: Any) -> None:
        """Without importing any command."""
        with self._overview():
            super().format_help(*arguments)

    def shell_complete(self, *arguments: Any) -> Any:
        """Without importing any command."""
        with self._overview():
            return super().shell_complete(*arguments)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run a command line; an error ends it with its status."""
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            return super().main(args, *rest, **options)
        except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a message and an exit status
            _end(error, as_json)

    def invoke(self, ctx: Any) -> Any:
        """As the parent; Ctrl-C has its own status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupted:
            raise typer.Exit(ExitCode.INTERRUPTED) from interrupted

    @contextmanager
    def _overview(self) -> Iterator[None]:
        self._in_overview = True
        try:
            yield
        finally:
            self._in_overview = False


def _end(error: BaseException, as_json: bool) -> NoReturn:
    explanation = explain(error)
    show_error(explanation, as_json)
    sys.exit(explanation.code)


app = typer.Typer(
    cls=Commands,
    name="causeway",
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"causeway {version('causeway')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """The docstring for people is `_HELP`."""


if __name__ == "__main__":
    app(prog_name="causeway")
