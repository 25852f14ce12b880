"""Whether the book is what its journal says: sums of zero, totals that match, holds that match."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.tables import AMOUNT_DIGITS, IS_HELD, entries, lines, transfers
from settlement.ledgers.book.types import Account, Bucket, EntryKind, TransferState
from settlement.quantities import Asset

FAULTS_MAX: Final = 100
_HALF: Final = AMOUNT_DIGITS // 2
_PAGE: Final = 500
_ENDS: Final = {
    EntryKind.FULFIL: TransferState.FULFILLED,
    EntryKind.CANCEL: TransferState.CANCELLED,
    EntryKind.EXPIRE: TransferState.EXPIRED,
    EntryKind.PAYMENT: TransferState.POSTED,
}
Sums: TypeAlias = dict[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole book found.

    Fields: entries (how many there are); sums (of all lines, by asset, each to be 0); faults (what does not match, at
    most `FAULTS_MAX`; none where the book is right).
    """

    entries: int
    sums: dict[str, int]
    faults: tuple[str, ...]


class Verifier:
    """Looks through the book on one connection, whose view is of one moment."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._store = BookStore(connection)

    async def verdict(self) -> Verdict:
        """Check everything; the sums are made by the database."""
        faults = [*await self._entries(), *await self._transfers()]
        sums: defaultdict[str, int] = defaultdict(int)
        moved = await self._sums(lines.c.sign, lines.c.account, lines.c.bucket)
        from_payers = await self._sums(None, transfers.c.payer)
        to_payees = await self._sums(None, transfers.c.payee)
        after = ""
        while page := await self._store.all_accounts(after, _PAGE):
            latest = await self._latest([account.name for account in page])
            for account in page:
                own, held = (moved.pop((account.name, bucket.value), 0) for bucket in (Bucket.OWN, Bucket.HELD))
                sums[_asset_text(account.asset)] += own + held
                derived = (own + held, held, from_payers.pop((account.name,), 0), to_payees.pop((account.name,), 0))
                faults.extend(_compared(account, *derived, latest.get(account.name, 0)))
            after = page[-1].name
        faults.extend(f"asset {asset}: the lines sum to {total}" for asset, total in sums.items() if total)
        strangers = {key[0] for stray in (moved, from_payers, to_payees) for key in stray}
        faults.extend(f"account {name}: the journal names it, and it is not there" for name in sorted(strangers))
        return Verdict(await self._store.entry_count(), dict(sums), tuple(faults[:FAULTS_MAX]))

    async def _sums(self, sign: ColumnElement[int] | None, *groups: ColumnElement[str]) -> Sums:
        """Exact sums of the lines where there is a sign, and of what is held where there is none."""
        table = transfers if sign is None else lines
        factor: Any = 1 if sign is None else sign
        high, low = (func.sum(factor * half) for half in _halves(table.c.amount))
        query = select(*groups, high, low).group_by(*groups)
        if sign is None:
            query = query.where(IS_HELD)
        found: Sums = {}
        for *key, high_sum, low_sum in await self._connection.execute(query):
            found[tuple(key)] = int(high_sum) * 10**_HALF + int(low_sum)
        return found

    async def _entries(self) -> list[str]:
        """Entries that are missing, that have no lines, or whose lines do not sum to zero."""
        faults = []
        newest, _ = await self._store.last_entry()
        if (count := await self._store.entry_count()) != newest:
            faults.append(f"journal: {count} entries, the newest is number {newest}")
        halves = [func.sum(lines.c.sign * half) for half in _halves(lines.c.amount)]
        unbalanced = (
            select(lines.c.number)
            .group_by(lines.c.number)
            .having(or_(halves[0] != 0, halves[1] != 0, func.count() != 2))
            .limit(FAULTS_MAX)
        )
        for (number,) in await self._connection.execute(unbalanced):
            faults.append(f"entry {number}: its lines do not sum to zero")
        with_lines = select(func.count(lines.c.number.distinct()))
        if (found := int((await self._connection.execute(with_lines)).scalar_one())) != count:
            faults.append(f"journal: {count} entries, {found} of them have lines")
        return faults

    async def _transfers(self) -> list[str]:
        """Entries that say something else than their transfers, and transfers that lack an entry."""
        faults = []
        other = (
            select(entries.c.number)
            .join(transfers, transfers.c.transfer_id == entries.c.transfer_id)
            .join(lines, lines.c.number == entries.c.number)
            .where(
                or_(
                    lines.c.amount != transfers.c.amount,
                    entries.c.payer != transfers.c.payer,
                    entries.c.payee != transfers.c.payee,
                    *(
                        (entries.c.kind == kind.value) & (transfers.c.state != state.value)
                        for kind, state in _ENDS.items()
                    ),
                )
            )
            .distinct()
            .limit(FAULTS_MAX)
        )
        for (number,) in await self._connection.execute(other):
            faults.append(f"entry {number}: it is not what its transfer says")
        by_kind = await self._counts(entries.c.kind)
        by_state = await self._counts(transfers.c.state)
        expected = {kind.value: by_state.get(state.value, 0) for kind, state in _ENDS.items()}
        refused, posted = by_state.get(TransferState.REFUSED.value, 0), by_state.get(TransferState.POSTED.value, 0)
        expected[EntryKind.HOLD.value] = sum(by_state.values()) - refused - posted
        for kind, wanted in expected.items():
            if (count := by_kind.get(kind, 0)) != wanted:
                faults.append(f"journal: {count} entries of kind {kind}, the transfers want {wanted}")
        return faults

    async def _counts(self, column: ColumnElement[str]) -> dict[str, int]:
        query = select(column, func.count()).group_by(column)
        return {value: int(count) for value, count in await self._connection.execute(query)}

    async def _latest(self, names: list[Any]) -> dict[str, int]:
        """The balance that each account's newest line says."""
        newest = (
            select(lines.c.account, func.max(lines.c.number).label("number"))
            .where(lines.c.account.in_(names))
            .group_by(lines.c.account)
            .subquery()
        )
        query = select(lines.c.account, lines.c.after).join(
            newest, (lines.c.account == newest.c.account) & (lines.c.number == newest.c.number)
        )
        return {name: int(after) for name, after in await self._connection.execute(query)}


def _halves(amount: ColumnElement[str]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """An amount's upper and lower ten digits, whose sums fit the engines' integers."""
    high = func.substr(amount, 1, _HALF)
    low = func.substr(amount, _HALF + 1, _HALF)
    return cast(high, BigInteger), cast(low, BigInteger)


def _compared(account: Account, balance: int, held: int, owed: int, coming: int, newest: int) -> list[str]:
    """What an account's totals do not match."""
    wrong = []
    checks = (
        ("balance", account.balance, balance, "the lines"),
        ("balance", account.balance, newest, "the newest line"),
        ("held", account.held, held, "the lines"),
        ("held", account.held, owed, "the holds"),
        ("incoming", account.incoming, coming, "the holds"),
    )
    for total, kept, derived, source in checks:
        if kept != derived:
            wrong.append(f"account {account.name}: {total} is {kept}, {source} say {derived}")
    if account.available < account.floor:
        wrong.append(f"account {account.name}: {account.available} available, below its floor {account.floor}")
    return wrong


def _asset_text(asset: Asset) -> str:
    return f"{asset.code}/{asset.scale}"
