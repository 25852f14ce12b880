"""The watchtower at work: reads both chains, acts, and remembers how far it has climbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.flight import SenderPolicy
from foundation.database import Database
from foundation.errors import CausewayError, Retryable
from foundation.files import write_durably
from foundation.quantities import BlockHeight
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.swap.bitcoin.desk import BitcoinDesk, Submission
from settlement.swap.bitcoin.watch import BitcoinWatch, ChainView
from settlement.swap.engine.runtime import bitcoin_rpc
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.evm.errors import LockEnded, LockNotThere
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.opening import Views, open_leg
from settlement.swap.evm.terms import lock_terms
from settlement.swap.evm.watch import EscrowWatch, LockFact
from settlement.swap.recovery.recover import height_at
from settlement.swap.store.tables import SCHEMA
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.watch import Act, Broadcast, ClaimLock, Climbed, ReturnLock, Sight, acts, is_over

_LEEWAY: Final = 4 * 3_600
_log = structlog.get_logger(__name__)


class _Memory(msgspec.Struct):
    """By outpoint (hexadecimal): rung, height."""

    climbed: dict[str, tuple[int, int]] = {}


@dataclass(frozen=True, slots=True)
class News:
    """Something that the tower did, or saw. Fields: swap_id; text."""

    swap_id: bytes
    text: str


class Watchtower:
    """Watches over bundles until nothing is left to do in any."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        rpc: BitcoinRpc,
        leg: EscrowLeg,
        views: Views,
        settings: TraderSettings,
        memory: Path,
        *,
        grace_s: int,
        tell: Callable[[News], None],
    ) -> None:
        """Describe it.

        Args:
            bundles: of swaps, of one trader or of many, all at the Escrow of the settings.
            rpc: a bitcoin node; no wallet is needed.
            leg: of the tower's own account, which pays gas.
            views: of the EVM chain.
            settings: chains and fees.
            memory: a file for how far it has climbed; losing it costs fees at most.
            grace_s: how long the trader is left to act itself.
            tell: hears what is done.
        """
        self._bundles = {bundle.terms.swap_id: bundle for bundle in bundles}
        self._rpc = rpc
        self._leg = leg
        self._views = views
        self._settings = settings
        self._desk = BitcoinDesk(rpc, settings.bitcoin.fees)
        self._memory_file = memory
        self._grace = grace_s
        self._tell = tell
        self._climbed = _load(memory)
        self._locks: dict[bytes, LockFact] = {}
        self._evm_time = 0
        self._said: set[tuple[bytes, str]] = set()
        self.over: set[bytes] = set()

    async def run(self, poll_seconds: float = 1.0) -> None:
        """Watch until every swap is over. Nodes that are away are waited for."""
        outputs: BitcoinWatch | None = None
        locks: EscrowWatch | None = None
        while len(self.over) < len(self._bundles):
            try:
                outputs = outputs or await self._watch_outputs()
                locks = locks or self._watch_locks()
                await self._read_locks(locks)
                await self._look(await outputs.look())
            except Retryable as error:
                _log.warning("the watchtower waits", problem=str(error))
            await asyncio.sleep(poll_seconds)

    async def _watch_outputs(self) -> BitcoinWatch:
        watch = await BitcoinWatch.start(self._rpc)
        for bundle in self._bundles.values():
            birth = await height_at(self._rpc, bundle.terms.agreed_at - _LEEWAY)
            watch.watch(bundle.output.script, BlockHeight(birth))
            for ladder in bundle.ladders:
                watch.expect(bundle.output.script, ladder.outpoint[:32])
        return watch

    def _watch_locks(self) -> EscrowWatch:
        watch = EscrowWatch(self._settings.site, self._views, self._leg.account)
        for bundle in self._bundles.values():
            watch.want(lock_terms(bundle.terms), bundle.terms.evm.confirmations)
        return watch

    async def _read_locks(self, watch: EscrowWatch) -> None:
        while (reading := await watch.read()) is not None:
            self._evm_time = reading.time
            for fact in reading.facts:
                self._locks[fact.terms.hash] = fact
            for bundle in self._bundles.values():
                terms = lock_terms(bundle.terms)
                if (terms.payer, terms.id) in reading.gone:
                    self._locks.pop(terms.hash, None)
            if reading.caught_up:
                break

    async def _look(self, view: ChainView) -> None:
        for swap_id, bundle in self._bundles.items():
            if swap_id in self.over:
                continue
            sight = self._sight(bundle, view)
            for act in acts(bundle, sight, self._climbed, self._grace):
                await self._do(bundle, act, sight)
            if is_over(bundle, sight):
                self.over.add(swap_id)
                self._say(swap_id, "nothing is left to do")

    def _sight(self, bundle: Bundle, view: ChainView) -> Sight:
        fact = self._locks.get(lock_terms(bundle.terms).hash)
        asked = bundle.terms.evm.confirmations
        return Sight(
            view.median_time,
            view.tip.height,
            view.of(bundle.output.script),
            self._evm_time,
            None if fact is None else fact.status,
            fact is not None and fact.is_final(asked),
            b"" if fact is None else fact.secret,
        )

    async def _do(self, bundle: Bundle, act: Act, sight: Sight) -> None:
        swap_id, terms = bundle.terms.swap_id, lock_terms(bundle.terms)
        try:
            match act:
                case Broadcast():
                    await self._broadcast(swap_id, act, sight.height)
                case ClaimLock(secret=secret):
                    await self._leg.claim(terms, secret)
                    self._say(swap_id, "the lock is claimed for its beneficiary, by the secret that bitcoin showed")
                case ReturnLock():
                    await self._leg.refund(terms)
                    self._say(swap_id, "the lock is returned to its payer: its time-out has passed")
        except (LockEnded, LockNotThere):
            return  # somebody was faster: the watch will show it
        except Retryable:
            raise
        except CausewayError as error:
            self._say(swap_id, f"cannot be done now: {error}")

    async def _broadcast(self, swap_id: bytes, act: Broadcast, height: int) -> None:
        """The rung, or the next one that the node takes."""
        for number in range(act.rung, len(act.ladder.rungs)):
            submitted = await self._desk.submit(act.ladder.rungs[number])
            if submitted is Submission.TAKEN:
                before = self._climbed.get(act.ladder.outpoint)
                if before is None or before.rung != number:
                    self._remember(act.ladder.outpoint, Climbed(number, height))
                    self._say(swap_id, f"rung {number + 1} of {len(act.ladder.rungs)} is broadcast")
                return
            if submitted is not Submission.OUTBID:
                return  # spent, or too early: the watch will show it
        self._say(swap_id, "no rung pays enough for the mempool now")

    def _remember(self, outpoint: bytes, climbed: Climbed) -> None:
        self._climbed = {**self._climbed, outpoint: climbed}
        shown = {key.hex(): (one.rung, one.height) for key, one in self._climbed.items()}
        write_durably(self._memory_file, msgspec.json.encode(_Memory(shown)))

    def _say(self, swap_id: bytes, text: str) -> None:
        """Tell each thing once."""
        if (swap_id, text) not in self._said:
            self._said.add((swap_id, text))
            self._tell(News(swap_id, text))


