"""`causeway routes`: where a running connector sends packets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.connector_client import ConnectorOption, TokenFileOption, UrlOption, open_operator
from cli.context import JsonOption, command_group, run
from cli.exits import NotFound
from cli.output import Output, table

app = command_group("A running connector's routes: which account packets go to.", no_args_is_help=False)


@app.command("routes")
def routes(
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="Only the route that packets to this address take.")
    ] = None,
    config: ConnectorOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a running connector sends packets: the longest prefix of an address wins.

    The exit status is 6 where no route leads to ADDRESS.

    \b
    Example:
      causeway routes --config connector.toml
      causeway routes g.bank-b.alice --config connector.toml
    """
    found = run(_asked(config, url, token_file))
    if address is not None:
        found = [_taken(found, address)]
    rows = [(each["prefix"], each["account"] or "(this connector)") for each in found]
    Output(as_json).result(found, lambda: table(("prefix", "account"), rows))


async def _asked(config: Any, url: Any, token_file: Any) -> list[dict[str, Any]]:
    async with open_operator(config, url, token_file) as operator:
        found: list[dict[str, Any]] = await operator.get("routes")
        return found


def _taken(found: list[dict[str, Any]], address: str) -> dict[str, Any]:
    from settlement.ilp.addresses import covers, parse_address

    wanted = parse_address(address)
    known = [each for each in found if covers(each["prefix"], wanted)]
    if not known:
        raise NotFound(f"no route leads to {address}", "causeway routes lists all; a peer has to announce it")
    return max(known, key=lambda each: len(each["prefix"]))
