"""The journal and its balances in the party's database, on the connection of the caller's transaction.

A batch costs six statements, however many entries it has: one that reads the journal's head, one for what was posted
before, one for the accounts; then the entries, their lines and the accounts' balances are written in one go each. The
caller's unit of work keeps other writers out (foundation.database), so numbers have no gaps and no balance is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, BulkSelect, BulkUpdate, Repository, chunks
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.accounts import Account, AccountName, Chart
from settlement.books.errors import AccountConflict, EntryConflict, UnknownAccount, UnknownEntry
from settlement.books.journal import FIRST_LINK, Entry, EntryId, Line, Posted, entry_digest, entry_link
from settlement.books.sealing import NarrativeKey
from settlement.books.tables import AMOUNT_BASE, accounts, entries, lines
from settlement.quantities import Asset, Scale

PAGE: Final = 500

_HEAD = select(entries.c.number, entries.c.link).order_by(entries.c.number.desc()).limit(1)
_ACCOUNTS = select(accounts.c.name, accounts.c.asset_code, accounts.c.asset_scale, accounts.c.balance)
_NAMED = BulkSelect(_ACCOUNTS, accounts.c.name)
_POSTED = BulkSelect(select(entries.c.entry_id, entries.c.number, entries.c.digest), entries.c.entry_id)
_OPEN = BulkInsert(accounts)
_ADD_ENTRIES = BulkInsert(entries)
_ADD_LINES = BulkInsert(lines)
_MOVE = BulkUpdate(accounts, ("name",), ("balance",))


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as it is stored. Fields: row (of its table); lines."""

    row: Any
    lines: tuple[Line, ...]

    def posted(self, key: NarrativeKey | None) -> Posted:
        """The entry.

        Raises:
            BadInput: what is stored is none: somebody else has changed it.
            NarrativeDamaged: its narrative does not open with the key.
        """
        row, entry_id, sealed = self.row, EntryId(bytes(self.row.entry_id)), bytes(self.row.narrative)
        payment = None if row.payment_id is None else bytes(row.payment_id)
        narrative = "" if key is None else key.open(entry_id, sealed)
        entry = Entry(entry_id, row.event, self.lines, payment, narrative, row.reverses)
        return Posted(row.number, entry, UnixMs(row.at), bytes(row.digest), bytes(row.link), sealed)


