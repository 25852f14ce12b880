"""A watch beside a chain that does what it likes: whatever is told adds up to what the chain holds in the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.abi import Event
from adapters.evm.escrow.bindings import Escrow
from adapters.evm.escrow.types import CLAIMED, RETURNED, Terms
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.opening import Views, views_of
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.tracks import LockKey
from settlement.swap.evm.watch import EscrowWatch
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_endpoint import FakeChain, FakeTransport, hexed
from tests.support.swap_evm import account_of, bytes_of, hash_terms, key_of, point_terms

DEPTH = 5
ACTS = 30
ENDS = (LockStatus.CLAIMED, LockStatus.RETURNED)
ESCROW = b"\x10" * 20
LOCKS = [*(hash_terms(key_of(f"lock {n}")) for n in range(2)), *(point_terms(key_of(f"lock {n}")) for n in (2, 3))]
BY_KEY = {(terms.payer, terms.id): terms for terms in LOCKS}


def log_of(event: Event, *values: Any) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """What the Escrow emits."""
    pairs = list(zip(event.inputs, values, strict=True))
    topics = [encode([kind], [value]) for (kind, is_indexed), value in pairs if is_indexed]
    rest = [(kind, value) for (kind, is_indexed), value in pairs if not is_indexed]
    return ESCROW, (event.topic, *topics), encode([kind for kind, _ in rest], [value for _, value in rest])


@dataclass
class World:
    """A chain, and what happened on it to each lock. Fields: steps (block and status, in order, by lock)."""

    transport: FakeTransport
    steps: dict[LockKey, list[tuple[int, LockStatus]]] = field(default_factory=lambda: {key: [] for key in BY_KEY})
    forks: int = 0

    @property
    def chain(self) -> FakeChain:
        """What the node serves now."""
        return self.transport.chain

    def act(self, number: int, end: LockStatus) -> None:
        """A lock is made, or ends, whatever can be, in a block of its own."""
        terms = LOCKS[number]
        steps = self.steps[terms.payer, terms.id]
        people = (terms.id, terms.payer, terms.beneficiary)
        if not steps:
            event = Escrow.Locked if isinstance(terms, Terms) else Escrow.PointLocked
            logs, status = [log_of(event, *terms.tuple)], LockStatus.OPEN
        elif len(steps) > 1:
            logs, status = [], LockStatus.OPEN
        elif end is LockStatus.RETURNED:
            logs, status = [log_of(Escrow.Returned, *people, False)], end
        elif isinstance(terms, Terms):
            logs, status = [log_of(Escrow.Claimed, *people, bytes_of("secret"))], LockStatus.CLAIMED
        else:
            scalar = int.from_bytes(bytes_of("secret"), "big")
            logs, status = [log_of(Escrow.PointClaimed, *people, scalar)], LockStatus.CLAIMED
        block = self.chain.mine(logs)
        if logs:
            steps.append((block, status))

    def reorg(self, depth: int) -> None:
        """The newest blocks are replaced by one more, which hold nothing."""
        last = len(self.chain.blocks) - 1 - depth
        if last < 1:
            return
        self.forks += 1
        self.transport.chain = self.chain.fork(last, b"fork %d" % self.forks)
        for key, steps in self.steps.items():
            self.steps[key] = [step for step in steps if step[0] <= last]
        for _ in range(depth + 1):
            self.chain.mine()

    def slot(self, params: list[Any], _truth: Any) -> str:
        """What the contract's storage says of a lock."""
        data = bytes.fromhex(params[0]["data"][2:])
        key = (data[16:36], data[36:68])
        steps = self.steps[key]
        status = steps[-1][1] if steps else None
        found = {
            LockStatus.OPEN: BY_KEY[key].hash,
            LockStatus.CLAIMED: CLAIMED,
            LockStatus.RETURNED: RETURNED,
            None: bytes(32),
        }
        return hexed(found[status])

    def now(self) -> dict[LockKey, tuple[LockStatus, int]]:
        """What everybody should know of."""
        return {key: (steps[-1][1], steps[-1][0]) for key, steps in self.steps.items() if steps}


def plan_of(seed: int) -> list[tuple[str, int]]:
    """What happens, in order: mostly something to a lock, and a look at it soon after."""
    chance = Random(seed)
    names = chance.choices(["act", "mine", "reorg", "read", "restart"], [6, 2, 3, 6, 1], k=ACTS)
    return [(name, chance.randint(1, 2 * DEPTH)) for name in names]


class Reader:
    """Whoever watches, and keeps what is told."""

    def __init__(self, world: World, site: EscrowSite, views: Views, max_range: int) -> None:
        self.world, self.site, self.views, self.max_range = world, site, views, max_range
        self.known: dict[LockKey, tuple[LockStatus, int]] = {}
        self.cursor: BlockRef | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew with what was stored."""
        account = account_of("follower")
        self.watch = EscrowWatch(
            self.site, self.views, account, self.cursor, told=list(self.known), depth=DEPTH, max_range=self.max_range
        )
        for terms in LOCKS:
            self.watch.want(terms)

    async def read(self) -> None:
        """Read up to the newest block."""
        while True:
            reading = await self.watch.read()
            if reading is None:
                break
            self.known |= {fact.key: (fact.status, fact.block.number) for fact in reading.facts}
            for fact in reading.facts:
                assert fact.confirmations == min(reading.head.number - fact.block.number + 1, DEPTH)
                assert bool(fact.secret) is (fact.status is LockStatus.CLAIMED)
            for key in reading.gone:
                del self.known[key]
            self.cursor = reading.cursor
            if reading.caught_up:
                break
        assert self.known == self.world.now()


@given(st.integers(0, 2**32), st.sampled_from([2, 4, 100]))
@settings(max_examples=25)
def test_what_is_told_adds_up_to_the_chain(seed: int, max_range: int) -> None:
    """After any blocks, reorganisations and restarts, facts and takings-back leave exactly what the chain holds."""

    async def live() -> None:
        transport = FakeChain(b"chain", final_behind=2).endpoint()
        world = World(transport)
        transport.lies["eth_call"] = world.slot
        world.chain.mine()
        site = EscrowSite(world.chain.registered(0), ESCROW, BlockHeight(1))
        reader = Reader(world, site, views_of([transport.made()], site), max_range)
        for name, number in [*plan_of(seed), ("mine", 1), ("read", 1)]:
            if name == "act":
                world.act(number % len(LOCKS), ENDS[number % 2])
            elif name == "mine":
                for _ in range(number):
                    world.chain.mine()
            elif name == "reorg":
                world.reorg(number % DEPTH + 1)
            elif name == "restart":
                reader.restart()
            else:
                await reader.read()

    asyncio.run(live())