@asynccontextmanager
async def open_tower(
    settings: TraderSettings,
    bundles: Sequence[Bundle],
    account: bytes,
    folder: Path,
    *,
    grace_s: int,
    tell: Callable[[News], None],
    sender: SenderPolicy | None = None,
) -> AsyncIterator[Watchtower]:
    """A watchtower with the nodes of a configuration, ready to `run`.

    Args:
        settings: chains, nodes and fees; no wallet.
        bundles: see `Watchtower`.
        account: secret of the tower's own EVM account, 32 bytes, which pays gas and nothing else.
        folder: where the tower keeps what it has sent.
        grace_s, tell: see `Watchtower`.
        sender: bids and waits on the EVM chain.
    """
    async with (
        await Database.open(f"sqlite:///{folder / 'tower.db'}", SCHEMA) as database,
        bitcoin_rpc(settings.bitcoin) as rpc,
        open_leg(
            settings.site,
            settings.urls,
            account,
            DatabaseJournal(database, settings.site.chain.caip2),
            sender,
            quorum=settings.quorum,
        ) as opened,
    ):
        await rpc.check_network(settings.bitcoin.network)
        memory = folder / "tower.json"
        yield Watchtower(bundles, rpc, opened.leg, opened.views, settings, memory, grace_s=grace_s, tell=tell)


def _load(memory: Path) -> Mapping[bytes, Climbed]:
    try:
        found = msgspec.json.decode(memory.read_bytes(), type=_Memory)
        return {bytes.fromhex(key): Climbed(*one) for key, one in found.climbed.items()}
    except (OSError, msgspec.MsgspecError, ValueError):
        return {}
