"""`causeway rates`: at what prices a running connector converts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from cli.connector_client import ConnectorOption, TokenFileOption, UrlOption, open_operator
from cli.context import JsonOption, command_group, run
from cli.output import Output, clock, table

app = command_group("A running connector's prices, from which its rates follow.", no_args_is_help=False)
_DIGITS: Final = 9
_YEAR_9999_MS: Final = 253_370_764_800_000


@app.command("rates")
def rates(
    config: ConnectorOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the prices that a running connector converts by, before its spread.

    The rate between two assets is the quotient of their prices. A price that is not current is not used: packets that
    need it are refused.

    \b
    Example:
      causeway rates --config connector.toml
    """
    found = run(_asked(config, url, token_file))
    rows = [_row(each) for each in found]
    Output(as_json).result(found, lambda: table(("asset", "price", "current", "until"), rows, right=("price",)))


async def _asked(config: Any, url: Any, token_file: Any) -> list[dict[str, Any]]:
    async with open_operator(config, url, token_file) as operator:
        found: list[dict[str, Any]] = await operator.get("rates")
        return found


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    current = "yes" if each["is_current"] else "NO"
    return each["asset"], _price(each["price"]), current, _until(int(each["expires_at_ms"]))


def _price(price: dict[str, str]) -> str:
    """The fraction as a decimal number, rounded down after nine places."""
    value = Fraction(int(price["numerator"]), int(price["denominator"]))
    whole, rest = divmod(value.numerator * 10**_DIGITS // value.denominator, 10**_DIGITS)
    return f"{whole}.{rest:0{_DIGITS}d}".rstrip("0").rstrip(".")


def _until(at_ms: int) -> str:
    return "for good" if at_ms > _YEAR_9999_MS else clock(at_ms)
