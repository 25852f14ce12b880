"""The statements of `PostgresBalances`, each on a connection that is given. Amounts travel as decimal text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.connector.balances.model import Batch, Direction, Incident, IncidentKind, Settlement, Terms
from settlement.connector.balances.shares import Bounds, Share
from settlement.connector.ports import OtherSettlement
from settlement.quantities import Condition

LOCK_CLASS: Final = 0x63777963
"""Advisory locks of this class are the lives of processes; the second number is the process's id."""

_WRITE: Final = """
WITH moved AS (
  UPDATE connector_shares AS share SET delta = change.delta::numeric
  FROM unnest($2::text[], $3::text[]) AS change (account, delta)
  WHERE share.process = $1 AND share.account = change.account RETURNING 1
), marked AS (
  UPDATE connector_processes SET batch = $4 WHERE id = $1 AND outcome IS NULL RETURNING 1
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM marked)
"""


class Fenced(Retryable):
    """Others have taken this process for dead and its shares away. Nothing of the write took effect."""


class NoRoom(Exception):
    """The transaction is undone: others hold the room."""


async def begin_process(connection: Any, now: UnixMs) -> int:
    """A new process, alive for as long as the connection is."""
    process: int = await connection.fetchval(
        "INSERT INTO connector_processes (started_at_ms, batch) VALUES ($1, 0) RETURNING id", now
    )
    assert await _lock(connection, process), "ids are used once"
    return process


async def end_process(connection: Any, process: int) -> None:
    """Give all shares back in order."""
    async with connection.transaction():
        await _fold(connection, process, "stopped")


async def reap(connection: Any, me: int, now: UnixMs) -> list[int]:
    """Give back the shares of processes that died, and tell of what they left in flight. Returns their ids."""
    others = await connection.fetch(
        "SELECT DISTINCT process FROM connector_shares WHERE process <> $1 ORDER BY process", me
    )
    dead = []
    for row in others:
        if await bury(connection, row[0], now):
            dead.append(row[0])
    return dead


async def bury(connection: Any, process: int, now: UnixMs) -> bool:
    """Give back the shares of one process, if nobody lives under its id."""
    if not await _lock(connection, process):
        return False
    try:
        async with connection.transaction():
            await _fold(connection, process, "died")
            await connection.execute(
                "WITH left_over AS (DELETE FROM connector_flights WHERE process = $1 RETURNING *)"
                " INSERT INTO connector_incidents (process, kind, account, amount, condition, at_ms)"
                " SELECT process, $2, creditor, given, condition, $3 FROM left_over",
                process,
                IncidentKind.UNSETTLED.value,
                now,
            )
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, process)
    return True


