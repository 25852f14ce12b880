"""Holds, coins, transactions and the cursor of one bitcoin ledger, in whatever transaction the connection is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import Coin, OutPoint
from foundation.database.repository import Repository, chunks
from foundation.quantities import BlockHeight, Satoshi, UnixMs
from settlement.ledgers.bitcoin.projection import Projection
from settlement.ledgers.bitcoin.tables import coins, cursors, events, fees, holds, transactions
from settlement.ledgers.bitcoin.types import Entry, EntryKey, Terms
from settlement.ledgers.protocol import HoldState, LedgerId
from settlement.ledgers.sealing import OPEN, RowSealer
from settlement.quantities import tagged_hash

_PREIMAGE: Final = "preimage"
_RAW: Final = "signed transaction"
_STRANGE: Final = "?"
"""In the place of a transaction's key: none of ours."""
_H = holds.c
_T = transactions.c
_ENTRY = (
    _H.transfer_id,
    _H.payer,
    _H.payee,
    _H.amount,
    _H.condition,
    _H.expires_at_s,
    _H.memo,
    _H.birthday,
    _H.state,
    _H.preimage,
    _H.coin,
    _H.held_at_ms,
    _H.decided_at_ms,
    _H.is_waived,
)


@dataclass(frozen=True, slots=True)
class Version:
    """A signed transaction of ours. All versions of a key spend the same coins.

    Fields: key; number (from 1, the newest is the highest); hold (one that it is for); raw; fee; height (the node's
    newest block when it was signed); is_open (to be broadcast until it is final).
    """

    key: str
    number: int
    hold: EntryKey
    raw: bytes
    fee: Satoshi
    height: BlockHeight
    is_open: bool


