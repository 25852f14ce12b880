"""Bundles out of a trader's database: one on request, or all of them, made anew whenever they could do more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from adapters.bitcoin.fees import FeePolicy
from foundation.database import Database
from foundation.errors import CausewayError, Retryable
from foundation.files import write_durably
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.hands.funding import FUNDING
from settlement.swap.engine.office import Office
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.store.store import SwapRow, SwapStore
from settlement.swap.wallet.secrets import TraderKeys
from settlement.swap.watchtower.bundle import Bundle, BundleDamaged
from settlement.swap.watchtower.making import make_bundle
from settlement.swap.watchtower.shelf import SUFFIX

_RETRY_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class BundleMaker:
    """Makes bundles of a trader's swaps."""

    def __init__(
        self, database: Database, keys: TraderKeys, wallet: NodeWallet, policy: FeePolicy, seconds: Callable[[], int]
    ) -> None:
        """`seconds`: the time since 1970; the rest is the trader's own."""
        self._database = database
        self._keys = keys
        self._wallet = wallet
        self._policy = policy
        self._seconds = seconds

    async def make(self, row: SwapRow) -> tuple[Bundle, bytes]:
        """A swap's bundle as it stands now, and its file.

        Raises:
            BadInput: the swap has ended.
            BundleDamaged: no tower would take it.
            Retryable: the node's wallet cannot be asked for a script, where there is none yet.
        """
        secrets = self._keys.swap(row.index)
        destination = await self._destination(row)
        async with self._database.view() as view:
            store = SwapStore(view.connection)
            kept = await store.kept(row.swap_id, FUNDING)
            birth = await store.cursor(f"birth/{row.swap_id.hex()}")
        planned = [Funding.decode(one.raw).outpoint for one in kept]
        height = msgspec.msgpack.decode(birth, type=int) if birth else 0
        bundle = make_bundle(
            row.state, secrets, destination, self._policy, self._seconds(), planned=planned, birth=height
        )
        data = bundle.encode(secrets.identity)
        # Read as a tower reads it: what it refuses must not take the place of a bundle that it has.
        if Bundle.decode(data) != bundle:
            raise BundleDamaged("is not what was to be written")
        return bundle, data

    async def _destination(self, row: SwapRow) -> bytes:
        """Where the swap's bitcoin goes to: what the engine has chosen, or will use."""
        name = f"destination/{row.swap_id.hex()}"
        async with self._database.view() as view:
            found = await SwapStore(view.connection).cursor(name)
        if found:
            return found
        fresh = await self._wallet.new_script()
        async with self._database.unit() as unit:
            store = SwapStore(unit.connection)
            found = await store.cursor(name)
            if not found:
                await store.set_cursor(name, fresh)
                await unit.commit()
        return found or fresh


class BundleKeeper:
    """Keeps the bundles of all open swaps in a folder up to date, while an engine runs."""

    def __init__(self, office: Office, maker: BundleMaker, folder: Path) -> None:
        self._office = office
        self._maker = maker
        self._folder = folder
        self._written: dict[bytes, object] = {}

    async def run(self) -> None:
        """Until cancelled. A folder that cannot be written is tried again."""
        listener = self._office.listen()
        try:
            while True:
                listener.clear()
                try:
                    pause = None if await self.write_all() else _RETRY_SECONDS
                except Retryable as error:
                    _log.warning("bundles have to wait", problem=str(error))
                    pause = _RETRY_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await listener.wait()
        finally:
            self._office.unlisten(listener)

    async def write_all(self) -> bool:
        """Bring all files up to date; whether nothing has to be tried again."""
        rows = await self._office.swaps(open_only=True)
        went_well = True
        for row in rows:
            async with self._office.database.view() as view:
                planned = len(await SwapStore(view.connection).kept(row.swap_id, FUNDING))
            now = ability(row.state), planned
            if self._written.get(row.swap_id) != now:
                try:
                    _, data = await self._maker.make(row)
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    await asyncio.to_thread(write_durably, self._path(row.swap_id), data)
                    self._written[row.swap_id] = now
                except (CausewayError, OSError) as error:
                    _log.warning("a bundle cannot be made now", swap=row.swap_id.hex()[:12], problem=str(error))
                    went_well = False
        for swap_id in self._written.keys() - {row.swap_id for row in rows}:
            del self._written[swap_id]
            with suppress(OSError):
                self._path(swap_id).unlink(missing_ok=True)
        return went_well

    def _path(self, swap_id: bytes) -> Path:
        return self._folder / f"{swap_id.hex()}{SUFFIX}"


def ability(state: Swap) -> object:
    """What a bundle can do depends on nothing else: where this differs, it is to be made anew."""
    depth = state.terms.bitcoin.confirmations
    outputs = tuple(
        (one.outpoint, one.value, one.spend is not None and one.spend.confirmations >= depth) for one in state.outputs
    )
    if isinstance(state, Initiator):
        return outputs, state.shown, state.target, state.presignatures
    assert isinstance(state, Follower), "there are two sides"
    return outputs, state.funding, state.prepared, state.abandoned, state.presignatures, bool(state.secret)
