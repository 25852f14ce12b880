"""What this node knows of the bitcoin chain: followers' tails, deposit addresses, coins, and its own transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import bindparam, exists, func, or_, select, tuple_, update

from bridge.storage.rows import (
    BitcoinTransactionRow,
    CoinKind,
    CoinRow,
    CoinSpend,
    DepositTermsRow,
    TransactionPurpose,
)
from bridge.storage.tables import bitcoin_inputs, bitcoin_transactions, coins, cursors, deposit_terms
from foundation.database.repository import Repository, chunks, values
from foundation.quantities import BlockHeight, Satoshi, UnixMs


class Cursors(Repository):
    """Where each follower stands."""

    async def get(self, name: str) -> bytes | None:
        """The follower's tail as it was stored, or None before the first."""
        return await self._connection.scalar(select(cursors.c.tail).where(cursors.c.name == name))

    async def put(self, name: str, tail: bytes) -> None:
        """Store the follower's tail in place of the one before."""
        insert = self._insert(cursors)
        change = {"tail": insert.excluded.tail}
        await self._write(
            insert.on_conflict_do_update(index_elements=["name"], set_=change), [{"name": name, "tail": tail}]
        )


class DepositTermsRepository(Repository):
    """Deposit addresses that were announced."""

    async def add(self, *rows: DepositTermsRow) -> tuple[DepositTermsRow, ...]:
        """Store announced terms, and return those that ask for a scan: new ones, and those with an earlier birthday.

        An announcement may be repeated; the earliest birthday counts.
        """
        known: dict[bytes, int] = {}
        for chunk in chunks(row.script for row in rows):
            query = select(deposit_terms.c.script, deposit_terms.c.birthday).where(deposit_terms.c.script.in_(chunk))
            known.update((script, birthday) for script, birthday in await self._connection.execute(query))
        news: dict[bytes, DepositTermsRow] = {}
        for row in rows:
            if row.script not in known or row.birthday < known[row.script]:
                known[row.script] = row.birthday
                news[row.script] = row
        insert = self._insert(deposit_terms)
        change = {"birthday": insert.excluded.birthday}
        upsert = insert.on_conflict_do_update(index_elements=["script"], set_=change)
        await self._write(upsert, [values(row) for row in news.values()])
        return tuple(news.values())

    async def by_script(self, script: bytes) -> DepositTermsRow | None:
        """The terms behind `script`, or None for a stranger's."""
        return await self._row(DepositTermsRow, select(deposit_terms).where(deposit_terms.c.script == script))

    async def by_scripts(self, scripts: Collection[bytes]) -> dict[bytes, DepositTermsRow]:
        """The terms of those of `scripts` that are deposit addresses."""
        found: dict[bytes, DepositTermsRow] = {}
        for chunk in chunks(scripts):
            query = select(deposit_terms).where(deposit_terms.c.script.in_(chunk))
            found.update((row.script, row) for row in await self._rows(DepositTermsRow, query))
        return found

    async def by_announcement(self, announcement_id: bytes) -> DepositTermsRow | None:
        """The terms that were announced under this id, or None."""
        query = select(deposit_terms).where(deposit_terms.c.announcement_id == announcement_id)
        return await self._row(DepositTermsRow, query)

    async def all_scripts(self) -> frozenset[bytes]:
        """Every deposit address's script."""
        return frozenset((await self._connection.scalars(select(deposit_terms.c.script))).all())


