"""A watchtower at work on two chains that answer what a test says, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.bitcoin.primitives import BlockRef as BitcoinBlock
from adapters.bitcoin.transactions import parse_transaction
from adapters.evm.escrow.types import AnyTerms
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.bitcoin.watch import ChainView, OutputView
from settlement.swap.evm.terms import lock_terms
from settlement.swap.evm.watch import LockFact, Reading
from settlement.swap.machine.facts import LockStatus
from settlement.swap.watchtower import tower as module
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.tower import News, Watchtower
from tests.support.patience import eventually
from tests.support.swap_bitcoin import POLICY
from tests.support.swap_terms import ANVIL, NOW, REGTEST

HEAD = BlockRef(BlockHeight(50), b"\x05" * 32)
TIP = BitcoinBlock(BlockHeight(100), b"\x06" * 32)


@dataclass
class FakeChains:
    """Both chains, a tower's account and its bundles.

    Fields: bundles (by owner); is_folder (more may come); median_time, outputs (of each bundle's script); evm_time,
    locks (status by the terms' hash), secret (that a claimed one shows); trouble (what a chain answers with until it is
    taken away, by its name; `events` are the EVM chain's, the `mempool` is bitcoin's); once (the same, a single time);
    asked (chains, each time); expected (txids in the mempool, each time); begun (since when locks were read, each time
    anew); sent (txids), returned, claimed (locks); news.
    """

    bundles: dict[bytes, Bundle] = field(default_factory=dict)
    is_folder: bool = True
    median_time: int = NOW
    outputs: dict[bytes, tuple[OutputView, ...]] = field(default_factory=dict)
    evm_time: int = NOW
    locks: dict[bytes, LockStatus] = field(default_factory=dict)
    secret: bytes = b""
    trouble: dict[str, Exception] = field(default_factory=dict)
    once: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    expected: list[bytes] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    returned: list[bytes] = field(default_factory=list)
    claimed: list[tuple[bytes, bytes]] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    looks: int = 0

    def answer(self, name: str) -> None:
        """Raise what the chain is troubled by."""
        self.asked.append(name)
        error = self.once.pop(name, None) or self.trouble.get(name)
        if error is not None:
            raise error

    def fact(self, terms: AnyTerms) -> LockFact:
        """A lock, long final."""
        status = self.locks[terms.hash]
        secret = self.secret if status is LockStatus.CLAIMED else b""
        return LockFact(terms, b"", status, secret, HEAD, 9, finalized=True)

    @property
    def said(self) -> list[str]:
        """All news."""
        return [one.text for one in self.news]

    async def look(self, count: int = 3) -> None:
        """Once the tower has looked so many times more."""
        wanted = self.looks + count

        async def looked() -> bool:
            return self.looks >= wanted

        await eventually(looked, f"the tower looks {count} times", pause_s=0.001)

    async def once_that(self, holds: Callable[[], object], what: str) -> None:
        """Once something holds."""

        async def look() -> bool:
            return bool(holds())

        await eventually(look, what, pause_s=0.001)

    @asynccontextmanager
    async def tower(self, memory: Path, monkeypatch: pytest.MonkeyPatch, grace_s: int = 600) -> AsyncIterator[_Run]:
        """A watchtower at work."""
        self._take_the_place_of_nodes(monkeypatch)
        settings = SimpleNamespace(
            bitcoin=SimpleNamespace(fees=POLICY, network=None),
            site=SimpleNamespace(start=0, escrow=b"\x10" * 20),
            bitcoin_chain=REGTEST,
            evm_chain=ANVIL,
        )
        parts: tuple[Any, ...] = (_Shelf(self), _Rpc(self), _Leg(self), None, settings, memory)
        tower = Watchtower(*parts, grace_s=grace_s, tell=self.news.append)
        task = asyncio.create_task(tower.run(0.001, self._count))
        try:
            yield _Run(tower, task)
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    def _count(self, _: Watchtower) -> None:
        self.looks += 1

    def _take_the_place_of_nodes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def start(_: Any) -> _BitcoinWatch:
            return _BitcoinWatch(self)

        async def bitcoin_birth(*_: object) -> int:
            return 0

        async def evm_birth(_: object, __: int, since: int) -> None:
            self.answer("evm")
            self.begun.append(since)

        monkeypatch.setattr(module, "BitcoinWatch", SimpleNamespace(start=start))
        monkeypatch.setattr(module, "EscrowWatch", lambda *_: _EscrowWatch(self))
        monkeypatch.setattr(module, "bitcoin_birth", bitcoin_birth)
        monkeypatch.setattr(module, "evm_birth", evm_birth)


@dataclass
class _Run:
    tower: Watchtower
    task: asyncio.Task[None]


@dataclass
class _Shelf:
    chains: FakeChains

    @property
    def is_open_ended(self) -> bool:
        return self.chains.is_folder

    def read(self) -> Mapping[bytes, Bundle]:
        return dict(self.chains.bundles)


@dataclass
class _Rpc:
    chains: FakeChains

    async def check_network(self, _: object) -> None:
        self.chains.answer("bitcoin")

    async def submit(self, raw: bytes) -> None:
        self.chains.answer("mempool")
        self.chains.sent.append(parse_transaction(raw).txid)


@dataclass
class _Leg:
    chains: FakeChains
    account: bytes = b"\x09" * 20

    async def check(self) -> None:
        self.chains.answer("evm")

    async def claim(self, terms: AnyTerms, secret: bytes) -> None:
        self.chains.claimed.append((terms.hash, secret))

    async def refund(self, terms: AnyTerms) -> None:
        self.chains.returned.append(terms.hash)


@dataclass
class _BitcoinWatch:
    chains: FakeChains
    scripts: set[bytes] = field(default_factory=set)

    def watch(self, script: bytes, _: int) -> None:
        self.scripts.add(script)

    def expect(self, script: bytes, txid: bytes) -> None:
        assert script in self.scripts
        self.chains.expected.append(txid)

    async def look(self) -> ChainView:
        self.chains.answer("bitcoin")
        outputs = {script: self.chains.outputs.get(script, ()) for script in self.scripts}
        return ChainView(TIP, self.chains.median_time, outputs)


@dataclass
class _EscrowWatch:
    """Tells of what is wanted, when it is new."""

    chains: FakeChains
    wanted: dict[bytes, AnyTerms] = field(default_factory=dict)
    told: object = None

    def want(self, terms: AnyTerms, _: int) -> None:
        self.wanted[terms.hash] = terms

    async def read(self) -> Reading | None:
        self.chains.answer("evm")
        self.chains.answer("events")
        facts = tuple(self.chains.fact(terms) for key, terms in self.wanted.items() if key in self.chains.locks)
        now = self.chains.evm_time, tuple(self.wanted), facts
        if now == self.told:
            return None
        self.told = now
        return Reading(HEAD, self.chains.evm_time, True, facts, (), (), HEAD)


def lock_of(bundle: Bundle) -> bytes:
    """What names a bundle's lock."""
    return lock_terms(bundle.terms).hash
