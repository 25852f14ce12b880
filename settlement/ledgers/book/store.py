"""A book's rows: what a batch reads before it, what it writes after it, and what readers ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Row, Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

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

_SMALLEST_LIST: Final = 8
_LARGEST_LIST: Final = 512
Item = TypeVar("Item")

_ADD_TRANSFERS = insert(transfers)
_ADD_ENTRIES = insert(entries)
_ADD_LINES = insert(lines)
_END_TRANSFERS = (
    update(transfers)
    .where(transfers.c.transfer_id == bindparam("ended"), IS_HELD)
    .values(state=bindparam("becomes"), preimage=bindparam("shown"), decided_at=bindparam("at"))
)
_MOVE_TOTALS = (
    update(accounts)
    .where(accounts.c.name == bindparam("moved"))
    .values(balance=bindparam("to_balance"), held=bindparam("to_held"), incoming=bindparam("to_incoming"))
)
_LAST_ENTRY = select(entries.c.number, entries.c.at).order_by(entries.c.number.desc()).limit(1)
_DUE = (
    select(transfers)
    .where(IS_HELD, transfers.c.expires_at <= bindparam("now"))
    .order_by(transfers.c.expires_at)
    .limit(DUE_MAX)
)
_TRANSFERS = select(transfers).where(transfers.c.transfer_id.in_(bindparam("ids", expanding=True)))
_ACCOUNTS = select(accounts).where(accounts.c.name.in_(bindparam("names", expanding=True)))


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
        if changes.moved:
            ended = [
                {"ended": t.transfer_id, "becomes": t.state.value, "shown": t.preimage, "at": t.decided_at}
                for t in changes.moved
            ]
            await self._connection.execute(_END_TRANSFERS, ended)
        if changes.entries:
            await self._add_entries(changes.entries)
        if changes.accounts:
            totals = [
                {"moved": a.name, "to_balance": str(a.balance), "to_held": str(a.held), "to_incoming": str(a.incoming)}
                for a in changes.accounts
            ]
            await self._connection.execute(_MOVE_TOTALS, totals)

    async def due(self, now: UnixMs) -> tuple[Transfer, ...]:
        """Holds whose time-out has passed, the oldest first, at most `DUE_MAX`."""
        return tuple(map(_transfer, await self._connection.execute(_DUE, {"now": now})))

    async def transfers(self, ids: Collection[TransferId]) -> tuple[Transfer, ...]:
        """The transfers that there are among `ids`, in any order."""
        return tuple(map(_transfer, await self._listed(_TRANSFERS, "ids", ids)))

    async def accounts(self, names: Collection[LedgerAccount]) -> dict[LedgerAccount, Account]:
        """The accounts that there are among `names`."""
        rows = map(_account, await self._listed(_ACCOUNTS, "names", names))
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

    async def _listed(self, query: Select[Any], name: str, items: Collection[Item]) -> list[Row[Any]]:
        rows: list[Row[Any]] = []
        for part in padded(sorted(items)):  # type: ignore[type-var]
            rows.extend(await self._connection.execute(query, {name: part}))
        return rows

    async def _add_transfers(self, made: Sequence[Transfer]) -> None:
        if made:
            await self._connection.execute(
                _ADD_TRANSFERS,
                [
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
                ],
            )

    async def _add_entries(self, added: Sequence[Entry]) -> None:
        await self._connection.execute(
            _ADD_ENTRIES,
            [
                {
                    "number": e.number,
                    "kind": e.kind.value,
                    "transfer_id": e.transfer_id,
                    "payer": e.payer,
                    "payee": e.payee,
                    "at": e.at,
                }
                for e in added
            ],
        )
        await self._connection.execute(
            _ADD_LINES,
            [
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
            ],
        )


def digits(amount: int) -> str:
    """An amount as the tables have it."""
    return f"{amount:0{AMOUNT_DIGITS}d}"


def padded(items: Sequence[Item]) -> Iterable[list[Item]]:
    """`items` in lists whose lengths are powers of two, filled up with the last item.

    A list of each length is a statement of its own for the engine, which plans it anew and keeps a hundred of them.
    """
    for start in range(0, len(items), _LARGEST_LIST):
        part = list(items[start : start + _LARGEST_LIST])
        size = max(_SMALLEST_LIST, 1 << (len(part) - 1).bit_length())
        yield part + part[-1:] * (size - len(part))


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
