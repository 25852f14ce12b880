"""The books as files that other software reads: CSV (RFC 4180) and Beancount, written as a stream, by period.

A Beancount export opens its accounts with the balances before the period and asserts those after it, so that
`bean-check` recomputes what we say. Source: beancount.github.io, "Beancount Language Syntax".
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.journal import Posted
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tables import AMOUNT_BASE, entries, lines
from settlement.quantities import Asset, PartyId

_DAY_MS: Final = 86_400_000
_COMMODITY: Final = re.compile(r"[A-Z][A-Z0-9'._-]{0,22}[A-Z0-9]", re.ASCII)
COLUMNS: Final = (
    *("number", "at", "event", "payment", "reverses", "account", "asset", "debit", "credit", "narrative"),
)


@dataclass(frozen=True, slots=True)
class Period:
    """Days, in UTC. Fields: first; last (included).

    Raises:
        BadInput: it ends before it begins.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise BadInput("period", f"{self.last} is before {self.first}", "name the first day, then the last")

    @classmethod
    def of(cls, at: UnixMs) -> Period:
        """The day of a moment."""
        return cls(_day(at), _day(at))

    @property
    def since(self) -> UnixMs:
        """The first day's first moment."""
        return _moment(self.first)

    @property
    def until(self) -> UnixMs:
        """The first moment after the last day."""
        return UnixMs(_moment(self.last) + _DAY_MS)


async def balances_before(connection: AsyncConnection, at: UnixMs) -> dict[Account, int]:
    """The balances of all accounts before a moment, summed up from the lines."""
    accounts = {account.name: account for account in await Books(connection).balances()}
    query = (
        select(lines.c.account, func.sum(lines.c.high), func.sum(lines.c.low))
        .join(entries, entries.c.number == lines.c.number)
        .where(entries.c.at < at)
        .group_by(lines.c.account)
    )
    found = {name: int(high) * AMOUNT_BASE + int(low) for name, high, low in await connection.execute(query)}
    return {account: found.get(name, 0) for name, account in accounts.items()}


async def write_csv(connection: AsyncConnection, period: Period, key: NarrativeKey | None = None) -> AsyncIterator[str]:
    """The period's lines, one to a row, with a head; amounts are decimal. `key`: narratives are written, too.

    What spreadsheets would take for a formula is written as text.
    """
    yield _row(COLUMNS)
    async for posted in Books(connection, key).journal(since=period.since, until=period.until):
        entry = posted.entry
        payment = "" if entry.payment_id is None else entry.payment_id.hex()
        for line in entry.lines:
            asset = line.account.asset
            amount = asset.text(abs(line.change))
            sides = (amount, "") if line.change > 0 else ("", amount)
            common = (str(posted.number), _time(posted.at), entry.event, payment, str(entry.reverses or ""))
            yield _row((*common, line.account.name, asset.code, *sides, _harmless(entry.narrative)))


async def write_beancount(
    connection: AsyncConnection, entity: PartyId, period: Period, key: NarrativeKey | None = None
) -> AsyncIterator[str]:
    """The period as a Beancount file: accounts, opening balances, entries, and assertions of the closing balances."""
    opening = await balances_before(connection, period.since)
    closing = await balances_before(connection, period.until)
    commodities = {asset: commodity(asset) for asset in {account.asset for account in closing}}
    start = period.first - timedelta(days=1)
    yield f'option "title" "{entity}"\n'
    for name in sorted(set(commodities.values())):
        yield f'option "operating_currency" "{name}"\n'
    yield "\n"
    for account in sorted(closing, key=lambda account: account.name):
        yield f"{start} open {account.name} {commodities[account.asset]}\n"
    for text in _opening(start, opening, commodities):
        yield text
    async for posted in Books(connection, key).journal(since=period.since, until=period.until):
        yield _transaction(posted, commodities)
    yield "\n"
    after = period.last + timedelta(days=1)  # an assertion holds at the beginning of its day
    for account, balance in sorted(closing.items(), key=lambda item: item[0].name):
        yield f"{after} balance {account.name} {account.asset.text(balance)} {commodities[account.asset]}\n"


def commodity(asset: Asset) -> str:
    """An asset's code as a Beancount commodity: unchanged where it is one, else upper case behind an `X`.

    Amounts are decimal, so one currency on ledgers of several scales is one commodity.
    """
    if _COMMODITY.fullmatch(asset.code):
        return asset.code
    # Two codes that differ only in what is lost here are told apart by their bytes.
    return f"X{asset.code.encode().hex().upper()}X"[:24]


def _opening(on: date, opening: Mapping[Account, int], commodities: Mapping[Asset, str]) -> Iterable[str]:
    rows = [(account, balance) for account, balance in opening.items() if balance]
    rows.sort(key=lambda row: row[0].name)
    if rows:  # they sum to zero, as the books do
        yield f'\n{on} * "Opening balances"\n'
        for account, balance in rows:
            yield _posting(account, balance, commodities)


def _transaction(posted: Posted, commodities: Mapping[Asset, str]) -> str:
    entry = posted.entry
    text = [f'\n{_day(posted.at)} * "{_quoted(entry.event)}" "{_quoted(entry.narrative)}"\n']
    text.append(f'  number: {posted.number}\n  at: "{_time(posted.at)}"\n')
    if entry.payment_id is not None:
        text.append(f'  payment: "{entry.payment_id.hex()}"\n')
    if entry.reverses is not None:
        text.append(f"  reverses: {entry.reverses}\n")
    text.extend(_posting(line.account, line.change, commodities) for line in entry.lines)
    return "".join(text)


def _posting(account: Account, change: int, commodities: Mapping[Asset, str]) -> str:
    return f"  {account.name}  {account.asset.text(change)} {commodities[account.asset]}\n"


def _row(values: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()


def _harmless(text: str) -> str:
    """Text that no spreadsheet runs (OWASP, "CSV Injection")."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _time(at: UnixMs) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1000:03d}Z"


def _day(at: UnixMs) -> date:
    return datetime.fromtimestamp(at // 1000, UTC).date()


def _moment(day: date) -> UnixMs:
    return UnixMs(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000)
