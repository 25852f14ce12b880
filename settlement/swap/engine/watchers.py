"""Looks at both chains again and again, and tells the machines of open swaps what is new."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from adapters.bitcoin.errors import DeepReorg
from adapters.bitcoin.notices import BlockNotices
from adapters.bitcoin.primitives import OutPoint
from adapters.evm.errors import CursorReorged
from adapters.evm.types import BlockRef
from foundation.errors import CausewayError, Fatal
from foundation.quantities import BlockHeight, UnixMs
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.output import output_of
from settlement.swap.bitcoin.sightings import Sightings
from settlement.swap.bitcoin.watch import BitcoinWatch, ChainView, OutputView
from settlement.swap.engine.bitcoin_news import news
from settlement.swap.engine.hands.desk import Desk
from settlement.swap.engine.hands.evm import memo_holds
from settlement.swap.engine.hands.funding import FUNDING
from settlement.swap.engine.office import News, Office
from settlement.swap.evm.birth import evm_birth
from settlement.swap.evm.opening import Views
from settlement.swap.evm.terms import lock_terms
from settlement.swap.evm.tracks import LockKey
from settlement.swap.evm.watch import EscrowWatch, Reading
from settlement.swap.machine.changes import BlockTimes, Change, LockGone
from settlement.swap.machine.states import Follower, Initiator
from settlement.swap.store.rows import BITCOIN_CURSOR, EVM_CURSOR
from settlement.swap.store.store import SwapRow, SwapStore

_MEMPOOL_SECONDS: Final = 0.25
LATE_DAYS: Final = 30
"""For so long after a swap has ended, what is still paid to its bitcoin output is refunded to the follower."""
_PAUSE_FIRST: Final = 0.2
_PAUSE_MOST: Final = 5.0
_log = structlog.get_logger(__name__)


class Clocks:
    """The newest blocks of both chains. A machine is told of both together."""

    def __init__(self) -> None:
        self.bitcoin: tuple[int, int] | None = None  # median time past, height
        self.evm: tuple[int, int] | None = None  # time, height

    def times(self) -> BlockTimes | None:
        """Once both are known."""
        if self.bitcoin is None or self.evm is None:
            return None
        return BlockTimes(self.bitcoin[0], self.bitcoin[1], self.evm[0], self.evm[1])


class Watchers:
    """See the module."""

    def __init__(
        self, desk: Desk, views: Views, notices: BlockNotices, poll_seconds: float, assets: Iterable[bytes] = ()
    ) -> None:
        """`notices`: of bitcoin's blocks; `poll_seconds`: how often the EVM chain is asked; `assets`: that the trader
        knows (20 bytes each; zero: the coin)."""
        self._desk = desk
        self._office = desk.office
        self._views = views
        self._notices = notices
        self._poll = poll_seconds
        self._assets = frozenset(assets)
        self._collecting: dict[bytes, asyncio.Task[None]] = {}
        self._clocks = Clocks()
        self._named: set[LockKey] = set()
        """Locks that a swap's terms name, an ended one's too: two who trade again have other swaps' locks between them,
        which are none of an open one's."""
        self._ended: tuple[frozenset[bytes], tuple[SwapRow, ...]] | None = None
        self.problems: dict[str, str] = {}
        """What keeps a chain from being watched now, by its name; for the live view."""
        self._looked: set[str] = set()

    @property
    def has_looked(self) -> bool:
        """Whether both chains were looked at whole since the start: what they had to tell until then, swaps know."""
        return self._looked == {"bitcoin", "evm"}

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._steadily("bitcoin", self._watch_bitcoin))
                group.create_task(self._steadily("evm", self._watch_evm))
        finally:
            for task in (*self._collecting.values(),):
                task.cancel()

    async def _steadily(self, name: str, watch: Callable[[], Awaitable[None]]) -> None:
        """Watch again where a node was away, or said what cannot be: an engine that ends claims nothing any more."""
        pause = _PAUSE_FIRST
        while True:
            try:
                await watch()
            except (CursorReorged, DeepReorg) as error:
                _log.warning("the chain was replaced from below what was read", chain=name, problem=str(error))
                await self._desk.set_cursor(BITCOIN_CURSOR if isinstance(error, DeepReorg) else EVM_CURSOR, b"")
            except CausewayError as error:
                if self.problems.get(name) != str(error):
                    _log.warning("a chain cannot be watched now", chain=name, problem=str(error))
                self.problems[name] = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MOST)

    # --- Bitcoin ------------------------------------------------------------------------------------------------------

    async def _watch_bitcoin(self) -> None:
        kept = await self._desk.cursor(BITCOIN_CURSOR)
        rpc = self._desk.rpc
        watch = BitcoinWatch(rpc, Sightings.decode(kept)) if kept else await BitcoinWatch.start(rpc)
        listener = self._office.listen(News.SWAPS)  # blocks are told of
        try:
            while True:
                listener.clear()
                rows = await self._office.swaps(open_only=True)
                ended = await self._recently_ended(rows)
                await self._want_outputs(watch, [*rows, *ended])
                view = await watch.look()
                self.problems.pop("bitcoin", None)
                self._clocks.bitcoin = (view.median_time, view.tip.height)
                encoded = watch.sightings.encode()
                await self._tell_outputs([*rows, *(row for row in ended if _is_paid_again(row, view))], view)
                if encoded != kept:
                    kept = await self._desk.set_cursor(BITCOIN_CURSOR, encoded)
                self._looked.add("bitcoin")
                await self._next_look(listener, bool(rows))
        finally:
            self._office.unlisten(listener)

    async def _next_look(self, listener: asyncio.Event, is_busy: bool) -> None:
        """Wait for a block, for news of a swap, or for the time after which the mempool is asked again."""
        timeout = _MEMPOOL_SECONDS if is_busy else 5.0
        waits = [
            asyncio.create_task(self._notices.wait(timeout)),
            asyncio.create_task(listener.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _recently_ended(self, open_ones: Sequence[SwapRow]) -> tuple[SwapRow, ...]:
        """Swaps of which nothing is left to do, unless somebody pays to their output once more. Read again where a
        swap has begun, ended or opened."""
        ids = frozenset(row.swap_id for row in open_ones)
        if self._ended is None or self._ended[0] != ids:
            self._ended = ids, await recently_ended(self._office)
        return self._ended[1]

    async def _want_outputs(self, watch: BitcoinWatch, rows: Sequence[SwapRow]) -> None:
        wanted = {output_of(row.state.terms).script: row for row in rows}
        for script in watch.scripts - wanted.keys():
            watch.unwatch(script)
        for script, row in wanted.items():
            if script not in watch.scripts:
                watch.watch(script, await self._birth(row))
            for txid in await self._expected(row) if row.is_open else ():
                watch.expect(script, txid)

    async def _birth(self, row: SwapRow) -> BlockHeight:
        """From which block on the output may be there: the newest one when the swap was looked at first."""
        name = f"birth/{row.swap_id.hex()}"
        found = await self._desk.cursor(name)
        if not found:
            tip = await self._desk.rpc.tip()
            found = await self._desk.set_cursor(name, msgspec.msgpack.encode(int(tip.height)))
        return BlockHeight(msgspec.msgpack.decode(found, type=int))

    async def _expected(self, row: SwapRow) -> list[bytes]:
        """Transactions that may pay to the output, by their ids: no node tells of the mempool by script."""
        if isinstance(row.state, Initiator):
            return [OutPoint.parse(row.state.planned).txid] if row.state.planned else []
        return [Funding.decode(one.raw).txid for one in await self._desk.kept(row, FUNDING)]

    async def _tell_outputs(self, rows: Sequence[SwapRow], view: ChainView) -> None:
        for row in rows:
            output = output_of(row.state.terms)
            views = view.of(output.script)
            current = await self._office.swap(row.swap_id) if views or row.state.outputs else row
            if current is None:
                continue
            destination = await self._own_script(row, views)
            changes = news(current.state, output, views, destination)
            await self._apply(current, changes)

    async def _own_script(self, row: SwapRow, views: Sequence[OutputView]) -> bytes:
        """Where this swap's bitcoin goes to, once something spends the output. After a recovery it is the script that
        the wallet knows as its own."""
        if all(view.spend is None for view in views):
            return b""
        name = f"destination/{row.swap_id.hex()}"
        found = await self._desk.cursor(name)
        if found or not row.state.recovered:
            return found
        for view in views:
            for paid in () if view.spend is None else view.spend.outputs:
                if await self._desk.wallet.owns(paid.script):
                    return await self._desk.set_cursor(name, paid.script)
        return b""

    # --- The EVM chain ------------------------------------------------------------------------------------------------

    async def _watch_evm(self) -> None:
        rows = await self._office.swaps(open_only=True)
        self._named = {_lock_key(row) for row in await self._office.swaps()}
        kept = await self._desk.cursor(EVM_CURSOR)
        if kept:
            cursor: BlockRef | None = BlockRef(BlockHeight(int.from_bytes(kept[:8], "big")), kept[8:])
        else:
            cursor = await evm_birth(self._views, self._desk.evm.site.start, self._agreed_since(rows))
        told = [(lock.view.payer, lock.view.lock_id) for row in rows for lock in row.state.locks]
        watch = EscrowWatch(self._desk.evm.site, self._views, self._desk.evm.account, cursor, told=told)
        wanted: dict[bytes, SwapRow] = {}
        listener = self._office.listen(News.SWAPS | News.DONE)
        try:
            while True:
                listener.clear()
                rows = await self._office.swaps(open_only=True)
                _want_locks(watch, wanted, rows)
                reading = await watch.read()
                self.problems.pop("evm", None)
                if reading is not None:
                    await self._tell_locks(await self._office.swaps(open_only=True), reading)
                    if not reading.caught_up:
                        continue
                    self._looked.add("evm")
                try:
                    async with asyncio.timeout(self._poll if rows else max(self._poll, 2.0)):
                        await listener.wait()
                except TimeoutError:
                    continue
        finally:
            self._office.unlisten(listener)

    def _agreed_since(self, rows: Sequence[SwapRow]) -> int:
        """Since when (seconds) open swaps were agreed; 0: nobody knows, of one that was found by its words."""
        agreed = [row.state.terms.agreed_at if row.peer.is_known else 0 for row in rows]
        return min(agreed, default=self._desk.seconds)

    async def _tell_locks(self, rows: Sequence[SwapRow], reading: Reading) -> None:
        self._clocks.evm = (reading.time, reading.head.number)
        site = self._desk.evm.site
        self._named |= {_lock_key(row) for row in rows}
        for row in rows:
            evm = row.state.terms.evm
            changes: list[Change] = []
            for fact in reading.facts:
                is_own = fact.key == _lock_key(row)
                is_stray = fact.key not in self._named and fact.terms.beneficiary == evm.beneficiary
                if fact.terms.payer == evm.payer and (is_own or is_stray):
                    current = await self._office.swap(row.swap_id) or row
                    holds = memo_holds(self._desk, current, fact)
                    changes += fact.changes(site, evm.confirmations, memo_holds=holds)
            changes += [LockGone(lock_id) for payer, lock_id in reading.gone if payer == evm.payer]
            await self._apply(row, changes)
        self._collect(asset for asset in reading.owed if asset in self._assets)
        async with self._office.database.unit() as unit:
            cursor = reading.cursor.number.to_bytes(8, "big") + reading.cursor.hash
            await SwapStore(unit.connection).set_cursor(EVM_CURSOR, cursor)
            await unit.commit()

    def _collect(self, assets: Iterable[bytes]) -> None:
        """Have paid what could not be paid. Beside the watching, which must wait for no transaction; and only assets
        that the trader knows: anybody can owe it tokens of his own, which fail, or use up its gas."""
        for asset in assets:
            if asset not in self._collecting:
                task = self._collecting[asset] = asyncio.create_task(self._withdraw(asset), name="what is owed")
                task.add_done_callback(lambda _, asset=asset: self._collecting.pop(asset, None))  # type: ignore[misc]

    async def _withdraw(self, asset: bytes) -> None:
        try:
            await self._desk.evm.withdraw(asset)
        except CausewayError as error:
            _log.warning("what is owed cannot be withdrawn", asset=asset.hex(), problem=str(error))

    async def _apply(self, row: SwapRow, changes: Sequence[Change]) -> None:
        """Tell a machine, with the newest times, where anything is new."""
        times = self._clocks.times()
        told = [*changes]
        if times is not None and times != row.state.times:
            told = [times, *told]
        if not told:
            return
        try:
            await self._office.apply(row.swap_id, told)
        except (Fatal, AssertionError):
            # One swap that cannot go on must not keep the others from what they have to be told.
            _log.exception("a swap cannot take in what a chain shows", swap=row.swap_id.hex())


async def recently_ended(office: Office) -> tuple[SwapRow, ...]:
    """Followers' swaps that have ended, and whose output is watched yet: what is paid to it late is refunded."""
    async with office.database.view() as view:
        since = UnixMs(office.clock() - LATE_DAYS * 86_400_000)
        found = await SwapStore(view.connection).ended(since)
    return tuple(row for row in found if isinstance(row.state, Follower))


def _is_paid_again(row: SwapRow, view: ChainView) -> bool:
    known = {one.outpoint for one in row.state.outputs}
    return any(one.outpoint.serialized() not in known for one in view.of(output_of(row.state.terms).script))


def _lock_key(row: SwapRow) -> LockKey:
    return row.state.terms.evm.payer, row.state.terms.evm.lock_id


def _want_locks(watch: EscrowWatch, wanted: dict[bytes, SwapRow], rows: Sequence[SwapRow]) -> None:
    open_ones = {row.swap_id: row for row in rows}
    for swap_id in wanted.keys() - open_ones.keys():
        watch.forget(lock_terms(wanted.pop(swap_id).state.terms))
    for swap_id in open_ones.keys() - wanted.keys():
        row = wanted[swap_id] = open_ones[swap_id]
        watch.want(lock_terms(row.state.terms), row.state.terms.evm.confirmations)
