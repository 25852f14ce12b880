"""`causeway statement`: one account of a running connector: balance, what passed, and how it was settled."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cli.connector_client import ConnectorOption, TokenFileOption, UrlOption, asset_of, open_operator
from cli.context import JsonOption, command_group, run
from cli.output import Output, clock, facts, table

app = command_group("One account of a running connector: balance and settlements.")
_PAGE: Final = 1_000


@app.command("statement")
def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.")],
    config: ConnectorOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account of a running connector: what it stands at, and every settlement.

    Packets are not listed one by one, because the connector keeps balances and not packets; `paid in` and `paid out`
    are what this process's packets moved since it started.

    \b
    Example:
      causeway statement bank-a --config connector.toml
    """
    found = run(_asked(account, config, url, token_file))
    Output(as_json).result(found, lambda: _text(found))


async def _asked(account: str, config: Any, url: Any, token_file: Any) -> dict[str, Any]:
    """The statement with all its settlements, however many pages they have."""
    async with open_operator(config, url, token_file) as operator:
        found: dict[str, Any] = await operator.get("accounts", account, "statement", limit=_PAGE)
        page = found["settlements"]
        while len(page) == _PAGE:
            last = page[-1]
            after = {"after_ms": last["at_ms"], "after_key": last["key"]}
            page = (await operator.get("accounts", account, "statement", limit=_PAGE, **after))["settlements"]
            found["settlements"] += page
        return found


def _text(found: dict[str, Any]) -> str:
    account = found["account"]
    asset = asset_of(account)
    balance = int(account["balance"])
    owed = "we owe the holder" if balance >= 0 else "the holder owes us"

    def amount(name: str) -> str:
        return asset.text(int(account[name]))

    about = facts(
        [
            ("account", f"{account['id']} ({account['relation']}, {'up' if account['is_up'] else 'down'})"),
            ("balance", f"{asset.text(balance)} {asset.code} ({owed})"),
            (
                "under way",
                f"{asset.text(int(account['held_in']))} from it, {asset.text(int(account['held_out']))} to it",
            ),
            ("paid in", f"{amount('volume_in')} {asset.code}"),
            ("paid out", f"{amount('volume_out')} {asset.code}"),
        ]
    )
    rows = [
        (
            clock(each["at_ms"]),
            "we paid" if each["direction"] == "out" else "it paid",
            asset.text(int(each["amount"])),
            "taken back" if each["is_undone"] else "",
            each["key"],
        )
        for each in found["settlements"]
    ]
    if not rows:
        return f"{about}\n\nno settlements"
    return f"{about}\n\n{table(('when', '', 'amount', '', 'settlement'), rows, right=('amount',))}"
