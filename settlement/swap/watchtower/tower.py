"""The watchtower at work: reads both chains, acts, and remembers how far it has climbed.

Each chain is read, and each swap is acted for, on its own: a node that is away, or a transaction that lingers, keeps
nothing else from being done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from adapters.bitcoin.errors import DeepReorg
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import parse_transaction
from adapters.evm.errors import CursorReorged
from foundation.errors import CausewayError, Fatal
from foundation.files import write_durably
from foundation.unreadable import UNREADABLE
from settlement.swap.bitcoin.desk import BitcoinDesk, Submission
from settlement.swap.bitcoin.watch import BitcoinWatch, ChainView
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.evm.birth import evm_birth
from settlement.swap.evm.errors import LockEnded, LockNotThere
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.opening import Views
from settlement.swap.evm.terms import lock_terms
from settlement.swap.evm.watch import EscrowWatch, LockFact
from settlement.swap.watchtower.beginning import bitcoin_birth
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.rests import Rests
from settlement.swap.watchtower.shelf import Shelf
from settlement.swap.watchtower.watch import (
    Act,
    Broadcast,
    ClaimLock,
    Progress,
    ReturnLock,
    Sight,
    is_over,
    step,
    unknown_outputs,
)

_memory: Final = msgspec.msgpack.Decoder(dict[bytes, Progress])
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """Something that the tower did, or saw. Fields: bundle; text."""

    bundle: Bundle
    text: str


Tell = Callable[[News], None]


class Watchtower:
    """Watches over bundles."""

    def __init__(
        self,
        shelf: Shelf,
        rpc: BitcoinRpc,
        leg: EscrowLeg,
        views: Views,
        settings: TraderSettings,
        memory: Path,
        *,
        grace_s: int,
        tell: Tell,
    ) -> None:
        """Describe it.

        Args:
            shelf: bundles of swaps, of one trader or of many, at the Escrow of the settings.
            rpc: a bitcoin node; no wallet is needed.
            leg: of the tower's own account, which pays gas.
            views: of the EVM chain.
            settings: chains and fees.
            memory: a file for how far it has climbed; losing it costs fees at most.
            grace_s: how long the trader is left to act itself, where there is time for it.
            tell: hears what is done.
        """
        self._shelf = shelf
        self._rpc = rpc
        self._leg = leg
        self._views = views
        self._settings = settings
        self._desk = BitcoinDesk(rpc, settings.bitcoin.fees)
        self._memory_file = memory
        self._grace = grace_s
        self._tell = tell
        self._memory = dict(_load(memory))
        self._bitcoin: BitcoinWatch | None = None
        self._evm: EscrowWatch | None = None
        self._evm_since = 0
        self._is_checked = False
        self._view: ChainView | None = None
        # Owners for whose swap a chain was read, since it was begun anew: of nobody else is anything known.
        self._read: dict[str, set[bytes]] = {"bitcoin": set(), "evm": set()}
        self._locks: dict[bytes, LockFact] = {}
        self._evm_time = 0
        self._rests = Rests(1.0)
        self._errands: dict[tuple[bytes, type[Act]], asyncio.Task[None]] = {}
        self._said: set[tuple[bytes, str]] = set()
        self.bundles: Mapping[bytes, Bundle] = {}
        """By owner, as they were read last."""
        self.over: set[bytes] = set()
        """Owners for whom nothing is left to do."""
        self.problems: dict[str, str] = {}
        """What keeps a chain from being read now, by its name."""

    async def run(self, poll_seconds: float = 1.0, show: Callable[[Watchtower], None] = lambda _: None) -> None:
        """Watch until every swap is over; for ever where more bundles may come. Nodes that are away, or say what cannot
        be, are waited for.

        `show` is called after each look.
        """
        self._rests = Rests(poll_seconds)
        try:
            while True:
                self._read_bundles()
                await self._steadily("evm", self._read_locks)
                await self._steadily("bitcoin", self._read_outputs)
                for owner, bundle in self.bundles.items():
                    if owner not in self.over:
                        await self._act_for(owner, bundle)
                show(self)
                if not self._shelf.is_open_ended and len(self.over) == len(self.bundles):
                    return
                await asyncio.sleep(poll_seconds)
        finally:
            for task in self._errands.values():
                task.cancel()
            await asyncio.gather(*self._errands.values(), return_exceptions=True)

    def sight(self, bundle: Bundle) -> Sight:
        """What both chains have shown of a swap; zeros where one was not read yet."""
        fact = self._locks.get(lock_terms(bundle.terms).hash)
        asked = bundle.terms.evm.confirmations
        view = self._view
        return Sight(
            0 if view is None else view.median_time,
            0 if view is None else view.tip.height,
            () if view is None else view.of(bundle.output.script),
            self._evm_time,
            None if fact is None else fact.status,
            fact is not None and fact.is_final(asked),
            fact is not None and fact.is_settled(asked),
            b"" if fact is None else fact.secret,
            lock_known=bundle.owner in self._read["evm"],
        )

    def progress(self, bundle: Bundle) -> Progress:
        """What is remembered of a swap."""
        return self._memory.get(bundle.owner, Progress())

    # --- Reading ------------------------------------------------------------------------------------------------------

    def _read_bundles(self) -> None:
        found = self._shelf.read()
        fitting = {owner: one for owner, one in found.items() if self._fits(one)}
        for owner, bundle in fitting.items():
            if self.bundles.get(owner) != bundle:
                self.over.discard(owner)  # it may be able to do more
                self._read["bitcoin"].discard(owner)  # there may be more to look for; the lock is the same
        self.bundles = fitting

    def _fits(self, bundle: Bundle) -> bool:
        problem = misplaced(bundle, self._settings)
        if problem:
            self._say(bundle, f"it is not watched: {problem}")
        return not problem

    async def _steadily(self, name: str, read: Callable[[], Awaitable[None]]) -> None:
        """Whatever a node answers: a tower that ends does nothing for anybody any more."""
        if self._rests.has(name):
            return
        try:
            await read()
        except (DeepReorg, CursorReorged) as error:
            _log.warning("the chain was replaced from below what was read", chain=name, problem=str(error))
            self._begin_anew()
            self._rests.give(name)
        except CausewayError as error:
            self._trouble(name, error)
            self._rests.give(name)
        else:
            self.problems.pop(name, None)
            self._rests.end(name)

    def _trouble(self, name: str, error: CausewayError) -> None:
        if self.problems.get(name) != str(error):
            _log.warning("a chain cannot be read now", chain=name, problem=str(error))
        self.problems[name] = str(error)
        if isinstance(error, Fatal):
            # It does not pass by itself, perhaps: somebody has to look at the node, or at swap.toml.
            for bundle in self._waiting():
                self._say(bundle, f"the {name} node's answer is of no use ({type(error).__name__}); it is asked again")

    def _begin_anew(self) -> None:
        self._bitcoin, self._view = None, None
        self._read["bitcoin"].clear()
        self._evm = None
        self._forget_locks()

    def _forget_locks(self) -> None:
        self._locks.clear()
        self._evm_time = 0
        self._read["evm"].clear()

    def _waiting(self) -> list[Bundle]:
        return [one for owner, one in self.bundles.items() if owner not in self.over]

    async def _read_outputs(self) -> None:
        known = self._read["bitcoin"]
        if self._bitcoin is None:
            await self._rpc.check_network(self._settings.bitcoin.network)
            self._bitcoin = await BitcoinWatch.start(self._rpc)
            known.clear()
        waiting = self._waiting()
        for bundle in waiting:
            script = bundle.output.script
            if bundle.owner not in known:
                self._bitcoin.watch(script, await bitcoin_birth(self._rpc, bundle))
            # Each time, the agreed amount last: the watch forgets the oldest for what a reorganisation gave back.
            for ladder in reversed(bundle.ladders):
                self._bitcoin.expect(script, ladder.outpoint[:32])
        self._view = await self._bitcoin.look()
        known.update(bundle.owner for bundle in waiting)

    async def _read_locks(self) -> None:
        if not self._is_checked:
            await self._leg.check()
            self._is_checked = True
        waiting = self._waiting()
        if self._evm is None or any(one.since < self._evm_since for one in waiting):
            # At first, or a bundle has come whose lock may be older than what was read.
            since = min((one.since for one in waiting), default=0)
            cursor = await evm_birth(self._views, self._settings.site.start, since)
            self._forget_locks()
            self._evm_since = since
            self._evm = EscrowWatch(self._settings.site, self._views, self._leg.account, cursor)
        for bundle in waiting:
            self._evm.want(lock_terms(bundle.terms), bundle.terms.evm.confirmations)
        while (reading := await self._evm.read()) is not None:
            for fact in reading.facts:
                self._locks[fact.terms.hash] = fact
            for hashed, known in list(self._locks.items()):
                if known.key in reading.gone:
                    del self._locks[hashed]
            if reading.caught_up:
                self._evm_time = reading.time
                self._read["evm"].update(bundle.owner for bundle in waiting)
                break

    # --- Acting -------------------------------------------------------------------------------------------------------

    async def _act_for(self, owner: bytes, bundle: Bundle) -> None:
        sight = self.sight(bundle)
        before = self.progress(bundle)
        progress, acts = step(bundle, before, sight, self._grace)
        if progress.secret and not before.secret:
            self._say(bundle, "the bundle holds the secret" if bundle.secret else "the secret is out")
        self._remember(owner, progress)
        for act in acts:
            if isinstance(act, Broadcast):
                await self._broadcast(owner, bundle, act, sight.height)
            else:
                self._send(owner, bundle, act)
        if missing := unknown_outputs(bundle, sight):
            self._say(
                bundle, f"{missing} outputs came after the bundle was made, which cannot refund them: make it anew"
            )
        is_read = all(owner in known for known in self._read.values())
        if is_read and is_over(bundle, self.progress(bundle), sight):
            self.over.add(owner)
            self._say(bundle, "nothing is left that this bundle can do")

    async def _broadcast(self, owner: bytes, bundle: Bundle, act: Broadcast, height: int) -> None:
        """The rung, or the next one that the node takes."""
        outpoint, rungs = act.ladder.outpoint, act.ladder.rungs
        try:
            for number in range(act.rung, len(rungs)):
                submitted = await self._desk.submit(rungs[number])
                if submitted is Submission.TAKEN:
                    self._remember(owner, self.progress(bundle).taken(outpoint, number, height))
                    txid = parse_transaction(rungs[number]).txid[::-1].hex()
                    what = "refund" if bundle.refunds else "claim"
                    self._say(bundle, f"the {what} is broadcast, at fee {number + 1} of {len(rungs)}: {txid}")
                    return
                if submitted is not Submission.OUTBID:
                    break  # spent, or too early: the watch will show it
            else:
                self._say(bundle, "no fee that was signed for is high enough for the mempool now")
        except CausewayError as error:
            self._trouble("bitcoin", error)
            return
        self._remember(owner, self.progress(bundle).refused(outpoint, height))

    def _send(self, owner: bytes, bundle: Bundle, act: ClaimLock | ReturnLock) -> None:
        """Let the account act beside all else: a transaction may linger."""
        place = (owner, type(act))
        if place not in self._errands:
            task = asyncio.create_task(self._on_the_evm(bundle, act), name=f"{type(act).__name__} of a watchtower")
            self._errands[place] = task
            task.add_done_callback(lambda _: self._errands.pop(place, None))

    async def _on_the_evm(self, bundle: Bundle, act: ClaimLock | ReturnLock) -> None:
        terms = lock_terms(bundle.terms)
        try:
            if isinstance(act, ClaimLock):
                await self._leg.claim(terms, act.secret)
                self._say(bundle, "the lock is claimed for its beneficiary")
            else:
                await self._leg.refund(terms)
                self._say(bundle, "the lock is returned to its payer")
        except (LockEnded, LockNotThere):
            return  # somebody was faster: the watch will show it
        except CausewayError as error:
            self._say(bundle, f"the EVM chain does not take it now: {error}")

    def _remember(self, owner: bytes, progress: Progress) -> None:
        if self._memory.get(owner, Progress()) != progress:
            self._memory[owner] = progress
            try:
                write_durably(self._memory_file, msgspec.msgpack.encode(self._memory))
            except OSError as error:
                _log.warning("what was done cannot be kept; it costs fees at most", problem=str(error))

    def _say(self, bundle: Bundle, text: str) -> None:
        """Tell each thing once."""
        if (bundle.owner, text) not in self._said:
            self._said.add((bundle.owner, text))
            _log.info("watchtower", swap=bundle.terms.swap_id.hex()[:12], news=text)
            self._tell(News(bundle, text))


def misplaced(bundle: Bundle, settings: TraderSettings) -> str:
    """Why a configuration is not the one for a bundle; empty: it is."""
    terms = bundle.terms
    if terms.bitcoin.chain != settings.bitcoin_chain:
        return f"it is of {terms.bitcoin.chain}, and the bitcoin node of {settings.bitcoin_chain}"
    if terms.evm.chain != settings.evm_chain:
        return f"it is of {terms.evm.chain}, and the EVM nodes of {settings.evm_chain}"
    if terms.evm.escrow != settings.site.escrow:
        return f"its Escrow is 0x{terms.evm.escrow.hex()}, and that of swap.toml 0x{settings.site.escrow.hex()}"
    return ""


def _load(memory: Path) -> Mapping[bytes, Progress]:
    try:
        return _memory.decode(memory.read_bytes())
    except (OSError, *UNREADABLE):
        return {}