async def end_session_of(connection: Any, process: int) -> None:
    """End the session that still lives under the id: one of ours, which we have lost and the server has not missed."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        LOCK_CLASS,
        process,
    )


async def batch_of(connection: Any, process: int) -> int:
    """The number of the last batch of a process that took effect."""
    number: int = await connection.fetchval("SELECT batch FROM connector_processes WHERE id = $1", process)
    return number


async def open_accounts(connection: Any, process: int, terms: Sequence[Terms]) -> None:
    """Make the accounts that are missing, with these limits, and an empty share of this process in each.

    Raises:
        BadInput: an account is kept in another asset.
    """
    async with connection.transaction():
        for each in sorted(terms, key=lambda one: one.id):
            row = await connection.fetchrow(
                "INSERT INTO connector_accounts (id, asset, scale, base, floor, ceiling)"
                " VALUES ($1, $2, $3, 0, $4::text::numeric, $5::text::numeric)"
                " ON CONFLICT (id) DO UPDATE SET floor = excluded.floor, ceiling = excluded.ceiling"
                " RETURNING asset, scale",
                each.id,
                each.asset.code,
                each.asset.scale,
                _text(each.floor),
                _text(each.ceiling),
            )
            if (row[0], row[1]) != (each.asset.code, each.asset.scale):
                problem = f"its balance is kept in {row[0]} with scale {row[1]}"
                raise BadInput(f"accounts.{each.id}.asset", problem, "settle it and name the new account otherwise")
            await connection.execute(
                "INSERT INTO connector_shares VALUES ($1, $2, 0, 0, 0)",
                each.id,
                process,
            )


async def lock_account(connection: Any, account: str) -> tuple[int, list[Share]]:
    """An account's base and shares, its row locked until the transaction ends."""
    base = await connection.fetchval("SELECT base::text FROM connector_accounts WHERE id = $1 FOR UPDATE", account)
    rows = await connection.fetch(
        "SELECT process, delta::text, lowest::text, highest::text FROM connector_shares WHERE account = $1", account
    )
    return int(base), [Share(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows]


async def set_bounds(connection: Any, account: str, process: int, bounds: Bounds) -> None:
    """Write this process's bounds. Raises `Fenced`."""
    tag = await connection.execute(
        "UPDATE connector_shares SET lowest = $3::text::numeric, highest = $4::text::numeric"
        " WHERE account = $1 AND process = $2",
        account,
        process,
        str(bounds.lowest),
        str(bounds.highest),
    )
    if tag != "UPDATE 1":
        raise Fenced


async def write(connection: Any, process: int, number: int, batch: Batch) -> None:
    """One batch, in one transaction; most are one statement. Raises `Fenced`."""
    if not (batch.opened or batch.closed or batch.incidents):
        await _write(connection, process, number, batch)
        return
    async with connection.transaction():
        await _write(connection, process, number, batch)
        if batch.opened:
            await connection.executemany(
                "INSERT INTO connector_flights VALUES ($1, $2, $3, $4::text::numeric, $5, $6::text::numeric, $7, $8)",
                [
                    (process, f.number, f.debtor, str(f.taken), f.creditor, str(f.given), f.condition, f.expires_at)
                    for f in batch.opened
                ],
            )
        if batch.closed:
            await connection.execute(
                "DELETE FROM connector_flights WHERE process = $1 AND number = ANY($2::bigint[])", process, batch.closed
            )
        await _tell(connection, process, batch.incidents)


async def put_settlement(connection: Any, settlement: Settlement, now: UnixMs) -> bool:
    """Write a settlement down; False where it is there already. Raises `OtherSettlement`."""
    row = await connection.fetchrow(
        "SELECT account, amount::text, direction, is_undone FROM connector_settlements WHERE key = $1 FOR UPDATE",
        settlement.key,
    )
    same = (settlement.account, str(settlement.amount), settlement.direction.value)
    if row is not None and (row[0], row[1], row[2]) != same:
        raise OtherSettlement(settlement.account, settlement.key)
    if settlement.is_undoing:
        if row is None:
            raise OtherSettlement(settlement.account, settlement.key)
        if row[3]:
            return False
        await connection.execute("UPDATE connector_settlements SET is_undone = true WHERE key = $1", settlement.key)
        return True
    if row is not None:
        return False
    tag = await connection.execute(
        "INSERT INTO connector_settlements VALUES ($1, $2, $3::text::numeric, $4, false, $5) ON CONFLICT DO NOTHING",
        settlement.key,
        *same,
        now,
    )
    # Another process was faster; whether it meant the same is told by asking again.
    return True if tag == "INSERT 0 1" else await put_settlement(connection, settlement, now)


async def move(connection: Any, process: int, changes: Iterable[tuple[str, int]]) -> None:
    """Add to this process's deltas. Raises `Fenced`."""
    for account, change in changes:
        tag = await connection.execute(
            "UPDATE connector_shares SET delta = delta + $3::text::numeric WHERE account = $1 AND process = $2",
            account,
            process,
            str(change),
        )
        if tag != "UPDATE 1":
            raise Fenced


async def balances(connection: Any, without: int = 0) -> dict[str, int]:
    """Each account's balance as written, without one process's part."""
    rows = await connection.fetch(
        "SELECT account.id, (account.base + coalesce(sum(share.delta), 0))::text FROM connector_accounts AS account"
        " LEFT JOIN connector_shares AS share ON share.account = account.id AND share.process <> $1"
        " GROUP BY account.id",
        without,
    )
    return {row[0]: int(row[1]) for row in rows}


async def read_incidents(connection: Any, after: int, limit: int) -> list[tuple[int, Incident]]:
    """Incidents above a number, oldest first."""
    rows = await connection.fetch(
        "SELECT number, kind, account, amount::text, condition, at_ms FROM connector_incidents"
        " WHERE number > $1 ORDER BY number LIMIT $2",
        after,
        limit,
    )
    return [
        (row[0], Incident(IncidentKind(row[1]), row[2], int(row[3]), Condition(row[4]), UnixMs(row[5]))) for row in rows
    ]


def change_of(settlement: Settlement, ledger: str) -> list[tuple[str, int]]:
    """What a settlement adds to the account, and takes from the ledger's."""
    return [(settlement.account, settlement.change), (ledger, -settlement.change)]


def is_paying(settlement: Settlement) -> bool:
    """Whether the settlement takes from the balance, so that it must be owed."""
    return settlement.direction is Direction.OUT and not settlement.is_undoing


async def _write(connection: Any, process: int, number: int, batch: Batch) -> None:
    names = [account for account, _ in batch.deltas]
    moved, marked = await connection.fetchrow(_WRITE, process, names, [str(delta) for _, delta in batch.deltas], number)
    if not marked:
        raise Fenced
    assert moved == len(names), "a living process has a share in each of its accounts"


async def _tell(connection: Any, process: int, incidents: Sequence[Incident]) -> None:
    await connection.executemany(
        "INSERT INTO connector_incidents (process, kind, account, amount, condition, at_ms)"
        " VALUES ($1, $2, $3, $4::text::numeric, $5, $6)",
        [(process, i.kind.value, i.account, str(i.amount), i.condition, i.at) for i in incidents],
    )


async def _fold(connection: Any, process: int, outcome: str) -> None:
    """Add a process's deltas to the bases and end it."""
    await connection.execute(
        # In the order in which `open_accounts` takes them, whatever the database's collation is: no deadlock.
        "SELECT 1 FROM connector_accounts WHERE id IN (SELECT account FROM connector_shares WHERE process = $1)"
        ' ORDER BY id COLLATE "C" FOR UPDATE',
        process,
    )
    await connection.execute(
        "UPDATE connector_accounts AS account SET base = account.base + share.delta FROM connector_shares AS share"
        " WHERE share.process = $1 AND share.account = account.id",
        process,
    )
    await connection.execute("DELETE FROM connector_shares WHERE process = $1", process)
    await connection.execute(
        "UPDATE connector_processes SET outcome = $2 WHERE id = $1 AND outcome IS NULL", process, outcome
    )


async def _lock(connection: Any, process: int) -> bool:
    taken: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, process)
    return taken


def _text(limit: int | None) -> str | None:
    return None if limit is None else str(limit)
