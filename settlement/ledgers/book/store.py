"""A book's rows: what a batch reads before it, what it writes after it, and what readers ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, BulkSelect, BulkUpdate
from foundation.quantities import UnixMs
from settlement.ledgers.book.core import Changes, Known, bad_form
from settlement.ledgers.book.tables import AMOUNT_DIGITS, IS_HELD, accounts, entries, lines, transfers
from settlement.ledgers.book.types import (
    Account,
    AccountKind,
    CancelHold,
    Command,
    Entry,
    EntryKind,
    FulfilHold,
    Holder,
    MakeHold,
    Transfer,
    TransferState,
)
from settlement.ledgers.protocol import LedgerAccount, Refusal, TransferId
from settlement.quantities import Asset, Condition, Preimage, Scale, Units

DUE_MAX: Final = 500
"""Holds that one batch returns; what is left waits for the next."""

_ADD_TRANSFERS = BulkInsert(transfers)
_ADD_ENTRIES = BulkInsert(entries)
_ADD_LINES = BulkInsert(lines)
_END_TRANSFERS = BulkUpdate(
    transfers,
    ("transfer_id",),
    ("state", "preimage", "decided_at"),
    only=transfers.c.state == literal_column("'held'"),
)
_MOVE_TOTALS = BulkUpdate(accounts, ("name",), ("balance", "held", "incoming"))
_LAST_ENTRY = select(entries.c.number, entries.c.at).order_by(entries.c.number.desc()).limit(1)
_DUE = (
    select(transfers)
    .where(IS_HELD, transfers.c.expires_at <= bindparam("now"))
    .order_by(transfers.c.expires_at)
    .limit(DUE_MAX)
)
_TRANSFERS = BulkSelect(select(transfers), transfers.c.transfer_id)
_ACCOUNTS = BulkSelect(select(accounts), accounts.c.name)


class BookStore:
    """The book's accounts, transfers and journal on one connection, in its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def last_entry(self) -> tuple[int, UnixMs]:
        """Number and time of the newest entry; zeros where there is none."""
        row = (await self._connection.execute(_LAST_ENTRY)).one_or_none()
        return (0, UnixMs(0)) if row is None else (row.number, UnixMs(row.at))

    async def known(self, commands: Sequence[Command], last_entry: int, due: Iterable[Transfer] = ()) -> Known:
        """All that a batch of `commands` has to know, with the holds `due`, which it is to return."""
        names: set[LedgerAccount] = set()
        ids: set[TransferId] = set()
        for command in commands:
            if isinstance(command, FulfilHold | CancelHold):
                ids.add(command.transfer_id)
                continue
            asked = command.hold if isinstance(command, MakeHold) else command.payment
            if not bad_form(asked):  # such a name or id may be one that the database cannot even look for
                ids.add(asked.transfer_id)
                names.update((asked.payer, asked.payee))
        found = {row.transfer_id: row for row in due}
        found |= {row.transfer_id: row for row in await self.transfers(ids)}
        for transfer in found.values():
            names.update((transfer.payer, transfer.payee))
        return Known(await self.accounts(names), found, last_entry)

    async def store(self, changes: Changes) -> None:
        """Write what a batch did."""
        await self._add_transfers(changes.made)
        ended = [
            {"transfer_id": t.transfer_id, "state": t.state.value, "preimage": t.preimage, "decided_at": t.decided_at}
            for t in changes.moved
        ]
        await _END_TRANSFERS.write(self._connection, ended)
        await self._add_entries(changes.entries)
        totals = [
            {"name": a.name, "balance": str(a.balance), "held": str(a.held), "incoming": str(a.incoming)}
            for a in changes.accounts
        ]
        await _MOVE_TOTALS.write(self._connection, totals)

    async def due(self, now: UnixMs) -> tuple[Transfer, ...]:
        """Holds whose time-out has passed, the oldest first, at most `DUE_MAX`."""
        return tuple(map(_transfer, await self._connection.execute(_DUE, {"now": now})))

    async def transfers(self, ids: Collection[TransferId]) -> tuple[Transfer, ...]:
        """The transfers that there are among `ids`, in any order."""
        return tuple(map(_transfer, await _TRANSFERS.read(self._connection, ids)))

    async def accounts(self, names: Collection[LedgerAccount]) -> dict[LedgerAccount, Account]:
        """The accounts that there are among `names`."""
        rows = map(_account, await _ACCOUNTS.read(self._connection, names))
        return {account.name: account for account in rows}

    async def all_accounts(self, after: str, limit: int) -> tuple[Account, ...]:
        """Accounts in the order of their names, after `after`."""
        query = select(accounts).where(accounts.c.name > after).order_by(accounts.c.name).limit(limit)
        return tuple(map(_account, await self._connection.execute(query)))

    async def history(
        self, account: LedgerAccount, after: int, limit: int
    ) -> tuple[tuple[int, EntryKind, Transfer], ...]:
        """Entries of holds from or for `account` with numbers above `after`, and the holds as they are now."""
        found: dict[int, Sequence[Any]] = {}
        for side in (entries.c.payer, entries.c.payee):
            query = (
                select(entries.c.number, entries.c.kind, transfers)
                .join(transfers, transfers.c.transfer_id == entries.c.transfer_id)
                .where(side == account, entries.c.number > after, entries.c.kind != EntryKind.PAYMENT.value)
                .order_by(entries.c.number)
                .limit(limit)
            )
            found |= {row.number: row for row in await self._connection.execute(query)}
        return tuple((n, EntryKind(found[n][1]), _transfer(found[n][2:])) for n in sorted(found)[:limit])

    async def open(self, account: Account) -> None:
        """Add an account, without money."""
        assert (account.balance, account.held, account.incoming) == (0, 0, 0), "only entries move totals"
        row = {
            "name": account.name,
            "asset_code": account.asset.code,
            "asset_scale": account.asset.scale,
            "kind": account.kind.value,
            "owner": account.owner,
            "floor": str(account.floor),
            "frozen": account.frozen,
            "balance": "0",
            "held": "0",
            "incoming": "0",
            "opened_at": account.opened_at,
        }
        await self._connection.execute(insert(accounts), row)

    async def freeze(self, name: LedgerAccount, frozen: bool) -> None:
        """Set the flag of an account."""
        await self._connection.execute(update(accounts).where(accounts.c.name == name).values(frozen=frozen))

    async def entry_count(self) -> int:
        """Entries in the journal."""
        return int((await self._connection.execute(select(func.count()).select_from(entries))).scalar_one())

    async def _add_transfers(self, made: Sequence[Transfer]) -> None:
        rows = [
            {
                "transfer_id": t.transfer_id,
                "payer": t.payer,
                "payee": t.payee,
                "amount": digits(t.amount),
                "condition": t.condition,
                "expires_at": t.expires_at,
                "memo": t.memo,
                "state": t.state.value,
                "made_at": t.made_at,
                "preimage": t.preimage,
                "decided_at": t.decided_at,
                "reason": None if t.reason is None else t.reason.value,
                "detail": t.detail,
            }
            for t in made
        ]
        await _ADD_TRANSFERS.write(self._connection, rows)

    async def _add_entries(self, added: Sequence[Entry]) -> None:
        rows = [
            {
                "number": e.number,
                "kind": e.kind.value,
                "transfer_id": e.transfer_id,
                "payer": e.payer,
                "payee": e.payee,
                "at": e.at,
            }
            for e in added
        ]
        moved = [
            {
                "account": line.account,
                "number": e.number,
                "bucket": line.bucket.value,
                "sign": 1 if line.amount > 0 else -1,
                "amount": digits(abs(line.amount)),
                "after": str(line.after),
            }
            for e in added
            for line in e.lines
        ]
        await _ADD_ENTRIES.write(self._connection, rows)
        await _ADD_LINES.write(self._connection, moved)


def digits(amount: int) -> str:
    """An amount as the tables have it."""
    return f"{amount:0{AMOUNT_DIGITS}d}"


def _transfer(row: Sequence[Any]) -> Transfer:
    transfer_id, payer, payee, amount, condition, expires_at, memo, state, made_at, preimage, decided_at = row[:11]
    why, detail = row[11:]
    return Transfer(
        TransferId(bytes(transfer_id)),
        LedgerAccount(payer),
        LedgerAccount(payee),
        Units(int(amount)),
        None if condition is None else Condition(bytes(condition)),
        UnixMs(expires_at),
        bytes(memo),
        TransferState(state),
        UnixMs(made_at),
        None if preimage is None else Preimage(bytes(preimage)),
        None if decided_at is None else UnixMs(decided_at),
        None if why is None else Refusal(why),
        detail,
    )


def _account(row: Sequence[Any]) -> Account:
    name, code, scale, kind, owner, floor, frozen, balance, held, incoming, opened_at = row
    return Account(
        LedgerAccount(name),
        Asset(code, Scale(scale)),
        AccountKind(kind),
        Holder(owner),
        int(floor),
        bool(frozen),
        int(balance),
        int(held),
        int(incoming),
        UnixMs(opened_at),
    )