class Books(Repository):
    """The journal of one entity. `key` opens and seals narratives; without one, none is posted and none is shown."""

    def __init__(self, connection: AsyncConnection, key: NarrativeKey | None = None) -> None:
        super().__init__(connection)
        self._key = key

    async def open_accounts(self, opened: Iterable[Account], now: UnixMs) -> None:
        """Open accounts. One that is open already stays as it is.

        Raises:
            AccountConflict: it is open with another asset.
        """
        wanted = {account.name: account for account in opened}
        known = await self.balances(wanted)
        for account in known:
            if wanted[account.name] != account:
                raise AccountConflict(account.name, account.asset)
        there = {account.name for account in known}
        rows = [
            {
                "name": name,
                "asset_code": account.asset.code,
                "asset_scale": account.asset.scale,
                "balance": "0",
                "opened_at": now,
            }
            for name, account in wanted.items()
            if name not in there
        ]
        await _OPEN.write(self._connection, rows)

    async def post(self, entry: Entry, now: UnixMs) -> int:
        """Post one entry; its number. See `post_many`."""
        return (await self.post_many([entry], now))[0]

    async def post_many(self, posted: Sequence[Entry], now: UnixMs, chart: Chart | None = None) -> tuple[int, ...]:
        """Post entries in order, in the caller's transaction; their numbers. A repeat answers as the first time.

        Args:
            posted: at most one entry of each id that differs.
            now: when they are posted, Unix milliseconds.
            chart: accounts of it that are not open yet are opened with their first line.

        Raises:
            EntryConflict: another entry was posted under one of the ids.
            UnknownAccount: an account is neither open nor in the chart.
            AccountConflict: an account is open with another asset.
            BadInput: there is a narrative, and no key to seal it with.
            Nothing was written then.
        """
        if not posted:
            return ()
        row = (await self._connection.execute(_HEAD)).one_or_none()
        head, link = (0, FIRST_LINK) if row is None else (int(row[0]), bytes(row[1]))
        numbers = await self._posted(posted)
        fresh: list[Posted] = []
        answers: list[int] = []
        for entry in posted:
            sealed = self._seal(entry)
            digest = entry_digest(entry, sealed)
            known = numbers.get(entry.entry_id)
            if known is None:
                head += 1
                link = entry_link(link, head, now, digest)
                fresh.append(Posted(head, entry, now, digest, link, sealed))
                known = numbers[entry.entry_id] = (head, digest)
            elif known[1] != digest:
                raise EntryConflict(entry.entry_id)
            answers.append(known[0])
        if fresh:
            await self._store(fresh, now, chart)
        return tuple(answers)

    async def balances(self, names: Collection[str] | None = None) -> dict[Account, int]:
        """The balances of all accounts, or of those that are open among `names`; base units, debits positive."""
        all_rows = self._connection.execute(_ACCOUNTS) if names is None else _NAMED.read(self._connection, names)
        return {
            Account(AccountName(name), Asset(code, Scale(scale))): int(balance)
            for name, code, scale, balance in await all_rows
        }

    async def head(self) -> tuple[int, bytes]:
        """Number and link of the newest entry; 0 and zeros where there is none."""
        row = (await self._connection.execute(_HEAD)).one_or_none()
        return (0, FIRST_LINK) if row is None else (int(row[0]), bytes(row[1]))

    async def entry(self, number: int) -> Posted:
        """One entry.

        Raises:
            UnknownEntry: there is none of this number.
            NarrativeDamaged: its narrative does not open with the key.
        """
        found = await self._entries(select(entries).where(entries.c.number == number))
        if not found:
            raise UnknownEntry(number)
        return found[0]

    async def of_payment(self, payment_id: bytes) -> tuple[Posted, ...]:
        """The entries of a payment, in order."""
        return await self._entries(select(entries).where(entries.c.payment_id == payment_id).order_by(entries.c.number))

    async def page(self, after: int, limit: int = PAGE) -> tuple[Posted, ...]:
        """Entries in order, with numbers above `after`."""
        query = select(entries).where(entries.c.number > after).order_by(entries.c.number)
        return await self._entries(query.limit(limit))

    async def journal(
        self, after: int = 0, since: UnixMs | None = None, until: UnixMs | None = None
    ) -> AsyncIterator[Posted]:
        """Entries in order, read in pages: with numbers above `after`, posted at or after `since`, before `until`."""
        while True:
            query = select(entries).where(entries.c.number > after)
            if since is not None:
                query = query.where(entries.c.at >= since)
            if until is not None:
                query = query.where(entries.c.at < until)
            page = await self._entries(query.order_by(entries.c.number).limit(PAGE))
            for posted in page:
                yield posted
            if len(page) < PAGE:
                return
            after = page[-1].number

    async def _posted(self, wanted: Sequence[Entry]) -> dict[bytes, tuple[int, bytes]]:
        rows = await _POSTED.read(self._connection, {entry.entry_id for entry in wanted})
        return {bytes(entry_id): (int(number), bytes(digest)) for entry_id, number, digest in rows}

    async def _store(self, fresh: Sequence[Posted], now: UnixMs, chart: Chart | None) -> None:
        changes: defaultdict[Account, int] = defaultdict(int)
        for posted in fresh:
            for line in posted.entry.lines:
                changes[line.account] += line.change
        before = await self._open_or_opened(changes, now, chart)
        await _ADD_ENTRIES.write(self._connection, [_entry_row(posted) for posted in fresh])
        await _ADD_LINES.write(self._connection, [row for posted in fresh for row in _line_rows(posted)])
        moved = [
            {"name": account.name, "balance": str(before[account] + change)} for account, change in changes.items()
        ]
        await _MOVE.write(self._connection, moved)

    async def _open_or_opened(
        self, used: Mapping[Account, int], now: UnixMs, chart: Chart | None
    ) -> Mapping[Account, int]:
        """The balances of accounts that are about to move, once each is known to be open."""
        names = {account.name for account in used}
        balances = await self.balances(names)
        assets = {account.name: account.asset for account in balances}
        missing = [account for account in used if account.name not in assets]
        for account in used:
            if assets.get(account.name, account.asset) != account.asset:
                raise AccountConflict(account.name, assets[account.name])
        for account in missing:
            if chart is None or chart.accounts.get(account.name) != account:
                raise UnknownAccount(account.name)
        if missing:
            await self.open_accounts(missing, now)
        return balances | dict.fromkeys(missing, 0)

    async def raw(self, after: int, limit: int = PAGE) -> tuple[RawEntry, ...]:
        """Entries as they are stored, in order, with numbers above `after`: for checks, which must not trust them."""
        return await self._stored(
            select(entries).where(entries.c.number > after).order_by(entries.c.number).limit(limit)
        )

    async def _entries(self, query: Select[Any]) -> tuple[Posted, ...]:
        return tuple(raw.posted(self._key) for raw in await self._stored(query))

    async def _stored(self, query: Select[Any]) -> tuple[RawEntry, ...]:
        rows = (await self._connection.execute(query)).all()
        of_entry: defaultdict[int, list[Line]] = defaultdict(list)
        columns = (lines.c.number, lines.c.high, lines.c.low, lines.c.account)
        for chunk in chunks([row.number for row in rows]):
            wanted = (
                select(*columns, accounts.c.asset_code, accounts.c.asset_scale)
                .join(accounts, accounts.c.name == lines.c.account)
                .where(lines.c.number.in_(chunk))
                .order_by(lines.c.number, lines.c.place)
            )
            for number, high, low, name, code, scale in await self._connection.execute(wanted):
                account = Account(AccountName(name), Asset(code, Scale(scale)))
                of_entry[number].append(Line(account, high * AMOUNT_BASE + low))
        return tuple(RawEntry(row, tuple(of_entry[row.number])) for row in rows)

    def _seal(self, entry: Entry) -> bytes:
        if self._key is not None:
            return self._key.seal(entry.entry_id, entry.narrative)
        if entry.narrative:
            raise BadInput("entry.narrative", "these books have no key to seal it with", "open them with the key")
        return b""


def _entry_row(posted: Posted) -> dict[str, object]:
    entry = posted.entry
    return {
        "number": posted.number,
        "entry_id": entry.entry_id,
        "event": entry.event,
        "payment_id": entry.payment_id,
        "reverses": entry.reverses,
        "at": posted.at,
        "narrative": posted.sealed,
        "digest": posted.digest,
        "link": posted.link,
    }


def _line_rows(posted: Posted) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for place, line in enumerate(posted.entry.lines):
        high, low = divmod(line.change, AMOUNT_BASE)
        name = line.account.name
        rows.append({"number": posted.number, "place": place, "account": name, "high": high, "low": low})
    return rows