class BitcoinLedgerStore(Repository):
    """What one ledger keeps."""

    def __init__(self, connection: AsyncConnection, ledger: LedgerId, script: bytes, sealer: RowSealer = OPEN) -> None:
        """For the coins of `script` (scriptPubKey); `sealer`: of preimages that no final block has shown."""
        super().__init__(connection)
        self._ledger = ledger
        self._script = script
        self._sealer = sealer

    # --- What blocks say ---

    async def tail(self) -> Tail | None:
        """The final blocks that were read last."""
        found = await self._connection.scalar(select(cursors.c.tail).where(cursors.c.ledger == self._ledger))
        return None if found is None else Tail.decode(found)

    async def move(self, tail: Tail) -> None:
        """Store how far blocks were read."""
        put = self._insert(cursors)
        moved = put.on_conflict_do_update(index_elements=[cursors.c.ledger], set_={"tail": put.excluded.tail})
        await self._write(moved, [{"ledger": self._ledger, "tail": tail.encode()}])

    async def keep(self, projection: Projection, height: BlockHeight = BlockHeight(0)) -> None:
        """Store what the block at `height` changed. Storing it again changes nothing."""
        await self.put(projection.entries)
        news = [
            {
                "ledger": self._ledger,
                "payer": one.key[0],
                "transfer_id": one.key[1],
                "state": one.state.value,
            }
            for one in projection.news
        ]
        await self._write(self._insert(events).on_conflict_do_nothing(), news)
        made = [
            {
                "ledger": self._ledger,
                "outpoint": coin.outpoint.serialized(),
                "value": coin.value,
                "height": coin.height,
                "spent_by": None,
            }
            for coin in projection.received
        ]
        await self._write(self._insert(coins).on_conflict_do_nothing(), made)
        for part in chunks(point.serialized() for point in projection.spent):
            mine = (coins.c.ledger == self._ledger, coins.c.outpoint.in_(part))
            # What no transaction of ours was promised, and is spent all the same, is kept as a mark of it.
            unknown = update(coins).where(*mine, coins.c.spent_by.is_(None))
            await self._connection.execute(unknown.values(spent_by=_STRANGE, height=height))
            await self._connection.execute(delete(coins).where(*mine, coins.c.spent_by != _STRANGE))
        paid = [(fee.key, fee.paid) for fee in projection.fees]
        for entry in projection.entries:
            paid += await self._close_transactions(entry)
        rows = [{"ledger": self._ledger, "key": key, "paid": fee, "is_posted": False} for key, fee in paid if fee]
        await self._write(self._insert(fees).on_conflict_do_nothing(), rows)

    async def news_after(self, number: int, limit: int) -> list[tuple[int, Entry, HoldState]]:
        """What was learned after news `number`, in order, at most `limit`: the hold as it is now, its state then."""
        joined = and_(_H.ledger == events.c.ledger, _H.payer == events.c.payer, _H.transfer_id == events.c.transfer_id)
        query = (
            select(events.c.number, events.c.state, *_ENTRY)
            .join(holds, joined)
            .where(events.c.ledger == self._ledger, events.c.number > number)
            .order_by(events.c.number)
            .limit(limit)
        )
        rows = await self._connection.execute(query)
        return [(row[0], self._entry(tuple(row)[2:]), HoldState(row[1])) for row in rows]

    # --- Holds ---

    async def put(self, entries: Iterable[Entry]) -> None:
        """Store holds as they are now."""
        put = self._insert(holds)
        names = ("state", "preimage", "coin", "held_at_ms", "decided_at_ms", "is_waived")
        changed = put.on_conflict_do_update(
            index_elements=[_H.ledger, _H.payer, _H.transfer_id], set_={name: put.excluded[name] for name in names}
        )
        await self._write(changed, [self._as_row(entry) for entry in entries])

    async def entry(self, key: EntryKey) -> Entry | None:
        """One hold."""
        found = await self._entries(tuple_(_H.payer, _H.transfer_id).in_([key]))
        return found[0] if found else None

    async def named(self, transfer_ids: Sequence[bytes]) -> tuple[Entry, ...]:
        """All holds under these ids, of whichever payer, those first whose outputs were final first."""
        found: list[Entry] = []
        for part in chunks(transfer_ids):
            found += await self._entries(_H.transfer_id.in_(part))
        return tuple(found)

    async def open_entries(self) -> tuple[Entry, ...]:
        """All that blocks to come may change."""
        return await self._entries(or_(_H.state.is_(None), _H.state == HoldState.HELD.value))

    async def count_unpaid(self, payee: bytes) -> int:
        """Holds for `payee` that were announced and have no final output."""
        where = (_H.ledger == self._ledger, _H.payee == payee, _H.state.is_(None))
        return int(await self._connection.scalar(select(func.count()).select_from(holds).where(*where)) or 0)

    async def drop_unpaid(self, payee: bytes, before_s: int) -> None:
        """Forget those of them whose time-out was before a moment (seconds since 1970)."""
        where = (_H.ledger == self._ledger, _H.payee == payee, _H.state.is_(None), _H.expires_at_s < before_s)
        await self._connection.execute(delete(holds).where(*where))

    # --- Coins and transactions ---

    async def coins(self, *, is_free: bool | None = None) -> tuple[Coin, ...]:
        """Our own final coins that no final block spends; only those that are (not) promised to a transaction."""
        where = [coins.c.ledger == self._ledger, or_(coins.c.spent_by.is_(None), coins.c.spent_by != _STRANGE)]
        if is_free is not None:
            where.append(coins.c.spent_by.is_(None) if is_free else coins.c.spent_by.is_not(None))
        query = select(coins.c.outpoint, coins.c.value, coins.c.height).where(*where)
        return tuple(
            Coin(OutPoint.parse(point), Satoshi(value), self._script, BlockHeight(height))
            for point, value, height in await self._connection.execute(query)
        )

    async def strange_spend(self, after: BlockHeight) -> BlockHeight | None:
        """The first block above `after` in which a coin of ours was spent by a transaction that is not kept here."""
        mine = (coins.c.ledger == self._ledger, coins.c.spent_by == _STRANGE, coins.c.height > after)
        found = await self._connection.scalar(select(func.min(coins.c.height)).where(*mine))
        return None if found is None else BlockHeight(found)

    async def promise(self, points: Sequence[OutPoint], key: str) -> None:
        """Set coins aside for a transaction."""
        for part in chunks(point.serialized() for point in points):
            mine = update(coins).where(coins.c.ledger == self._ledger, coins.c.outpoint.in_(part))
            await self._connection.execute(mine.values(spent_by=key))

    async def record(self, version: Version) -> None:
        """Keep a signed version, before anybody can see it. Recording it again changes nothing."""
        row = {
            "ledger": self._ledger,
            "key": version.key,
            "version": version.number,
            "payer": version.hold[0],
            "transfer_id": version.hold[1],
            "raw": self._sealer.seal(_RAW, self._place(version.hold), version.raw),
            "fee": version.fee,
            "height": version.height,
            "is_open": version.is_open,
        }
        await self._write(self._insert(transactions).on_conflict_do_nothing(), [row])

    async def newest(self, *, key: str | None = None) -> tuple[Version, ...]:
        """The newest version of `key`, or of each transaction that is to be broadcast."""
        last = (
            select(_T.key, func.max(_T.version).label("version"))
            .where(_T.ledger == self._ledger)
            .group_by(_T.key)
            .subquery()
        )
        where = and_(_T.key == key) if key is not None else and_(_T.is_open)
        columns = (_T.key, _T.version, _T.payer, _T.transfer_id, _T.raw, _T.fee, _T.height, _T.is_open)
        query = (
            select(*columns)
            .join(last, and_(_T.key == last.c.key, _T.version == last.c.version))
            .where(_T.ledger == self._ledger, where)
        )
        rows = await self._connection.execute(query)
        return tuple(
            Version(key, number, hold, self._opened(hold, raw), Satoshi(fee), BlockHeight(height), is_open)
            for key, number, hold, raw, fee, height, is_open in (_with_hold(tuple(row)) for row in rows)
        )

    async def keys_of(self, prefix: str, hold: EntryKey) -> tuple[str, ...]:
        """The keys of this hold's transactions that begin so."""
        mine = (_T.ledger == self._ledger, _T.payer == hold[0], _T.transfer_id == hold[1], _T.key.startswith(prefix))
        return tuple(await self._connection.scalars(select(_T.key).where(*mine).distinct()))

    async def forget(self, key: str) -> bool:
        """Remove the transaction of all keys that begin so, its holds, and its promises; False if it was released."""
        mine = (_T.ledger == self._ledger, _T.key.startswith(key))
        rows = (await self._connection.execute(select(_T.payer, _T.transfer_id, _T.is_open).where(*mine))).all()
        found = [one for row in rows if (one := await self.entry((row[0], row[1]))) is not None]
        if any(row[2] for row in rows) or any(entry.state is not None for entry in found):
            return False
        for payer, transfer_id, _ in rows:
            which = (_H.ledger == self._ledger, _H.payer == payer, _H.transfer_id == transfer_id)
            await self._connection.execute(delete(holds).where(*which))
        await self._connection.execute(delete(transactions).where(*mine))
        promised = update(coins).where(coins.c.ledger == self._ledger, coins.c.spent_by == key)
        await self._connection.execute(promised.values(spent_by=None))
        return True

    async def release(self, key: str) -> None:
        """Let a transaction be broadcast."""
        mine = update(transactions).where(_T.ledger == self._ledger, _T.key == key)
        await self._connection.execute(mine.values(is_open=True))

    async def unposted_fees(self, limit: int) -> tuple[tuple[str, Satoshi], ...]:
        """What final transactions of ours cost, each under a key of its own, until `fees_posted`; at most `limit`."""
        mine = (fees.c.ledger == self._ledger, fees.c.is_posted.is_(False))
        query = select(fees.c.key, fees.c.paid).where(*mine).order_by(fees.c.key).limit(limit)
        return tuple((key, Satoshi(paid)) for key, paid in await self._connection.execute(query))

    async def fees_posted(self, keys: Sequence[str]) -> None:
        """The books have these."""
        for part in chunks(keys):
            mine = update(fees).where(fees.c.ledger == self._ledger, fees.c.key.in_(part))
            await self._connection.execute(mine.values(is_posted=True))

    async def _close_transactions(self, entry: Entry) -> list[tuple[str, Satoshi]]:
        """A final block has decided what these were for, a hold's beginning or its end; what funding it has cost."""
        kinds = ("fund:",) if entry.state is HoldState.HELD else ("fund:", "claim:", "refund:")
        of_hold = and_(_T.payer == entry.key[0], _T.transfer_id == entry.key[1])
        which = or_(*(_T.key.startswith(kind) for kind in kinds))
        mine = update(transactions).where(_T.ledger == self._ledger, of_hold, which)
        await self._connection.execute(mine.values(is_open=False))
        if entry.state is not HoldState.HELD:
            return []
        funded = select(_T.key, _T.fee).where(_T.ledger == self._ledger, of_hold, _T.key.startswith("fund:"))
        # One transaction may fund several holds; its key is what is before the hold's own part.
        return [(key.rpartition(":")[0], Satoshi(fee)) for key, fee in await self._connection.execute(funded)]

    async def _entries(self, where: ColumnElement[bool]) -> tuple[Entry, ...]:
        order = (_H.held_at_ms.is_(None), _H.held_at_ms, _H.payer)
        query = select(*_ENTRY).where(_H.ledger == self._ledger, where).order_by(*order)
        return tuple(self._entry(tuple(row)) for row in await self._connection.execute(query))

    def _as_row(self, entry: Entry) -> dict[str, object]:
        terms, preimage = entry.terms, entry.preimage
        if preimage is not None and entry.state is not HoldState.FULFILLED:
            preimage = self._sealer.seal(_PREIMAGE, self._place(entry.key), preimage)
        return {
            "ledger": self._ledger,
            "payer": terms.payer,
            "transfer_id": terms.transfer_id,
            "payee": terms.payee,
            "amount": terms.amount,
            "condition": terms.condition,
            "expires_at_s": terms.expires_at,
            "memo": terms.memo,
            "birthday": entry.birthday,
            "state": None if entry.state is None else entry.state.value,
            "preimage": preimage,
            "coin": None if entry.coin is None else entry.coin.serialized(),
            "held_at_ms": entry.held_at,
            "decided_at_ms": entry.decided_at,
            "is_waived": entry.is_waived,
        }

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        transfer_id, payer, payee, amount, condition, expires_at, memo, birthday, *rest = row
        state, preimage, coin, held_at, decided_at, is_waived = rest
        if preimage is not None:
            preimage = self._sealer.open(_PREIMAGE, self._place((payer, transfer_id)), preimage)
        return Entry(
            Terms(transfer_id, payer, payee, Satoshi(amount), condition, expires_at, memo),
            BlockHeight(birthday),
            None if state is None else HoldState(state),
            preimage,
            None if coin is None else OutPoint.parse(coin),
            None if held_at is None else UnixMs(held_at),
            None if decided_at is None else UnixMs(decided_at),
            bool(is_waived),
        )

    def _opened(self, hold: EntryKey, raw: bytes) -> bytes:
        return self._sealer.open(_RAW, self._place(hold), raw)

    def _place(self, key: EntryKey) -> bytes:
        return tagged_hash("ledger-bitcoin", self._ledger.encode(), *key)


def _with_hold(row: tuple[Any, ...]) -> tuple[Any, ...]:
    key, number, payer, transfer_id, *rest = row
    return key, number, (payer, transfer_id), *rest
