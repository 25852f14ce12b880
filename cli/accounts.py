"""`causeway accounts`: the accounts of a running connector, their balances and what passed."""

from __future__ import annotations

from typing import Any

from cli.connector_client import ConnectorOption, TokenFileOption, UrlOption, asset_of, open_operator, shown_limit
from cli.context import JsonOption, command_group, run
from cli.output import Output, table

app = command_group("A running connector's accounts: balances, limits, what passed.", no_args_is_help=False)


@app.command("accounts")
def accounts(
    config: ConnectorOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a running connector's accounts.

    A balance is what the connector owes the account's holder; below zero, what the holder owes. Packets and refusals
    are counted since the process started.

    \b
    Example:
      causeway accounts --config connector.toml
    """
    found = run(_asked(config, url, token_file))
    Output(as_json).result(found, lambda: _text(found))


async def _asked(config: Any, url: Any, token_file: Any) -> list[dict[str, Any]]:
    async with open_operator(config, url, token_file) as operator:
        found: list[dict[str, Any]] = await operator.get("accounts")
        return found


def _text(found: list[dict[str, Any]]) -> str:
    headers = ("account", "relation", "", "balance", "asset", "floor", "ceiling", "packets", "refused")
    right = ("balance", "floor", "ceiling", "packets", "refused")
    return table(headers, [_row(each) for each in found], right=right)


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    asset = asset_of(each)
    limits = [None if each[name] is None else int(each[name]) for name in ("floor", "ceiling")]
    return (
        each["id"],
        each["relation"],
        "up" if each["is_up"] else "down",
        asset.text(int(each["balance"])),
        asset.code,
        *(shown_limit(asset, limit) for limit in limits),
        f"{each['fulfilled']:,}",
        f"{sum(each['refused'].values()) + sum(each['rejected'].values()):,}",
    )
