"""Two people with accounts at an Escrow on a real node, each with the EVM leg of a swap."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from adapters.evm.endpoint import Endpoint
from adapters.evm.escrow.errors import typed_revert
from adapters.evm.escrow.types import AnyTerms, PointTerms, Terms, account_of_point
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from infra.anvil import Anvil
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.memo import seal_memo
from settlement.swap.evm.opening import OpenLeg, Views, open_leg, views_of
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.watch import EscrowWatch, LockFact, Reading
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_escrow import POLICY, EscrowWorld, escrow_world
from tests.support.patience import PATIENCE_S
from tests.support.swap_evm import Sides, bytes_of, secret_of, sides_of

AMOUNT = 1_000_000
LIFE_S = 3_600
"""How long a lock lives in tests that do not wait for its end."""


@dataclass
class Person:
    """Fields: secret (of the account); journal (of its sender); open."""

    secret: bytes
    journal: VolatileJournal
    open: OpenLeg

    @property
    def leg(self) -> EscrowLeg:
        """What it can do."""
        return self.open.leg

    @property
    def account(self) -> bytes:
        """Its address."""
        return self.leg.account


@dataclass
class SwapWorld:
    """An Escrow and a token on a chain. Fields: world (contracts, banker); site; initiator, follower."""

    world: EscrowWorld
    site: EscrowSite
    initiator: Person
    follower: Person

    @property
    def node(self) -> Anvil:
        """The chain's node."""
        return self.world.node

    async def terms(self, is_hash: bool, sides: Sides, *, is_coin: bool = True, **other: Any) -> AnyTerms:
        """A lock of the initiator's for the follower; `other` replaces fields."""
        fields: dict[str, Any] = {
            "id": sides.namer.point().to_xonly(),
            "payer": self.initiator.account,
            "beneficiary": self.follower.account,
            "refund_to": self.initiator.account,
            "asset": NATIVE_COIN if is_coin else self.world.config.token,
            "amount": AMOUNT,
            "expires_at": await self.world.tick() + LIFE_S,
        }
        if is_hash:
            return Terms(**{"condition": hashlib.sha256(bytes_of("secret")).digest()} | fields | other)
        point = account_of_point(secret_of("secret").point().to_bytes())
        return PointTerms(**{"point": point} | fields | other)

    async def placed(self, is_hash: bool = True, *, is_coin: bool = True, **other: Any) -> AnyTerms:
        """A lock that is in a block, with its memo."""
        sides = sides_of(secrets.token_hex(8))
        terms = await self.terms(is_hash, sides, is_coin=is_coin, **other)
        await self.initiator.leg.place(terms.id, terms, seal_memo(self.site, terms, sides.memo(is_hash), sides.namer))
        return terms

    def watch(self, *wanted: AnyTerms, views: Views | None = None, cursor: BlockRef | None = None) -> EscrowWatch:
        """The follower's watch, which wants these locks."""
        made = EscrowWatch(self.site, views or self.follower.open.views, self.follower.account, cursor)
        for terms in wanted:
            made.want(terms)
        return made

    @asynccontextmanager
    async def views_at(self, *urls: str) -> AsyncIterator[Views]:
        """The chain through other endpoints."""
        views = views_of([Endpoint.at(url, reverted=typed_revert) for url in urls], self.site)
        async with views.finals:
            yield views


async def until(watch: EscrowWatch, is_it: Callable[[Reading], bool]) -> Reading:
    """Read until a reading is the one."""
    async with asyncio.timeout(PATIENCE_S):
        async for reading in watch.follow(0.05):
            if is_it(reading):
                return reading
    raise AssertionError("a watch never ends")


async def drop_from(node: Anvil, number: BlockHeight) -> None:
    """Replace a block, the one before, and all after it, by empty ones."""
    await node.rpc.call("anvil_reorg", await node.height() - number + 2, [])


def tells(terms: AnyTerms, status: LockStatus) -> Callable[[Reading], bool]:
    """Whether a reading tells of this status of a lock."""
    return lambda reading: any(fact.terms == terms and fact.status is status for fact in reading.facts)


def fact_of(reading: Reading, terms: AnyTerms) -> LockFact:
    """What a reading tells of a lock."""
    (found,) = [fact for fact in reading.facts if fact.terms == terms]
    return found


@asynccontextmanager
async def person(site: EscrowSite, url: str, secret: bytes, journal: VolatileJournal) -> AsyncIterator[Person]:
    """Somebody with an account."""
    async with open_leg(site, [url], secret, journal, POLICY) as opened:
        yield Person(secret, journal, opened)


@asynccontextmanager
async def swap_world(node: Anvil, *, confirmations: int = 0) -> AsyncIterator[SwapWorld]:
    """A new Escrow, and two people with gas and tokens."""
    async with escrow_world(node, confirmations=confirmations) as world, AsyncExitStack() as stack:
        site = EscrowSite(world.config.chain, world.config.escrow, world.config.start_block)
        people = []
        for _ in range(2):
            secret = await world.person()
            people.append(await stack.enter_async_context(person(site, node.url, secret, VolatileJournal())))
        await world.give(people[0].account, 10 * AMOUNT)
        yield SwapWorld(world, site, *people)


def elsewhere(site: EscrowSite, **other: Any) -> EscrowSite:
    """The site with other fields."""
    return replace(site, **other)
