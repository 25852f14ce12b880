"""The monitors: the books checked each minute, against themselves, the ledgers and the chain, with alerts.

Source: seeds/002…, "Triple-entry bookkeeping": "monitor the balance in the company account and issue an alert when the
balance is not equal to zero".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from foundation.database import Database
from foundation.errors import BadInput, Fatal, Retryable
from settlement.books.alerts import AlertStore
from settlement.books.batches import Batch, BatchText
from settlement.books.postings import LedgerAccounts
from settlement.books.receipt_check import ChainPort
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tree import tree
from settlement.books.verify import (
    BatchMark,
    Finding,
    JournalMark,
    Monitor,
    ReceiptMark,
    verify_batches,
    verify_journal,
    verify_receipts,
)
from settlement.books.verify_acts import verify_acts
from settlement.cosign.registry import KeyRegistry
from settlement.ledgers.protocol import AccountView
from settlement.quantities import Asset, Clock, PartyId

PERSISTENT: Final = 10
"""After so many looks in a row a difference that keeps changing is one, too."""

ANCHOR_MS_MAX: Final = 3_600_000
"""A batch that waits longer for its anchor raises an alert."""

_log = structlog.get_logger(__name__)


class LedgerView(Protocol):
    """What is asked of a ledger; `settlement.ledgers.protocol.Ledger` has it."""

    async def account(self) -> AccountView:
        """The money of our account. Raises LedgerUnavailable."""


@dataclass(frozen=True, slots=True)
class WatchedLedger:
    """A ledger, and the accounts that the books have for it."""

    ledger: LedgerView
    accounts: LedgerAccounts


@dataclass(frozen=True, slots=True)
class _Look:
    """A difference as it was last seen. Fields: kept, told (base units); times (in a row)."""

    kept: int
    told: int
    times: int


class Monitors:
    """Checks one party's books. Start `run` as a task, or call `check`."""

    def __init__(
        self,
        database: Database,
        entity: PartyId,
        ledgers: Mapping[str, WatchedLedger],
        keys: KeyRegistry,
        chain: ChainPort | None,
        clock: Clock,
        key: NarrativeKey | None = None,
    ) -> None:
        """Describe them.

        Args:
            database: with the books.
            entity: whose they are.
            ledgers: by name.
            keys: of all parties, this one's too.
            chain: where roots are anchored; None: they are not compared.
            clock: tells the time.
            key: opens narratives; None: what people did with entries is not checked.
        """
        self._key = key
        self._database = database
        self._entity = entity
        self._ledgers = ledgers
        self._keys = keys
        self._chain = chain
        self._clock = clock
        self._journal = JournalMark()
        self._receipts = ReceiptMark()
        self._batches = BatchMark()
        self._looks: dict[tuple[str, str], _Look] = {}
        self._standing: dict[Monitor, dict[str, Finding]] = {}

    async def run(self, every_seconds: float = 60.0, full_every: int = 1_440) -> None:
        """Check again and again, until cancelled; each `full_every`-th time from the beginning."""
        rounds = 0
        while True:
            try:
                await self.check(full=rounds % full_every == 0)
                rounds += 1
            except Retryable as problem:
                _log.warning("the books were not checked", problem=str(problem))
            except Fatal as problem:
                _log.error("the books cannot be checked", problem=str(problem))
            await asyncio.sleep(every_seconds)

    async def check(self, *, full: bool = False) -> tuple[Finding, ...]:
        """Check what came since the last time, or everything; store alerts. Returns all that stands.

        Raises:
            DatabaseUnavailable: the database does not answer. A ledger or a chain that does not is left out.
        """
        if full:
            self._journal, self._receipts, self._batches = JournalMark(), ReceiptMark(), BatchMark()
        try:
            found = await self._inside(full) | await self._ledger_findings()
        except BadInput as problem:
            # What is stored is not even of the form that it was written in.
            found = {Monitor.JOURNAL: [Finding(Monitor.JOURNAL, "what is stored", str(problem))]}
        async with self._database.unit() as unit:
            store = AlertStore(unit.connection)
            for monitor, findings in found.items():
                for new in await store.update(monitor, findings, self._clock()):
                    _log.error("books", monitor=new.monitor.value, subject=new.subject, detail=new.detail)
            await unit.commit()
        return tuple(finding for findings in found.values() for finding in findings)

    async def _inside(self, full: bool) -> dict[Monitor, Sequence[Finding]]:
        """What the database alone, and the chain, show. Faults in old entries stand until a full check."""
        async with self._database.view() as view:
            journal, faults = await verify_journal(view.connection, self._entity, self._journal)
            receipts, broken = await verify_receipts(view.connection, self._receipts)
            batches, seen, wrong = await verify_batches(view.connection, self._entity, self._keys, self._batches)
            acts = () if self._key is None else await verify_acts(view.connection, self._key)
        unanchored = await self._chain_findings(seen)
        self._journal, self._receipts = journal, receipts
        waiting = [batch.text for batch in seen if batch.anchored is None]
        if not waiting and unanchored is not None:
            self._batches = batches  # else it looks at these again, until they are anchored and the chain has answered
        balances = [finding for finding in faults if finding.monitor is Monitor.EQUATION]
        entries = [finding for finding in faults if finding.monitor is Monitor.JOURNAL]
        found: dict[Monitor, Sequence[Finding]] = {
            Monitor.EQUATION: balances,
            Monitor.JOURNAL: self._with_old(Monitor.JOURNAL, entries, full),
            Monitor.RECEIPTS: self._with_old(Monitor.RECEIPTS, broken, full),
        }
        if self._key is not None:
            found[Monitor.ACTS] = acts
        anchors = self._with_old(Monitor.ANCHORS, [*wrong, *(unanchored or ())], full)
        found[Monitor.ANCHORS] = (*anchors, *self._late(waiting))
        return found

    def _late(self, waiting: Sequence[BatchText]) -> list[Finding]:
        now = self._clock()
        return [
            Finding(Monitor.ANCHORS, f"batch {text.number} waits", "it is not anchored yet")
            for text in waiting
            if now - text.made_at > ANCHOR_MS_MAX
        ]

    def _with_old(self, monitor: Monitor, found: Sequence[Finding], full: bool) -> Sequence[Finding]:
        standing = {} if full else self._standing.get(monitor, {})
        standing = standing | {finding.subject: finding for finding in found}
        self._standing[monitor] = standing
        return tuple(standing.values())

    async def _chain_findings(self, seen: Sequence[Batch]) -> list[Finding] | None:
        """Anchored roots that the chain does not have; None where it does not answer, or is not asked."""
        found: list[Finding] = []
        if self._chain is None:
            return found
        for batch in seen:
            if batch.anchored is None:
                continue
            try:
                root = await self._chain.root_at(batch.text.place, batch.text.number)
            except Retryable as problem:
                _log.warning("anchors were not compared", problem=str(problem))
                return None
            if root != batch.text.root:
                detail = "there is no such anchor" if root is None else f"the chain has {root.hex()}"
                found.append(Finding(Monitor.ANCHORS, f"batch {batch.text.number}", detail))
        return found

    async def _ledger_findings(self) -> dict[Monitor, Sequence[Finding]]:
        """Where the ledgers have other balances than the books.

        Between a ledger's move and its posting there is a moment: a difference counts when it was there, the same, at
        the last look too, or has not gone away for a long time.
        """
        found: list[Finding] = []
        for name, watched in self._ledgers.items():
            try:
                told = await watched.ledger.account()
            except Retryable as problem:
                _log.warning("a ledger's balance was not compared", ledger=name, problem=str(problem))
                found.extend(self._last_of(name, watched.accounts.nostro.asset))
                continue
            async with self._database.view() as view:
                balances = await Books(view.connection).balances()
            sums = tree(self._entity, balances).find(watched.accounts.group)
            kept = 0 if sums is None else sums.sums.get(told.asset, 0)
            held = balances.get(watched.accounts.held, 0)
            self._look((name, "balance"), kept, told.balance)
            self._look((name, "held"), held, told.held)
            found.extend(self._last_of(name, told.asset))
        return {Monitor.LEDGER: found}

    def _look(self, subject: tuple[str, str], kept: int, told: int) -> None:
        before = self._looks.pop(subject, None)
        if kept != told:
            self._looks[subject] = _Look(kept, told, 1 if before is None else before.times + 1)
            is_same = before is not None and before.kept - before.told == kept - told
            if is_same:
                self._looks[subject] = _Look(kept, told, PERSISTENT)

    def _last_of(self, name: str, asset: Asset) -> list[Finding]:
        return [
            Finding(
                Monitor.LEDGER,
                f"{subject[1]} on {name}",
                f"the books have {asset.text(look.kept)} {asset.code}, the ledger {asset.text(look.told)}",
            )
            for subject, look in self._looks.items()
            if subject[0] == name and look.times >= PERSISTENT
        ]
