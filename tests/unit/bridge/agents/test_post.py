"""What was promised to a peer is told at least once, with growing pauses, and a silent peer keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.agents.attesting import deposit_claim
from bridge.agents.post import ATTESTATION, SIGNED_TRANSACTION, Post, post
from bridge.codec import encode
from bridge.messages import (
    PlainOutpoint,
    PlainOutput,
    SharedTransaction,
    Taken,
    TransactionProposal,
)
from bridge.storage import OutboxRow
from foundation.quantities import UnixMs
from mpc.cluster_errors import PeerRefused, PeerSilent
from tests.support.bridge_office import GROUP, World, attested, deposit, identity
from tests.support.patience import tasks_of

SILENT, GOOD = identity(2).host_key, identity(3).host_key


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    opened = await World.open(tmp_path)
    yield opened
    await opened.database.close()


async def promise(world: World, key: str, *peers: bytes, kind: str = ATTESTATION) -> None:
    body = encode(attested(deposit_claim(deposit(0)), 1))
    if kind == SIGNED_TRANSACTION:
        proposal = TransactionProposal(bytes(32), [PlainOutpoint(bytes(32), 0)], [PlainOutput(1, b"s")])
        body = encode(SharedTransaction(GROUP, "sweep", proposal, b"raw"))
    async with world.database.unit() as uow:
        await post(uow, kind, key, body, peers, world.office.clock())
        await uow.commit()


async def waiting(world: World, at: int = 2**50) -> tuple[OutboxRow, ...]:
    async with world.database.view() as view:
        return await view.outbox.due(UnixMs(at))


def keeps(*kept: bool) -> bytes:
    return encode(Taken(list(kept)))


async def test_what_is_kept_is_delivered_once(world: World) -> None:
    """A delivery that the peer keeps is over; the same promise made again is the same delivery."""
    world.peers.answers[GOOD] = lambda kind, body: keeps(True)
    await promise(world, "one", GOOD)
    delivery = Post(world.office)
    assert await delivery.run()
    await promise(world, "one", GOOD)
    assert not await delivery.run()
    assert len(world.peers.asked) == 1


@pytest.mark.parametrize("answer", [keeps(False), keeps(True, True), keeps(), b"\xc1", b""])
async def test_what_is_not_kept_or_answered_with_nonsense_comes_again(world: World, answer: bytes) -> None:
    """Only a peer's clear yes ends a delivery."""
    world.peers.answers[GOOD] = lambda kind, body: answer
    await promise(world, "one", GOOD)
    await Post(world.office).run()
    (row,) = await waiting(world)
    assert row.attempts == 1


async def test_pauses_double_up_to_half_a_minute(world: World) -> None:
    """100 ms, 200 ms, 400 ms, …, 30 s."""

    def refuse(kind: str, body: bytes) -> bytes:
        raise PeerRefused(GOOD, kind, "NotYet", "later")

    world.peers.answers[GOOD] = refuse
    await promise(world, "one", GOOD)
    pauses = []
    for _ in range(11):
        await Post(world.office).run()
        (row,) = await waiting(world)
        pauses.append(row.not_before_ms - world.now)
        assert await waiting(world, row.not_before_ms - 1) == ()
        world.now = row.not_before_ms
    assert pauses == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]


async def test_a_silent_peer_is_asked_once_and_keeps_nobody_waiting(world: World) -> None:
    """While one peer does not answer the others get theirs; its other deliveries wait without a time-out for each."""
    world.peers.silent[SILENT] = asyncio.Event()

    def silence(kind: str, body: bytes) -> bytes:
        raise PeerSilent(SILENT, kind, 5)

    world.peers.answers |= {SILENT: silence, GOOD: lambda kind, body: keeps(True)}
    for number in range(3):
        await promise(world, f"raw{number}", SILENT, kind=SIGNED_TRANSACTION)
    await promise(world, "one", SILENT, GOOD)
    delivery = Post(world.office)
    await delivery.run()
    await promise(world, "two", GOOD)
    await delivery.run()
    assert [peer for peer, _, _ in world.peers.asked] == [SILENT, GOOD, GOOD]
    world.peers.silent[SILENT].set()
    await delivery.run()
    assert [row.attempts for row in await waiting(world)] == [1, 1, 1, 1]
    assert len([peer for peer, _, _ in world.peers.asked if peer == SILENT]) == 1


async def test_closing_ends_deliveries_under_way(world: World) -> None:
    """A node that stops leaves no task behind; what was not delivered stays promised."""
    world.peers.silent[SILENT] = asyncio.Event()
    await promise(world, "one", SILENT)
    delivery = Post(world.office)
    await delivery.run()
    assert tasks_of("bridge/agents")
    await delivery.close()
    assert not tasks_of("bridge/agents")
    assert len(await waiting(world)) == 1
