"""`causeway statement`: one account of a running connector: balance, what packets moved, and how it was settled."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cli.book_times import EARLIEST, LATEST, moment, shown
from cli.connector_client import ConnectorOption, TokenFileOption, UrlOption, asset_of, open_operator
from cli.context import JsonOption, command_group, run
from cli.output import Output, clock, facts, table

app = command_group("One account of a running connector: balance, what packets moved, settlements.")
_PAGE: Final = 1_000
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Settlements from then on.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Settlements before then.", show_default=False)
]


@app.command("statement")
def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.")],
    config: ConnectorOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account of a running connector: what it stands at, what packets moved, and every settlement.

    A connector keeps balances, not packets: no packet is listed, and none can be told of a period. What is shown
    of them is:

    \b
    - `by packets`, durable: all that packets ever moved on the account, net. With the settlements it is the balance.
    - `since the start`, counted in memory by this process: packets that came from the holder and what became of them,
      and what was paid in and out.

    --since and --until choose the settlements, which are durable one by one. Keep `/metrics` for packets by time.

    \b
    Example:
      causeway statement bank-a --config connector.toml
      causeway statement bank-a --since 2026-11-01 --until 2026-12-01
    """
    period = moment(since, "--since", EARLIEST), moment(until, "--until", LATEST)
    found = with_totals(run(_asked(account, config, url, token_file)), *period)
    Output(as_json).result(found, lambda: statement_text(found))


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


def with_totals(found: dict[str, Any], since: int, until: int) -> dict[str, Any]:
    """A connector's answer with the settlements of a period, and with totals: text, in base units.

    `by_packets` is what packets have moved since the account was opened: its balance without all that was ever settled.
    """

    def settled(direction: str, *period: int) -> int:
        return sum(
            int(each["amount"])
            for each in found["settlements"]
            if each["direction"] == direction and not each["is_undone"] and period[0] <= each["at_ms"] < period[1]
        )

    ever = (0, LATEST)
    net = int(found["account"]["balance"]) - settled("in", *ever) + settled("out", *ever)
    totals = {
        "by_packets": str(net),
        "since_ms": since,
        "until_ms": until,
        "settled_in": str(settled("in", since, until)),
        "settled_out": str(settled("out", since, until)),
    }
    chosen = [each for each in found["settlements"] if since <= each["at_ms"] < until]
    return {"account": found["account"], "totals": totals, "settlements": chosen}


def statement_text(found: dict[str, Any]) -> str:
    """The statement for people."""
    account, totals = found["account"], found["totals"]
    asset = asset_of(account)
    balance = int(account["balance"])
    owed = "we owe the holder" if balance >= 0 else "the holder owes us"

    def text(units: str) -> str:
        return f"{asset.text(int(units))} {asset.code}"

    about = facts(
        [
            ("account", f"{account['id']} ({account['relation']}, {'up' if account['is_up'] else 'down'})"),
            ("balance", f"{text(account['balance'])} ({owed})"),
            ("under way", f"{text(account['held_in'])} from it, {text(account['held_out'])} to it"),
            ("by packets", f"{text(totals['by_packets'])}, net, ever"),
            ("since the start", _packets(account)),
            ("", f"{text(account['volume_in'])} paid in, {text(account['volume_out'])} paid out"),
            ("settled", f"{text(totals['settled_in'])} by it, {text(totals['settled_out'])} by us{_period(totals)}"),
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


def _packets(account: dict[str, Any]) -> str:
    """What became of the packets that came from the holder, those that failed by their codes."""
    parts = [f"{account['received']:,} packets from it", f"{account['fulfilled']:,} fulfilled"]
    for name in ("refused", "rejected"):
        codes = account[name]
        if codes:
            each = ", ".join(f"{code} {count:,}" for code, count in sorted(codes.items()))
            parts.append(f"{sum(codes.values()):,} {name} ({each})")
    return ", ".join(parts)


def _period(totals: dict[str, Any]) -> str:
    since, until = totals["since_ms"], totals["until_ms"]
    first = "" if since == EARLIEST else f" from {shown(since)}"
    last = "" if until == LATEST else f" until {shown(until)}"
    return first + last