class Coins(Repository):
    """Coins on vault and deposit scripts, as the chain has them now."""

    async def receive(self, *rows: CoinRow) -> None:
        """A block that joined the chain creates these coins. Receiving one again moves it; a known spend stays."""
        insert = self._insert(coins)
        place = {"height": insert.excluded.height, "block_hash": insert.excluded.block_hash}
        upsert = insert.on_conflict_do_update(index_elements=["txid", "vout"], set_=place)
        await self._write(upsert, [values(row) for row in rows])

    async def spend(self, *spends: CoinSpend) -> None:
        """A block that joined the chain spends these coins; those that are not ours are passed over."""
        statement = (
            update(coins)
            .where(coins.c.txid == bindparam("coin_txid"), coins.c.vout == bindparam("coin_vout"))
            .values(
                spent_by=bindparam("spender"),
                spent_height=bindparam("in_height"),
                spent_block_hash=bindparam("in_block"),
            )
        )
        rows = [
            {
                "coin_txid": spend.txid,
                "coin_vout": spend.vout,
                "spender": spend.spent_by,
                "in_height": spend.height,
                "in_block": spend.block_hash,
            }
            for spend in spends
        ]
        await self._write(statement, rows)

    async def unspend(self, *outpoints: tuple[bytes, int]) -> None:
        """The coins are unspent after all."""
        nothing = {"spent_by": None, "spent_height": None, "spent_block_hash": None}
        for chunk in chunks(outpoints):
            where = tuple_(coins.c.txid, coins.c.vout).in_(chunk)
            await self._connection.execute(update(coins).where(where).values(nothing))

    async def disconnect(self, block_hash: bytes) -> None:
        """Undo all that the block did: its coins are out of the chain, what it spent is unspent."""
        created = update(coins).where(coins.c.block_hash == block_hash)
        await self._connection.execute(created.values(height=None, block_hash=None))
        spent = update(coins).where(coins.c.spent_block_hash == block_hash)
        await self._connection.execute(spent.values(spent_by=None, spent_height=None, spent_block_hash=None))

    async def get(self, txid: bytes, vout: int) -> CoinRow | None:
        """The coin, in the chain or not, or None for one that was never seen."""
        return await self._row(CoinRow, select(coins).where(coins.c.txid == txid, coins.c.vout == vout))

    async def in_block(self, block_hash: bytes) -> tuple[CoinRow, ...]:
        """The coins that the block creates or spends: those that its disconnection touches."""
        touched = or_(coins.c.block_hash == block_hash, coins.c.spent_block_hash == block_hash)
        return await self._rows(CoinRow, select(coins).where(touched).order_by(coins.c.txid, coins.c.vout))

    async def unspent(
        self,
        kind: CoinKind | None = None,
        *,
        script: bytes | None = None,
        min_height: BlockHeight | None = None,
        max_height: BlockHeight | None = None,
    ) -> tuple[CoinRow, ...]:
        """Coins in the chain that nothing in the chain spends, oldest block first; the bounds are inclusive."""
        query = select(coins).where(coins.c.spent_by.is_(None), coins.c.height.is_not(None))
        if kind is not None:
            query = query.where(coins.c.kind == kind)
        if script is not None:
            query = query.where(coins.c.script == script)
        if min_height is not None:
            query = query.where(coins.c.height >= min_height)
        if max_height is not None:
            query = query.where(coins.c.height <= max_height)
        return await self._rows(CoinRow, query.order_by(coins.c.height, coins.c.txid, coins.c.vout))

    async def total(self, kind: CoinKind, max_height: BlockHeight | None = None) -> Satoshi:
        """The value of all unspent coins of a kind, up to a height where one is given."""
        query = select(func.coalesce(func.sum(coins.c.value), 0)).where(
            coins.c.kind == kind, coins.c.spent_by.is_(None), coins.c.height.is_not(None)
        )
        if max_height is not None:
            query = query.where(coins.c.height <= max_height)
        # PostgreSQL sums BIGINT as NUMERIC.
        return Satoshi(int(await self._connection.scalar(query) or 0))


class BitcoinTransactions(Repository):
    """The group's own transactions: what to rebroadcast, what to bump, what confirmed."""

    async def add(self, row: BitcoinTransactionRow, spent: Sequence[tuple[bytes, int]]) -> None:
        """Keep a signed transaction and the outpoints it spends, in input order. Again changes nothing."""
        await self._write(self._insert(bitcoin_transactions).on_conflict_do_nothing(), [values(row)])
        inputs = [
            {"txid": row.txid, "position": position, "spent_txid": txid, "spent_vout": vout}
            for position, (txid, vout) in enumerate(spent)
        ]
        await self._write(self._insert(bitcoin_inputs).on_conflict_do_nothing(), inputs)

    async def get(self, txid: bytes) -> BitcoinTransactionRow | None:
        """The transaction, or None."""
        query = select(bitcoin_transactions).where(bitcoin_transactions.c.txid == txid)
        return await self._row(BitcoinTransactionRow, query)

    async def inputs(self, txid: bytes) -> tuple[tuple[bytes, int], ...]:
        """The outpoints that the transaction spends, in input order."""
        c = bitcoin_inputs.c
        query = select(c.spent_txid, c.spent_vout).where(c.txid == txid).order_by(c.position)
        return tuple((txid, vout) for txid, vout in await self._connection.execute(query))

    async def of_subject(self, purpose: TransactionPurpose, subject: bytes) -> tuple[BitcoinTransactionRow, ...]:
        """Every version for one purpose and subject, the cheapest first."""
        c = bitcoin_transactions.c
        query = select(bitcoin_transactions).where(c.purpose == purpose, c.subject == subject)
        return await self._rows(BitcoinTransactionRow, query.order_by(c.fee, c.txid))

    async def spending(self, outpoints: Iterable[tuple[bytes, int]]) -> tuple[BitcoinTransactionRow, ...]:
        """Every transaction that spends at least one of `outpoints`."""
        found: dict[bytes, BitcoinTransactionRow] = {}
        for chunk in chunks(outpoints):
            spenders = select(bitcoin_inputs.c.txid).where(
                tuple_(bitcoin_inputs.c.spent_txid, bitcoin_inputs.c.spent_vout).in_(chunk)
            )
            query = select(bitcoin_transactions).where(bitcoin_transactions.c.txid.in_(spenders))
            found.update((row.txid, row) for row in await self._rows(BitcoinTransactionRow, query))
        return tuple(found[txid] for txid in sorted(found))

    async def waiting(self, purpose: TransactionPurpose | None = None) -> tuple[BitcoinTransactionRow, ...]:
        """Transactions to be broadcast again: in no block, not bumped, and none of their coins spent in a block.

        Nor is any coin of a child's parent spent by another transaction: the parent can never confirm then.

        Those never broadcast come first, then the oldest. A reorg may make a transaction wait again.
        """
        c = bitcoin_transactions.c
        mine, theirs = bitcoin_inputs.alias("mine"), bitcoin_inputs.alias("theirs")
        winner = bitcoin_transactions.alias("winner")
        beaten = exists().where(
            mine.c.txid == c.txid,
            theirs.c.spent_txid == mine.c.spent_txid,
            theirs.c.spent_vout == mine.c.spent_vout,
            winner.c.txid == theirs.c.txid,
            winner.c.height.is_not(None),
        )
        # Also by a version that this node was never given: then the coin alone knows of it.
        spent = exists().where(
            mine.c.txid == c.txid,
            coins.c.txid == mine.c.spent_txid,
            coins.c.vout == mine.c.spent_vout,
            coins.c.spent_by.is_not(None),
        )
        parents = bitcoin_inputs.alias("parents")
        orphan = exists().where(
            c.purpose == TransactionPurpose.CPFP,
            parents.c.txid == c.subject,
            coins.c.txid == parents.c.spent_txid,
            coins.c.vout == parents.c.spent_vout,
            coins.c.spent_by != c.subject,
        )
        lost = or_(beaten, spent, orphan)
        query = select(bitcoin_transactions).where(c.height.is_(None), c.replaced_by.is_(None), ~lost)
        if purpose is not None:
            query = query.where(c.purpose == purpose)
        # The engines disagree on where NULL sorts.
        return await self._rows(
            BitcoinTransactionRow, query.order_by(c.first_broadcast_at_ms.asc().nulls_first(), c.txid)
        )

    async def broadcast(self, txids: Collection[bytes], now: UnixMs) -> None:
        """They were given to a bitcoin node at `now`."""
        c = bitcoin_transactions.c
        times = {"first_broadcast_at_ms": func.coalesce(c.first_broadcast_at_ms, now), "last_broadcast_at_ms": now}
        for chunk in chunks(txids):
            await self._connection.execute(update(bitcoin_transactions).where(c.txid.in_(chunk)).values(times))

    async def replace(self, txid: bytes, by: bytes) -> None:
        """The transaction `by` has bumped `txid`."""
        statement = update(bitcoin_transactions).where(bitcoin_transactions.c.txid == txid)
        await self._connection.execute(statement.values(replaced_by=by))

    async def confirm(self, txids: Collection[bytes], height: BlockHeight, block_hash: bytes) -> None:
        """A block that joined the chain holds them; transactions that are not ours are passed over."""
        for chunk in chunks(txids):
            statement = update(bitcoin_transactions).where(bitcoin_transactions.c.txid.in_(chunk))
            await self._connection.execute(statement.values(height=height, block_hash=block_hash))

    async def disconnect(self, block_hash: bytes) -> None:
        """A reorg took the block away: what it held is unconfirmed."""
        statement = update(bitcoin_transactions).where(bitcoin_transactions.c.block_hash == block_hash)
        await self._connection.execute(statement.values(height=None, block_hash=None))
